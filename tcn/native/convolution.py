"""Dilated convolution of few channels on a CPU, with all that a residual block does around it.

    z = convolution + bias      ->  ReLU  ->  dropout  ->  + shortcut, ReLU
    |                               |         |            |
    always                          if asked  if asked     if given

in one pass over the data. The same in a few lines of PyTorch is in ``reference.py``, the operators
with their gradients in ``operators.py``, the kernels in ``source/convolution_kernels.h``.

Which values are dropped is a hash of their index and a seed drawn from PyTorch's generator. Going
backward, an output that is zero shows that ReLU or dropout stopped the signal there. With a
shortcut after them one bit per value is kept: a sum rounds away what is small next to the shortcut.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.native import operators, reference
from tcn.native.checks import check_sizes
from tcn.native.convolution_calls import DROPPED, check_forward
from tcn.native.library import runs, serves, transformed
from tcn.native.reference import Geometry

__all__ = ["MOST_CHANNELS", "Geometry", "convolve", "dropout", "drops", "wins"]


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    geometry: Geometry = Geometry(),  # noqa: B008  (immutable)
    relu: bool = False,
    dropout: float = 0.0,
    shortcut: Tensor | None = None,
    size: Tensor | None = None,
) -> Tensor:
    """Convolution in one dimension and what follows it, in one pass: see the module's drawing.

    Args:
        x: ``(batch, in_channels, time)``.
        weight: ``(out_channels, in_channels, kernel_size)``.
        bias: ``(out_channels,)``.
        geometry: zeros on both sides, stride and dilation.
        relu: whether negative values become zero.
        dropout: share of values that are dropped, the others growing to keep the mean.
        shortcut: ``(batch, out_channels, out_steps)``, added after the dropout; the sum goes
            through a second ReLU.
        size: ``(out_channels, 1, 1)``; the filters are scaled to these norms first, which is weight
            norm (Salimans and Kingma 2016) without separate operators.

    Raises:
        ValueError: if a shape, a size or the dropout does not fit, or if there is dropout or a
            shortcut but no ReLU before it.
        TypeError: if the tensors differ in type or device.
        MemoryError: if there is no memory for what the kernels need besides the output.
    """
    compiling = torch.compiler.is_compiling()
    if not compiling:
        _check_geometry(geometry)
        if transformed():
            return _plain(x, weight, bias, geometry, relu, dropout, shortcut, size)
    seed = _draw_seed() if dropout else None
    wanted = _will_be_differentiated(x, weight, bias, shortcut, size)
    arguments = (x, weight, size, bias, shortcut, seed, *geometry, relu, dropout)
    if compiling:
        return torch.ops.tcn.convolve(*arguments, shortcut is not None and wanted)[0]
    # The operator calls the function; calling it directly saves a tenth of a small convolution.
    if wanted and shortcut is not None:
        return operators.Convolve.apply(*arguments, True)[0]
    if wanted:
        return operators.Convolve.apply(*arguments, False)
    with torch._C._AutoDispatchBelowAutograd():
        return torch.ops.tcn.convolve.default(*arguments, False)[0]


def dropout(x: Tensor, probability: float) -> Tensor:
    """``F.dropout`` in training with cheap random numbers, reproducible from the same seed.

    Raises:
        ValueError: if ``probability`` is not at least 0 and below 1.
        TypeError: if ``x`` is not of real numbers.
    """
    if not torch.compiler.is_compiling() and transformed():
        return F.dropout(x, probability)
    return torch.ops.tcn.dropout(x, _draw_seed(), probability)


@functools.lru_cache(maxsize=1024)
def _check_geometry(geometry: Geometry) -> None:
    check_sizes("left right stride dilation", *geometry)


def _plain(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    relu: bool,
    dropout: float,
    shortcut: Tensor | None,
    size: Tensor | None,
) -> Tensor:
    """The same by operators that torch.func and forward-mode differentiation know."""
    check_forward(x, weight, size, bias, shortcut, torch.zeros(1).long(), geometry, relu, dropout)
    y, _ = reference.forward(x, weight, size, bias, None, None, geometry, relu, 0.0, False)
    y = F.dropout(y, dropout) if dropout else y
    return y if shortcut is None else F.relu(y + shortcut)


def _will_be_differentiated(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)


def wins(x: Tensor, weight: Tensor) -> bool:
    """Whether the kernels are faster than PyTorch's own convolution: few channels, enough rows.

    Times of PyTorch (oneDNN) / times of the kernels, forward and both gradients, one thread of an
    Intel Xeon with AVX-512 (first column) or held down to what older machines have, 2026-11-22::

        channels  kernel  time  batch   AVX-512   AVX2   baseline
            10       8     400     16               4.0      2.6
            25       7     400     16               2.5      1.6
            25       7     784     64       2.3
            32       3     400      8       2.2
            64       3     400      8       1.5     1.5      1.2
           100       3     400      8       2.2
           128       3     400      8       1.5     1.1      1.0
           128       3     100      8       1.0
           150       3     200      8       1.0
           450       3     100      8       0.8

    Large dilations gain more (6 at dilation 128 of 600 steps), since taps in the zeros are skipped.
    The threads share the batch, so they have at least one row each. With few channels, a row for
    every other thread will do: one row on one thread against PyTorch on two, kernel 7, whole nets::

        channels  time   forward   with gradients
            10     100       1.1              1.1
            10    4000       1.9              2.4
            25     100       1.4              1.2
            25    4000       1.4              1.5
            32    4000       0.9              1.1
            64     784       0.8              1.0
    """
    channels = max(weight.shape[:2])
    if channels > MOST_CHANNELS or weight.dtype != torch.float32:
        return False
    rows = x.shape[0] * (2 if channels <= FEW_CHANNELS else 1)
    # torch.compile cannot ask for the number of threads without breaking its graph in two.
    enough = torch.compiler.is_compiling() or rows >= torch.get_num_threads()
    return enough and serves(x)


def drops(x: Tensor) -> bool:
    """Whether the kernels' random numbers can be used for ``x``."""
    return x.dtype in DROPPED and runs(x)


MOST_CHANNELS = 128
"""In and out: see :func:`wins`."""

FEW_CHANNELS = 25
"""In and out: see :func:`wins`."""


def _draw_seed() -> Tensor:
    return torch.randint(2**62, (1,))
