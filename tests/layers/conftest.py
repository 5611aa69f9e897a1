"""Slow references in plain loops, written from the definitions and not from the library."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest


def left_zeros(padding: str, kernel_size: int, dilation: int) -> int:
    span = (kernel_size - 1) * dilation
    return {"causal": span, "strictly_causal": span + 1, "same": span // 2, "valid": 0}[padding]


def convolve_by_loops(x, weight, bias, *, padding, dilation, stride, groups=1) -> np.ndarray:
    """Every output as a sum over taps and channels; arguments per axis, any number of axes."""
    batch, channels, *sizes = x.shape
    out_channels, in_group, *kernel = weight.shape
    axes = range(len(sizes))
    counts = []
    for i in axes:
        lost = (kernel[i] - 1) * dilation[i] if padding[i] == "valid" else 0
        counts.append(-(-(sizes[i] - lost) // stride[i]))
    y = np.zeros((batch, out_channels, *counts))
    for b, o, *place in itertools.product(range(batch), range(out_channels), *map(range, counts)):
        group = o // (out_channels // groups)
        total = bias[o]
        for c, *tap in itertools.product(range(in_group), *map(range, kernel)):
            at = [
                place[i] * stride[i]
                - left_zeros(padding[i], kernel[i], dilation[i])
                + tap[i] * dilation[i]
                for i in axes
            ]
            if all(0 <= at[i] < sizes[i] for i in axes):
                total += weight[(o, c, *tap)] * x[(b, group * (channels // groups) + c, *at)]
        y[(b, o, *place)] = total
    return y


@pytest.fixture(scope="session")
def loops() -> Callable[..., np.ndarray]:
    """`convolve_by_loops`, as a fixture because test files do not import each other."""
    return convolve_by_loops
