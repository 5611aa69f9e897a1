"""Residual blocks: the TCN's, the preactivated one and the depthwise-separable one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from tcn.layers.blocks.recipe import BlockRecipe, Builder, modulate
from tcn.layers.containers import Chain
from tcn.layers.context import Context
from tcn.layers.convolution import Convolution
from tcn.layers.dropout import Dropout
from tcn.layers.ending import Ending
from tcn.layers.grid import Grid
from tcn.layers.hooks import watched
from tcn.layers.joining import Add
from tcn.layers.passing import after, call, children_states, is_nothing, needs, on_grid
from tcn.layers.state import State
from tcn.saving.description import recorded


class ConvolutionLayer(Chain):
    """``convolution -> norm -> activation -> dropout``, in one pass where the kernels can."""

    convolution: Convolution

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """As the chain does."""
        if not self.is_one_pass or context.grids is not None or watched(*self) or is_nothing(x):
            return super().advance(x, state, context)
        first, *others = children_states(self, state, len(self))
        x, remembered = self.convolution.advance(x, first, context, self.ending())
        return x, (remembered, *((),) * len(others))

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """As the chain does."""
        if not self.is_one_pass or watched(*self):
            return super().on_grid(x, have, want, context)
        return self.convolution.on_grid(x, have, want, context, self.ending())

    @property
    def is_one_pass(self) -> bool:
        """Whether no more than a ReLU and a dropout of values follow the convolution."""
        _, *others = self
        dropout = others[-1]
        if [type(module) for module in others[:-1]] != [nn.ReLU]:
            return False
        return type(dropout) is Dropout and not dropout.spatial

    def ending(self, shortcut: Tensor | None = None) -> Ending:
        """What follows the convolution; with a ``shortcut``, the activated sum with it too."""
        dropout: Any = self[-1]
        share = dropout.probability if dropout.training else 0.0
        return Ending(relu=True, dropout=share, shortcut=shortcut)


class ResidualBlock(Chain):
    """Two dilated convolutions beside a shortcut, activated after the sum.

    ::

        x -+-> [convolution -> norm -> activation -> dropout] x 2 -> modulation -> + -> activation
           +------------------------ shortcut (1x1 if widths differ) -------------+

    Source: Bai et al. 2018, section 3.4, figure 1b.
    """

    sum: Any

    @recorded
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        ndim: int = 1,
        dilation: int | Sequence[int] = 1,
        padding: str | Sequence[str] | None = None,
        dropout: float | Dropout = 0.0,
        norm: str | Builder = "weight",
        activation: str | Callable[[], nn.Module] = "relu",
        modulation: Builder | None = None,
        stride: int | Sequence[int] = 1,
    ) -> None:
        """Builds the block, ``(batch, in_channels, *sizes)`` to ``(batch, out_channels, *sizes)``.

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
            stride: of the first convolution and of the shortcut, which is a 1x1 convolution then
                (He et al. 2016, section 3.3, option B).

        Raises:
            ValueError: if a size is not positive, a name unknown, ``dropout`` not in [0, 1), or no
                padding given in 2-D.
        """
        strided = BlockRecipe(
            kernel_size, ndim, dilation, padding, dropout, norm, activation, stride
        )
        recipe = strided.unstrided()
        super().__init__(
            sum=Add(
                body=Chain(
                    layer1=self._layer(strided, in_channels, out_channels),
                    layer2=self._layer(recipe, out_channels, out_channels),
                    **modulate(modulation, out_channels),
                ),
                shortcut=strided.shortcut(in_channels, out_channels),
            ),
            **self._after_sum(recipe),
        )

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """As the chain does; over a whole sequence, each layer in one pass if it can be."""
        whole = not context.streaming and state is None and context.grids is None
        layers = self._layers() if whole else None
        if layers is None:
            return super().advance(x, state, context)
        first, second = layers
        shortcut = call(self.shortcut, x, context)
        hidden = first.convolution.advance(x, None, context, first.ending())[0]
        context = after(first, context, None)
        return second.convolution.advance(hidden, None, context, second.ending(shortcut))[0], ()

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """As the chain does, each layer in one pass if it can be."""
        layers = self._layers()
        if layers is None:
            return super().on_grid(x, have, want, context)
        first, second = layers
        beside = needs(self.shortcut, want)
        shortcut = on_grid(self.shortcut, beside.take(x, have), beside, want, context)
        between = second.needs(want)
        before = first.needs(between)
        x = before.take(x, have)
        hidden = first.convolution.on_grid(x, before, between, context, first.ending())
        return second.convolution.on_grid(hidden, between, want, context, second.ending(shortcut))

    def _layers(self) -> list[ConvolutionLayer] | None:
        """The layers, if nothing but a ReLU follows them and each can be computed in one pass."""
        activation = self._modules.get("activation")
        if type(activation) is not nn.ReLU or watched(self.sum, activation):
            return None
        layers = list(self.sum.body)
        one_pass = all(type(m) is ConvolutionLayer and m.is_one_pass for m in layers)
        return layers if one_pass else None

    @property
    def shortcut(self) -> nn.Module:
        """What is added to the layers' output."""
        return self.sum.shortcut

    def _layer(self, recipe: BlockRecipe, in_channels: int, out_channels: int) -> Chain:
        return ConvolutionLayer(
            convolution=recipe.convolve(in_channels, out_channels),
            **recipe.normalize(out_channels),
            activation=recipe.activate(),
            dropout=recipe.drop(),
        )

    def _after_sum(self, recipe: BlockRecipe) -> dict[str, nn.Module]:
        return {"activation": recipe.activate()}


class PreactivationBlock(ResidualBlock):
    """Two dilated convolutions, each after a norm and an activation; nothing after the sum.

    ::

        x -+-> [norm -> activation -> convolution -> dropout] x 2 -> modulation -> +
           +------------------------ shortcut (1x1 if widths differ) -------------+

    Source: He et al. 2016 (Identity mappings in deep residual networks), figure 1b.
    """

    def _layer(self, recipe: BlockRecipe, in_channels: int, out_channels: int) -> Chain:
        return Chain(
            **recipe.normalize(in_channels),
            activation=recipe.activate(),
            convolution=recipe.convolve(in_channels, out_channels),
            dropout=recipe.drop(),
        )

    def _after_sum(self, recipe: BlockRecipe) -> dict[str, nn.Module]:
        return {}


class SeparableBlock(ResidualBlock):
    """The residual block with each convolution split into a depthwise and a 1x1 one.

    Source: Chollet 2017 (Xception), section 2; in time: Luo & Mesgarani 2019 (Conv-TasNet), figure
    1c.
    """

    def _layer(self, recipe: BlockRecipe, in_channels: int, out_channels: int) -> Chain:
        return Chain(
            convolution=recipe.convolve_separably(in_channels, out_channels),
            **recipe.normalize(out_channels),
            activation=recipe.activate(),
            dropout=recipe.drop(),
        )
