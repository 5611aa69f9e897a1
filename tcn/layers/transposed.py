"""Causal up-sampling by a transposed convolution; one definition for 1-D and 2-D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch.nn.functional as F
from torch import Tensor, nn

from tcn.layers.context import Context, silence
from tcn.layers.module import SequenceModule, State
from tcn.layers.reach import Reach
from tcn.layers.validation import (
    check_channels,
    check_input,
    check_positive,
    check_state,
    per_axis,
    wrong_state,
)


class TransposedConvolution(SequenceModule):
    """Writes ``stride`` outputs per input and axis, none of them before its input has come.

    Each input step adds its filter to ``kernel_size`` outputs; what reaches beyond the outputs of
    the present is kept for the next input (kernel_size 5, stride 2)::

        input 0    a a a a a
        input 1        a a a a a          outputs 2 and 3 are complete once input 1 has been added
        output     0 1|2 3|4 5|
    """

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        bias: bool = True,
    ) -> None:
        """Builds the up-sampling layer.

        Args:
            in_channels: channels of the input.
            out_channels: channels of the output.
            kernel_size: outputs that each input reaches, per axis; at least ``stride``.
            stride: outputs per input, per axis.
            bias: whether a constant is added per output channel.

        Raises:
            ValueError: if a size is below 1, or ``kernel_size`` below ``stride``, which would leave
                outputs that no input reaches.
        """
        check_channels(in_channels=in_channels, out_channels=out_channels)
        kernel = per_axis("kernel_size", kernel_size, self.ndim)
        strides = per_axis("stride", stride, self.ndim)
        check_positive("kernel_size", kernel)
        check_positive("stride", strides)
        if any(k < s for k, s in zip(kernel, strides, strict=True)):
            raise ValueError(
                f"kernel_size: {kernel_size} is smaller than stride={stride}, so some outputs "
                "would see no input; use kernel_size >= stride"
            )
        super().__init__(in_channels, out_channels, kernel, stride=strides, bias=bias)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Adds what earlier inputs left over to the outputs of this chunk."""
        check_input(self, x, self.in_channels, self.ndim)
        x, time = silence(x, context.mask), x.shape[-1] * self.stride[-1]
        y = self._spread(x)
        left_over = y.shape[-1] - time
        if state is not None:
            check_state(self, state, tuple(y.shape[:-1]), y)
            if state.shape[-1] != left_over:
                raise wrong_state(self, f"{left_over} steps left over", state.shape[-1])
            y = y + F.pad(state, (0, time))
        now, later = y.split([time, left_over], dim=-1)
        if self.bias is not None:
            now = now + self.bias.view(-1, *[1] * self.ndim)
        return now, later

    def _spread(self, x: Tensor) -> Tensor:
        """Every input times its filter, cut after the last input's own outputs, but not in time."""
        function = F.conv_transpose1d if self.ndim == 1 else F.conv_transpose2d
        y = function(x, self.weight, None, self.stride)
        for axis in range(2, y.dim() - 1):
            y = y.narrow(axis, 0, x.shape[axis] * self.stride[axis - 2])
        return y

    @property
    def changes_length(self) -> bool:
        """Whether there are more outputs than inputs."""
        return any(stride > 1 for stride in self.stride)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Inputs that an output sees, per axis: those whose filters reach it."""
        sizes = zip(self.kernel_size, self.stride, strict=True)
        return tuple(Reach(math.ceil(k / s) - 1, 0, Fraction(1, s)) for k, s in sizes)

    def sees(self, first: float, last: float, axis: int = -1) -> tuple[float, float]:
        """The inputs whose filters reach the outputs: the last ones of an input see fewer."""
        if -axis > self.ndim:
            return first, last
        taps, stride = self.kernel_size[axis], self.stride[axis]
        if math.isinf(first) or math.isinf(last):
            return super().sees(first, last, axis)
        return -((taps - 1 - first) // stride), last // stride


class ConvTranspose1d(TransposedConvolution, nn.ConvTranspose1d):  # type: ignore[misc]
    """``(batch, in_channels, time)`` to ``(batch, out_channels, time * stride)``."""

    ndim = 1


class ConvTranspose2d(TransposedConvolution, nn.ConvTranspose2d):  # type: ignore[misc]
    """``(batch, in_channels, height, time)`` to as many rows and steps times ``stride``."""

    ndim = 2
