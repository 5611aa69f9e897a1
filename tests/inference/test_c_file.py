"""C files: equal to the net in chunks of any length, strict C11, and nothing but libm."""

import ctypes
import subprocess
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.commands import main
from tcn.inference import StreamSession, export, save_pretrained
from tcn.inference.c_check import Stream, compiled
from tcn.inference.c_source import prefix_of
from tcn.layers import (
    Chain,
    Conv1d,
    FastTanh,
    FiLM,
    LocallyConnected1d,
    SequenceModule,
    SqueezeExcite,
)
from tcn.models import GRU, LSTM, RNN, TCN, LargeKernelTCN, SequenceModel

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
QUICK = ("-std=c11", "-O1", "-Wall", "-Wextra", "-Werror")

NETS: dict[str, Callable[[], SequenceModule]] = {
    "tcn": lambda: SequenceModel(TCN(2, [5, 9], 3), 3),
    "one output": lambda: SequenceModel(TCN(1, [12], 2), 2, readout="last"),
    "gated": lambda: TCN(1, [9, 9], 3, block="gated"),
    "grouped": lambda: Chain(Conv1d(6, 15, 3, groups=3, dilation=2), nn.GELU(), Conv1d(15, 2, 1)),
    "depthwise": lambda: Conv1d(5, 5, 4, groups=5, dilation=3),
    "strictly causal": lambda: Conv1d(2, 3, 2, padding="strictly_causal"),
    "batch norm": lambda: TCN(2, [4, 4], 2, norm="batch"),
    "layer norm": lambda: TCN(2, [4, 4], 2, norm="layer"),
    "root mean square": lambda: TCN(2, [4, 4], 2, norm="rms"),
    "cumulative norm": lambda: TCN(2, [4, 4], 2, norm="cumulative"),
    "squeeze and excite": lambda: Chain(Conv1d(2, 8, 2), SqueezeExcite(8)),
    "large kernel": lambda: LargeKernelTCN(2, 8, 7, levels=2, stochastic_depth=0.2),
    "LSTM": lambda: SequenceModel(LSTM(2, 7, 2), 1),
    "GRU": lambda: GRU(1, 5, 2),
    "RNN": lambda: RNN(3, 9),
}


def filled(make: Callable[[], SequenceModule]) -> SequenceModule:
    """A net whose weights and statistics are away from where they begin."""
    torch.manual_seed(0)
    net = make().eval()
    with torch.no_grad():
        for name, part in net.state_dict().items():
            if part.is_floating_point():
                part.add_(
                    0.1 * torch.rand(part.shape) if "var" in name else 0.1 * torch.randn(part.shape)
                )
    return net


def stream_of(net: SequenceModule, folder: Path, name: str = "net.c") -> Stream:
    path = export(net, folder / name)
    given = torch.zeros(1, 3) if any(isinstance(m, FiLM) for m in net.modules()) else None
    channels = net(torch.zeros(1, _in(net), 4), condition=given).shape[1]
    library = compiled(path, prefix_of(path), folder, header=path.suffix == ".h", options=QUICK)
    return Stream(library, prefix_of(path), channels)


def _in(net: SequenceModule) -> int:
    return next(m.in_channels for m in net.modules() if hasattr(m, "in_channels"))


@pytest.mark.parametrize("kind", NETS)
def test_chunks_of_any_length_give_what_the_net_gives(kind: str, tmp_path: Path) -> None:
    net = filled(NETS[kind])
    stream = stream_of(net, tmp_path)
    x = torch.randn(1, _in(net), 400)
    expected = net(x)[0]
    for chunks in ([400], [1] * 70 + [330], [64, 64, 63, 65, 144], [0, 400]):
        y = torch.cat([stream.process(chunk) for chunk in x[0].split(chunks, dim=1)], dim=1)
        torch.testing.assert_close(y[:, -1] if expected.dim() == 1 else y, expected, **CLOSE)
        stream.begin()


ACTIVATIONS: list[Callable[[], nn.Module]] = [
    nn.ReLU, nn.LeakyReLU, nn.ELU, partial(nn.CELU, 0.7), nn.SELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Tanh, nn.Sigmoid, nn.Softsign, nn.Hardtanh, nn.ReLU6, nn.Hardsigmoid, nn.Hardswish, nn.PReLU,
    FastTanh,
]  # fmt: skip


def test_activations_over_the_whole_range(tmp_path: Path) -> None:
    """Each on numbers from -1e4 to 1e4, small ones too; NaN stays NaN."""
    small = torch.logspace(-6, 4, 60)
    grid = torch.cat([torch.linspace(-9, 9, 301), small, -small])[None]
    for number, make in enumerate(ACTIVATIONS):
        net = Chain(Conv1d(1, 1, 1, bias=False), make()).eval()
        with torch.no_grad():
            net[0].weight.fill_(1.0)
        stream = stream_of(net, tmp_path, f"net{number}.c")
        torch.testing.assert_close(stream.process(grid), net(grid[None])[0], rtol=2e-5, atol=2e-6)
        assert stream.process(torch.tensor([[float("nan")]])).isnan().all()


@settings(max_examples=8, deadline=None)
@given(
    channels=st.integers(1, 19),
    out=st.integers(1, 19),
    kernel_size=st.integers(1, 4),
    dilation=st.integers(1, 70),
    groups=st.integers(1, 3),
    seed=st.integers(0, 999),
)
def test_convolutions_of_any_size(
    channels: int, out: int, kernel_size: int, dilation: int, groups: int, seed: int
) -> None:
    from tempfile import TemporaryDirectory

    torch.manual_seed(seed)
    net = Conv1d(channels * groups, out * groups, kernel_size, dilation=dilation, groups=groups)
    x = torch.randn(1, channels * groups, 150)
    with TemporaryDirectory() as folder, torch.no_grad():
        stream = stream_of(net.eval(), Path(folder))
        y = torch.cat([stream.process(x[0, :, :37]), stream.process(x[0, :, 37:])], dim=1)
        torch.testing.assert_close(y, net(x)[0], **CLOSE)


