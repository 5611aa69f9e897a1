"""Residual, gated and depthwise-separable blocks, composed of the containers; 1-D and 2-D alike.

All blocks are built by the same call, ``Block(in_channels, out_channels, kernel_size, ...)``, so
that a net takes any of them by name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tcn.layers.containers import Add, Chain, advance, children_states, on_grid
from tcn.layers.convolution import Convolution, Ending, convolution
from tcn.layers.dropout import Dropout
from tcn.layers.grid import Grid
from tcn.layers.module import Context, Pointwise, State
from tcn.layers.normalization import normalization
from tcn.layers.validation import per_axis

Builder = Callable[[int], nn.Module]
"""Makes a module for a number of channels."""

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "none": nn.Identity,
}
"""What ``activation="..."`` means."""


def activation_function(activation: str | Callable[[], nn.Module]) -> nn.Module:
    """The activation of a name, or what a builder makes.

    Raises:
        ValueError: if there is no activation of that name.
    """
    if not isinstance(activation, str):
        return activation()
    if activation not in ACTIVATIONS:
        names = ", ".join(map(repr, ACTIVATIONS))
        raise ValueError(f"activation: {activation!r} is not one of {names}")
    return ACTIVATIONS[activation]()


class _Recipe(NamedTuple):
    """How the convolutions of one block are made; in the order of ``Block.__init__``."""

    kernel_size: int | Sequence[int]
    ndim: int
    dilation: int | Sequence[int]
    padding: str | Sequence[str]
    dropout: float | Dropout
    norm: str | Builder
    activation: str | Callable[[], nn.Module]

    def convolve(self, in_channels: int, out_channels: int, *, groups: int = 1) -> Convolution:
        for padding in per_axis("padding", self.padding, self.ndim):
            if padding not in ("causal", "same"):
                raise ValueError(
                    f"padding: {padding!r} in a block, whose shortcut sees the present and keeps "
                    "the sizes; use 'causal' or 'same', or put a convolution before the blocks"
                )
        return convolution(self.ndim)(
            in_channels,
            out_channels,
            self.kernel_size,
            padding=self.padding,
            dilation=self.dilation,
            groups=groups,
            weight_norm=self.norm == "weight",
        )

    def convolve_separably(self, in_channels: int, out_channels: int) -> nn.Module:
        return Chain(
            depthwise=self.convolve(in_channels, in_channels, groups=in_channels),
            pointwise=self._mix(in_channels, out_channels, weight_norm=self.norm == "weight"),
        )

    def mix(self, in_channels: int, out_channels: int) -> nn.Module:
        """A 1x1 convolution, as on a shortcut: small random weights, no weight norm.

        N(0, 0.01) as the authors of the TCN set it; on their weight-normalised convolutions the
        same initialisation had no effect, so those keep PyTorch's.
        """
        convolve = self._mix(in_channels, out_channels)
        nn.init.normal_(convolve.weight, 0.0, 0.01)
        return convolve

    def _mix(
        self, in_channels: int, out_channels: int, *, weight_norm: bool = False
    ) -> Convolution:
        return convolution(self.ndim)(in_channels, out_channels, 1, weight_norm=weight_norm)

    def shortcut(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Identity() if in_channels == out_channels else self.mix(in_channels, out_channels)

    def normalise(self, channels: int) -> dict[str, nn.Module]:
        norm = normalization(self.norm, channels)
        return {"norm": norm} if norm is not None else {}

    def activate(self) -> nn.Module:
        return activation_function(self.activation)

    def drop(self) -> Dropout:
        return (
            copy.deepcopy(self.dropout)
            if isinstance(self.dropout, Dropout)
            else Dropout(self.dropout)
        )


def _modulate(modulation: Builder | None, channels: int) -> dict[str, nn.Module]:
    return {"modulation": modulation(channels)} if modulation is not None else {}


class ConvolutionLayer(Chain):
    """``convolution -> norm -> activation -> dropout``, in one pass where the kernels know them."""

    convolution: Convolution

    def advance(
        self,
        x: Tensor,
        state: State | None,
        context: Context,
        shortcut: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """As the chain does; with a ``shortcut``, the activated sum with it."""
        ending = self.ending(shortcut)
        if ending is None:
            return super().advance(x, state, context)
        first, *others = children_states(self, state, len(self))
        x, after = self.convolution.advance(x, first, context, ending)
        return x, (after, *((),) * len(others))

    def on_grid(
        self, x: Tensor, have: Grid, want: Grid, context: Context, shortcut: Tensor | None = None
    ) -> Tensor:
        """As the chain does; with a ``shortcut``, the activated sum with it."""
        ending = self.ending(shortcut)
        if ending is None:
            return super().on_grid(x, have, want, context)
        return self.convolution.on_grid(x, have, want, context, ending)

    def ending(self, shortcut: Tensor | None = None) -> Ending | None:
        """What follows the convolution, if it is no more than a ReLU and a dropout of values."""
        _, *others = self
        dropout = others[-1]
        if [type(module) for module in others[:-1]] != [nn.ReLU]:
            return None
        if type(dropout) is not Dropout or dropout.spatial:
            return None
        share = dropout.probability if dropout.training else 0.0
        return Ending(relu=True, dropout=share, shortcut=shortcut)


class ResidualBlock(Chain):
    """Two dilated convolutions beside a shortcut, activated after the sum.

    ::

        x -+-> [convolution -> norm -> activation -> dropout] x 2 -> modulation -> + -> activation
           +------------------------ shortcut (1x1 if widths differ) -------------+

    Source: Bai et al. 2018, section 3.4, figure 1b.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        ndim: int = 1,
        dilation: int | Sequence[int] = 1,
        padding: str | Sequence[str] = "causal",
        dropout: float | Dropout = 0.0,
        norm: str | Builder = "weight",
        activation: str | Callable[[], nn.Module] = "relu",
        modulation: Builder | None = None,
    ) -> None:
        """Builds the block, ``(batch, in_channels, *sizes)`` to ``(batch, out_channels, *sizes)``.

        Args:
            in_channels: channels of the input.
            out_channels: channels of the output.
            kernel_size: taps per axis.
            ndim: 1 for sequences, 2 for images and spectrograms.
            dilation: distance between taps, in steps.
            padding: ``"causal"`` or ``"same"``, per axis.
            dropout: share of values dropped in training, or a :class:`Dropout` to copy.
            norm: a name in :data:`tcn.layers.NORMS`, or a builder called with the channels.
            activation: a name in :data:`ACTIVATIONS`, or a builder.
            modulation: a builder called with the channels: FiLM, AddCondition, SqueezeExcite.

        Raises:
            ValueError: if a size is not positive, a name unknown or ``dropout`` not in [0, 1).
        """
        recipe = _Recipe(kernel_size, ndim, dilation, padding, dropout, norm, activation)
        super().__init__(
            sum=Add(
                body=Chain(
                    layer1=self._layer(recipe, in_channels, out_channels),
                    layer2=self._layer(recipe, out_channels, out_channels),
                    **_modulate(modulation, out_channels),
                ),
                shortcut=recipe.shortcut(in_channels, out_channels),
            ),
            **self._after_sum(recipe),
        )

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """As the chain does; over a whole sequence, each layer in one pass if it can be."""
        layers = self._layers()
        if layers is None or context.streaming or state is not None:
            return super().advance(x, state, context)
        shortcut = advance(self.shortcut, x, None, context)[0]
        hidden = layers[0].advance(x, None, context)[0]
        return layers[1].advance(hidden, None, context, shortcut)[0], ()

    def on_grid(self, x: Tensor, have: Grid, want: Grid, context: Context) -> Tensor:
        """As the chain does, each layer in one pass if it can be."""
        layers = self._layers()
        if layers is None:
            return super().on_grid(x, have, want, context)
        shortcut = on_grid(self.shortcut, want.take(x, have), want, want, context)
        between = layers[1].needs(want)
        before = layers[0].needs(between)
        hidden = layers[0].on_grid(before.take(x, have), before, between, context)
        return layers[1].on_grid(hidden, between, want, context, shortcut)

    def _layers(self) -> list[ConvolutionLayer] | None:
        """The layers, if nothing but a ReLU follows them and each can be computed in one pass."""
        layers = list(self.get_submodule("sum.body"))  # type: ignore[call-overload]
        one_pass = all(type(m) is ConvolutionLayer and m.ending() is not None for m in layers)
        return layers if one_pass and type(self._modules.get("activation")) is nn.ReLU else None

    @property
    def shortcut(self) -> nn.Module:
        """What is added to the layers' output."""
        return self.get_submodule("sum.shortcut")

    def _layer(self, recipe: _Recipe, in_channels: int, out_channels: int) -> Chain:
        return ConvolutionLayer(
            convolution=recipe.convolve(in_channels, out_channels),
            **recipe.normalise(out_channels),
            activation=recipe.activate(),
            dropout=recipe.drop(),
        )

    def _after_sum(self, recipe: _Recipe) -> dict[str, nn.Module]:
        return {"activation": recipe.activate()}


