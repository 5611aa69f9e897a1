"""A net of few layers with kernels that span the look-back, as ModernTCN has them.

::

    look-back --> patches --> blocks --> all of them side by side, one long vector

    block:  x + pointwise(GELU(pointwise(depthwise(x))))
    depthwise: a large and a small kernel, each with a batch norm, added

Source: Luo & Wang 2024, ModernTCN (ICLR 2024), sections 3.1 and 3.2, figure 2. There every variable
keeps channels of its own and a second feed-forward part mixes variables. Here a variable is a
series of its own, which is the same without that part, or several are mixed by the patches.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from tcn.layers import Add, BatchNorm, Chain, Context, Conv1d, Dropout, Reach, SequenceModule, State
from tcn.layers.validation import check_positive, check_probability
from tcn.models.recording import recorded


class LargeKernel(Chain):
    """Patches, large-kernel blocks, and all that they say: ``(batch, channels * patches, 1)``.

    It wants sequences of ``input_size`` steps. It is not causal and does not stream: within the
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
                "hand in so many"
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


def large_kernel_block(
    channels: int, *, kernel_size: int, small_kernel_size: int, expansion: int, dropout: float
) -> Add:
    """One block; see the module's drawing. Arguments as of :class:`LargeKernel`."""

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
