"""scipy is needed for some quantiles, and for nothing else of an output."""

import subprocess
import sys

import pytest

CODE = """
import sys
sys.modules["scipy"] = None  # as where it is not installed
import torch
from tcn.outputs import output
made = output({name!r})
raw = torch.randn(2, made.size, 3, 4)
made.loss(raw, torch.ones(2, 3, 4))
made.mean(raw), made.sample(raw, 5)
try:
    made.quantile(raw, [0.1, 0.9])
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["student_t", "poisson", "negative_binomial"])
def test_only_the_quantile_needs_scipy_and_says_so(name: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", CODE.format(name=name)], capture_output=True, text=True, check=True
    )
    assert "the quantile of this output needs the extra 'training'" in answer.stdout
    assert "missing: scipy" in answer.stdout


@pytest.mark.parametrize("name", ["mse", "quantiles", "normal", "mixture"])
def test_others_do_without(name: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", CODE.format(name=name)], capture_output=True, text=True, check=False
    )
    assert "scipy" not in answer.stdout + answer.stderr
