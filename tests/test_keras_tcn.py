"""keras-tcn has an import package of our name: the second to be installed overwrites the first."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CURE = "pip uninstall keras-tcn, then pip install --force-reinstall --no-deps tcn"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """keras-tcn 3.5.7, from the registry."""
    folder = tmp_path / "downloaded"
    call = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--timeout", "10",
            "--retries", "0", "--dest", folder, "keras-tcn==3.5.7"]  # fmt: skip
    if subprocess.run(call, capture_output=True).returncode:
        pytest.skip("keras-tcn cannot be downloaded")
    return next(folder.glob("*.whl"))


def install_ours(packages: Path) -> None:
    keep = shutil.ignore_patterns("__pycache__", "source")
    shutil.copytree(ROOT / "tcn", packages / "tcn", ignore=keep, dirs_exist_ok=True)


def install(wheel: Path, packages: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(packages)


def run(code: str, packages: Path) -> subprocess.CompletedProcess[str]:
    path = f"import sys; sys.path.insert(0, {str(packages)!r})\n"
    return subprocess.run(
        [sys.executable, "-P", "-c", path + code], cwd=packages, capture_output=True, text=True
    )


USE = "from tcn.models import TCN; import tcn; print(tcn.__file__, TCN(1, [4], 3))"


@pytest.mark.slow
def test_ours_after_theirs_works_and_warns(tmp_path: Path, theirs: Path) -> None:
    packages = tmp_path / "site"
    install(theirs, packages)
    install_ours(packages)
    answer = run(USE, packages)
    assert answer.returncode == 0, answer.stderr
    assert str(packages) in answer.stdout
    assert CURE in answer.stderr
    (packages / "tcn" / "tcn.py").unlink()  # what uninstalling keras-tcn takes away
    assert "keras" not in run(USE, packages).stderr


@pytest.mark.slow
def test_theirs_after_ours_is_named_by_whatever_of_ours_is_used(
    tmp_path: Path, theirs: Path
) -> None:
    packages = tmp_path / "site"
    install_ours(packages)
    install(theirs, packages)
    begin = packages / "tcn" / "__init__.py"
    assert "from tcn.tcn import TCN" in begin.read_text()
    # Without TensorFlow, which is not installed for this, keras-tcn refuses before we are asked.
    assert "tensorflow" in run(USE, packages).stderr
    begin.write_text("__version__ = '3.5.7'\n")
    for use in (USE, "import tcn.inference", "import tcn.training"):
        answer = run(use, packages)
        assert "ImportError: import tcn: keras-tcn installs" in answer.stderr, use
        assert CURE in answer.stderr
