"""Dense blocks: every layer sees what all the earlier ones made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from tcn.layers.blocks.recipe import SHIFTLESS, BlockRecipe, Builder
from tcn.layers.containers import Chain
from tcn.layers.dropout import Dropout
from tcn.layers.joining import Concat
from tcn.layers.pooling import AVERAGE_POOLS
from tcn.layers.validation import check_positive, check_switch, per_axis
from tcn.saving.description import recorded

WIDENING = 4
"""Width of a bottleneck in new channels (the paper's ``4k``)."""


class DenseBlock(Chain):
    """Layers whose new channels are put behind those that came in.

    ::

        x -+----------------------> concat -+----------------------> concat -> ...
           +-> layer: growth channels -^    +-> layer: growth channels -^

        layer: norm -> activation -> [1x1 to 4 growth -> norm -> activation ->] conv -> dropout

    Source: Huang et al. 2017 (Densely connected convolutional networks), section 3, equation 2;
    with the part in brackets DenseNet-B.

    ::

        block = DenseBlock(16, 4, 12, ndim=2, padding="same")
        block(torch.randn(2, 16, 8, 8)).shape  # (2, 16 + 4 * 12, 8, 8)
    """

    @recorded
    def __init__(
        self,
        in_channels: int,
        layers: int,
        growth: int,
        *,
        kernel_size: int | Sequence[int] = 3,
        bottleneck: bool = True,
        ndim: int = 1,
        padding: str | Sequence[str] | None = None,
        dropout: float | Dropout = 0.0,
        norm: str | Builder = "batch",
        activation: str | Callable[[], nn.Module] = "relu",
    ) -> None:
        """Builds the block, ``in_channels`` to ``in_channels + layers * growth`` channels.

        Args:
            in_channels: channels of the input.
            layers: layers of the block.
            growth: new channels of each layer, the paper's ``k``.
            kernel_size: taps per axis.
            bottleneck: whether a 1x1 convolution comes first in each layer.
            ndim: 1 for sequences, 2 for images and spectrograms.
            padding: ``"causal"`` or ``"same"``, per axis; in 1-D ``"causal"`` unless given.
            dropout: share of new values dropped in training, or a :class:`Dropout` to copy.
            norm: a name in :data:`tcn.layers.NORMS`, or a builder called with the channels.
            activation: a name in :data:`ACTIVATIONS`, or a builder.

        Raises:
            ValueError: if a size is not positive, a name unknown, ``dropout`` not in [0, 1), or no
                padding given in 2-D.
        """
        check_switch(bottleneck=bottleneck)
        check_positive("layers", [layers])
        check_positive("growth", [growth])
        bias = norm in SHIFTLESS
        recipe = BlockRecipe(kernel_size, ndim, 1, padding, dropout, norm, activation, 1, bias)
        super().__init__(
            *(
                Concat(skip=nn.Identity(), new=_layer(recipe, channels, growth, bottleneck))
                for channels in range(in_channels, in_channels + layers * growth, growth)
            )
        )


class Transition(Chain):
    """``norm -> activation -> 1x1 convolution -> mean of two``, between two dense blocks.

    Source: Huang et al. 2017, section 3 (pooling layers); with fewer channels, compression.
    """

    @recorded
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        ndim: int = 1,
        padding: str | Sequence[str] | None = None,
        dropout: float | Dropout = 0.0,
        norm: str | Builder = "batch",
        activation: str | Callable[[], nn.Module] = "relu",
    ) -> None:
        """Builds the transition, half as many steps along every axis.

        Args:
            in_channels: channels of the input.
            out_channels: channels of the output.
            ndim: 1 for sequences, 2 for images and spectrograms.
            padding: ``"causal"`` or ``"same"``, per axis; in 1-D ``"causal"`` unless given. With
                ``"same"`` a last odd step is left out, as in the paper's code.
            dropout: share of values dropped in training, or a :class:`Dropout` to copy.
            norm: a name in :data:`tcn.layers.NORMS`, or a builder called with the channels.
            activation: a name in :data:`ACTIVATIONS`, or a builder.

        Raises:
            ValueError: if a size is not positive, a name unknown, or no padding given in 2-D.
        """
        recipe = BlockRecipe(1, ndim, 1, padding, dropout, norm, activation, 1, norm in SHIFTLESS)
        given = per_axis("padding", "causal" if padding is None and ndim == 1 else padding, ndim)  # type: ignore[type-var]
        windows = ["valid" if name == "same" else name for name in given]
        super().__init__(
            **dict(recipe.layer_before(in_channels, out_channels).named_children()),
            dropout=recipe.drop(),
            pool=AVERAGE_POOLS[ndim](2, padding=windows),  # type: ignore[arg-type]
        )


def _layer(recipe: BlockRecipe, in_channels: int, growth: int, bottleneck: bool) -> Chain:
    width = WIDENING * growth if bottleneck else in_channels
    narrow = {"narrow": recipe.sized(1).layer_before(in_channels, width)} if bottleneck else {}
    return Chain(**narrow, grow=recipe.layer_before(width, growth), dropout=recipe.drop())
