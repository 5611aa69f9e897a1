"""Dense layers, and the step before them: all positions of an input of one size, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcn.layers.context import Context, silence
from tcn.layers.module import Pointwise, SequenceModule
from tcn.layers.normalization import WHOLE_TIME
from tcn.layers.reach import Reach
from tcn.layers.state import State
from tcn.layers.validation import check_input, check_positive, check_switch
from tcn.saving.description import recorded


class Flatten(SequenceModule):
    """All positions side by side: ``(batch, channels, *sizes)`` to ``(batch, channels * steps)``.

    Channel by channel, as ``torch.nn.Flatten`` does. A dense layer behind it has a weight for every
    position, so that only inputs of one size fit. A *sequence* may be shorter: what is missing at
    its end counts as padding, which is zeros.
    """

    @recorded
    def __init__(self, channels: int, sizes: Sequence[int]) -> None:
        """Takes ``channels`` channels.

        Args:
            channels: channels of the input.
            sizes: steps per axis, one number for a sequence and two for an image.

        Raises:
            ValueError: if a number is below 1, or there are not one or two sizes.
        """
        super().__init__()
        check_positive("channels", [channels])
        if len(sizes) not in (1, 2):
            raise ValueError(f"sizes: {sizes}; give one number for a sequence, two for an image")
        check_positive("sizes", sizes)
        self.ndim, self.sizes, self.in_channels = len(sizes), tuple(sizes), channels
        self.out_channels = channels * math.prod(self.sizes)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Flattens the whole input.

        Raises:
            ValueError: if the input has another size.
        """
        check_input(self, x, self.in_channels, self.ndim)
        x = silence(x, context.mask)
        missing = self.sizes[-1] - x.shape[-1]
        if self.ndim == 1 and (torch.compiler.is_compiling() or missing > 0):
            x = F.pad(x, (0, missing))
        if tuple(x.shape[2:]) != self.sizes:
            raise ValueError(
                f"x: {tuple(x.shape[2:])} steps reach Flatten, which fixes the size: the dense "
                f"layer behind it has weights for {self.sizes}; give the net inputs of the size it "
                "was built for, build it with another input_size, or slide it over larger inputs "
                "with tcn.models.dense_to_conv(net)"
            )
        return x.flatten(1), ()

    @property
    def changes_length(self) -> bool:
        """There is no time axis left."""
        return True

    @property
    def reads_out(self) -> bool:
        """There is no time axis left."""
        return True

    @property
    def reach(self) -> tuple[Reach, ...]:
        """Everything."""
        return WHOLE_TIME

    @property
    def streaming_obstacle(self) -> str | None:
        """The last position is known at the end."""
        return "Flatten puts a whole input side by side, whose end a stream does not know"

    def extra_repr(self) -> str:
        """Channels and sizes."""
        return f"channels={self.in_channels}, sizes={self.sizes}"


class Dense(Pointwise, nn.Linear):
    """A linear map of the channels, behind a readout or at every position."""

    @recorded
    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        """Maps ``in_channels`` to ``out_channels``.

        Raises:
            ValueError: if a number of channels is below 1.
        """
        check_positive("in_channels", [in_channels])
        check_positive("out_channels", [out_channels])
        check_switch(bias=bias)
        super().__init__(in_channels, out_channels, bias)
        self.in_channels, self.out_channels = in_channels, out_channels

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, in_channels)`` or ``(batch, in_channels, *sizes)``, sizes unchanged.

        Raises:
            ValueError: if the input has other channels.
        """
        if x.dim() < 2 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"x: shape {tuple(x.shape)} does not fit Dense: expected (batch, "
                f"{self.in_channels} channels); put a readout or Flatten before it"
            )
        if x.dim() == 2:
            return F.linear(x, self.weight, self.bias)
        return F.linear(x.movedim(1, -1), self.weight, self.bias).movedim(-1, 1)
