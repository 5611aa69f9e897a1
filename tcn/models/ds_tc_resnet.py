"""A streaming net for spoken words of depthwise-separable convolutions over time."""

from __future__ import annotations

from torch import nn

from tcn.layers import Add, BatchNorm, Chain, Conv1d, Dense, Dropout, Mean
from tcn.layers.validation import check_positive, check_probability, check_switch
from tcn.models.classifier import Classifier
from tcn.saving.description import recorded

BLOCKS = (
    (128, 11, 1, False),
    (64, 13, 1, True),
    (64, 15, 1, True),
    (64, 17, 1, True),
    (128, 29, 2, False),
    (128, 1, 1, False),
)
"""Channels, taps, dilation, and whether there is a shortcut."""


class DSTCResNet(Classifier):
    """Spoken words from features, ``(batch, in_channels, time)`` to ``(batch, classes)``.

    ::

        block: depthwise -> 1x1 -> norm, with 1x1 -> norm beside it where there is a shortcut
               -> relu -> dropout
        six blocks of 128, 64, 64, 64, 128, 128 channels -> mean -> dense

    A MatchboxNet-3x1x64 that streams. Its authors' code counts 75,000 parameters for 40 features
    and 35 words. As a part of :class:`tcn.models.SoundModel` it takes sound.

    Source: ``ds_tc_resnet`` of Rybakov et al. 2020, arXiv:2005.06720, in their code
    (kws_streaming); Majumdar and Ginsburg 2020, arXiv:2004.08531, section 3.

    ::

        net = DSTCResNet(40, 35)
        net(torch.randn(2, 40, 100)).shape  # (2, 35)
    """

    @recorded
    def __init__(
        self, in_channels: int, classes: int, *, dropout: float = 0.0, causal: bool = True
    ) -> None:
        """Builds the net.

        Args:
            in_channels: features of a step.
            classes: numbers that are returned.
            dropout: share of values that every block drops in training.
            causal: whether outputs see the past only; a causal one streams.

        Raises:
            ValueError: if a size is not positive, or the dropout is not in ``[0, 1)``.
        """
        check_positive("in_channels", [in_channels])
        check_positive("classes", [classes])
        check_probability("dropout", dropout)
        check_switch(causal=causal)
        blocks, width = [], in_channels
        for channels, taps, dilation, shortcut in BLOCKS:
            branch = Chain(
                depthwise=Conv1d(
                    width, width, taps, dilation=dilation, groups=width, bias=False,
                    padding="causal" if causal else "same",
                ),
                pointwise=Conv1d(width, channels, 1, bias=False),
                norm=BatchNorm(channels),
            )  # fmt: skip
            body: nn.Module = branch
            if shortcut:
                aside = Chain(
                    pointwise=Conv1d(width, channels, 1, bias=False), norm=BatchNorm(channels)
                )
                body = Add(branch=branch, shortcut=aside)
            blocks.append(Chain(body=body, activation=nn.ReLU(), dropout=Dropout(dropout)))
            width = channels
        super().__init__(blocks=Chain(*blocks), readout=Mean(), head=Dense(width, classes))
