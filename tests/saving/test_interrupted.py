"""A save that is killed, refused by the disk, or not alone: the old one or the new one, whole."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[2]
SLOW = pytest.mark.slow


def answer(script: str, *arguments: object) -> Any:
    """What a script beside this file prints."""
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


KINDS = [(kind, how) for kind in ("net", "session", "forecaster") for how in ("killed", "refused")]
QUICK = [(kind, how, 5) for kind, how in KINDS if (kind, how) != ("forecaster", "refused")]
THOROUGH = [pytest.param(kind, how, 1, marks=SLOW) for kind, how in KINDS]


@pytest.mark.parametrize(("kind", "how", "every"), QUICK + THOROUGH)
def test_at_every_call_of_the_system(kind: str, how: str, every: int, tmp_path: Path) -> None:
    seen = answer("interrupted.py", kind, how, tmp_path, every)
    print(seen)
    assert seen["other"] == []
    assert seen["left"] == [], "the next save clears up"
    assert seen["old"] > 10
    assert seen["new"] > 5
    assert 20 < seen["calls"] < 100


@pytest.mark.parametrize("count", [20, pytest.param(1000, marks=SLOW)])
def test_two_that_save_at_once_and_one_that_reads(count: int, tmp_path: Path) -> None:
    seen = answer("several_savers.py", count, tmp_path / "net")
    print(seen)
    assert seen["wrong"] == []
    assert seen["seen"].keys() <= {"1", "2"}
    assert seen["left"] == ["config.json", "model.safetensors"]


# ------------------------------------------------------------------ by the kernel itself

WITHOUT_TORCH = """
import sys, types
for name, folder in (("tcn", "tcn"), ("tcn.saving", "tcn/saving")):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = [f"{sys.argv[1]}/{folder}"]
from pathlib import Path
from tcn.saving.folder import CHECKSUM, Layout, entry, read, tensors_schema, write
layout = Layout("config.json", "model.safetensors", "weights", "{}: no {}".format)
schema = {"type": "object", "properties": {"weights": tensors_schema("model.safetensors")}}
folder = Path(sys.argv[2])
if sys.argv[3] == "read":
    print(read(folder, layout, schema).tensors[0])
else:
    data = bytes([int(sys.argv[3])]) * 100_000
    write(folder, layout, {"format_version": 2, **entry(layout, data)}, data)
"""


def run(folder: Path, what: str, *before: str) -> subprocess.CompletedProcess[str]:
    python = [sys.executable, "-S", "-E", "-c", WITHOUT_TORCH]
    command = [*before, *python, str(ROOT), str(folder), what]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_killed_by_the_kernel_at_every_call_that_changes_the_disk(tmp_path: Path) -> None:
    # Other than above nothing of Python is trusted: strace kills at the n-th call of each kind.
    calls = ("openat", "write", "fsync", "mkdir", "rename", "unlink", "unlinkat", "rmdir", "flock")
    old, place = tmp_path / "old", tmp_path / "place"
    assert run(old, "1").returncode == 0
    seen = []
    for call in calls:
        for number in range(1, 1000):
            shutil.copytree(old, place)
            inject = f"inject={call}:signal=SIGKILL:when={number}"
            killed = run(place, "2", "strace", "-f", "-qq", "-e", f"trace={call}", "-e", inject)
            assert killed.returncode in (0, -9), killed.stderr
            found = run(place, "read")
            assert found.stdout.strip() in ("1", "2"), found.stderr
            seen.append(found.stdout.strip())
            assert run(place, "3").returncode == 0
            assert sorted(file.name for file in place.iterdir()) == sorted(os.listdir(old))
            shutil.rmtree(place)
            if killed.returncode == 0:
                break
    print({each: seen.count(each) for each in set(seen)})
    assert seen.count("1") > 20
    assert seen.count("2") > len(calls)
