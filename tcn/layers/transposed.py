"""Causal up-sampling in time by a transposed convolution."""

from __future__ import annotations

import math
from fractions import Fraction

from torch import Tensor, nn

from tcn.layers.module import Context, Reach, SequenceModule, State, silence
from tcn.layers.validation import (
    check_channels,
    check_input,
    check_positive,
    check_state,
    wrong_state,
)


class ConvTranspose1d(SequenceModule, nn.ConvTranspose1d):  # type: ignore[misc]
    """Writes ``stride`` output steps per input step, none of them before its input has come.

    Each input step adds its filter to ``kernel_size`` outputs; what reaches beyond the outputs of
    the present is kept for the next input (kernel_size 5, stride 2)::

        input 0    a a a a a
        input 1        a a a a a          outputs 2 and 3 are complete once input 1 has been added
        output     0 1|2 3|4 5|
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        bias: bool = True,
    ) -> None:
        """Builds the up-sampling layer, ``(batch, in_channels, time)`` to ``time * stride`` steps.

        Raises:
            ValueError: if a size is below 1, or ``kernel_size`` below ``stride``, which would leave
                outputs that no input reaches.
        """
        check_channels(in_channels=in_channels, out_channels=out_channels)
        check_positive("kernel_size", [kernel_size])
        check_positive("stride", [stride])
        if kernel_size < stride:
            raise ValueError(
                f"kernel_size: {kernel_size} is smaller than stride={stride}, so some outputs "
                "would see no input; use kernel_size >= stride"
            )
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, bias=bias)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Adds what earlier inputs left over to the outputs of this chunk."""
        check_input(self, x, self.in_channels, 1)
        x, stride = silence(x, context.mask), self.stride[0]
        y = nn.functional.conv_transpose1d(x, self.weight, None, stride)
        left_over = self.kernel_size[0] - stride
        if state is not None:
            check_state(self, state, (x.shape[0], self.out_channels), y)
            if state.shape[-1] != left_over:
                raise wrong_state(self, f"{left_over} steps left over", state.shape[-1])
            y = y + nn.functional.pad(state, (0, y.shape[-1] - left_over))
        now, later = y.split([x.shape[-1] * stride, left_over], dim=-1)
        return now if self.bias is None else now + self.bias[:, None], later

    @property
    def changes_length(self) -> bool:
        """Whether there are more outputs than inputs."""
        return self.stride[0] > 1

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Inputs that an output sees: those whose filters reach it."""
        stride = self.stride[0]
        return (Reach(math.ceil(self.kernel_size[0] / stride) - 1, 0, Fraction(1, stride)),)
