"""Pooling: the largest or the mean value of each window.

Windows lie where the taps of a convolution do (see :mod:`tcn.layers.taps`). They count only the
steps that exist and are valid: a maximum is taken over these, a mean divided by their number. To
pool over everything use the readouts :class:`tcn.layers.Mean` (global average pooling) and
:class:`tcn.layers.Max`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tcn.layers.context import Context, silence
from tcn.layers.running import valid_steps
from tcn.layers.state import State
from tcn.layers.taps import Taps, check_windows_fit, pad
from tcn.layers.validation import (
    Padding,
    check_rank,
    check_state,
    wrong_state,
)
from tcn.saving.description import recorded

PADDINGS = ("causal", "same", "valid", "ceil")


class Pool(Taps):
    """What all pools share: where the windows lie, and which of their steps exist."""

    kind = "a pool"

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The state is the last steps and, as 1 or 0, whether they exist."""
        check_rank(self, x, self.ndim)
        x = silence(x, context.mask)
        if self.streaming_obstacle or (state is None and not context.streaming):
            exists = None if context.mask is None else valid_steps(x, context.mask).to(x.dtype)
            return self._pool(x, exists), ()
        exists = valid_steps(x, context.mask).to(x.dtype)
        before = self._start(x, exists) if state is None else self._checked(state, x, exists)
        given = x
        x, exists = (torch.cat(pair, -1) for pair in zip(before, (x, exists), strict=True))
        used = self.used(x.shape[-1])
        if used is None:
            return self.nothing(given[..., :0], None, context)[0], (x, exists)
        after = (x[..., used:], exists[..., used:])
        first = self.context_size - self.span[-1]
        return self._pool(x[..., first:], exists[..., first:], time=False), after

    def _start(self, x: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
        """Nothing exists before a stream begins."""
        past = self.context_size
        return x.new_zeros((*x.shape[:-1], past)), x.new_zeros((*exists.shape[:-1], past))

    def _checked(self, state: State, x: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
        if not isinstance(state, tuple) or len(state) != 2:
            raise wrong_state(self, "a pair of steps and whether they exist", type(state).__name__)
        steps, existed = (
            check_state(self, held, tuple(now.shape[:-1]), x)
            for held, now in zip(state, (x, exists), strict=True)
        )
        count, rest = steps.shape[-1], self.context_size
        if existed.shape[-1] != count or not 0 <= rest - count < self.stride[-1]:
            raise wrong_state(self, f"{rest} remembered steps", f"{count} of them")
        return steps, existed

    def phase(self, state: State | None) -> int:
        """Steps by which the state is shorter than it is when an output falls due at once."""
        return super().phase(state[0] if isinstance(state, tuple) else state)

    def _around(self, x: Tensor, value: float = 0.0, *, time: bool) -> Tensor:
        """``x`` with ``value`` where its windows lie outside; without ``time`` not on that axis."""
        for axis in range(self.ndim if time else self.ndim - 1):
            check_windows_fit("x", x.shape[axis + 2], axis, self)
        outside = [self.zeros_around(axis) for axis in range(self.ndim)]
        return pad(x, outside if time else [*outside[:-1], (0, 0)], value)

    def extra_repr(self) -> str:
        """Where the windows lie."""
        dilation = f", dilation={self.dilation}" if any(d > 1 for d in self.dilation) else ""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}{dilation}, "
            f"padding={self.axis_padding}"
        )

    def _pool(self, x: Tensor, exists: Tensor | None, *, time: bool = True) -> Tensor:
        """Pools what exists, all of it if None; without ``time`` nothing is put around that axis.

        Args:
            x: ``(batch, channels, *sizes)``, zeros where nothing exists.
            exists: ``(batch, 1, *sizes)``, 1 or 0.
            time: whether the windows are those of a whole sequence.
        """
        raise TypeError(f"{type(self).__name__} does not define _pool(x, exists, time)")