def test_a_condition_stays_until_another_is_given(tmp_path: Path) -> None:
    film = partial(FiLM, condition_channels=3)
    net = filled(lambda: TCN(1, [6, 6], 2, modulation=film))
    stream = stream_of(net, tmp_path)
    x, conditions = torch.randn(1, 1, 90), torch.randn(2, 1, 3)
    for condition in conditions:
        stream.condition(condition[0])
        for _ in range(2):
            torch.testing.assert_close(
                stream.process(x[0]), net(x, condition=condition)[0], **CLOSE
            )
            stream.begin()


def test_two_states_in_two_threads(tmp_path: Path) -> None:
    net = filled(NETS["gated"])
    path = export(net, tmp_path / "net.c")
    library = compiled(path, "net", tmp_path, options=QUICK)
    x = torch.randn(2, 1, 3000)
    found: list[Tensor] = [torch.empty(0)] * 2

    def run(number: int) -> None:
        stream = Stream(library, "net", 9)
        parts = x[number].split(7, dim=1)
        found[number] = torch.cat([stream.process(part) for part in parts], dim=1)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.testing.assert_close(torch.stack(found), net(x), **CLOSE)
    session = StreamSession(net, batch_size=2)
    torch.testing.assert_close(torch.stack(found), session.push(x), **CLOSE)


def test_a_header_stands_in_a_program_of_ones_own(tmp_path: Path) -> None:
    """Two nets in one program, which a plain compiler builds and which needs libm alone."""
    names = ("left", "right-channel")
    nets = [filled(NETS["LSTM"]), filled(lambda: SequenceModel(TCN(2, [4], 3), 1))]
    for name, net in zip(names, nets, strict=True):
        export(net, tmp_path / f"{name}.h")
    program = tmp_path / "main.c"
    program.write_text(
        """
#include <stdio.h>
#include "left.h"
#include "right-channel.h"
static left_state a;
static right_channel_state b;
int main(void)
{
    float in[2 * LEFT_IN] = {0.5f, -1.0f, 0.25f, 2.0f}, out[2];
    left_init(&a);
    left_process(&a, in, out, 2);
    printf("%.6f %.6f\\n", out[0], out[1]);
    right_channel_init(&b);
    right_channel_process(&b, in, out, 2);
    printf("%.6f %.6f\\n", out[0], out[1]);
    return 0;
}
""".replace("\\\\", "\\")
    )
    strict = ["cc", "-O2", "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    subprocess.run([*strict, "-o", "main", "main.c", "-lm"], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    x = torch.tensor([[[0.5, 0.25], [-1.0, 2.0]]])
    found = torch.tensor([[float(word) for word in line.split()] for line in said.splitlines()])
    torch.testing.assert_close(found, torch.cat([net(x)[0] for net in nets]), **CLOSE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TCN(1, [2], 2, causal=False), "has no form in C: .*; write an .onnx or a .pt2"),
        (lambda: LocallyConnected1d(1, 1, 9, 1), "in C"),
        (lambda: Chain(Conv1d(1, 1, 1), nn.GELU("tanh")), r"GELU\(approximate='tanh'\) has no nat"),
        (lambda: Conv1d(1, 1, 2, stride=2), "stride=2 has no native form, so it has none in C"),
        (lambda: Conv1d(1, 1, 2).double(), r"weight is torch.float64; .*: call net.float\(\)"),
        (lambda: SequenceModel(TCN(4, [4], 2), 9, embedding=9), "reads tokens"),
    ],
)
def test_what_has_no_form_in_c(
    make: Callable[[], SequenceModule], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        export(make(), tmp_path / "net.c")
    assert not list(tmp_path.glob("net*"))


def test_what_a_file_of_c_does_not_take(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="example: a C file takes chunks of any length"):
        export(Conv1d(1, 1, 2), tmp_path / "net.c", example=torch.zeros(1, 1, 4))


def test_a_folder_is_written_as_c(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_pretrained(filled(NETS["tcn"]), tmp_path / "net")
    main(["export", str(tmp_path / "net"), str(tmp_path / "live.h")])
    assert "bytes; its outputs are those of the net" in capsys.readouterr().out
    assert "static inline void live_process(" in (tmp_path / "live.h").read_text()


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    net = Conv1d(1, 1, 2)
    with torch.no_grad():
        net.weight[0, 0, 1] = float("inf")
    with pytest.raises(ValueError, match=r"net: weight is torch.float32 and not finite"):
        export(net, tmp_path / "net.c")


@pytest.mark.parametrize("compiler", ["no-such-compiler", "false"])
def test_without_a_compiler_that_works_nothing_is_written(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(RuntimeError, match=f"export: .*{compiler}"):
        export(Conv1d(1, 1, 2), tmp_path / "net.c")
    assert not (tmp_path / "net.c").exists()


@pytest.mark.parametrize(
    ("stem", "prefix"),
    [("amp", "amp"), ("my amp-2", "my_amp_2"), ("808", "net_808"), ("int", "net_int")],
)
def test_names_are_those_that_c_knows(stem: str, prefix: str) -> None:
    assert prefix_of(Path(f"{stem}.c")) == prefix


def test_the_size_is_that_of_the_state(tmp_path: Path) -> None:
    path = export(filled(NETS["tcn"]), tmp_path / "net.c")
    size = compiled(path, "net", tmp_path, options=QUICK).net_size
    size.restype = ctypes.c_size_t
    assert 1_000 < size() < 100_000
