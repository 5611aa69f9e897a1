"""What would be read beyond its end is refused, with the argument, its value and the cure."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.layers import Conv1d
from tcn.native import library
from tcn.native.convolution import Geometry, convolve, dropout
from tcn.native.recurrent import recur

pytestmark = pytest.mark.skipif(library() is None, reason="the native library is not built")


def test_a_bias_of_another_size_is_not_read_beyond_its_end() -> None:
    convolution = Conv1d(64, 64, 3)
    convolution.bias = nn.Parameter(torch.zeros(1))
    with pytest.raises(ValueError, match=r"bias: shape \(1,\); expected \(64,\): pass a tensor"):
        convolution(torch.randn(4, 64, 50))


X, WEIGHT, SHORTCUT = torch.randn(2, 3, 20), torch.randn(4, 3, 2), torch.randn(2, 4, 20)
FITTING: dict[str, Any] = {
    "x": X, "weight": WEIGHT, "size": torch.ones(4, 1, 1), "bias": torch.zeros(4),
    "shortcut": SHORTCUT, "seed": torch.tensor([7]), "left": 2, "right": 0, "stride": 1,
    "dilation": 2, "relu": True, "dropout": 0.25, "keep": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("x", X[0], ValueError, r"x: shape \(3, 20\); expected \(batch, in_channels, time\)"),
        ("x", X.int(), TypeError, r"x: torch.int32; .* pass x.float\(\)"),
        ("x", X.double(), TypeError, "weight: torch.float32 with x of torch.float64; convert"),
        ("weight", WEIGHT[..., :0], ValueError, "none of the weight's sizes 0"),
        ("weight", WEIGHT.flatten(), ValueError, r"weight: shape \(24,\); expected \(out_channels"),
        ("size", torch.ones(3, 1, 1), ValueError, r"size: shape \(3, 1, 1\); expected \(4, 1, 1\)"),
        ("size", torch.ones(4), ValueError, r"size: shape \(4,\); expected"),
        ("bias", torch.zeros(5), ValueError, r"bias: shape \(5,\); expected \(4,\)"),
        ("bias", torch.zeros(4).double(), TypeError, "bias: torch.float64 with x of"),
        ("bias", torch.zeros(4, device="meta"), TypeError, "bias: on meta with x on cpu; move"),
        ("shortcut", SHORTCUT[:1], ValueError, r"shortcut: shape \(1, 4, 20\); expected \(2, 4"),
        ("seed", None, ValueError, "seed: None with dropout=0.25; pass a tensor of one number"),
        ("seed", torch.tensor([1, 2]), ValueError, r"seed: shape \(2,\)"),
        ("seed", torch.tensor([1.0]), TypeError, "seed: torch.float32 on cpu; pass int64"),
        ("left", -20, ValueError, "steps are too few for 2 taps under .*; add zeros on the left"),
        ("left", 2**40 - 20, ValueError, "y: .* is beyond 2[*][*]40 in size; choose a smaller"),
        ("stride", 0, ValueError, "stride: 0 is too small; pass 1 or more"),
        ("stride", 2**62, ValueError, "stride: .* is beyond 2[*][*]40"),
        ("dilation", -1, ValueError, "dilation: -1 is too small; pass 1 or more"),
        ("relu", False, ValueError, "relu: False with dropout=0.25"),
        ("dropout", 1.0, ValueError, "dropout: 1.0 is not at least 0 and below 1; pass such"),
        ("dropout", float("nan"), ValueError, "dropout: nan is not at least 0"),
    ],
)  # fmt: skip
def test_arguments_of_a_convolution(
    name: str, value: Any, error: type[Exception], message: str
) -> None:
    """By the operator and, where it takes them, by the function."""
    arguments = {**FITTING, name: value}
    if name in ("left", "stride"):
        arguments["shortcut"] = None
    with pytest.raises(error, match=message):
        torch.ops.tcn.convolve.default(*arguments.values())
    if name not in ("seed", "keep"):
        geometry = Geometry(*(arguments.pop(n) for n in ("left", "right", "stride", "dilation")))
        del arguments["seed"], arguments["keep"]
        with pytest.raises(error, match=message):
            convolve(**arguments, geometry=geometry)


def test_numbers_beyond_64_bits() -> None:
    with pytest.raises(
        ValueError, match=r"dilation: .* is beyond 2[*][*]40 in size; choose a small"
    ):
        convolve(X, WEIGHT, geometry=Geometry(dilation=2**64 + 1))


@pytest.mark.parametrize("dilation", [2**31, 2**32 + 1, 2**39])
def test_large_dilations_do_not_wrap(dilation: int) -> None:
    """All taps but the last lie in the zeros: what is left is a convolution of one tap."""
    found = convolve(X, WEIGHT, geometry=Geometry(left=dilation, dilation=dilation))
    torch.testing.assert_close(found, convolve(X, WEIGHT[..., 1:].contiguous()))


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 2**39), st.integers(1, 5))
def test_strides_beyond_the_sequence(steps: int, stride: int, kernel: int) -> None:
    """One output, the same as without a stride, in as little memory; gradients too."""
    x = torch.randn(2, 3, steps, requires_grad=True)
    weight = torch.randn(4, 3, kernel, requires_grad=True)
    results = []
    for geometry in (Geometry(kernel - 1, 0, stride + steps), Geometry(kernel - 1, 1 - steps)):
        y = convolve(x, weight, geometry=geometry)
        results.append([y, *torch.autograd.grad(y.sum(), [x, weight])])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


BACKWARD: dict[str, Any] = {
    "gradient": SHORTCUT, "x": X, "weight": WEIGHT, "size": torch.ones(4, 1, 1),
    "y": SHORTCUT.relu(),
    "kept": torch.zeros(2, 4, 3, dtype=torch.uint8), "left": 2, "right": 0, "stride": 1,
    "dilation": 2, "relu": True, "dropout": 0.25, "wanted": [True] * 5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("gradient", SHORTCUT[..., :5], ValueError, r"gradient: shape \(2, 4, 5\); expected"),
        ("y", SHORTCUT[:, :1], ValueError, r"y: shape \(2, 1, 20\); expected \(2, 4, 20\)"),
        ("y", SHORTCUT.double(), TypeError, "y: torch.float64 with x"),
        (
            "kept",
            torch.zeros(2, 4, 2).byte(),
            ValueError,
            r"kept: shape \(2, 4, 2\); expected \(2,",
        ),
        ("kept", torch.zeros(2, 4, 3), TypeError, "kept: torch.float32 on cpu; pass uint8"),
        ("kept", None, ValueError, "wanted: the shortcut's gradient, but kept is None"),
        ("relu", False, ValueError, "relu: False with bits that were kept"),
        ("wanted", [True], ValueError, r"wanted: \[True\]; pass 5 of them"),
        ("dropout", -0.5, ValueError, "dropout: -0.5 is not at least 0"),
    ],
)
def test_arguments_of_its_gradients(
    name: str, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        torch.ops.tcn.convolve_backward.default(*{**BACKWARD, name: value}.values())


def test_arguments_of_dropout() -> None:
    for probability in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"probability: .* is not at least 0 and below 1"):
            dropout(X, probability)
    with pytest.raises(TypeError, match=r"x: torch.int64; .* pass x.float\(\)"):
        dropout(X.long(), 0.5)
    with pytest.raises(ValueError, match=r"x: .* is beyond 2[*][*]40"):
        dropout(torch.zeros(1).expand(2**21, 2**20), 0.5)


def test_nearly_everything_dropped() -> None:
    """The limit of the random numbers stays within 31 bits."""
    assert (dropout(torch.ones(1000), 1 - 2**-50) == 0).all()


# --------------------------------------------------------------------------- recurrent layers

LAYER = nn.LSTM(2, 5)
STATE, STEPS = [torch.zeros(3, 5), torch.zeros(3, 5)], torch.randn(4, 3, 2)


def spoiled(index: int, value: Tensor) -> list[Tensor]:
    weights = list(LAYER.all_weights[0])
    weights[index] = value
    return weights


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": STEPS[0]}, ValueError, r"x: shape \(3, 2\); expected \(time, batch, channels\)"),
        ({"x": STEPS[:0]}, ValueError, "time: 0 is too small; pass 1 or more"),
        ({"x": STEPS.double()}, TypeError, "state: torch.float32 with x of torch.float64"),
        (
            {"state": [STATE[0][:2], STATE[1]]},
            ValueError,
            r"state: shape \(2, 5\); expected \(3, 5",
        ),
        ({"state": [STATE[0], STATE[1][:2]]}, ValueError, r"memory: shape \(2, 5\); expected \(3"),
        ({"state": STATE[:1]}, ValueError, "memory: None with cell='LSTM'; an LSTM has one"),
        ({"cell": "GRU"}, ValueError, "memory: given with cell='GRU'"),
        ({"cell": "RNN_RELU"}, ValueError, "cell: 'RNN_RELU' is not one of LSTM, GRU, RNN_TANH"),
        ({"weights": spoiled(0, torch.ones(20, 3))}, ValueError, r"weight_ih: shape \(20, 3\)"),
        ({"weights": spoiled(1, torch.ones(19, 5))}, ValueError, r"weight_hh: shape \(19, 5\)"),
        (
            {"weights": spoiled(2, torch.ones(1))},
            ValueError,
            r"bias_ih: shape \(1,\); expected \(20",
        ),
        ({"weights": spoiled(3, torch.ones(21))}, ValueError, r"bias_hh: shape \(21,\)"),
        ({"mask": torch.ones(3, 4).bool()}, ValueError, r"mask: shape \(3, 4\); expected \(4, 3\)"),
        ({"mask": torch.ones(4, 3)}, TypeError, "mask: torch.float32 on cpu; pass bool"),
    ],
)
def test_arguments_of_a_recurrent_layer(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    fitting = {"x": STEPS, "state": STATE, "weights": LAYER.all_weights[0], "cell": "LSTM"}
    with pytest.raises(error, match=message):
        recur(**{**fitting, **arguments})


def test_gates_that_were_not_kept() -> None:
    y, after, memories, gates = torch.ops.tcn.recur(
        STEPS, *STATE, *LAYER.all_weights[0], None, "LSTM", False
    )
    weights = LAYER.all_weights[0][:2]
    with pytest.raises(ValueError, match="gates: 0 steps of 4; run with keep=True"):
        torch.ops.tcn.recur_backward(
            y, after, STEPS, *STATE, *weights, None, y, memories, gates, "LSTM", [True, True]
        )


def test_a_transposed_gradient_of_the_memory() -> None:
    """It comes in any order of its axes: the same gradients as for one that does not."""
    results = []
    for order in (lambda g: g, lambda g: g.t().contiguous().t()):
        x = STEPS.clone().requires_grad_()
        _, (_, memory) = recur(x, STATE, LAYER.all_weights[0], cell="LSTM")
        torch.manual_seed(0)
        results.append(torch.autograd.grad(memory, x, order(torch.randn(3, 5)))[0])
    assert torch.equal(*results)


# ------------------------------------------------------------------------------------ memory

CODE = """
import resource, torch
from tcn.native.convolution import convolve
from tcn.native.library import library
torch.set_num_threads({threads})
{prepare}
convolve(torch.zeros(2, 1, 9), torch.zeros(1, 1, 2))
with open("/proc/self/statm") as pages:
    used = int(pages.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {room}, resource.RLIM_INFINITY))
try:
    {work}
except MemoryError as error:
    print("refused:", error)
"""
CASES = {
    "rows": ("x, w = torch.zeros(2, 64, 2**20), torch.zeros(1, 64, 1)", "convolve(x, w)"),
    "weights": ("x, w = torch.zeros(1, 2**13, 1), torch.zeros(2**13, 2**13, 1)", "convolve(x, w)"),
    "gradients": (
        "x, w = torch.zeros(1, 2**13, 1), torch.zeros(2**12, 2**13, 1)\n"
        "g = torch.zeros(1, 2**12, 1)",
        "torch.ops.tcn.convolve_backward("
        "g, x, w, None, g, None, 0, 0, 1, 1, False, 0.0, [False] * 3 + [True, False])",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_no_memory_is_an_error_and_not_the_end(case: str, threads: int) -> None:
    """In parallel regions too: the process lives on and says so."""
    prepare, work = CASES[case]
    code = CODE.format(threads=threads, prepare=prepare, work=work, room=100 * 2**20)
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("refused: no memory for the rows of a native kernel; pass fewer")