class MaxPool(Pool):
    """The largest value of each window; 0 where none of it exists.

    Attributes:
        averages: whether it returns means instead, as when a receptive field is measured: the
            gradient of a maximum shows one step of a window alone.
    """

    averages = False

    @recorded
    def __init__(
        self,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] | None = None,
        padding: Padding = None,
        dilation: int | Sequence[int] = 1,
    ) -> None:
        """Builds the pool, ``(batch, channels, *sizes)`` to ``sizes / stride``, rounded up.

        Args:
            kernel_size: steps of a window, per axis.
            stride: distance between windows, per axis, in steps; ``kernel_size`` unless given.
            padding: ``"causal"``, ``"same"``, ``"valid"``, ``"ceil"`` or the number of steps
                outside on both sides, per axis; in 1-D ``"causal"`` unless given.
            dilation: distance between the steps of a window, per axis.

        Raises:
            ValueError: if a size is not positive, the padding is unknown, or none is given in 2-D.
        """
        super().__init__()
        self.place(
            kernel_size, kernel_size if stride is None else stride, dilation, padding, PADDINGS
        )

    def _pool(self, x: Tensor, exists: Tensor | None, *, time: bool = True) -> Tensor:
        if self.averages:
            return self._means(self._around(x, time=time))
        if exists is None and self._may_miss_everything:
            exists = torch.ones_like(x[:, :1])
        if exists is None:
            return self._largest(self._around(x, -math.inf, time=time))
        y = self._largest(self._around(x.masked_fill(exists == 0, -math.inf), -math.inf, time=time))
        empty = self._largest(self._around(exists, time=time)) == 0
        return y.masked_fill(empty, 0)

    @property
    def _may_miss_everything(self) -> bool:
        """Whether a window without a tap at its own position may lie outside altogether."""
        axes = zip(range(self.ndim), self.dilation, strict=True)
        return any(self.zeros_around(axis)[0] % dilation for axis, dilation in axes)

    def _means(self, x: Tensor) -> Tensor:
        for axis, (span, stride) in enumerate(zip(self.span, self.stride, strict=True)):
            x = x.unfold(axis + 2, span + 1, stride)[..., :: self.dilation[axis]].mean(-1)
        return x

    def _largest(self, x: Tensor) -> Tensor:
        if self.ndim == 2:
            return F.max_pool2d(x, self.kernel_size, self.stride, 0, self.dilation)
        kernel, stride, dilation = self.kernel_size[0], self.stride[0], self.dilation[0]
        if not torch.compiler.is_compiling():
            return F.max_pool1d(x, kernel, stride, 0, dilation)
        # The same as an image of one row, which can be exported for any length.
        y = F.max_pool2d(x.unsqueeze(2), (1, kernel), (1, stride), 0, (1, dilation))
        return y.squeeze(2)


class MaxPool1d(MaxPool):
    """The largest value of each window of ``(batch, channels, time)``.

    Like ``torch.nn.MaxPool1d``: its windows without padding are those of ``padding="valid"``, with
    ``ceil_mode=True`` those of ``"ceil"``, and with ``padding=kernel_size // 2`` and an odd kernel
    those of ``"same"``. The default looks back and streams::

        kernel_size 3, stride 2    input    0 1 2 3 4 5
                                   output   0   2   4        each of the three inputs up to its own
    """

    ndim = 1


class MaxPool2d(MaxPool):
    """The largest value of each window of ``(batch, channels, height, time)``, placed per axis."""

    ndim = 2


class AveragePool(Pool):
    """The mean of each window over the steps of it that exist; 0 where none does."""

    @recorded
    def __init__(
        self,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] | None = None,
        padding: Padding = None,
    ) -> None:
        """Builds the pool, ``(batch, channels, *sizes)`` to ``sizes / stride``, rounded up.

        Args:
            kernel_size: steps of a window, per axis.
            stride: distance between windows, per axis, in steps; ``kernel_size`` unless given.
            padding: ``"causal"``, ``"same"``, ``"valid"``, ``"ceil"`` or the number of steps
                outside on both sides, per axis; in 1-D ``"causal"`` unless given.

        Raises:
            ValueError: if a size is not positive, the padding is unknown, or none is given in 2-D.
        """
        super().__init__()
        stride = kernel_size if stride is None else stride
        self.place(kernel_size, stride, 1, padding, PADDINGS)

    def _pool(self, x: Tensor, exists: Tensor | None, *, time: bool = True) -> Tensor:
        mean = self._mean(self._around(x, time=time))
        if exists is None and all(name == "valid" for name in self.axis_padding):
            return mean
        share = torch.ones_like(x[:1, :1]) if exists is None else exists
        share = self._mean(self._around(share, time=time))
        return mean / share.masked_fill(share == 0, 1)

    def _mean(self, x: Tensor) -> Tensor:
        function = F.avg_pool1d if self.ndim == 1 else F.avg_pool2d
        return function(x, self.kernel_size, self.stride)


class AveragePool1d(AveragePool):
    """The mean of each window of ``(batch, channels, time)``, over the steps of it that exist.

    Like ``torch.nn.AvgPool1d(count_include_pad=False)``; see :class:`MaxPool1d` for the windows.
    """

    ndim = 1


class AveragePool2d(AveragePool):
    """The mean of each window of ``(batch, channels, height, time)``, placed per axis."""

    ndim = 2


MAX_POOLS: dict[int, type[MaxPool]] = {1: MaxPool1d, 2: MaxPool2d}
AVERAGE_POOLS: dict[int, type[AveragePool]] = {1: AveragePool1d, 2: AveragePool2d}
"""The pools of each rank."""
