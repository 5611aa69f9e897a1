"""The Inception block: windows of several sizes at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import nn

from tcn.layers.blocks.recipe import SHIFTLESS, BlockRecipe, Builder
from tcn.layers.containers import Chain
from tcn.layers.joining import Concat
from tcn.layers.pooling import MAX_POOLS
from tcn.layers.validation import check_positive
from tcn.saving.description import recorded


class InceptionWidths(NamedTuple):
    """Channels of the parts of a block, in the order of table 1 of the paper."""

    point: int
    narrow_small: int
    small: int
    narrow_large: int
    large: int
    pooled: int


class InceptionBlock(Concat):
    """Four branches over the same input, their channels side by side.

    ::

        x -+-> 1x1 -------------------+
           +-> 1x1 narrow -> 3x3 -----+-> concat
           +-> 1x1 narrow -> 5x5 -----+
           +-> max pool 3x3 -> 1x1 ---+        a norm, if any, and an activation behind every one

    Source: Szegedy et al. 2015 (Going deeper with convolutions), section 4, figure 2b.

    ::

        block = InceptionBlock(192, (64, 96, 128, 16, 32, 32), ndim=2, padding="same")  # 3a
        block(torch.randn(2, 192, 28, 28)).shape  # (2, 256, 28, 28)
    """

    @recorded
    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        *,
        kernel_sizes: Sequence[int] = (3, 5),
        ndim: int = 1,
        padding: str | Sequence[str] | None = None,
        norm: str | Builder = "none",
        activation: str | Callable[[], nn.Module] = "relu",
    ) -> None:
        """Builds the block.

        Args:
            in_channels: channels of the input.
            widths: channels of the 1x1 branch, before and in the 3x3 one, before and in the 5x5
                one, and behind the pool: :class:`InceptionWidths`.
            kernel_sizes: taps of the two convolutions that look around.
            ndim: 1 for sequences, 2 for images and spectrograms.
            padding: ``"causal"`` or ``"same"``, per axis; in 1-D ``"causal"`` unless given.
            norm: a name in :data:`tcn.layers.NORMS`, or a builder called with the channels.
            activation: a name in :data:`ACTIVATIONS`, or a builder.

        Raises:
            ValueError: if there are not six widths and two kernel sizes, a size is not positive, a
                name unknown, or no padding given in 2-D.
        """
        if len(widths) != len(InceptionWidths._fields):
            raise ValueError(
                f"widths: {list(widths)} has {len(widths)} numbers; give six, "
                f"{', '.join(InceptionWidths._fields)}"
            )
        check_positive("widths", widths)
        if len(kernel_sizes) != 2:
            raise ValueError(f"kernel_sizes: {list(kernel_sizes)}; give two, such as (3, 5)")
        point, narrow_small, small, narrow_large, large, pooled = widths
        one = BlockRecipe(1, ndim, 1, padding, 0.0, norm, activation, 1, norm in SHIFTLESS)
        around = [one.sized(size) for size in kernel_sizes]
        super().__init__(
            point=one.layer(in_channels, point),
            small=Chain(
                narrow=one.layer(in_channels, narrow_small),
                look=around[0].layer(narrow_small, small),
            ),
            large=Chain(
                narrow=one.layer(in_channels, narrow_large),
                look=around[1].layer(narrow_large, large),
            ),
            pooled=Chain(
                pool=MAX_POOLS[ndim](3, stride=1, padding=padding),
                narrow=one.layer(in_channels, pooled),
            ),
        )
