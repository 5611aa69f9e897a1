"""Strides, pools, up-samplings and joins over images and spectrograms keep the contract too."""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import nn

from tcn.layers import (
    AveragePool2d,
    Chain,
    Concat,
    Conv2d,
    CumulativeNorm,
    MaxPool2d,
    Mean,
    Multiply,
    ResidualBlock,
    SequenceModule,
    SqueezeExcite,
    Upsample,
)
from tcn.testing import check_sequence_module

SPECTROGRAM = ("same", "causal")


def convolve(channels: int, outputs: int, kernel_size: int, **keywords) -> Conv2d:
    return Conv2d(channels, outputs, kernel_size, padding=SPECTROGRAM, **keywords)


def block(channels: int, outputs: int, **keywords) -> ResidualBlock:
    return ResidualBlock(channels, outputs, 3, ndim=2, padding=SPECTROGRAM, **keywords)


NETS: dict[str, tuple[Callable[[], SequenceModule], tuple[int, int], tuple[float, float]]] = {
    "strided": (lambda: Chain(convolve(2, 3, 3, stride=2), convolve(3, 3, 3)), (2, 2), (2, 2)),
    "strided over rows": (
        lambda: Chain(convolve(2, 3, 3, stride=(2, 1)), CumulativeNorm(3)), (2, 1), (2, 1),
    ),
    "blocks": (lambda: Chain(block(2, 4, stride=(1, 2)), block(4, 4)), (1, 2), (1, 2)),
    "pools": (
        lambda: Chain(
            convolve(2, 4, 3), AveragePool2d((2, 3), stride=(2, 3), padding=SPECTROGRAM),
            SqueezeExcite(4), Mean(),
        ), (2, 3), (2, 3),
    ),
    "U-Net": (
        lambda: Chain(
            convolve(2, 3, 3),
            Concat(
                nn.Identity(),
                Chain(MaxPool2d(2, padding=SPECTROGRAM), convolve(3, 4, 3), Upsample(2, ndim=2)),
            ),
            convolve(7, 2, 3),
        ), (2, 2), (1, 1),
    ),
    "mask": (
        lambda: Multiply(
            convolve(2, 3, 3, stride=2), Chain(convolve(2, 3, 5, stride=2), nn.Sigmoid())
        ), (2, 2), (2, 2),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_images_keep_the_contract_at_every_rate(name: str) -> None:
    build, blocks, rates = NETS[name]
    torch.manual_seed(0)
    net = build().eval()
    assert net.block_sizes == blocks
    assert net.rates == tuple(map(Fraction, rates))
    check_sequence_module(net, torch.randn(2, 2, 8, 16), compile_backend=None, export=False)
