"""The blocks of residual nets for images: the basic one and the bottleneck."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from tcn.layers.blocks.recipe import SHIFTLESS, BlockRecipe, Builder, modulate
from tcn.layers.containers import Chain
from tcn.layers.dropout import Dropout
from tcn.layers.joining import Add
from tcn.layers.pooling import MAX_POOLS
from tcn.layers.selection import PadChannels
from tcn.layers.validation import per_axis
from tcn.saving.description import recorded

SHORTCUTS = ("projection", "zeros")


class BasicBlock(Chain):
    """Two convolutions beside a shortcut, the second one activated after the sum.

    ::

        x -+-> conv, stride -> norm -> activation -> dropout -> conv -> norm -> modulation -> + -> activation
           +---- shortcut: identity, 1x1 with norm (option B), or zeros (option A) -----------+

    A convolution whose norm has a shift has no bias. Source: He et al. 2016 (Deep residual
    learning), section 3.3, figure 5 left; the dropout of Zagoruyko & Komodakis 2016, section 2.4.

    ::

        block = BasicBlock(64, 128, ndim=2, padding="same", stride=2)
        block(torch.randn(2, 64, 56, 56)).shape  # (2, 128, 28, 28)
    """  # noqa: E501  # the drawing

    sum: Any

    @recorded
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int] = 3,
        *,
        ndim: int = 1,
        dilation: int | Sequence[int] = 1,
        padding: str | Sequence[str] | None = None,
        dropout: float | Dropout = 0.0,
        norm: str | Builder = "batch",
        activation: str | Callable[[], nn.Module] = "relu",
        modulation: Builder | None = None,
        stride: int | Sequence[int] = 1,
        shortcut: str = "projection",
    ) -> None:
        """Builds the block; the arguments are those of :class:`ResidualBlock`.

        Args:
            in_channels: channels of the input.
            out_channels: channels of the output.
            kernel_size: taps per axis.
            ndim: 1 for sequences, 2 for images and spectrograms.
            dilation: distance between taps, in steps.
            padding: ``"causal"`` or ``"same"``, per axis; in 1-D ``"causal"`` unless given.
            dropout: share of values dropped in training, or a :class:`Dropout` to copy.
            norm: a name in :data:`tcn.layers.NORMS`, or a builder called with the channels.
            activation: a name in :data:`ACTIVATIONS`, or a builder.
            modulation: a builder called with the channels: FiLM, AddCondition, SqueezeExcite.
            stride: of the first convolution and of the shortcut.
            shortcut: where widths or rates differ, a 1x1 convolution (``"projection"``, option B)
                or every stride-th step and channels of zeros (``"zeros"``, option A).

        Raises:
            ValueError: if a size is not positive, a name unknown, ``dropout`` not in [0, 1), no
                padding given in 2-D, or zeros asked for where channels become fewer.
        """
        bias = norm in SHIFTLESS
        recipe = BlockRecipe(
            kernel_size, ndim, dilation, padding, dropout, norm, activation, stride, bias
        )
        super().__init__(
            sum=Add(
                body=Chain(
                    **self._layers(recipe, in_channels, out_channels),
                    **modulate(modulation, out_channels),
                ),
                shortcut=_shortcut(recipe, in_channels, out_channels, shortcut),
            ),
            activation=recipe.activate(),
        )

    def _layers(
        self, recipe: BlockRecipe, in_channels: int, out_channels: int
    ) -> dict[str, nn.Module]:
        return {
            "layer1": recipe.layer(in_channels, out_channels),
            "dropout": recipe.drop(),
            "layer2": recipe.unstrided().layer(out_channels, out_channels, activate=False),
        }


class BottleneckBlock(BasicBlock):
    """A convolution of a quarter of the width between two 1x1 ones, beside a shortcut.

    ::

        x -+-> 1x1 narrow -> conv, stride -> dropout -> 1x1 wide -> modulation -> + -> activation
           +---- shortcut: identity, 1x1 with norm (option B), or zeros ----------+

    A norm follows every convolution, an activation the first two. The stride is that of the middle
    convolution, where torchvision has it; the paper's is that of the first. Source: He et al. 2016
    (Deep residual learning), section 4.1, figure 5 right.
    """

    REDUCTION = 4
    """How many times wider the block is than its middle."""

    def _layers(
        self, recipe: BlockRecipe, in_channels: int, out_channels: int
    ) -> dict[str, nn.Module]:
        # A norm over the channels would leave nothing of a single one.
        middle, point = max(2, out_channels // self.REDUCTION), recipe.sized(1)
        return {
            "layer1": point.layer(in_channels, middle),
            "layer2": recipe.layer(middle, middle),
            "dropout": recipe.drop(),
            "layer3": point.layer(middle, out_channels, activate=False),
        }


def _shortcut(recipe: BlockRecipe, in_channels: int, out_channels: int, name: str) -> nn.Module:
    if name not in SHORTCUTS:
        raise ValueError(f"shortcut: {name!r} is not one of {', '.join(map(repr, SHORTCUTS))}")
    if name == "projection":
        return recipe.projection(in_channels, out_channels)
    strided = any(step > 1 for step in per_axis("stride", recipe.stride, recipe.ndim))
    pool = MAX_POOLS[recipe.ndim]
    parts = {
        **({"every": pool(1, stride=recipe.stride)} if strided else {}),
        **(
            {"zeros": PadChannels(in_channels, out_channels)} if in_channels != out_channels else {}
        ),
    }
    return Chain(**parts) if parts else nn.Identity()
