"""Settings and fixtures every test shares."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# Parallel test processes share few cores: one thread each is faster, and sums come out the same.
torch.set_num_threads(1)

# derandomize: the same examples each time, so that a red run stays red until something is mended.
# deadline: the first example pays for PyTorch's warm-up.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci")


def data_missing(name: str) -> str | None:
    """Why the data set in folder `name` cannot be read, or None where it can."""
    root = os.environ.get("TCN_DATA_DIR")
    if root is None:
        return f"needs the data set {name!r}: set TCN_DATA_DIR to the folder that holds {name}/"
    if not (Path(root) / name).is_dir():
        return f"needs the data set {name!r}: TCN_DATA_DIR={root} holds no folder {name}/"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test marked `requires_data("mnist")` where the data set is absent, saying so."""
    for marker in item.iter_markers("requires_data"):
        if not marker.args:
            raise pytest.UsageError(f'{item.nodeid}: requires_data("mnist") takes folder names')
        for name in marker.args:
            if reason := data_missing(name):
                pytest.skip(reason)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data sets; use beside `@pytest.mark.requires_data(...)`."""
    root = os.environ.get("TCN_DATA_DIR")
    if root is None:
        pytest.skip("needs data sets: set TCN_DATA_DIR to the folder that holds them")
    return Path(root)
