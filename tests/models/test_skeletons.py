"""Nets that people build of strides, pools, up-samplings and joins in a few lines each."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tcn.inference import export
from tcn.layers import (
    Add,
    AveragePool1d,
    Chain,
    Concat,
    Conv1d,
    ConvTranspose1d,
    CumulativeNorm,
    LargeKernelBlock,
    MaxPool1d,
    Multiply,
    ResidualBlock,
    SequenceModule,
    Upsample,
)
from tcn.models import LSTM, TCN, SequenceModel
from tcn.testing import check_sequence_module


def u_net(channels: int = 4, depth: int = 2, padding: str = "causal") -> Chain:
    """Ronneberger et al. 2015, figure 1, over time: contract, expand, and a skip at every depth."""
    block = lambda i, o: ResidualBlock(i, o, 3, padding=padding)  # noqa: E731
    body: nn.Module = block(channels << depth, channels << depth)
    for width in (channels << level for level in reversed(range(depth))):
        deep = Chain(
            pool=MaxPool1d(2), widen=Conv1d(width, 2 * width, 1), body=body,
            up=ConvTranspose1d(2 * width, width, 2, stride=2),
        )  # fmt: skip
        body = Chain(
            before=block(width, width),
            both=Concat(skip=nn.Identity(), deep=deep),
            after=block(2 * width, width),
        )
    return Chain(Conv1d(1, channels, 3, padding=padding), body, Conv1d(channels, 2, 1))


def conv_tasnet(filters: int = 6, length: int = 8, blocks: int = 3) -> Chain:
    """Luo & Mesgarani 2019, figure 1: a learned basis, a mask from a TCN, and back; causal."""
    hop = length // 2
    separator = Chain(
        CumulativeNorm(filters),
        TCN(filters, [filters] * blocks, 3, block="separable", norm="cumulative"),
        Conv1d(filters, filters, 1),
        nn.Sigmoid(),
    )
    return Chain(
        encoder=Chain(Conv1d(1, filters, length, stride=hop), nn.ReLU()),
        masked=Multiply(mixture=nn.Identity(), mask=separator),
        decoder=ConvTranspose1d(filters, 1, length, stride=hop),
    )


def ms_tcn(classes: int = 3, channels: int = 4, stages: int = 2) -> Chain:
    """Farha & Gall 2019, figure 2: each stage refines the classes of the one before, both ways."""

    def stage(inputs: int) -> Chain:
        layers = TCN(channels, [channels] * 3, 3, causal=False, norm="none")
        return Chain(Conv1d(inputs, channels, 1), layers, Conv1d(channels, classes, 1))

    return Chain(stage(2), *(Chain(nn.Tanh(), stage(classes)) for _ in range(stages - 1)))


class Reversed(SequenceModule):
    """A causal net that reads from the end: what it sees lies in the future."""

    def __init__(self, net: SequenceModule) -> None:
        super().__init__()
        self.net = net
        self.in_channels, self.out_channels = net.in_channels, net.out_channels

    def advance(self, x, state, context):
        # Padding comes first then, and counts as the zeros before every sequence.
        mask = None if context.mask is None else context.mask.flip(-1)
        return self.net(x.flip(-1), context=context._replace(mask=mask)).flip(-1), ()

    @property
    def streaming_obstacle(self) -> str:
        return "it reads from the end"

    @property
    def reach(self):
        return tuple(axis._replace(left=axis.right, right=axis.left) for axis in self.net.reach)


def bidirectional() -> SequenceModel:
    """A TCN from the left and one from the right, side by side."""
    both = Concat(past=TCN(2, [4] * 2, 3), future=Reversed(TCN(2, [4] * 2, 3)))
    return SequenceModel(both, 3)


def keyword_front_end() -> SequenceModel:
    """Raw sound to words: strided convolutions, a recurrence, the mean over time."""
    front = Chain(
        Conv1d(1, 6, 10, stride=4), nn.ReLU(), AveragePool1d(3, stride=2),
        ResidualBlock(6, 8, 3, stride=2, norm="layer"), LSTM(8, 5),
    )  # fmt: skip
    return SequenceModel(front, 4, readout="mean")


def detector() -> Chain:
    """Large kernels behind a stride, and the answer at every input step again."""
    return Chain(
        Conv1d(2, 4, 4, stride=3),
        Add(nn.Identity(), LargeKernelBlock(4, 7, norm="layer")),
        Upsample(3, mode="linear"),
    )


NETS: dict[str, Callable[[], SequenceModule]] = {
    "U-Net": u_net,
    "U-Net, both directions": lambda: u_net(padding="same"),
    "Conv-TasNet": conv_tasnet,
    "MS-TCN": ms_tcn,
    "bidirectional": bidirectional,
    "keywords": keyword_front_end,
    "detector": detector,
}
CAUSAL = ("U-Net", "Conv-TasNet", "keywords", "detector")


def built(name: str) -> SequenceModule:
    torch.manual_seed(0)
    return NETS[name]().eval()


def example(net: SequenceModule, time: int = 48) -> Tensor:
    return torch.randn(3, net.in_channels, time, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NETS)
def test_they_keep_the_contract(name: str) -> None:
    net = built(name)
    check_sequence_module(net, example(net), compile_backend=None, export=False)
    assert net.causal == (name in CAUSAL)


@pytest.mark.parametrize("name", CAUSAL)
def test_they_stream_step_by_step(name: str) -> None:
    net = built(name)
    x, state, outputs = example(net), None, []
    with torch.no_grad():
        for step in x.split(1, dim=-1):
            y, state = net.step(step, state)
            outputs.append(y)
        whole = net(x)
    streamed = outputs[-1] if whole.dim() == 2 else torch.cat(outputs, -1)
    torch.testing.assert_close(streamed, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_they_are_exported(name: str, tmp_path) -> None:
    # export() runs the file on other sizes and compares it with the net.
    net = built(name)
    pytest.importorskip("onnxruntime")
    for streaming in (False, True) if name in CAUSAL else (False,):
        export(net, tmp_path / f"{streaming}.onnx", streaming=streaming)


def test_a_u_net_says_what_length_it_takes() -> None:
    net = built("U-Net")
    assert net.block_size == net.multiple_of == 4
    with pytest.raises(ValueError, match=r"'skip' \(1, 8, 3\), 'deep' \(1, 8, 4\)"):
        net(torch.randn(1, 1, 6))
    assert net(torch.randn(1, 1, 8)).shape == (1, 2, 8)
