"""Norms and squeeze-and-excite in float16 and bfloat16, against the same layer in float64."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from tcn.layers import (
    BatchNorm,
    ChannelNorm,
    CumulativeNorm,
    GroupNorm,
    Pointwise,
    RMSNorm,
    SequenceModule,
    SqueezeExcite,
)
from tcn.models import TCN

CHANNELS, TIME = 64, 700
EPSILONS = {torch.float16: 2**-11, torch.bfloat16: 2**-8}  # the rounding of one result
LAYERS = {
    "channel": ChannelNorm,
    "rms": RMSNorm,
    "cumulative": CumulativeNorm,
    "batch": BatchNorm,
    "group": GroupNorm,
    "excite": SqueezeExcite,
    "excite over the whole": lambda channels: SqueezeExcite(channels, causal=False),
}
LENGTHS = {"whole": None, "padded": torch.tensor([TIME, 431, 2])}
# Squares of 300 overflow float16, and so do 700 times 300; around 30 the mean takes the digits.
SIGNALS = {"unit": (1.0, 0.0), "large": (300.0, 0.0), "far from zero": (1.0, 30.0)}


def half_layer(name: str, dtype: torch.dtype) -> SequenceModule:
    torch.manual_seed(1)
    layer = LAYERS[name](CHANNELS)
    for parameter in layer.parameters():
        # Weights of what averages 300 that leave the sigmoid where it is not flat.
        nn.init.normal_(parameter, std=1e-3 if "excite" in name else 0.3)
    return layer.to(dtype)


def answers(layer: nn.Module, x: Tensor, lengths: Tensor | None, gradient: Tensor) -> list[Tensor]:
    """Valid outputs, and the gradients of input and parameters, in float64."""
    x = x.clone().requires_grad_()
    pointwise = isinstance(layer, Pointwise)
    y = layer(x) if pointwise or lengths is None else layer(x, lengths)
    assert y.dtype == x.dtype
    if lengths is not None:
        y = y.masked_fill(torch.arange(TIME) >= lengths.view(-1, 1, 1), 0)
    y.backward(gradient.to(y.dtype))
    found = [y, x.grad, *(parameter.grad for parameter in layer.parameters())]
    return [tensor.detach().double() for tensor in found]


@pytest.mark.parametrize("dtype", EPSILONS, ids=str)
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize(("name", "signal"), [
    (name, signal) for name in LAYERS for signal in SIGNALS
    # An average of 30 in a product of half precision is another matter, and not the layer's.
    if signal != "far from zero" or "excite" not in name
])  # fmt: skip
def test_half_precision_rounds_the_result_and_not_the_statistics(
    name: str, signal: str, lengths: Tensor | None, dtype: torch.dtype
) -> None:
    scale, mean = SIGNALS[signal]
    layer, generator = half_layer(name, dtype), torch.Generator().manual_seed(0)
    x = (torch.randn(3, CHANNELS, TIME, generator=generator) * scale + mean).to(dtype)
    gradient = (torch.randn(3, CHANNELS, TIME, generator=generator) / TIME).to(dtype)
    found = answers(layer, x, lengths, gradient)
    expected = answers(copy.deepcopy(layer).double(), x.double(), lengths, gradient)
    # PyTorch's own norms add up the gradients of their weights in half precision.
    allowed = [4, 8, *[32] * (len(expected) - 2)]
    for actual, wanted, roundings in zip(found, expected, allowed, strict=True):
        assert actual.isfinite().all()
        error = (actual - wanted).abs().max() / wanted.abs().max()
        assert error < roundings * EPSILONS[dtype], error


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_the_average_of_large_values_is_as_large(lengths: Tensor | None, causal: bool) -> None:
    """700 times 300 is beyond float16, their average is not: the gate of a constant is known."""
    layer = SqueezeExcite(4, reduction=4, causal=causal).half()
    with torch.no_grad():
        layer.squeeze.weight.fill_(1 / 1200)
        layer.squeeze.bias.zero_()
        layer.excite.weight.fill_(1)
        layer.excite.bias.zero_()
    x = torch.full((3, 4, TIME), 300.0).half().requires_grad_()
    y = layer(x, lengths)
    assert y[0].flatten().tolist() == pytest.approx([300 / (1 + math.exp(-1))] * 4 * TIME, rel=2e-3)
    y.mean(dtype=torch.float32).backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", EPSILONS, ids=str)
def test_running_averages_stay_in_float32(dtype: torch.dtype) -> None:
    """A variance of 90,000 has no place in float16; PyTorch's own layer in float64 says which."""
    x = (torch.randn(4, 3, 200, generator=torch.Generator().manual_seed(0)) * 300 + 7).to(dtype)
    norm, own = BatchNorm(3).to(dtype), nn.BatchNorm1d(3).double()
    for _ in range(40):
        norm(x)
        own(x.double())
    assert norm.running_var.dtype == norm.running_mean.dtype == torch.float32
    torch.testing.assert_close(norm.running_mean.double(), own.running_mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm.running_var.double(), own.running_var, rtol=1e-5, atol=0)
    assert int(norm.num_batches_tracked) == 40
    roundings = 4 * EPSILONS[dtype]
    expected = own.eval()(x.double())
    torch.testing.assert_close(
        norm.eval()(x).double(), expected, rtol=roundings, atol=roundings
    )  # fmt: skip


