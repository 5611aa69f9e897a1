"""What is timed: training, whole sequences, streams, samples, images, C files, captures."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.speed.captures import FILES, captured
from benchmarks.speed.case import OURS, Builder, Case
from benchmarks.speed.contestants import PEER, ChannelsFirst, Net, convolutional, recurrent
from benchmarks.speed.others import drawing, written_as_c
from benchmarks.speed.sound import sound_generation
from benchmarks.speed.timing import Action
from tcn.inference import StreamSession, generate
from tcn.layers import Chain, GatedBlock, SequenceModule, SkipSum, fold_weight_norm
from tcn.models import GRU, LSTM, TCN, SequenceModel

ADDING = Net(2, (24,) * 8, 8)
MNIST = Net(1, (25,) * 8, 7)
COPYING = Net(1, (10,) * 8, 8, dropout=0.05)
MUSIC = Net(88, (150,) * 4, 3, dropout=0.25)
TEXT = Net(100, (450,) * 3, 3, dropout=0.1)


def cases() -> Iterator[tuple[str, Builder]]:
    """Name and builder of every case; cases are built one at a time, since each holds its nets."""
    last = "training step, last step read"
    every = "training step, every step read"
    yield last, lambda: training("adding problem, T 600", ADDING, 600, 32, 1, last_only=True)
    yield last, lambda: training("sequential MNIST, T 784", MNIST, 784, 64, 10, last_only=True)
    yield every, lambda: training("copying memory, T 1020", COPYING, 1020, 32, 10)
    yield every, lambda: training("T 784", MNIST, 784, 64, 10)
    yield every, lambda: training("polyphonic music, T 200", MUSIC, 200, 8, 88)
    yield every, lambda: training("characters, T 320", TEXT, 320, 16, 50)
    for cell, hidden in ((LSTM, 130), (GRU, 150)):  # as many parameters as the TCN
        kind = "training step, recurrent, last step read"
        yield kind, partial(recurrent_training, cell, hidden, 784, 64, 10)
    yield "whole sequence", lambda: whole("T 784, batch 1", MNIST, 784, 1)
    yield "whole sequence", lambda: whole("T 784, batch 64", MNIST, 784, 64)
    yield "stream", lambda: streaming(MNIST, 1)
    yield "stream", lambda: streaming(MNIST, 64)
    yield "stream, caches cold", lambda: cold_streaming(MNIST)
    yield "generation", generation
    for conditioned in (False, True):
        yield "sound generation", partial(sound_generation, conditioned=conditioned)
    yield "images", drawing
    for gated in (False, True):
        yield "C file", partial(written_as_c, gated=gated)
    for name in FILES:
        yield "captures", partial(captured, name)


def training(
    name: str, net: Net, time: int, batch: int, outputs: int, *, last_only: bool = False
) -> Case:
    """Forward, backward and Adam on one batch; head, loss and optimizer are the same for all."""
    x = torch.randn(batch, net.in_channels, time)
    target = torch.randint(outputs, (batch,) if last_only else (batch, time))
    convolutions = convolutional(net)
    models = {OURS: _with_readout(convolutions.pop(OURS), outputs, last_only)}
    models |= {
        label: WithHead(backbone, net.channels[-1], outputs, last_only)
        for label, backbone in convolutions.items()
    }
    models |= {
        label: WithHead(backbone, backbone.recurrence.hidden_size, outputs, last_only)
        for label, backbone in recurrent(net).items()
    }
    return Case(
        f"training step, {'last' if last_only else 'every'} step read",
        f"{name}: {net}, batch {batch}",
        {label: training_step(model, x, target) for label, model in models.items()},
        operations=3 * 2 * net.multiplications * time * batch,
    )


def recurrent_training(
    ours: type[LSTM | GRU], hidden: int, time: int, batch: int, outputs: int
) -> Case:
    """Our recurrent nets and PyTorch's layers, one input channel, the last step read."""
    x, target = torch.randn(batch, 1, time), torch.randint(outputs, (batch,))
    theirs = ChannelsFirst(ours.cell(1, hidden, batch_first=True))
    models = {
        f"tcn.models.{ours.__name__}": _with_readout(ours(1, hidden), outputs, last_only=True),
        f"nn.{ours.__name__}": WithHead(theirs, hidden, outputs, last_only=True),
    }
    return Case(
        "training step, recurrent, last step read",
        f"{hidden} units, T {time}, batch {batch}",
        {label: training_step(model, x, target) for label, model in models.items()},
    )


def _with_readout(backbone: nn.Module, outputs: int, last_only: bool) -> nn.Module:
    assert isinstance(backbone, SequenceModule)
    return SequenceModel(backbone, outputs, readout="last" if last_only else "every")


