"""WaveNet's gated block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tcn.layers.activation import activation_function
from tcn.layers.blocks.recipe import BlockRecipe, Builder, modulate
from tcn.layers.containers import Chain
from tcn.layers.convolution import convolution
from tcn.layers.dropout import Dropout
from tcn.layers.joining import Add
from tcn.layers.module import Pointwise
from tcn.saving.description import recorded


class Gate(Pointwise):
    """Half of the channels, activated, times the sigmoid of the other half."""

    @recorded
    def __init__(self, activation: str | Callable[[], nn.Module] = "tanh") -> None:
        """Gates what ``activation`` makes of the first half; ``"tanh"`` WaveNet, ``"none"`` GLU.

        Raises:
            ValueError: if there is no activation of that name.
        """
        super().__init__()
        self.activation = activation_function(activation)

    def channels_after(self, channels: int) -> int:
        """Channels that are left of ``channels``."""
        return channels // 2

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
        if x.dim() == 4 and x.stride(1) == 1:  # short rows, of which copies are quicker to gate
            signal = signal.contiguous(memory_format=torch.channels_last)
            gate = gate.contiguous(memory_format=torch.channels_last)
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

    sum: Any
    skip: nn.Module | None

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
        activation: str | Callable[[], nn.Module] = "tanh",
        modulation: Builder | None = None,
        skip_channels: int | None = None,
        stride: int | Sequence[int] = 1,
    ) -> None:
        """Builds the block; the arguments are those of :class:`ResidualBlock`.

        Args:
            in_channels: channels of the input.
            out_channels: channels of the residual output and of the gate.
            kernel_size: taps per axis.
            ndim: 1 for sequences, 2 for images and spectrograms.
            dilation: distance between taps, in steps.
            padding: ``"causal"`` or ``"same"``, per axis; in 1-D ``"causal"`` unless given.
            dropout: share of values dropped in training, or a :class:`Dropout` to copy.
            norm: a name in :data:`tcn.layers.NORMS`, or a builder called with the channels.
            activation: of the gated signal; ``"tanh"`` as in WaveNet, ``"none"`` for GLU.
            modulation: a builder called with ``2 * out_channels``; conditions inside the gate.
            skip_channels: channels of the skip output; None for no skip output.
            stride: of the convolution and of the shortcut, which is a 1x1 convolution then.

        Raises:
            ValueError: if a size is not positive, a name unknown, ``dropout`` not in [0, 1), or no
                padding given in 2-D.
        """
        recipe = BlockRecipe(
            kernel_size, ndim, dilation, padding, dropout, norm, activation, stride
        )
        body = Chain(
            convolution=recipe.convolve(in_channels, 2 * out_channels),
            **recipe.normalize(2 * out_channels),
            **modulate(modulation, 2 * out_channels),
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
        return self.sum.branch.body

    @property
    def residual(self) -> nn.Module:
        """The 1x1 convolution to the next block."""
        return self.sum.branch.residual

    @property
    def shortcut(self) -> nn.Module:
        """What is added to the residual output."""
        return self.sum.shortcut
