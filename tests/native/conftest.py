"""The kernels on every set of instructions that this machine has; see also sanitize.py."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcn.native.library import INSTRUCTION_SETS, library

if path := os.environ.get("TCN_SANITIZED_KERNELS"):
    # As a name of the package it is the function.
    sys.modules["tcn.native.library"]._built = lambda: Path(path)  # type: ignore[attr-defined]


@pytest.fixture(params=INSTRUCTION_SETS, scope="module")
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each set of instructions that this machine has, in turn."""
    kernels = library()
    assert kernels is not None
    wanted = INSTRUCTION_SETS.index(request.param)
    if kernels.tcn_set_instruction_set(wanted) != wanted:
        pytest.skip(f"this machine has no {request.param}")
    yield request.param
    limit = os.environ.get("TCN_INSTRUCTION_SET", INSTRUCTION_SETS[-1])
    kernels.tcn_set_instruction_set(INSTRUCTION_SETS.index(limit))
