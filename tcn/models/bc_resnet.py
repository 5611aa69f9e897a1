"""BC-ResNet: spoken words from spectrograms with few parameters."""

from __future__ import annotations

import math

from torch import Tensor, nn

from tcn.layers import BatchNorm, Chain, Context, Conv2d, Dense, Dropout, Mean, State
from tcn.layers.module import SequenceModule
from tcn.layers.passing import advance, after, children_states
from tcn.layers.reach import Reach
from tcn.layers.running import valid_steps
from tcn.layers.validation import check_input, check_positive, check_probability, check_switch
from tcn.models.classifier import Classifier
from tcn.saving.description import recorded

BANDS = 5
"""Groups of frequencies that are normalized apart."""
HEIGHT = 40
"""Frequencies that the net reads."""
SCALES = (1, 1.5, 2, 3, 6, 8)
"""Of the nets of the paper's table 3, and 1.5 of its code."""


class SubSpectralNorm(SequenceModule):
    """Batch norm of each channel in each group of neighboring frequencies apart.

    Source: Chang et al. 2021, arXiv:2103.13620, section 2.2.
    """

    ndim = 2

    @recorded
    def __init__(self, channels: int, bands: int = BANDS) -> None:
        """Normalizes ``(batch, channels, height, time)``, whose height ``bands`` divides.

        Raises:
            TypeError: if a number is not an integer.
            ValueError: if one is below 1.
        """
        super().__init__()
        check_positive("channels", [channels])
        check_positive("bands", [bands])
        self.in_channels = self.out_channels = channels
        self.bands = bands
        self.norm = BatchNorm(channels * bands)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The groups as channels of their own."""
        check_input(self, x, self.in_channels, self.ndim)
        height = x.shape[2]
        if height % self.bands:
            raise ValueError(
                f"x: shape {tuple(x.shape)}, height {height}; {self.bands} bands do not divide it: "
                f"give {math.ceil(height / self.bands) * self.bands} frequencies"
            )
        apart = x.reshape(x.shape[0], -1, height // self.bands, x.shape[3])
        y, _ = advance(self.norm, apart, None, context)
        return y.view_as(x), ()


class BroadcastedBlock(SequenceModule):
    """A residual block that convolves in time what is the mean over all frequencies.

    ::

        x -> [1x1 -> norm -> relu, for other channels] -> depthwise 3x1 -> sub-spectral norm = a
        a -> mean over frequencies -> depthwise 1x3 -> norm -> swish -> 1x1 -> dropout = b
        relu(a + b + x), without x for other channels; b is the same for all frequencies

    Source: Kim et al. 2021, arXiv:2106.04140, sections 2.1 and 2.2, figure 2.
    """

    ndim = 2

    @recorded
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        dropout: float = 0.1,
        bands: int = BANDS,
        causal: bool = False,
    ) -> None:
        """Builds the block.

        Args:
            in_channels: channels of the input.
            out_channels: channels of the output.
            stride: between frequencies.
            dilation: between the taps in time.
            dropout: share of channels that are dropped in training.
            bands: groups of frequencies that are normalized apart, behind the stride.
            causal: whether outputs see the past only.

        Raises:
            ValueError: if a size is not positive, or the dropout is not in ``[0, 1)``.
        """
        super().__init__()
        check_probability("dropout", dropout)
        check_switch(causal=causal)
        padding = ("same", "causal" if causal else "same")
        self.in_channels, self.out_channels = in_channels, out_channels
        first = {} if in_channels == out_channels else _pointwise(in_channels, out_channels)
        self.frequency = Chain(
            **first,
            convolution=Conv2d(
                out_channels, out_channels, (3, 1), stride=(stride, 1), groups=out_channels,
                padding=padding, bias=False,
            ),
            norm=SubSpectralNorm(out_channels, bands),
        )  # fmt: skip
        self.time = Chain(
            convolution=Conv2d(
                out_channels, out_channels, (1, 3), dilation=(1, dilation), groups=out_channels,
                padding=padding, bias=False,
            ),
            norm=BatchNorm(out_channels),
            activation=nn.SiLU(),
            pointwise=Conv2d(out_channels, out_channels, 1, bias=False),
            dropout=Dropout(dropout, spatial=True),
        )  # fmt: skip
        self.activation = nn.ReLU()

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The state is those of the two chains."""
        check_input(self, x, self.in_channels, self.ndim)
        before = children_states(self, state, 2)
        a, first = advance(self.frequency, x, before[0], context)
        behind = after(self.frequency, context, before[0])
        mean, across = _mean_over_frequencies(a, behind)
        b, second = advance(self.time, mean, before[1], across)
        y = a + b
        if self.in_channels == self.out_channels:
            y = y + x
        return self.activation(y), (first, second)

    def context_after(self, context: Context, state: State | None) -> Context:
        """Behind the stride over frequencies."""
        return after(self.frequency, context, children_states(self, state, 2)[0])

    @property
    def reach(self) -> tuple[Reach, ...]:
        """All frequencies, and the taps in time."""
        return Reach(math.inf, math.inf, self.frequency.rate_along(-2)), self.time.reach[-1]


