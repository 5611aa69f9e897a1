"""A TCN as one would build it today: long depthwise kernels, wide 1x1 layers, norms."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from tcn.layers import Add, Chain, Conv1d, SqueezeExcite, StochasticDepth
from tcn.layers.blocks import activation_function
from tcn.layers.normalization import normalization
from tcn.layers.validation import check_positive
from tcn.models.recording import recorded


class LargeKernelBlock(Chain):
    """A long depthwise convolution, then two 1x1 layers, beside a shortcut.

    ::

        x -+-> depthwise -> norm -> 1x1 wider -> activation -> 1x1 -> squeeze-excite -> depth -> +
           +------------------------------------------------------------------------------------+

    Sources: Liu et al. 2022 (A ConvNet for the 2020s), figure 4, in one dimension; Hu et al. 2018,
    figure 3 (where a branch is squeezed and excited).
    """

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
            **_normalise(norm, channels),
            widen=Conv1d(channels, wide, 1),
            activation=activation_function(activation),
            narrow=Conv1d(wide, channels, 1),
            **({"excite": SqueezeExcite(channels, causal=causal)} if squeeze_excite else {}),
            depth=StochasticDepth(stochastic_depth),
        )
        super().__init__(sum=Add(body=body, shortcut=nn.Identity()))


def _normalise(norm: str, channels: int) -> dict[str, nn.Module]:
    made = normalization(norm, channels)
    return {} if made is None else {"norm": made}


class LargeKernelTCN(Chain):
    """A stem and blocks of long depthwise kernels, ``(batch, in_channels, time)`` to channels.

    Its reach comes from the length of the kernels rather than from dilation, its width from 1x1
    layers, which take most of the parameters. With ``stride=1`` and ``causal=True`` it streams as
    every TCN does (batch norm: in evaluation mode); a classifier of whole sequences may read both
    directions and take several steps at a time. Lengths and masks do not follow a stride.

    Source: the block is that of Liu et al. 2022, arXiv:2201.03545; the net is ours.
    """

    @recorded
    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int,
        *,
        levels: int = 4,
        dilations: Sequence[int] | None = None,
        stride: int = 1,
        expansion: int = 2,
        norm: str = "batch",
        activation: str = "gelu",
        squeeze_excite: bool = False,
        stochastic_depth: float = 0.0,
        causal: bool = True,
    ) -> None:
        """Builds the stem, a block per level, and a last norm.

        Args:
            in_channels: channels of the input.
            channels: width of every level.
            kernel_size: taps of the depthwise convolutions.
            levels: blocks on top of each other.
            dilations: one per level, in steps of the stem's output; all 1 if None.
            stride: steps of the input to one of the output. The stem has ``2 * stride - 1`` taps:
                they overlap, and with ``causal=False`` every step of the input is seen.
            expansion: how many times wider the middle of a block is.
            norm: a name in :data:`tcn.layers.NORMS`.
            activation: a name in :data:`tcn.layers.ACTIVATIONS`.
            squeeze_excite: whether the channels of a branch are weighed by their averages.
            stochastic_depth: share of rows that skip the last block in training; it rises
                linearly from 0 at the first.
            causal: whether outputs see the past only.

        Raises:
            ValueError: if a size is not positive, a name unknown, a share not in [0, 1), or
                ``dilations`` has another length than ``levels``.
        """
        check_positive("levels", [levels])
        check_positive("stride", [stride])
        dilations = [1] * levels if dilations is None else list(dilations)
        if len(dilations) != levels:
            raise ValueError(
                f"dilations: {dilations} has {len(dilations)} values for levels={levels}; give one "
                "dilation per level"
            )
        blocks = [
            LargeKernelBlock(
                channels,
                kernel_size,
                dilation=dilation,
                expansion=expansion,
                norm=norm,
                activation=activation,
                squeeze_excite=squeeze_excite,
                stochastic_depth=stochastic_depth * level / max(levels - 1, 1),
                causal=causal,
            )
            for level, dilation in enumerate(dilations)
        ]
        padding = "causal" if causal else "same"
        super().__init__(
            stem=Conv1d(in_channels, channels, 2 * stride - 1, stride=stride, padding=padding),
            blocks=Chain(*blocks),
            **_normalise(norm, channels),
        )
        self.in_channels = in_channels
        self.out_channels = channels