class WithHead(nn.Module):
    """A linear head on the last step or on every step, as users put it on PyTorch's layers."""

    def __init__(self, backbone: nn.Module, width: int, outputs: int, last_only: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(width, outputs)
        self.last_only = last_only

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.backbone(x)
        if self.last_only:
            return self.head(y[..., -1])
        return self.head(y.transpose(1, 2)).transpose(1, 2)


def training_step(model: nn.Module, x: Tensor, target: Tensor) -> Action:
    # PyTorch's fastest Adam: updating parameters one by one costs a small net a millisecond.
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        y = model(x)
        if y.shape[1] == 1:
            loss = F.mse_loss(y.squeeze(1), target.to(y.dtype))
        else:
            loss = F.cross_entropy(y, target)
        loss.backward()
        optimizer.step()

    return step


def whole(name: str, net: Net, time: int, batch: int) -> Case:
    """One evaluation without gradients; weight norms are folded where the package can do so."""
    x = torch.randn(batch, net.in_channels, time)
    nets = {**convolutional(net), **recurrent(net)}
    for module in nets.values():
        module.eval()
    fold_weight_norm(nets[OURS])
    return Case(
        "whole sequence",
        f"{net}, {name}",
        {label: evaluation(module, x) for label, module in nets.items()},
        unit="sequence",
        units=dict.fromkeys(nets, batch),
        operations=2 * net.multiplications * time * batch,
    )


def evaluation(module: nn.Module, x: Tensor) -> Action:
    @torch.inference_mode()
    def run() -> None:
        module(x)

    return run


def streaming(net: Net, rows: int) -> Case:
    """One more step of a stream of ``rows`` rows."""
    x = torch.randn(rows, net.in_channels, 1)
    nets = convolutional(net)
    for module in nets.values():
        module.eval()
    tcn = nets[OURS]
    assert isinstance(tcn, TCN)
    native = StreamSession(tcn, batch_size=rows)
    plain = StreamSession(tcn, batch_size=rows, native=False)
    actions: dict[str, Action] = {
        OURS: lambda: native.push(x),
        "tcn, PyTorch layers": lambda: plain.push(x),
    }
    if PEER in nets and rows == 1:  # its buffers hold one row
        peer = nets[PEER]
        actions[PEER] = torch.inference_mode()(lambda: peer.inference(x))  # type: ignore[operator]
    for cell, hidden in ((nn.LSTM, 130), (nn.GRU, 150)):  # as many parameters as the TCN
        label = f"nn.{cell.__name__}({net.in_channels}, {hidden})"
        actions[label] = recurrent_step(cell(net.in_channels, hidden), x)
    return Case(
        "stream",
        f"{net}, {rows} row{'s' if rows > 1 else ''}",
        actions,
        unit="step of a row",
        units=dict.fromkeys(actions, rows),
    )


def cold_streaming(net: Net) -> Case:
    """One more step of one row, in a process that does other work for a millisecond between steps.

    The other work sums eight million bytes again and again, which pushes weights, state and much of
    the interpreter's code out of the first and second level of the cache. It is not timed.
    """
    case = streaming(net, 1)
    return replace(
        case,
        kind="stream, caches cold",
        name=f"{case.name}, after 1 ms of other work",
        before=OtherWork(seconds=1e-3, size=2**21),
    )


class OtherWork:
    """What a process does between two steps of a stream: it reads other memory."""

    def __init__(self, *, seconds: float, size: int) -> None:
        self.seconds = seconds
        self.values = torch.ones(size)

    def __call__(self) -> None:
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            self.values.sum()


def recurrent_step(cell: nn.Module, x: Tensor) -> Action:
    steps = x.permute(2, 0, 1).contiguous()
    state = None

    @torch.inference_mode()
    def step() -> None:
        nonlocal state
        _, state = cell(steps, state)

    return step


def wavenet(layers: int = 20, residual: int = 64, skip: int = 128, classes: int = 256) -> Chain:
    """Gated layers of dilations 1 to 512, twice; van den Oord et al. 2016, figure 4."""
    blocks = [
        GatedBlock(residual, residual, 2, dilation=2 ** (i % 10), skip_channels=skip)
        for i in range(layers)
    ]
    backbone = Chain(blocks=SkipSum(blocks), activation=nn.ReLU())
    backbone.in_channels, backbone.out_channels = residual, skip
    return backbone


def generation() -> Case:
    """Samples of a 256-way net, each fed back."""
    net = SequenceModel(wavenet(), 256, embedding=256).eval()
    prompt = torch.zeros(1, 1, dtype=torch.int64)
    samples = {OURS: 4000, "tcn, PyTorch layers": 10}
    return Case(
        "generation",
        "20 gated layers, 64 residual, 128 skip, 256-way",
        {
            OURS: lambda: generate(net, prompt, samples[OURS], seed=0),
            "tcn, PyTorch layers": lambda: generate(
                net, prompt, samples["tcn, PyTorch layers"], seed=0, native=False
            ),
        },
        unit="sample",
        units=samples,
    )
