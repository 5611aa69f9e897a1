"""What `conftest.py` promises: a test does the same alone and in any order."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")

TESTS = """
import os, random
import numpy as np, pytest, torch

def numbers():
    return random.random(), np.random.rand(), torch.rand(1).item()

@pytest.fixture(scope="module", params=["a", "b"])
def shared(request):
    return numbers()

def told(request, *values):
    with open(os.environ["TOLD"], "a") as file:
        print(request.node.name, *values, file=file)

def test_one(request):
    told(request, numbers())

def test_two(request, shared):
    told(request, numbers(), shared)

def untouched():
    return (
        "LEFT" not in os.environ and os.path.basename(os.getcwd()) == "suite"
        and torch.get_num_threads() == 1 and torch.get_default_dtype() == torch.float32
    )

@pytest.mark.parametrize("time", [1, 2])
def test_leaves_the_process_changed(time):
    assert untouched()
    os.environ["LEFT"] = "1"
    os.chdir("..")
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    folder.mkdir()
    shutil.copy(CONFTEST, folder)
    (folder / "test_some.py").write_text(TESTS)
    return folder


def told_by(suite: Path, *arguments: str) -> set[str]:
    """What the tests drew."""
    file = suite / "told"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
    environment = {"PATH": "", "HOME": str(suite), "TOLD": str(file)}
    done = subprocess.run(
        [*command, *arguments], cwd=suite, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    return set(file.read_text().splitlines())


def test_draws_and_settings_do_not_depend_on_the_order(suite: Path) -> None:
    names = ["test_one", "test_two[a]", "test_two[b]"]
    alone = set.union(*(told_by(suite, f"test_some.py::{name}") for name in names))
    assert len(alone) == len(names)
    drawn = [word for line in alone for word in line.split(" ", 1)[1].strip("()").split(") (")]
    assert len(set(drawn)) == 5  # of three tests and of two shared values
    assert told_by(suite, "--random-order-seed=2") == alone
