"""A short fuzz without sanitizers, and the long one with them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tcn.native import library

FOLDER = Path(__file__).parent


@pytest.mark.skipif(library() is None, reason="the native library is not built")
def test_fuzz_of_the_c_interface() -> None:
    """Every call is done or refused as the rules say."""
    command = [sys.executable, str(FOLDER / "fuzz.py"), "--calls", "400", "--seed", "1"]
    ended = subprocess.run(
        command, capture_output=True, text=True, cwd=FOLDER.parents[1], check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "fuzz: 400 calls" in ended.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the sanitizers' runtime is preloaded")
def test_sanitizers_find_nothing() -> None:
    """What `make sanitize` runs."""
    subprocess.run([sys.executable, str(FOLDER / "sanitize.py")], check=True)
