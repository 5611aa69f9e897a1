"""Up-sampling by a transposed convolution; one definition for 1-D and 2-D."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import torch.nn.functional as F
from torch import Tensor, nn

from tcn.layers.context import Context, silence
from tcn.layers.module import SequenceModule
from tcn.layers.reach import Reach
from tcn.layers.state import State
from tcn.layers.validation import (
    check_bias,
    check_channels,
    check_input,
    check_positive,
    check_state,
    check_switch,
    padding_per_axis,
    per_axis,
    wrong_state,
)
from tcn.saving.description import recorded


class TransposedConvolution(SequenceModule):
    """Writes ``stride`` outputs per input and axis; if causal, none before its input has come.

    Each input step adds its filter to ``kernel_size`` outputs; what reaches beyond the outputs of
    the present is kept for the next input (kernel_size 5, stride 2)::

        input 0                a a a a a
        input 1                    a a a a a
        output, "causal"       0 1|2 3|4 5|        2 and 3 are complete once input 1 has been added
        output, "same"           0 1|2 3|4 5|      what is beyond is cut on both sides
    """

    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    weight: nn.Parameter
    bias: nn.Parameter | None

    @recorded
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        padding: str | Sequence[str] | None = None,
        stride: int | Sequence[int] = 1,
        bias: bool = True,
    ) -> None:
        """Builds the up-sampling layer.

        Args:
            in_channels: channels of the input.
            out_channels: channels of the output.
            kernel_size: outputs that each input reaches, per axis; at least ``stride``.
            padding: ``"causal"`` or ``"same"``, per axis; in 1-D ``"causal"`` unless given. Where
                no filters overlap it makes no difference.
            stride: outputs per input, per axis.
            bias: whether a constant is added per output channel.

        Raises:
            ValueError: if a size is below 1, ``kernel_size`` below ``stride``, which would leave
                outputs that no input reaches, the padding is unknown, or none is given in 2-D.
        """
        check_switch(bias=bias)
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
        shared = [k - s + 1 for k, s in zip(kernel, strides, strict=True)]
        self.axis_padding = padding_per_axis(padding, shared, ("causal", "same"))

    @property
    def cut(self) -> tuple[int, ...]:
        """Outputs that are cut before the first, per axis."""
        axes = zip(self.axis_padding, self.kernel_size, self.stride, strict=True)
        return tuple((k - s) // 2 if name == "same" else 0 for name, k, s in axes)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Adds what earlier inputs left over to the outputs of this chunk."""
        check_input(self, x, self.in_channels, self.ndim)
        x, time = silence(x, context.mask), x.shape[-1] * self.stride[-1]
        y = self._spread(x)
        if self.streaming_obstacle:
            return self._biased(y.narrow(-1, self.cut[-1], time)), ()
        left_over = y.shape[-1] - time
        if state is not None:
            state = check_state(self, state, tuple(y.shape[:-1]), y)
            if state.shape[-1] != left_over:
                raise wrong_state(self, f"{left_over} steps left over", state.shape[-1])
            y = y + F.pad(state, (0, time))
        now, later = y.split([time, left_over], dim=-1)
        return self._biased(now), later

    def _biased(self, y: Tensor) -> Tensor:
        check_bias(self, self.bias, (self.out_channels,))
        return y if self.bias is None else y + self.bias.view(-1, *[1] * self.ndim)

    def _spread(self, x: Tensor) -> Tensor:
        """Every input times its filter, cut to as many outputs as are its own, but not in time."""
        function = F.conv_transpose1d if self.ndim == 1 else F.conv_transpose2d
        y = function(x, self.weight, None, self.stride)
        for axis in range(2, y.dim() - 1):
            y = y.narrow(axis, self.cut[axis - 2], x.shape[axis] * self.stride[axis - 2])
        return y

    @property
    def changes_length(self) -> bool:
        """Whether there are more outputs than inputs."""
        return any(stride > 1 for stride in self.stride)

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Inputs that an output sees, per axis: those whose filters reach it."""
        sizes = zip(self.kernel_size, self.stride, self.cut, strict=True)
        return tuple(
            Reach((k - 1 - cut) // s, (s - 1 + cut) // s, Fraction(1, s)) for k, s, cut in sizes
        )

    @property
    def streaming_obstacle(self) -> str | None:
        """Outputs on the time axis that later inputs add to."""
        if self.reach[-1].right <= 0:
            return None
        return "a transposed convolution with padding='same' on the time axis reads future steps"

    def extra_repr(self) -> str:
        """Adds the padding to what ``nn.ConvTranspose1d`` prints."""
        return f"{super().extra_repr()}, padding={self.axis_padding}"

    def sees(self, first: float, last: float, axis: int = -1) -> tuple[float, float]:
        """The inputs whose filters reach the outputs: the last ones of an input see fewer."""
        if -axis > self.ndim:
            return first, last
        taps, stride = self.kernel_size[axis], self.stride[axis]
        if math.isinf(first) or math.isinf(last):
            return super().sees(first, last, axis)
        cut = self.cut[axis]
        return -((taps - 1 - first - cut) // stride), (last + cut) // stride


class ConvTranspose1d(TransposedConvolution, nn.ConvTranspose1d):  # type: ignore[misc]
    """``(batch, in_channels, time)`` to ``(batch, out_channels, time * stride)``."""

    ndim = 1


class ConvTranspose2d(TransposedConvolution, nn.ConvTranspose2d):  # type: ignore[misc]
    """``(batch, in_channels, height, time)`` to ``stride`` times the rows and steps."""

    ndim = 2
