"""Some of the channels, or more of them: layers without weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from tcn.layers.module import Pointwise
from tcn.layers.validation import check_input_of_any_rank, check_positive, is_integer
from tcn.saving.description import recorded


class Select(Pointwise):
    """Some of the channels, in the order that is given."""

    @recorded
    def __init__(self, in_channels: int, channels: Sequence[int]) -> None:
        """Keeps ``channels`` of ``in_channels``.

        Args:
            in_channels: channels of the input.
            channels: numbers of those that are kept, the first being 0.

        Raises:
            ValueError: if one does not exist, or none is kept.
        """
        super().__init__()
        check_positive("in_channels", [in_channels])
        wrong = [each for each in channels if not is_integer(each) or not 0 <= each < in_channels]
        if wrong or not channels:
            raise ValueError(
                f"channels: {list(channels)} of {in_channels}; give at least one number from 0 to "
                f"{in_channels - 1}"
            )
        self.in_channels, self.channels_kept = in_channels, list(channels)
        self.out_channels = len(self.channels_kept)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, in_channels, *sizes)`` to ``(batch, len(channels), *sizes)``."""
        check_input_of_any_rank(self, x, self.in_channels)
        return x[:, self.channels_kept]

    def extra_repr(self) -> str:
        """Which are kept."""
        return f"in_channels={self.in_channels}, channels={self.channels_kept}"


class PadChannels(Pointwise):
    """Channels of zeros behind those of the input.

    Source: He et al. 2016 (Deep residual learning), section 3.3, option A.
    """

    @recorded
    def __init__(self, in_channels: int, out_channels: int) -> None:
        """Makes ``out_channels`` of ``in_channels``.

        Raises:
            ValueError: if there are fewer channels afterwards than before.
        """
        super().__init__()
        check_positive("in_channels", [in_channels])
        if out_channels < in_channels:
            raise ValueError(
                f"out_channels: {out_channels} is below in_channels={in_channels}; zeros can only "
                "be added: use a 1x1 convolution"
            )
        self.in_channels, self.out_channels = in_channels, out_channels

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, in_channels, *sizes)`` to ``(batch, out_channels, *sizes)``."""
        check_input_of_any_rank(self, x, self.in_channels)
        zeros = [0, 0] * (x.dim() - 2) + [0, self.out_channels - self.in_channels]
        return F.pad(x, zeros)