class PreactivationBlock(ResidualBlock):
    """Two dilated convolutions, each behind norm and activation; nothing after the sum.

    ::

        x -+-> [norm -> activation -> convolution -> dropout] x 2 -> modulation -> +
           +------------------------ shortcut (1x1 if widths differ) -------------+

    Source: He et al. 2016 (Identity mappings in deep residual networks), figure 1b.
    """

    def _layer(self, recipe: _Recipe, in_channels: int, out_channels: int) -> Chain:
        return Chain(
            **recipe.normalise(in_channels),
            activation=recipe.activate(),
            convolution=recipe.convolve(in_channels, out_channels),
            dropout=recipe.drop(),
        )

    def _after_sum(self, recipe: _Recipe) -> dict[str, nn.Module]:
        return {}


class SeparableBlock(ResidualBlock):
    """The residual block with each convolution split into a depthwise and a 1x1 one.

    Source: Chollet 2017 (Xception), section 2; in time: Luo & Mesgarani 2019 (Conv-TasNet), figure
    1c.
    """

    def _layer(self, recipe: _Recipe, in_channels: int, out_channels: int) -> Chain:
        return Chain(
            convolution=recipe.convolve_separably(in_channels, out_channels),
            **recipe.normalise(out_channels),
            activation=recipe.activate(),
            dropout=recipe.drop(),
        )


