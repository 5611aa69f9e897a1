"""Layers and blocks: tensors in, tensors out, in one and two dimensions from one definition."""

from tcn.extras import refuse_keras_tcn
from tcn.layers.activation import ACTIVATIONS, FastTanh, LeakyHardtanh, ScaledTanh
from tcn.layers.blocks import (
    BLOCKS,
    BasicBlock,
    BlockRecipe,
    BottleneckBlock,
    DenseBlock,
    Gate,
    GatedBlock,
    InceptionBlock,
    InceptionWidths,
    LargeKernelBlock,
    PreactivationBlock,
    ResidualBlock,
    SeparableBlock,
    Transition,
)
from tcn.layers.containers import Chain
from tcn.layers.context import Context
from tcn.layers.convolution import Conv1d, Conv2d, convolution
from tcn.layers.dense import Dense, Flatten
from tcn.layers.dropout import Dropout, StochasticDepth
from tcn.layers.initialization import INITIALIZATIONS, initialize
from tcn.layers.joining import Add, Concat, Multiply
from tcn.layers.local import LocallyConnected1d, LocallyConnected2d
from tcn.layers.lookahead import look_ahead
from tcn.layers.modulation import AddCondition, FiLM, SqueezeExcite
from tcn.layers.module import Pointwise, SequenceModule
from tcn.layers.normalization import (
    NORMS,
    BatchNorm,
    ChannelNorm,
    CumulativeNorm,
    GroupNorm,
    RMSNorm,
)
from tcn.layers.pooling import (
    AveragePool1d,
    AveragePool2d,
    MaxPool1d,
    MaxPool2d,
)
from tcn.layers.pyramid import PyramidPool
from tcn.layers.reach import Reach
from tcn.layers.readout import READOUTS, Attention, Every, Last, Max, Mean
from tcn.layers.response_norm import LocalResponseNorm
from tcn.layers.selection import PadChannels, Select
from tcn.layers.skip_sum import SkipSum
from tcn.layers.spec_augment import SpecAugment
from tcn.layers.spectrogram import MFCC, MelSpectrogram
from tcn.layers.state import State
from tcn.layers.taps import PADDINGS
from tcn.layers.transposed import ConvTranspose1d, ConvTranspose2d
from tcn.layers.upsampling import Upsample
from tcn.layers.weight_norm import fold_weight_norm

refuse_keras_tcn()

__all__ = [
    "ACTIVATIONS",
    "BLOCKS",
    "INITIALIZATIONS",
    "MFCC",
    "NORMS",
    "PADDINGS",
    "READOUTS",
    "Add",
    "AddCondition",
    "Attention",
    "AveragePool1d",
    "AveragePool2d",
    "BasicBlock",
    "BatchNorm",
    "BlockRecipe",
    "BottleneckBlock",
    "Chain",
    "ChannelNorm",
    "Concat",
    "Context",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "CumulativeNorm",
    "Dense",
    "DenseBlock",
    "Dropout",
    "Every",
    "FastTanh",
    "FiLM",
    "Flatten",
    "Gate",
    "GatedBlock",
    "GroupNorm",
    "InceptionBlock",
    "InceptionWidths",
    "LargeKernelBlock",
    "Last",
    "LeakyHardtanh",
    "LocalResponseNorm",
    "LocallyConnected1d",
    "LocallyConnected2d",
    "Max",
    "MaxPool1d",
    "MaxPool2d",
    "Mean",
    "MelSpectrogram",
    "Multiply",
    "PadChannels",
    "Pointwise",
    "PreactivationBlock",
    "PyramidPool",
    "RMSNorm",
    "Reach",
    "ResidualBlock",
    "ScaledTanh",
    "Select",
    "SeparableBlock",
    "SequenceModule",
    "SkipSum",
    "SpecAugment",
    "SqueezeExcite",
    "State",
    "StochasticDepth",
    "Transition",
    "Upsample",
    "convolution",
    "fold_weight_norm",
    "initialize",
    "look_ahead",
]
