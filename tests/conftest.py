"""Settings and fixtures every test shares."""

import os
import random
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

# Parallel test processes share few cores: one thread each is faster, and sums come out the same.
torch.set_num_threads(1)

# derandomize: the same examples each time, so that a red run stays red until something is mended.
# deadline: the first example pays for PyTorch's warm-up. too_slow: the machine may be busy.
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci")

# Said every time it is due, not once in a process: otherwise the order decides which test fails.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "all"

# Another word here draws other random numbers in every test that sets no seed of its own.
SEED = os.environ.get("TCN_TEST_SEED", "")


def seed_from(name: str) -> None:
    """Seeds what a test may draw from without a generator of its own."""
    seed = zlib.crc32(f"{SEED}{name}".encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - scikit-learn and others still draw from it
    torch.manual_seed(seed)


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """What is drawn inside is not missing afterwards."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """A fixture shared by many tests is made from the same random numbers, whoever comes first."""
    if fixturedef.scope == "function":
        return (yield)
    with random_numbers_kept():
        parameter = getattr(request, "param_index", 0)
        seed_from(f"{fixturedef.baseid}::{fixturedef.argname}[{parameter}]")
        return (yield)


def data_missing(name: str) -> str | None:
    """Why the data set in folder `name` cannot be read, or None where it can."""
    root = os.environ.get("TCN_DATA_DIR")
    if root is None:
        return f"needs the data set {name!r}: set TCN_DATA_DIR to the folder that holds {name}/"
    if not (Path(root) / name).is_dir():
        return f"needs the data set {name!r}: TCN_DATA_DIR={root} holds no folder {name}/"
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test draws the same random numbers alone and in any order.

    One marked `requires_data("mnist")` is skipped where the data set is absent, saying so.
    """
    seed_from(item.nodeid)
    for marker in item.iter_markers("requires_data"):
        if not marker.args:
            raise pytest.UsageError(f'{item.nodeid}: requires_data("mnist") takes folder names')
        for name in marker.args:
            if reason := data_missing(name):
                pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """What a test sets of the whole process ends with it, so that it changes no other test."""
    environment, folder = dict(os.environ), Path.cwd()
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    try:
        return (yield)
    finally:
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        os.chdir(folder)
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        if torch.tensor(1e-39) * 1 == 0:
            torch.set_flush_denormal(False)
            pytest.fail("the thread takes numbers below 1e-38 for zero from this test on")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data sets; use beside `@pytest.mark.requires_data(...)`."""
    root = os.environ.get("TCN_DATA_DIR")
    if root is None:
        pytest.skip("needs data sets: set TCN_DATA_DIR to the folder that holds them")
    return Path(root)