class Gate(Pointwise):
    """Half of the channels, activated, times the sigmoid of the other half."""

    def __init__(self, activation: str | Callable[[], nn.Module] = "tanh") -> None:
        """Gates what ``activation`` makes of the first half; ``"tanh"`` WaveNet, ``"none"`` GLU.

        Raises:
            ValueError: if there is no activation of that name.
        """
        super().__init__()
        self.activation = activation_function(activation)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, 2 * channels, *sizes)`` to ``(batch, channels, *sizes)``.

        Raises:
            ValueError: if the number of channels is odd.
        """
        if x.shape[1] % 2:
            raise ValueError(
                f"x: {x.shape[1]} channels cannot be halved into signal and gate; give Gate an "
                "even number of channels"
            )
        signal, gate = x.chunk(2, dim=1)
        return self.activation(signal) * torch.sigmoid(gate)


class GatedBlock(Chain):
    """A gated dilated convolution with a residual and, if asked for, a skip output.

    ::

        x -+-> convolution -> norm -> modulation -> tanh * sigmoid -> dropout -+-> residual 1x1 -> +
           +------------------- shortcut (1x1 if widths differ) ---------------|-----------------+
                                                                               +-> skip 1x1

    The block alone returns its residual output; :class:`tcn.layers.SkipSum` chains blocks and adds
    their skip outputs. Sources: van den Oord et al. 2016 (WaveNet), section 2.3, equation 2 and
    figure 4; Dauphin et al. 2017 (GLU), with ``activation="none"``.
    """

    skip: nn.Module | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        ndim: int = 1,
        dilation: int | Sequence[int] = 1,
        padding: str | Sequence[str] = "causal",
        dropout: float | Dropout = 0.0,
        norm: str | Builder = "weight",
        activation: str | Callable[[], nn.Module] = "tanh",
        modulation: Builder | None = None,
        skip_channels: int | None = None,
    ) -> None:
        """Builds the block; arguments as of :class:`ResidualBlock`.

        Args:
            in_channels: channels of the input.
            out_channels: channels of the residual output and of the gate.
            kernel_size: taps per axis.
            ndim: 1 for sequences, 2 for images and spectrograms.
            dilation: distance between taps, in steps.
            padding: ``"causal"`` or ``"same"``, per axis.
            dropout: share of values dropped in training, or a :class:`Dropout` to copy.
            norm: a name in :data:`tcn.layers.NORMS`, or a builder called with the channels.
            activation: of the gated signal; ``"tanh"`` as in WaveNet, ``"none"`` for GLU.
            modulation: a builder called with ``2 * out_channels``; conditions inside the gate.
            skip_channels: channels of the skip output; None for no skip output.

        Raises:
            ValueError: if a size is not positive, a name unknown or ``dropout`` not in [0, 1).
        """
        recipe = _Recipe(kernel_size, ndim, dilation, padding, dropout, norm, activation)
        body = Chain(
            convolution=recipe.convolve(in_channels, 2 * out_channels),
            **recipe.normalise(2 * out_channels),
            **_modulate(modulation, 2 * out_channels),
            gate=Gate(activation),
            dropout=recipe.drop(),
        )
        residual = convolution(ndim)(out_channels, out_channels, 1)
        shortcut = recipe.shortcut(in_channels, out_channels)
        super().__init__(sum=Add(branch=Chain(body=body, residual=residual), shortcut=shortcut))
        # Beside the chain, not in it: SkipSum calls it.
        self.skip = convolution(ndim)(out_channels, skip_channels, 1) if skip_channels else None

    @property
    def body(self) -> nn.Module:
        """The part that looks at the past."""
        return self.get_submodule("sum.branch.body")

    @property
    def residual(self) -> nn.Module:
        """The 1x1 convolution to the next block."""
        return self.get_submodule("sum.branch.residual")

    @property
    def shortcut(self) -> nn.Module:
        """What is added to the residual output."""
        return self.get_submodule("sum.shortcut")


BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "residual": ResidualBlock,
    "preactivation": PreactivationBlock,
    "separable": SeparableBlock,
    "gated": GatedBlock,
}
"""What ``block="..."`` means."""
