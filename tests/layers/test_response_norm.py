"""Local response normalization against its formula and PyTorch's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tcn.layers import LocalResponseNorm


@given(st.integers(1, 6), st.integers(1, 7), st.floats(0, 2), st.floats(0.2, 1), st.floats(0.5, 2))
def test_equals_pytorch_own(size: int, channels: int, alpha: float, beta: float, k: float) -> None:
    ours, theirs = (
        LocalResponseNorm(size, alpha=alpha, beta=beta, k=k),
        nn.LocalResponseNorm(size, alpha, beta, k),
    )
    for sizes in ((4,), (3, 2)):
        x = torch.randn(2, channels, *sizes)
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)


def test_the_formula_of_the_paper() -> None:
    # Section 3.3 with n = 3, k = 2, alpha = 0.5, beta = 1: of channels 1, 2, 3 the sums of squares
    # are 1 + 4, 1 + 4 + 9 and 4 + 9; PyTorch's alpha is n times the paper's.
    norm = LocalResponseNorm(3, alpha=1.5, beta=1.0, k=2.0)
    y = norm(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1)).flatten()
    torch.testing.assert_close(y, torch.tensor([1 / 4.5, 2 / 9, 3 / 8.5]))


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="size: 0 must be at least 1"):
        LocalResponseNorm(0)
