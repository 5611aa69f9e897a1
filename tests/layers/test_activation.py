"""Activations against values worked out by hand."""

import math

import pytest
import torch

from tcn.layers import FastTanh, LeakyHardtanh


def test_fast_tanh() -> None:
    x = torch.linspace(-20, 20, 4001, dtype=torch.float64)
    assert (FastTanh()(x) - x.tanh()).abs().max() < 3e-3
    assert torch.equal(FastTanh()(-x), -FastTanh()(x))
    # For large inputs what is left are the cubes: 0.82122... / 0.81464... = 1.0081.
    far = FastTanh()(torch.tensor([1e9], dtype=torch.float64)).item()
    assert math.isclose(far, 0.821226666969744 / 0.814642734961073, rel_tol=1e-6)


def test_leaky_hardtanh() -> None:
    layer = LeakyHardtanh(-1.0, 2.0, 0.25, 0.5)
    x = torch.tensor([-3.0, -1.0, 0.5, 2.0, 4.0])
    assert layer(x).tolist() == [-1 - 0.5, -1, 0.5, 2, 2 + 1]
    with pytest.raises(ValueError, match=r"min_val: 2 is above max_val=1; swap them"):
        LeakyHardtanh(2, 1)
