"""Blocks of every kind, composed of the containers; 1-D and 2-D alike.

The blocks of :data:`BLOCKS` are built by the same call, ``Block(in_channels, out_channels,
kernel_size, ...)``, so that a net takes any of them by name.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from tcn.layers.blocks.bottleneck import BasicBlock, BottleneckBlock
from tcn.layers.blocks.dense import DenseBlock, Transition
from tcn.layers.blocks.gated import Gate, GatedBlock
from tcn.layers.blocks.inception import InceptionBlock, InceptionWidths
from tcn.layers.blocks.large_kernel import LargeKernelBlock
from tcn.layers.blocks.recipe import BlockRecipe, Builder
from tcn.layers.blocks.residual import (
    ConvolutionLayer,
    PreactivationBlock,
    ResidualBlock,
    SeparableBlock,
)

BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "residual": ResidualBlock,
    "preactivation": PreactivationBlock,
    "separable": SeparableBlock,
    "gated": GatedBlock,
    "basic": BasicBlock,
    "bottleneck": BottleneckBlock,
}
"""What ``block="..."`` means."""

__all__ = [
    "BLOCKS",
    "BasicBlock",
    "BlockRecipe",
    "BottleneckBlock",
    "Builder",
    "ConvolutionLayer",
    "DenseBlock",
    "Gate",
    "GatedBlock",
    "InceptionBlock",
    "InceptionWidths",
    "LargeKernelBlock",
    "PreactivationBlock",
    "ResidualBlock",
    "SeparableBlock",
    "Transition",
]