class BCResNet(Classifier):
    """Spoken words from 40 bands of frequencies, ``(batch, 1, 40, time)`` to ``(batch, classes)``.

    ::

        stem 5x5, stride 2 over frequencies -> stages of 2, 2, 4, 4 broadcasted blocks, dilation
        1, 2, 4, 8 in time, stride 2 over frequencies in the second and the third
        -> depthwise 5x5 -> 1x1 -> norm -> relu -> mean -> dense

    BC-ResNet-1 has ``scale=1``. A causal one streams; the paper's are not. As a part of
    :class:`tcn.models.SoundModel` it takes sound.

    Source: Kim et al. 2021, arXiv:2106.04140, table 1, and the authors' code.

    ::

        net = BCResNet(12, scale=1)
        net(torch.randn(2, 1, 40, 101)).shape  # (2, 12)
    """

    @recorded
    def __init__(
        self, classes: int, *, scale: float = 1, dropout: float = 0.1, causal: bool = False
    ) -> None:
        """Builds the net.

        Args:
            classes: numbers that are returned.
            scale: τ, by which widths are multiplied: 1, 1.5, 2, 3, 6 or 8.
            dropout: share of channels that the blocks drop in training.
            causal: whether outputs see the past only.

        Raises:
            ValueError: if there is no such scale, or a number is out of range.
        """
        if scale not in SCALES:
            raise ValueError(f"scale: {scale} is not one of {', '.join(map(str, SCALES))}")
        check_positive("classes", [classes])
        base = round(8 * scale)
        stem, *widths, last = (2 * base, base, 3 * base // 2, 2 * base, 5 * base // 2, 4 * base)
        padding = ("same", "causal" if causal else "same")
        super().__init__(
            stem=Chain(
                convolution=Conv2d(1, stem, 5, stride=(2, 1), padding=padding, bias=False),
                norm=BatchNorm(stem),
                activation=nn.ReLU(),
            ),
            stages=Chain(*_stages(stem, widths, dropout, causal)),
            columns=Conv2d(
                widths[-1], widths[-1], 5, groups=widths[-1], padding=("valid", padding[1]),
                bias=False,
            ),
            **_pointwise(widths[-1], last),
            readout=Mean(),
            head=Dense(last, classes),
        )  # fmt: skip
        self.ndim = 2
        self.in_channels = 1

    def _check_sizes(self, x: Tensor) -> None:
        if x.shape[2] != HEIGHT:
            raise ValueError(
                f"x: shape {tuple(x.shape)}, height {x.shape[2]}; BCResNet reads {HEIGHT} bands of "
                f"frequencies: use MelSpectrogram(mels={HEIGHT})"
            )


def _stages(channels: int, widths: list[int], dropout: float, causal: bool) -> list[Chain]:
    stages = []
    for stage, (width, count) in enumerate(zip(widths, (2, 2, 4, 4), strict=True)):
        blocks = []
        for index in range(count):
            stride = 2 if stage in (1, 2) and not index else 1
            blocks.append(
                BroadcastedBlock(
                    channels, width, stride=stride, dilation=2**stage, dropout=dropout,
                    causal=causal,
                )
            )  # fmt: skip
            channels = width
        stages.append(Chain(*blocks))
    return stages


def _pointwise(in_channels: int, out_channels: int) -> dict[str, nn.Module]:
    return {
        "pointwise": Conv2d(in_channels, out_channels, 1, bias=False),
        "pointwise_norm": BatchNorm(out_channels),
        "pointwise_activation": nn.ReLU(),
    }


def _mean_over_frequencies(x: Tensor, context: Context) -> tuple[Tensor, Context]:
    """``(batch, channels, 1, time)``, the mean of those that are valid, and which of these are."""
    if context.mask is None:
        return x.mean(2, keepdim=True), context
    valid = valid_steps(x, context.mask)
    count = valid.sum(2, keepdim=True).clamp_min(1)
    mean = x.masked_fill(~valid, 0).sum(2, keepdim=True) / count
    return mean, context._replace(mask=valid.any(2, keepdim=True))
