"""Every layer and block keeps the contract of sequence modules, in one and two dimensions."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from tcn.layers import (
    BLOCKS,
    Add,
    AddCondition,
    Attention,
    AveragePool1d,
    AveragePool2d,
    BasicBlock,
    BatchNorm,
    BottleneckBlock,
    Chain,
    ChannelNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    CumulativeNorm,
    Dense,
    DenseBlock,
    Dropout,
    Every,
    FiLM,
    Flatten,
    Gate,
    GatedBlock,
    GroupNorm,
    InceptionBlock,
    Last,
    LocalResponseNorm,
    Max,
    MaxPool1d,
    MaxPool2d,
    Mean,
    PadChannels,
    PyramidPool,
    RMSNorm,
    ScaledTanh,
    Select,
    SkipSum,
    SqueezeExcite,
    Transition,
    Upsample,
)
from tcn.testing import check_sequence_module

STRICT = ("strictly_causal", "causal")
OVER_ROWS = ("same", "causal")


def wavenet() -> nn.Module:
    return SkipSum([GatedBlock(4, 4, 2, dilation=d, skip_channels=3) for d in (1, 2)])


# Every one takes 4 channels.
IN_1D: dict[str, Callable[[], nn.Module]] = {
    "causal": lambda: Conv1d(4, 3, 3, dilation=2, groups=1),
    "grouped, weight norm": lambda: Conv1d(4, 6, 2, groups=2, weight_norm=True),
    "strictly causal": lambda: Conv1d(4, 3, 3, padding="strictly_causal"),
    "kernel size 1": lambda: Conv1d(4, 3, 1),
    "strided": lambda: Conv1d(4, 3, 3, stride=2),
    "stride beyond the taps": lambda: Conv1d(4, 3, 1, stride=3),
    "same": lambda: Conv1d(4, 3, 4, padding="same"),
    "valid": lambda: Conv1d(4, 3, 2, padding="valid"),
    "transposed": lambda: ConvTranspose1d(4, 3, 5, stride=2),
    "transposed, same": lambda: ConvTranspose1d(4, 3, 4, padding="same", stride=2),
    "transposed, stride 1": lambda: ConvTranspose1d(4, 3, 3),
    "maximum": lambda: MaxPool1d(3, stride=2, dilation=2),
    "maximum of each step": lambda: MaxPool1d(2, stride=1),
    "maximum, stride beyond the window": lambda: MaxPool1d(1, stride=3),
    "maximum, same": lambda: MaxPool1d(2, stride=1, dilation=3, padding="same"),
    "maximum, valid": lambda: MaxPool1d(2, padding="valid"),
    "maximum, ceil": lambda: MaxPool1d(3, stride=2, padding="ceil"),
    "average, ceil": lambda: AveragePool1d(2, stride=3, padding="ceil"),
    "one zero on both sides": lambda: Conv1d(4, 3, 4, padding=1, stride=2),
    "zeros on both sides of a window": lambda: AveragePool1d(3, stride=2, padding=1),
    "flat": lambda: Chain(Conv1d(4, 3, 3), Flatten(3, (12,)), Dense(36, 5)),
    "dense layer behind a mean": lambda: Chain(Conv1d(4, 3, 3), Mean(), Dense(3, 5)),
    "average": lambda: AveragePool1d(3),
    "average, overlapping": lambda: AveragePool1d(4, stride=2),
    "average, same": lambda: AveragePool1d(3, stride=1, padding="same"),
    "repeated": lambda: Upsample(3),
    "lines": lambda: Upsample(3, mode="linear"),
    "lines to the next": lambda: Upsample(4, mode="linear", padding="same"),
    "pools behind a bias": lambda: Chain(
        Conv1d(4, 3, 1),
        AveragePool1d(3, stride=1, padding="same"),
        MaxPool1d(3, stride=1, padding="same"),
    ),
    "lines behind a bias": lambda: Chain(
        Conv1d(4, 3, 1), Upsample(2, mode="linear", padding="same")
    ),
    "skip sum": wavenet,
    "attention": lambda: Attention(4),
}
IN_2D: dict[str, Callable[[], nn.Module]] = {
    "causal": lambda: Conv2d(4, 3, (2, 3), padding="causal", dilation=(1, 2)),
    "strictly causal over rows": lambda: Conv2d(4, 3, 2, padding=STRICT, weight_norm=True),
    "same over rows": lambda: Conv2d(4, 3, (3, 2), padding=OVER_ROWS),
    "strided": lambda: Conv2d(4, 3, 3, padding="causal", stride=(2, 3)),
    "same": lambda: Conv2d(4, 3, 3, padding="same"),
    "transposed": lambda: ConvTranspose2d(4, 3, (3, 5), padding=OVER_ROWS, stride=(1, 2)),
    "maximum": lambda: MaxPool2d(3, stride=2, padding=OVER_ROWS),
    "maximum, same": lambda: MaxPool2d(2, padding="same"),
    "maximum, ceil": lambda: MaxPool2d(3, stride=2, padding=("ceil", "causal")),
    "zeros on both sides": lambda: Conv2d(4, 3, 5, padding=(1, 2), stride=2),
    "average": lambda: AveragePool2d((2, 3), stride=(1, 2), padding=("valid", "causal")),
    "repeated": lambda: Upsample((1, 2), ndim=2),
    "lines": lambda: Upsample((2, 3), ndim=2, mode="linear", padding=OVER_ROWS),
    "lines to the next": lambda: Upsample(2, ndim=2, mode="linear", padding="same"),
}
IN_BOTH: dict[str, Callable[[], nn.Module]] = {
    "channel norm": lambda: ChannelNorm(4),
    "rms norm": lambda: RMSNorm(4),
    "cumulative norm": lambda: CumulativeNorm(4),
    "batch norm": lambda: BatchNorm(4).eval(),
    "group norm": lambda: GroupNorm(4, groups=2),
    "response norm": lambda: LocalResponseNorm(3, alpha=1.0),
    "pyramid of maxima": lambda: PyramidPool((1, 3)),
    "pyramid of averages": lambda: PyramidPool((1, 2), pool="average"),
    "squeeze-excite": lambda: SqueezeExcite(4),
    "squeeze-excite of the whole": lambda: SqueezeExcite(4, causal=False),
    "dropout in training": lambda: Dropout(0.3, spatial=True).train(),
    "gate": Gate,
    "dense layer": lambda: Dense(4, 3),
    "scaled tanh": ScaledTanh,
    "selected channels": lambda: Select(4, (2, 0)),
    "more channels": lambda: PadChannels(4, 6),
    "every": Every,
    "last": Last,
    "mean": Mean,
    "max": Max,
    "chain": lambda: Chain(nn.ReLU(), ChannelNorm(4), Gate()),
    "add": lambda: Add(nn.Identity(), ChannelNorm(4)),
}


def example(ndim: int) -> torch.Tensor:
    sizes = (12,) if ndim == 1 else (5, 10)
    return torch.randn(3, 4, *sizes, generator=torch.Generator().manual_seed(0))


def check(build: Callable[[], nn.Module], ndim: int, **keywords) -> None:
    torch.manual_seed(0)
    keywords = {"compile_backend": None, "export": False, **keywords}
    check_sequence_module(build(), example(ndim), **keywords)


@pytest.mark.parametrize("name", [*IN_1D, *IN_BOTH])
def test_layers_in_1d(name: str) -> None:
    check({**IN_1D, **IN_BOTH}[name], 1)


@pytest.mark.parametrize("name", [*IN_2D, *IN_BOTH])
def test_layers_in_2d(name: str) -> None:
    check({**IN_2D, **IN_BOTH}[name], 2)


@pytest.mark.parametrize("padding", ["causal", "same"])
@pytest.mark.parametrize("ndim", [1, 2])
@pytest.mark.parametrize("block", BLOCKS)
def test_blocks(block: str, ndim: int, padding: str) -> None:
    check(lambda: BLOCKS[block](4, 3, 2, ndim=ndim, dilation=2, padding=padding).eval(), ndim)


# What each takes beside channels, padding and rank; every one takes 4 channels.
IMAGE_BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "basic, stride": partial(BasicBlock, 4, 6, stride=2),
    "basic, zeros": partial(BasicBlock, 4, 6, stride=2, shortcut="zeros"),
    "basic, weight norm": partial(BasicBlock, 4, 4, norm="weight"),
    "bottleneck, stride": partial(BottleneckBlock, 4, 8, stride=2),
    "bottleneck, zeros": partial(BottleneckBlock, 4, 8, stride=2, shortcut="zeros"),
    "dense": partial(DenseBlock, 4, 2, 3),
    "dense, no bottleneck": partial(DenseBlock, 4, 2, 3, bottleneck=False, kernel_size=2),
    "transition": partial(Transition, 4, 2),
    "inception": partial(InceptionBlock, 4, (2, 1, 2, 1, 2, 1), norm="batch"),
    "inception, no norm": partial(InceptionBlock, 4, (2, 1, 2, 1, 2, 1), kernel_sizes=(2, 3)),
}


@pytest.mark.parametrize("padding", ["causal", "same", OVER_ROWS])
@pytest.mark.parametrize("ndim", [1, 2])
@pytest.mark.parametrize("name", IMAGE_BLOCKS)
def test_blocks_of_image_nets(name: str, ndim: int, padding: str | tuple[str, str]) -> None:
    given = padding if ndim == 2 or isinstance(padding, str) else padding[-1]
    sizes = (12,) if ndim == 1 else (5, 12)  # rows of 12, 7 and 2 steps: a transition halves them
    x = torch.randn(3, 4, *sizes, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    net = IMAGE_BLOCKS[name](ndim=ndim, padding=given).eval()
    check_sequence_module(net, x, compile_backend=None, export=False)


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("ndim", [1, 2])
@pytest.mark.parametrize("kind", [FiLM, AddCondition])
def test_conditioned_layers(kind: type, ndim: int, local: bool) -> None:
    x = example(ndim)
    condition = torch.randn(3, 2, *(x.shape[2:] if local else ()))
    check(lambda: kind(4, 2), ndim, condition=condition)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "name",
    ["causal", "channel norm", "cumulative norm", "mean", "max", "maximum", "average", "lines"],
)
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    check({**IN_1D, **IN_BOTH}[name], 1, dtypes=[dtype])


@pytest.mark.parametrize(
    "name",
    ["strided", "strictly causal", "cumulative norm", "squeeze-excite", "maximum", "lines"],
)
def test_compiled_and_exported_in_1d(name: str) -> None:
    check({**IN_1D, **IN_BOTH}[name], 1, compile_backend="aot_eager", export=True, dtypes=[])


def test_compiled_and_exported_in_2d() -> None:
    check(IN_2D["same over rows"], 2, compile_backend="aot_eager", export=True, dtypes=[])


@pytest.mark.slow
@pytest.mark.parametrize("name", [*IN_1D, *IN_BOTH])
def test_every_layer_compiles_and_exports(name: str) -> None:
    check({**IN_1D, **IN_BOTH}[name], 1, compile_backend="aot_eager", export=True)
