"""The block of Neural Amp Modeler's WaveNets, and what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from tcn.layers import Context, Conv1d, Pointwise, State
from tcn.layers.passing import advance
from tcn.layers.validation import check_switch
from tcn.saving.description import recorded

PAIRINGS = ("gated", "blended")
"""How two halves of the channels become one."""
PLACES = (
    "conv_pre", "conv_post", "input_mixin_pre", "input_mixin_post",
    "activation_pre", "activation_post", "layer1x1_post", "head1x1_post",
)  # fmt: skip
"""Where the condition may scale and shift, in the order of a file's weights."""


class PairedActivation(Pointwise):
    """Two halves of the channels made one: ``p(a) * s(b)``, or ``s(b) * p(a) + (1 - s(b)) * a``."""

    @recorded
    def __init__(self, primary: nn.Module, secondary: nn.Module, pairing: str = "gated") -> None:
        """Pairs two activations.

        Args:
            primary: of the first half.
            secondary: of the second half, usually a sigmoid.
            pairing: ``"gated"``, the product, or ``"blended"``, from ``a`` to ``p(a)``.

        Raises:
            ValueError: if the pairing is unknown.
        """
        super().__init__()
        if pairing not in PAIRINGS:
            raise ValueError(f"pairing: {pairing!r} is not one of {', '.join(map(repr, PAIRINGS))}")
        self.primary, self.secondary, self.pairing = primary, secondary, pairing

    def channels_after(self, channels: int) -> int:
        """Channels that are left of ``channels``."""
        return channels // 2

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, 2 * channels, time)`` to ``(batch, channels, time)``."""
        signal, gate = x.chunk(2, dim=1)
        activated, gate = self.primary(signal), self.secondary(gate)
        if self.pairing == "gated":
            return activated * gate
        return gate * activated + (1 - gate) * signal

    def extra_repr(self) -> str:
        """The pairing."""
        return self.pairing


class NAMFiLM(nn.Module):
    """The condition scales, and shifts if asked for: ``x * scale + shift``.

    :class:`tcn.layers.FiLM` scales by ``1 + scale`` and has no groups, as in Perez et al. 2018.
    """

    @recorded
    def __init__(
        self, channels: int, condition_channels: int, *, shift: bool = True, groups: int = 1
    ) -> None:
        """Conditions ``channels`` channels.

        Args:
            channels: of what is scaled.
            condition_channels: of the condition.
            shift: whether it is shifted too.
            groups: blocks of channels of the condition that are convolved separately.

        Raises:
            ValueError: if a size is below 1, or ``groups`` does not divide the channels.
        """
        super().__init__()
        check_switch(shift=shift)
        self.channels, self.shift = channels, shift
        outputs = channels * (2 if shift else 1)
        self.projection = Conv1d(condition_channels, outputs, 1, groups=groups)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Scales ``(batch, channels, time)`` by a condition of as many steps."""
        projected = self.projection(condition)
        if not self.shift:
            return projected * x
        scale, shift = projected.chunk(2, dim=1)
        return scale * x + shift


