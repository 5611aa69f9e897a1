"""TCNs as one would build them today: long depthwise kernels, wide 1x1 layers, norms.

:class:`LargeKernelTCN` is a stack of such blocks over every step. :class:`LargeKernel` sees the
look-back as patches, with few layers whose kernels span it, as ModernTCN has them::

    look-back --> patches --> blocks --> all of them side by side, one long vector

    block:  x + pointwise(GELU(pointwise(depthwise(x))))
    depthwise: a large and a small kernel, each with a batch norm, added

Source: Luo & Wang 2024, ModernTCN (ICLR 2024), sections 3.1 and 3.2, figure 2. There every variable
keeps channels of its own and a second feed-forward part mixes variables. Here a variable is a
series of its own, which is the same without that part, or several are mixed by the patches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from tcn.layers import BatchNorm, Chain, Context, Conv1d, Reach, SequenceModule, State
from tcn.layers.blocks.large_kernel import LargeKernelBlock, large_kernel_block, normalize
from tcn.layers.validation import check_positive, check_probability, check_switch
from tcn.saving.description import recorded


class LargeKernelTCN(Chain):
    """A stem and blocks of long depthwise kernels, ``(batch, in_channels, time)`` to channels.

    Its reach comes from the length of the kernels rather than from dilation, its width from 1x1
    layers, which take most of the parameters. With ``stride=1`` and ``causal=True`` it streams as
    every TCN does (batch norm: in evaluation mode); a classifier of whole sequences may read both
    directions and take several steps at a time.

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
            stride: steps of the input per step of the output. The stem has ``2 * stride - 1`` taps:
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
        check_switch(squeeze_excite=squeeze_excite, causal=causal)
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
            **normalize(norm, channels),
        )
        self.in_channels = in_channels
        self.out_channels = channels


class LargeKernel(Chain):
    """Patches, large-kernel blocks, and all that they return: ``(batch, channels * patches, 1)``.

    It takes sequences of ``input_size`` steps. It is not causal and does not stream: within the
    look-back every patch sees every other.
    """

    @recorded
    def __init__(
        self,
        in_channels: int,
        input_size: int,
        *,
        channels: int = 32,
        layers: int = 1,
        patch_size: int = 8,
        stride: int = 4,
        kernel_size: int = 51,
        small_kernel_size: int = 5,
        expansion: int = 2,
        dropout: float = 0.1,
    ) -> None:
        """Builds the net; the defaults are of the size of the authors' for ETTh1.

        Args:
            in_channels: channels of the input.
            input_size: steps of the look-back.
            channels: of every patch.
            layers: blocks.
            patch_size: steps of a patch.
            stride: steps from one patch to the next; the last one ends with the look-back.
            kernel_size: taps of the large kernels, in patches; fewer where there are fewer patches.
            small_kernel_size: taps of the small ones beside them.
            expansion: how much wider the hidden layer of a block's pointwise part is.
            dropout: share of values dropped in training.

        Raises:
            ValueError: if a size is below 1 or ``dropout`` not in [0, 1).
        """
        sizes = {
            "input_size": input_size, "channels": channels, "layers": layers,
            "patch_size": patch_size, "stride": stride, "kernel_size": kernel_size,
            "small_kernel_size": small_kernel_size, "expansion": expansion,
        }  # fmt: skip
        for name, size in sizes.items():
            check_positive(name, [size])
        check_probability("dropout", dropout)
        patches = max(math.ceil((input_size - patch_size) / stride), 0) + 1
        super().__init__(
            patches=Conv1d(in_channels, channels, patch_size, stride=stride, padding="valid"),
            norm=BatchNorm(channels),
            blocks=Chain(
                *(
                    large_kernel_block(
                        channels,
                        kernel_size=min(kernel_size, 2 * patches - 1),
                        small_kernel_size=min(small_kernel_size, 2 * patches - 1),
                        expansion=expansion,
                        dropout=dropout,
                    )
                    for _ in range(layers)
                )
            ),
            together=_Together(),
        )
        self.in_channels = in_channels
        self.out_channels = channels * patches
        self.input_size = input_size
        self.padding = (patches - 1) * stride + patch_size - input_size

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The whole look-back at once.

        Raises:
            ValueError: if it has another length.
        """
        if x.shape[-1] != self.input_size:
            raise ValueError(
                f"x: {x.shape[-1]} steps, but this net was built for input_size={self.input_size}; "
                "hand in that many"
            )
        return super().advance(F.pad(x, (self.padding, 0)), state, context)

    @property
    def streaming_obstacle(self) -> str | None:
        """It sees the look-back as a whole."""
        return "large kernels over patches see the look-back as a whole"

    @property
    def reach(self) -> tuple[Reach, ...]:
        """The look-back."""
        return (Reach(self.input_size - 1, 0),)


class _Together(SequenceModule):
    """All steps as channels of one: ``(batch, channels, steps)`` to ``(batch, -1, 1)``."""

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        return x.flatten(1).unsqueeze(2), ()

    @property
    def changes_length(self) -> bool:
        return True