def test_halving_keeps_what_was_averaged_and_reads_what_others_saved() -> None:
    norm = BatchNorm(2)
    norm.running_var.copy_(torch.tensor([1e6, 1.0]))
    assert norm.half().running_var.tolist() == [1e6, 1.0]
    assert norm.weight.dtype == torch.float16
    assert norm.double().running_var.dtype == torch.float64
    norm.half().load_state_dict(nn.BatchNorm1d(2).half().state_dict())  # all of it in float16
    assert norm.running_var.tolist() == [1.0, 1.0]
    assert list(norm.state_dict()) == list(nn.BatchNorm1d(2).state_dict())


def test_momentum_of_none_averages_all_batches_alike_in_half_precision() -> None:
    norm, x = BatchNorm(1).half(), torch.tensor([[[1.0, 3.0]], [[5.0, 7.0]]]).half()
    norm.momentum = None
    norm(x[:1])
    norm(x[1:])
    assert norm.running_mean.tolist() == [4.0]  # of 2 and 6


@pytest.mark.parametrize("dtype", EPSILONS, ids=str)
@pytest.mark.parametrize("norm", ["layer", "rms", "cumulative", "batch", "group"])
def test_padding_is_invisible_to_a_net_in_half_precision(norm: str, dtype: torch.dtype) -> None:
    """A symmetry: rows padded with whatever, and the same rows taken one by one."""
    torch.manual_seed(0)
    net = TCN(2, [8, 8], 3, norm=norm).to(dtype).eval()
    x, lengths = torch.randn(3, 2, 20).mul(100).to(dtype), torch.tensor([20, 11, 4])
    y = net(x.masked_fill(torch.arange(20) >= lengths.view(3, 1, 1), torch.nan), lengths)
    for row, length in enumerate(lengths.tolist()):
        alone = net(x[row : row + 1, :, :length])
        error = (y[row, :, :length] - alone[0]).abs().max() / alone.abs().max()
        assert error < 8 * EPSILONS[dtype]


def test_a_single_step_has_no_deviation_and_none_changes_nothing() -> None:
    norm = BatchNorm(2).half()
    nothing = norm(torch.ones(1, 2, 3).half(), torch.tensor([0]))
    assert not nothing.any()
    assert norm.running_mean.tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match=r"x: 1 valid step in the batch.*call eval\(\)"):
        norm(torch.ones(1, 2, 3).half(), torch.tensor([1]))