class NAMBlock(nn.Module):
    """A dilated convolution, to which the condition is added, with a residual and a skip output.

    ::

        x -+-> convolution -> + -> activation -+-> residual 1x1 -> + -> x of the next block
           |   condition -> mixin              +-> skip 1x1 -> skip
           +-------------------------------------------------------|

    Without a residual convolution the activation itself is added to ``x``, without one for the
    skip output it is the skip output. At each of the :data:`PLACES` the condition may scale and
    shift. Source: neural-amp-modeler, nam/models/wavenet/_layer_array.py.

    Attributes:
        channels: width of ``x``.
        bottleneck: width behind the activation.
        skip_channels: width of the skip output.
        condition_channels: width of the condition.
    """

    films: Any

    @recorded
    def __init__(
        self,
        convolution: Conv1d,
        mixin: Conv1d,
        activation: nn.Module,
        *,
        residual: Conv1d | None = None,
        skip: Conv1d | None = None,
        films: Sequence[tuple[str, NAMFiLM]] = (),
    ) -> None:
        """Puts the parts together.

        Args:
            convolution: causal.
            mixin: 1x1 convolution of the condition.
            activation: one of PyTorch's, or a :class:`PairedActivation`.
            residual: 1x1 convolution of what is added to ``x``.
            skip: 1x1 convolution of the skip output.
            films: pairs of one of the :data:`PLACES` and what the condition does there.

        Raises:
            ValueError: if the widths do not fit each other, or a place is unknown or taken twice.
        """
        super().__init__()
        self.convolution, self.mixin, self.activation = convolution, mixin, activation
        self.residual, self.skip = residual, skip
        self.films = nn.ModuleDict(dict(films))
        wide = convolution.out_channels
        paired = isinstance(activation, PairedActivation)
        self.channels = convolution.in_channels
        self.bottleneck = wide // 2 if paired else wide
        self.skip_channels = self.bottleneck if skip is None else skip.out_channels
        self.condition_channels = mixin.in_channels
        self._check(films)

    def _check(self, films: Sequence[tuple[str, NAMFiLM]]) -> None:
        inner, wide = self.bottleneck, self.convolution.out_channels
        onward = inner if self.residual is None else self.residual.out_channels
        pairs = {
            "mixin returns": (self.mixin.out_channels, wide),
            "residual returns": (onward, self.channels),
            "residual takes": (self.residual.in_channels if self.residual else inner, inner),
            "skip takes": (self.skip.in_channels if self.skip else inner, inner),
        }
        places = dict.fromkeys(PLACES, wide) | {
            "conv_pre": self.channels,
            "input_mixin_pre": self.condition_channels,
            "activation_post": inner,
            "layer1x1_post": self.channels,
            "head1x1_post": self.skip_channels,
        }
        names = [name for name, _ in films]
        unknown = [name for name in names if name not in PLACES or names.count(name) > 1]
        if self.residual is None:
            unknown += [name for name in names if name == "layer1x1_post"]
        if self.skip is None:
            unknown += [name for name in names if name == "head1x1_post"]
        if unknown:
            raise ValueError(
                f"films: {unknown[0]!r} has no place in this block, or is given twice; the places "
                f"are {', '.join(PLACES)}, the last two behind convolutions that are there"
            )
        for name, film in films:
            pairs[f"films: {name} scales"] = (film.channels, places[name])
            reads = film.projection.in_channels
            pairs[f"films: {name} reads"] = (reads, self.condition_channels)
        for what, (found, expected) in pairs.items():
            if found != expected:
                raise ValueError(f"{what} {found} channels, expected {expected}; give it as many")

    def forward(
        self, x: Tensor, condition: Tensor, state: State | None, context: Context
    ) -> tuple[Tensor, Tensor, State | None]:
        """Runs over a chunk.

        Args:
            x: ``(batch, channels, time)``.
            condition: ``(batch, condition_channels, time)``.
            state: what the last chunk returned.
            context: mask of the chunk, and whether more may follow.

        Returns:
            ``x`` of the next block, the skip output, and the state.
        """
        films = self.films
        z = self._film("conv_pre", x, condition) if films else x
        z, state = advance(self.convolution, z, state, context)
        if not films:
            z = self.activation(z + self.mixin(condition))
        else:
            z = self._film("conv_post", z, condition)
            mixed = self.mixin(self._film("input_mixin_pre", condition, condition))
            z = z + self._film("input_mixin_post", mixed, condition)
            z = self.activation(self._film("activation_pre", z, condition))
            z = self._film("activation_post", z, condition)
        onward = z if self.residual is None else self.residual(z)
        skip = z if self.skip is None else self.skip(z)
        if films:
            onward = self._film("layer1x1_post", onward, condition)
            skip = self._film("head1x1_post", skip, condition)
        return x + onward, skip, state

    def past(self, x: float, condition: float) -> float:
        """How far back its outputs look, from how far ``x`` and the condition do."""
        before = max(x, condition) if "conv_pre" in self.films else x
        return max(before + self.convolution.reach[-1].left, condition)

    def _film(self, place: str, x: Tensor, condition: Tensor) -> Tensor:
        return self.films[place](x, condition) if place in self.films else x
