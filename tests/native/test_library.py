"""The kernels are found, limited and switched off as the environment and the caller say."""

import os
import subprocess
import sys

import pytest
import torch

from tcn.native import library, switched_off
from tcn.native.convolution import wins

needs_kernels = pytest.mark.skipif(library() is None, reason="the kernels are not built")


def loaded(**environment: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import logging; logging.basicConfig(level='INFO', format='%(message)s')\n"
        "from tcn.native import library; library(); library()"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_kernels
@pytest.mark.parametrize("name", ["baseline", "avx2"])
def test_a_lower_instruction_set_can_be_asked_for(name: str) -> None:
    said = loaded(TCN_INSTRUCTION_SET=name).stderr
    assert said.strip() in {f"native kernels: {name}", "native kernels: baseline"}  # on ARM


def test_switched_off_by_the_environment_is_said_once() -> None:
    assert loaded(TCN_NATIVE="0").stderr.count("switched off by TCN_NATIVE=0") == 1


@pytest.mark.parametrize(
    ("variable", "value"), [("TCN_NATIVE", "no"), ("TCN_INSTRUCTION_SET", "sse")]
)
def test_other_values_are_refused(variable: str, value: str) -> None:
    if variable == "TCN_INSTRUCTION_SET" and library() is None:
        pytest.skip("the kernels are not built")
    assert f"ValueError: {variable}: {value!r}" in loaded(**{variable: value}).stderr


@needs_kernels
def test_switched_off_within_a_block() -> None:
    x, weight = torch.randn(4, 3, 9), torch.randn(5, 3, 2)
    assert wins(x, weight)
    with switched_off():
        assert library() is None
        assert not wins(x, weight)
    assert wins(x, weight)
