"""Reading the last step only: the same as evaluating everything and picking the last step."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.layers import (
    BLOCKS,
    NORMS,
    Add,
    AddCondition,
    BatchNorm,
    Chain,
    Dropout,
    FiLM,
    GatedBlock,
    SkipSum,
    convolution,
)
from tcn.models import GRU, TCN, SequenceModel

TOLERANCE = {
    torch.float64: {"rtol": 1e-12, "atol": 1e-12},
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
}
MODULATIONS = {
    "none": None,
    "film": lambda channels: FiLM(channels, 2),
    "add": lambda channels: AddCondition(channels, 2),
}


def whole_then_last(net: SequenceModel, x: Tensor, lengths: Tensor | None, **context) -> Tensor:
    """The slow way: every step of every row alone, then its last valid one."""
    if lengths is None:
        return net.head(net.backbone(x, **context).flatten(2)[..., -1])
    hidden = net.backbone(x, lengths, **context)
    rows = [row[..., :n].flatten(1)[:, -1] for row, n in zip(hidden, lengths.tolist(), strict=True)]
    return net.head(torch.stack(rows))


def gradients_of(net: nn.Module, y: Tensor, x: Tensor) -> dict[str, Tensor]:
    weights = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    names, tensors = zip(*net.named_parameters(), strict=True)
    found = torch.autograd.grad((y * weights).sum(), [x, *tensors], allow_unused=True)
    return {
        name: torch.zeros_like(tensor) if gradient is None else gradient
        for name, tensor, gradient in zip(["x", *names], [x, *tensors], found, strict=True)
    }


def assert_same(net: SequenceModel, x: Tensor, lengths: Tensor | None, **context: Tensor) -> None:
    """Compares outputs and every gradient; the slow way runs on a copy with its own statistics."""
    slow, x = copy.deepcopy(net), x.clone().requires_grad_()
    fast_y = net(x, lengths, **context)
    slow_y = whole_then_last(slow, x, lengths, **context)
    torch.testing.assert_close(fast_y, slow_y, **TOLERANCE[x.dtype])
    fast, expected = gradients_of(net, fast_y, x), gradients_of(slow, slow_y, x)
    for name, gradient in fast.items():
        torch.testing.assert_close(gradient, expected[name], **TOLERANCE[x.dtype])
    for name, buffer in net.named_buffers():
        torch.testing.assert_close(buffer, dict(slow.named_buffers())[name])


@st.composite
def problems(draw: st.DrawFn, ndim: int) -> dict:
    """A net, an input and what goes with it; time from far below to above the receptive field."""
    levels = draw(st.integers(1, 4 if ndim == 1 else 3))
    modulation = draw(st.sampled_from(list(MODULATIONS)))
    return {
        "in_channels": draw(st.integers(1, 3)),
        "channels": draw(st.lists(st.integers(1, 4), min_size=levels, max_size=levels)),
        "kernel_size": draw(st.integers(1, 5 if ndim == 1 else 3)),
        "dilations": draw(st.lists(st.integers(1, 9), min_size=levels, max_size=levels)),
        "block": draw(st.sampled_from(list(BLOCKS))),
        "norm": draw(st.sampled_from(list(NORMS))),
        "modulation": modulation,
        "sizes": [draw(st.integers(1, 5)) for _ in range(ndim - 1)] + [draw(st.integers(2, 40))],
        "padded": draw(st.booleans()),
        "local": draw(st.booleans()),
        "seed": draw(st.integers(0, 999)),
    }


def run(drawn: dict, dtype: torch.dtype, *, training: bool = False) -> None:
    torch.manual_seed(drawn["seed"])
    names = ("in_channels", "channels", "kernel_size", "dilations", "block", "norm")
    backbone = TCN(
        **{name: drawn[name] for name in names},
        ndim=len(drawn["sizes"]),
        causal=True,
        modulation=MODULATIONS[drawn["modulation"]],
    )
    net = SequenceModel(backbone, 2, readout="last").to(dtype).train(training)
    with torch.no_grad():  # shortcuts and running statistics that show
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    x = torch.randn(3, drawn["in_channels"], *drawn["sizes"], dtype=dtype)
    # From 2 on: group norm over a single step and channel is refused by PyTorch.
    lengths = torch.randint(2, drawn["sizes"][-1] + 1, (3,)) if drawn["padded"] else None
    context = {}
    if drawn["modulation"] != "none":
        sizes = drawn["sizes"] if drawn["local"] else []
        context["condition"] = torch.randn(3, 2, *sizes, dtype=dtype)
    assert_same(net, x, lengths, **context)


@settings(max_examples=150)
@given(problems(1))
def test_1d_in_float64(drawn: dict) -> None:
    run(drawn, torch.float64)


@settings(max_examples=60)
@given(problems(2))
def test_2d_in_float64(drawn: dict) -> None:
    run(drawn, torch.float64)


@settings(max_examples=30)
@given(problems(1))
def test_float32(drawn: dict) -> None:
    # Norms of a single channel divide by almost nothing, which float32 does not bear.
    channels = [2 + width for width in drawn["channels"]]
    quiet = drawn["norm"] if drawn["norm"] in ("none", "weight", "batch") else "weight"
    run({**drawn, "channels": channels, "norm": quiet, "in_channels": 3}, torch.float32)


@settings(max_examples=25)
@given(problems(1), st.booleans())
def test_batch_norm_in_training_and_its_running_statistics(drawn: dict, image: bool) -> None:
    sizes = [2, 6] if image else [12]
    run({**drawn, "norm": "batch", "sizes": sizes}, torch.float64, training=True)


@pytest.mark.parametrize("norm", ["weight", "layer"])
@pytest.mark.parametrize("lengths", [None, [21, 21, 21], [21, 1, 8]])
def test_the_paper_net_by_name(norm: str, lengths: list[int] | None) -> None:
    torch.manual_seed(0)
    net = SequenceModel(TCN(2, [5] * 3, 3, norm=norm), 4, readout="last").double()
    x = torch.randn(3, 2, 21, dtype=torch.float64)
    assert_same(net, x, None if lengths is None else torch.tensor(lengths))


@pytest.mark.parametrize("time", [1, 5, 40])
def test_wavenet_whose_skip_outputs_are_summed(time: int) -> None:
    torch.manual_seed(0)

    class WaveNet(SkipSum):
        in_channels, out_channels = 2, 5

    blocks = [GatedBlock(a, 3, 3, dilation=d, skip_channels=5) for a, d in ((2, 1), (3, 2), (3, 5))]
    net = SequenceModel(WaveNet(blocks), 2, readout="last").double()
    x = torch.randn(3, 2, time, dtype=torch.float64)
    assert_same(net, x, None)
    assert_same(net, x, torch.tensor([1, time, (time + 1) // 2]))


@st.composite
def stacks(draw: st.DrawFn) -> dict:
    """Convolutions one after the other, any of them strictly causal, beside a way past them."""
    ndim = draw(st.integers(1, 2))
    axes = lambda values: st.tuples(*[values] * ndim)  # noqa: E731
    paddings = axes(st.sampled_from(["causal", "strictly_causal"]))
    layers = st.tuples(axes(st.integers(1, 3)), axes(st.integers(1, 6)), paddings)
    return {
        "layers": draw(st.lists(layers, min_size=1, max_size=4)),
        "sizes": draw(axes(st.integers(1, 16))),
        "shortcut": draw(st.booleans()),
        "padded": draw(st.booleans()),
    }


@settings(max_examples=60)
@given(stacks())
def test_strictly_causal_convolutions(drawn: dict) -> None:
    ndim = len(drawn["sizes"])
    body = Chain(*(
        convolution(ndim)(2, 2, kernel_size, dilation=dilation, padding=padding)
        for kernel_size, dilation, padding in drawn["layers"]
    ))  # fmt: skip

    class Stack(Add):
        in_channels = out_channels = 2

    backbone = Stack(body, nn.Identity()) if drawn["shortcut"] else Stack(body)
    net = SequenceModel(backbone, 2, readout="last").double()
    x = torch.randn(3, 2, *drawn["sizes"], dtype=torch.float64)
    lengths = torch.randint(1, x.shape[-1] + 1, (3,)) if drawn["padded"] else None
    assert_same(net, x, lengths)


@pytest.mark.parametrize("causal", [False, (False, True), (True, False)])
def test_nets_that_look_ahead(causal: bool | tuple[bool, bool]) -> None:
    torch.manual_seed(0)
    ndim = 1 if causal is False else 2
    net = SequenceModel(TCN(2, [3, 4], 3, ndim=ndim, causal=causal), 2, readout="last").double()
    x = torch.randn(3, 2, *[4] * (ndim - 1), 15, dtype=torch.float64)
    assert_same(net, x, None)
    assert_same(net, x, torch.tensor([3, 15, 8]))


def test_a_recurrent_backbone() -> None:
    net = SequenceModel(GRU(2, 3), 2, readout="last").double()
    x = torch.randn(3, 2, 7, dtype=torch.float64)
    assert_same(net, x, None)
    assert_same(net, x, torch.tensor([3, 7, 1]))


def test_padding_in_place_of_the_mask_on_the_left() -> None:
    net = SequenceModel(TCN(2, [3, 4], 3), 2, readout="last").double()
    x = torch.randn(1, 2, 9, dtype=torch.float64)
    mask = (torch.arange(9) >= 4)[None]
    torch.testing.assert_close(net(x, mask=mask), net(x[..., 4:]), **TOLERANCE[x.dtype])


def test_a_row_of_no_steps_reads_as_zero_by_either_way() -> None:
    net = SequenceModel(TCN(2, [3], 2), 4, readout="last")
    x, lengths = torch.randn(2, 2, 9), torch.tensor([0, 9])
    torch.testing.assert_close(net(x, lengths)[0], net.head.bias)
    torch.testing.assert_close(net(x, lengths), net.step(x, None, lengths)[0])


def test_only_what_is_read_gets_a_gradient() -> None:
    # Kernel 2, dilations 2 and 8 in one block each (two convolutions): the last step reads steps
    # that are even distances away, no further than 2 * (2 + 8).
    net = SequenceModel(TCN(1, [2, 2], 2, dilations=[2, 8], norm="none"), 1, readout="last")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    x = torch.rand(1, 1, 40, requires_grad=True)
    net(x).sum().backward()
    distances = (39 - x.grad.flatten().nonzero().flatten()).tolist()
    assert sorted(distances) == [d + e for d in (0, 8, 16) for e in (0, 2, 4)]


@pytest.mark.parametrize("spatial", [False, True])
def test_dropout_in_training_has_the_distribution_of_the_whole(spatial: bool) -> None:
    # The mask is drawn for fewer positions, so single draws differ; mean and variance must not.
    torch.manual_seed(0)
    backbone = TCN(2, [6, 6], 2, dropout=Dropout(0.3, spatial=spatial))
    net = SequenceModel(backbone, 1, readout="last").train()
    x = torch.randn(1, 2, 12).expand(4000, 2, 12)  # 4,000 draws at once
    with torch.no_grad():
        fast, slow = net(x).double(), whole_then_last(net, x, None).double()
    error = (slow.var() / 4000 * 2) ** 0.5
    assert abs(float(fast.mean() - slow.mean())) < 5 * float(error)
    assert float(fast.var() / slow.var()) == pytest.approx(1, abs=0.15)
    assert float(slow.var()) > 0


def test_the_share_of_zeros_on_the_grid_is_the_probability() -> None:
    shares = []

    class Watched(Dropout):
        def on_grid(self, x, have, want, context):
            y = super().on_grid(torch.ones_like(x), have, want, context)
            shares.append(float((y == 0).float().mean()))
            assert y.unique().tolist() == [0.0, pytest.approx(1 / 0.6)]
            return y

    torch.manual_seed(0)
    net = SequenceModel(TCN(1, [8], 2, dropout=Watched(0.4)), 1, readout="last").train()
    net(torch.randn(2000, 1, 6))
    # 2,000 rows of 8 channels at 2 positions and at 1: at least 16,000 draws.
    assert shares == pytest.approx([0.4, 0.4], abs=5 * (0.24 / 16000) ** 0.5)


def test_the_statistics_of_batch_norm_are_updated_once() -> None:
    net = SequenceModel(TCN(1, [2, 2], 2, norm="batch"), 1, readout="last").train()
    net(torch.randn(4, 1, 6))
    norms = [module for module in net.modules() if isinstance(module, BatchNorm)]
    assert [int(norm.num_batches_tracked) for norm in norms] == [1, 1, 1, 1]
