"""Captures keep the contract, begin in silence, and refuse parts that do not fit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tcn.inference import StreamSession, export
from tcn.inference.c_check import Stream, compiled
from tcn.inference.state import flatten
from tcn.layers import BatchNorm, Chain, Conv1d
from tcn.layers.activation import LeakyHardtanh
from tcn.models import (
    TCN,
    Capture,
    NAMBlock,
    NAMFiLM,
    NAMStack,
    NAMWaveNet,
    PairedActivation,
    StartedLSTM,
)
from tcn.testing import check_sequence_module


def block(dilation: int = 1, conditions: int = 1, **parts: Any) -> NAMBlock:
    pair = PairedActivation(nn.Tanh(), nn.Sigmoid(), "blended")
    mixin = Conv1d(conditions, 4, 1, bias=False)
    return NAMBlock(Conv1d(2, 4, 2, dilation=dilation), mixin, pair, **parts)


def wavenet(out: int = 1, conditions: int = 1, **parts: Any) -> NAMWaveNet:
    films = [("conv_pre", NAMFiLM(2, conditions)), ("activation_post", NAMFiLM(2, conditions))]
    first = [block(1, conditions, residual=Conv1d(2, 2, 1), films=films), block(3, conditions)]
    second = [block(2, conditions, residual=Conv1d(2, 2, 1), skip=Conv1d(2, 3, 1))]
    stacks = [
        NAMStack(Conv1d(1, 2, 1, bias=False), first, Conv1d(2, 3, 2)),
        NAMStack(Conv1d(2, 2, 1), second, Conv1d(3, out, 1)),
    ]
    return NAMWaveNet(stacks, **parts)


def conditioned() -> NAMWaveNet:
    head = Chain(nn.Tanh(), Conv1d(2, 1, 3))
    return wavenet(out=2, conditions=2, scale=0.5, condition=wavenet(out=2), head=head)


def started() -> Chain:
    lstm = StartedLSTM(1, 3)
    with torch.no_grad():
        lstm.start_hidden.uniform_(-1, 1)
        lstm.start_cell.uniform_(-1, 1)
    return Chain(lstm, Conv1d(3, 1, 1))


NETS = {
    "wavenet": wavenet,
    "conditioned": conditioned,
    "lstm": started,
    "convnet": lambda: Chain(Conv1d(1, 2, 2), BatchNorm(2), nn.Tanh(), Conv1d(2, 1, 1)).eval(),
    "linear": lambda: Conv1d(1, 1, 5),
}


@pytest.mark.parametrize("name", NETS)
def test_a_capture_keeps_the_contract(name: str) -> None:
    whole = name == "conditioned"  # compiled and exported too
    backend = "aot_eager" if whole else None
    net = Capture(NETS[name]()).eval()
    check_sequence_module(net, torch.randn(3, 1, 14), compile_backend=backend, export=whole)


def test_the_bare_net_keeps_it_too() -> None:
    check_sequence_module(conditioned(), torch.randn(3, 1, 14), compile_backend=None, export=False)


def test_a_capture_has_heard_silence() -> None:
    net = Capture(conditioned()).eval()
    # The blocks of the condition, those of the net, the head. (The way through the head between
    # the stacks is one step shorter than that through the second stack's block.)
    assert net.receptive_field == 1 + (1 + 3 + 2) + (1 + 3 + 2) + 2
    x, before = torch.randn(1, 1, 20), torch.zeros(1, 1, 30)
    with torch.no_grad():
        late = net.net(torch.cat([before, x], -1))[..., 30:]
        torch.testing.assert_close(net(x), late)
        assert not torch.allclose(net.net(x), late, atol=1e-3)
        torch.testing.assert_close(net(torch.cat([before, x], -1))[..., 30:], late)


@pytest.mark.parametrize("name", NETS)
def test_rows_that_begin_at_any_time_begin_in_silence(name: str) -> None:
    net = Capture(NETS[name]()).eval()
    x = torch.randn(3, 1, 12)
    session = StreamSession(net, batch_size=3)
    session.push(x[:1, ..., :4], rows=[0])
    session.push(x[1:2, ..., :5], rows=[1])
    session.reset([1])
    found = session.push(x[1:], rows=[1, 2])
    with torch.no_grad():
        torch.testing.assert_close(found, net(x[1:]))


@pytest.mark.parametrize("name", [name for name in NETS if name != "lstm"])
def test_a_session_plays_natively_from_silence(name: str) -> None:
    torch.manual_seed(0)
    net = Capture(NETS[name]()).eval()
    x = torch.randn(2, 1, 70)
    with torch.no_grad():
        expected = net(x)
        session = StreamSession(net, batch_size=2, native=True)
        for length in (1, 7, 64):
            found = torch.cat([session.push(part) for part in x.split(length, dim=2)], dim=2)
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
            session.reset()
        session.push(x)
        after = net.step(x)[1]
        for a, b in zip(flatten(session.state), flatten(after), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_the_state_of_silence_follows_the_weights() -> None:
    net, x = Capture(wavenet()).eval(), torch.randn(1, 1, 5)
    session = StreamSession(net, native=False)
    session.push(x)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
        session.reset()
        torch.testing.assert_close(session.push(x), net(x))


@pytest.mark.parametrize("name", NETS)
def test_a_capture_is_written_as_c(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Capture(NETS[name]()).eval()
    path = export(net, tmp_path / "amp.c")
    stream = Stream(compiled(path, "amp", tmp_path, options=("-std=c11", "-O1")), "amp", 1)
    x = torch.randn(1, 1, 150)
    with torch.no_grad():
        expected = net(x)[0]
    for parts in (x[0].split(150, dim=1), x[0].split(1, dim=1)):
        found = torch.cat([stream.process(part) for part in parts], dim=1)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        stream.begin()


@pytest.mark.parametrize(
    "activation",
    [
        LeakyHardtanh(-0.5, 0.7, 0.1, -0.2),
        LeakyHardtanh(max_slope=0.0),
        nn.PReLU(3, 0.3),
        PairedActivation(nn.ReLU(), nn.Tanh()),
        PairedActivation(nn.Tanh(), nn.Softsign(), "blended"),
    ],
    ids=str,
)
def test_activations_of_captures_run_natively(activation: nn.Module) -> None:
    channels = 6 if isinstance(activation, PairedActivation) else 3
    net = Chain(Conv1d(2, channels, 2), activation, Conv1d(3, 1, 1)).eval()
    x = 2 * torch.randn(1, 2, 40)
    with torch.no_grad():
        found = StreamSession(net, native=True).push(x)
        torch.testing.assert_close(found, net(x), rtol=1e-5, atol=1e-5)


def test_the_net_of_a_captured_device_is_trained_as_any() -> None:
    torch.manual_seed(0)
    net, x = Capture(wavenet()), 0.5 * torch.randn(8, 1, 100)
    optimizer, target = torch.optim.Adam(net.parameters(), 2e-2), torch.tanh(2 * x)
    losses = []
    for _ in range(40):
        loss = (net(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Capture(TCN(2, [1], 2)), r"net: 2 channels in and 1 out; a capture is mono"),
        (lambda: Capture(Conv1d(1, 1, 3, padding="same")), r"net: it looks ahead or changes the"),
        (lambda: Capture(Conv1d(1, 1, 3, stride=2)), r"net: it looks ahead or changes the rate"),
        (lambda: Capture(Conv1d(1, 1, 3), sample_rate=0), r"sample_rate: 0 must be above 0 Hz"),
        (lambda: Capture(Conv1d(1, 1, 3), metadata="[]"), r"metadata: '\[\]' is not a JSON object"),
        (lambda: PairedActivation(nn.Tanh(), nn.Tanh(), "both"), r"pairing: 'both' is not one of"),
        (lambda: NAMWaveNet([]), r"stacks: none; a WaveNet needs at least one"),
        (lambda: NAMStack(Conv1d(1, 2, 1), [], Conv1d(2, 1, 1)), r"blocks: none; a stack needs"),
        (lambda: wavenet(conditions=2), r"stacks\[0\] reads 2 channels, its condition has 1"),
        (lambda: wavenet(head=Conv1d(2, 1, 1)), r"head takes 2 channels, the last stack has 1"),
        (lambda: block(residual=Conv1d(3, 2, 1)), r"residual takes 3 channels, expected 2"),
        (lambda: block(skip=Conv1d(4, 2, 1)), r"skip takes 4 channels, expected 2"),
        (lambda: block(films=[("conv_pre", NAMFiLM(3, 1))]), r"conv_pre scales 3 channels, exp"),
        (lambda: block(films=[("conv_pre", NAMFiLM(2, 2))]), r"conv_pre reads 2 channels, exp"),
        (lambda: block(films=[("conv", NAMFiLM(2, 1))]), r"films: 'conv' has no place in this"),
        (
            lambda: NAMStack(Conv1d(1, 3, 1), [block()], Conv1d(2, 1, 1)),
            r"blocks\[0\] takes 2 channels, the entry has 3; give both the same",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
