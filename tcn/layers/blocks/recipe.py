"""How the parts of a block are made."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import nn

from tcn.layers.activation import activation_function
from tcn.layers.containers import Chain
from tcn.layers.convolution import Convolution, convolution
from tcn.layers.dropout import Dropout
from tcn.layers.normalization import normalization
from tcn.layers.validation import per_axis

SHIFTLESS = ("weight", "rms", "none")
"""Norms without a shift of their own, whose convolutions keep their bias."""

Builder = Callable[[int], nn.Module]
"""Makes a module for a number of channels."""


class BlockRecipe(NamedTuple):
    """How the parts of one block are made, for your own blocks too.

    ::

        recipe = BlockRecipe(3, 1, 2, "causal", 0.1, "layer", "gelu", stride=2)
        Chain(
            convolution=recipe.convolve(8, 16), **recipe.normalize(16), activation=recipe.activate()
        )

    Attributes:
        kernel_size: taps per axis.
        ndim: 1 for sequences, 2 for images and spectrograms.
        dilation: distance between taps, in steps.
        padding: ``"causal"`` or ``"same"``, per axis.
        dropout: share of values dropped in training, or a :class:`Dropout` to copy.
        norm: a name in :data:`tcn.layers.NORMS`, or a builder called with the channels.
        activation: a name in :data:`tcn.layers.ACTIVATIONS`, or a builder.
        stride: distance between outputs, in steps, of :meth:`convolve` and :meth:`shortcut`.
        bias: whether the convolutions add a constant.
    """

    kernel_size: int | Sequence[int]
    ndim: int
    dilation: int | Sequence[int]
    padding: str | Sequence[str] | None
    dropout: float | Dropout
    norm: str | Builder
    activation: str | Callable[[], nn.Module]
    stride: int | Sequence[int] = 1
    bias: bool = True

    def sized(self, kernel_size: int | Sequence[int]) -> BlockRecipe:
        """The same with another kernel and stride 1, such as the 1x1 layers of a bottleneck."""
        return self._replace(kernel_size=kernel_size, stride=1)

    def unstrided(self) -> BlockRecipe:
        """The same with stride 1, for what follows the strided convolution."""
        return self._replace(stride=1)

    def convolve(self, in_channels: int, out_channels: int, *, groups: int = 1) -> Convolution:
        """A convolution with the block's kernel.

        Raises:
            ValueError: if the padding loses the alignment with the shortcut, or is not given for
                an image.
        """
        given = () if self.padding is None else per_axis("padding", self.padding, self.ndim)
        for padding in given:
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
            stride=self.stride,
            groups=groups,
            bias=self.bias,
            weight_norm=self.norm == "weight",
        )

    def layer(self, in_channels: int, out_channels: int, *, activate: bool = True) -> Chain:
        """``convolution -> norm -> activation``, the last if asked for."""
        return Chain(
            convolution=self.convolve(in_channels, out_channels),
            **self.normalize(out_channels),
            **({"activation": self.activate()} if activate else {}),
        )

    def layer_before(self, in_channels: int, out_channels: int) -> Chain:
        """``norm -> activation -> convolution``, as in a preactivated block."""
        return Chain(
            **self.normalize(in_channels),
            activation=self.activate(),
            convolution=self.convolve(in_channels, out_channels),
        )

    def convolve_separably(self, in_channels: int, out_channels: int) -> nn.Module:
        """The same, split into a depthwise convolution, strided if asked, and a 1x1 one."""
        return Chain(
            depthwise=self.convolve(in_channels, in_channels, groups=in_channels),
            pointwise=self._mix(in_channels, out_channels, weight_norm=self.norm == "weight"),
        )

    def mix(self, in_channels: int, out_channels: int) -> nn.Module:
        """A 1x1 convolution with the block's stride, as on a shortcut: small random weights.

        N(0, 0.01) as the authors of the TCN set it; on their weight-normalized convolutions the
        same initialization had no effect, so those keep PyTorch's.
        """
        convolve = self._mix(in_channels, out_channels, stride=self.stride)
        nn.init.normal_(convolve.weight, 0.0, 0.01)
        return convolve

    def _mix(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int | Sequence[int] = 1,
        weight_norm: bool = False,
    ) -> Convolution:
        return convolution(self.ndim)(
            in_channels, out_channels, 1, stride=stride, weight_norm=weight_norm
        )

    def shortcut(self, in_channels: int, out_channels: int) -> nn.Module:
        """The identity, or a 1x1 convolution if the widths differ or the block has a stride."""
        strided = any(step > 1 for step in per_axis("stride", self.stride, self.ndim))
        if in_channels == out_channels and not strided:
            return nn.Identity()
        return self.mix(in_channels, out_channels)

    def projection(self, in_channels: int, out_channels: int) -> nn.Module:
        """The identity, or ``1x1 convolution -> norm`` where :meth:`shortcut` has a convolution."""
        if isinstance(self.shortcut(in_channels, out_channels), nn.Identity):
            return nn.Identity()
        return self._replace(kernel_size=1, dilation=1).layer(
            in_channels, out_channels, activate=False
        )

    def normalize(self, channels: int) -> dict[str, nn.Module]:
        """The norm as a part of a chain; nothing if there is none."""
        norm = normalization(self.norm, channels)
        return {"norm": norm} if norm is not None else {}

    def activate(self) -> nn.Module:
        """The activation."""
        return activation_function(self.activation)

    def drop(self) -> Dropout:
        """The dropout, a copy if one was given."""
        return (
            copy.deepcopy(self.dropout)
            if isinstance(self.dropout, Dropout)
            else Dropout(self.dropout)
        )


def modulate(modulation: Builder | None, channels: int) -> dict[str, nn.Module]:
    """The modulation as a part of a chain; nothing if there is none."""
    return {"modulation": modulation(channels)} if modulation is not None else {}
