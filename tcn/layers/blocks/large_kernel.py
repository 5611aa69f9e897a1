"""Blocks of long depthwise kernels and 1x1 layers."""

from __future__ import annotations

from torch import nn

from tcn.layers.activation import activation_function
from tcn.layers.containers import Chain
from tcn.layers.convolution import Conv1d
from tcn.layers.dropout import Dropout, StochasticDepth
from tcn.layers.joining import Add
from tcn.layers.modulation import SqueezeExcite
from tcn.layers.normalization import BatchNorm, normalization
from tcn.layers.validation import check_switch
from tcn.saving.description import recorded


class LargeKernelBlock(Chain):
    """A long depthwise convolution, then two 1x1 layers, beside a shortcut.

    ::

        x -+-> depthwise -> norm -> 1x1 wider -> activation -> 1x1 -> squeeze-excite -> depth -> +
           +------------------------------------------------------------------------------------+

    Sources: Liu et al. 2022 (A ConvNet for the 2020s), figure 4, in one dimension; Hu et al. 2018,
    figure 3 (where a branch is squeezed and excited).
    """

    @recorded
    def __init__(
        self,
        channels: int,
        kernel_size: int,
        *,
        dilation: int = 1,
        expansion: int = 2,
        norm: str = "batch",
        activation: str = "gelu",
        squeeze_excite: bool = False,
        stochastic_depth: float = 0.0,
        causal: bool = True,
    ) -> None:
        """Builds the block, ``(batch, channels, time)`` to the same.

        Args:
            channels: channels of input and output.
            kernel_size: taps of the depthwise convolution.
            dilation: distance between taps, in steps.
            expansion: how many times wider the middle is.
            norm: a name in :data:`tcn.layers.NORMS`.
            activation: a name in :data:`tcn.layers.ACTIVATIONS`.
            squeeze_excite: whether the channels of a branch are weighed by their averages.
            stochastic_depth: share of rows that skip the block in training.
            causal: whether outputs see the past only.

        Raises:
            ValueError: if a size is not positive, a name unknown or a share not in [0, 1).
        """
        check_switch(squeeze_excite=squeeze_excite, causal=causal)
        wide = expansion * channels
        depthwise = Conv1d(
            channels,
            channels,
            kernel_size,
            padding="causal" if causal else "same",
            dilation=dilation,
            groups=channels,
            weight_norm=norm == "weight",
        )
        body = Chain(
            depthwise=depthwise,
            **normalize(norm, channels),
            widen=Conv1d(channels, wide, 1),
            activation=activation_function(activation),
            narrow=Conv1d(wide, channels, 1),
            **({"excite": SqueezeExcite(channels, causal=causal)} if squeeze_excite else {}),
            depth=StochasticDepth(stochastic_depth),
        )
        super().__init__(sum=Add(body=body, shortcut=nn.Identity()))


def normalize(norm: str, channels: int) -> dict[str, nn.Module]:
    """The norm of that name as a part of a chain; nothing if there is none."""
    made = normalization(norm, channels)
    return {} if made is None else {"norm": made}


def large_kernel_block(
    channels: int, *, kernel_size: int, small_kernel_size: int, expansion: int, dropout: float
) -> Add:
    """One block; for the drawing see the module, for the arguments :class:`LargeKernel`."""

    def depthwise(taps: int) -> Chain:
        convolution = Conv1d(channels, channels, taps, padding="same", groups=channels, bias=False)
        return Chain(convolution=convolution, norm=BatchNorm(channels))

    hidden = expansion * channels
    return Add(
        shortcut=nn.Identity(),
        body=Chain(
            depthwise=Add(large=depthwise(kernel_size), small=depthwise(small_kernel_size)),
            widen=Conv1d(channels, hidden, 1),
            activation=nn.GELU(),
            dropout=Dropout(dropout),
            narrow=Conv1d(hidden, channels, 1),
            dropout_after=Dropout(dropout),
        ),
    )
