"""Attributions against hand computation and completeness; effective fields against the whole."""

import math
import sys
import warnings
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import tcn
from tcn.explain import attribute, effective_field
from tcn.models import GRU, LSTM, TCN

SUMMING = ("integrated_gradients", "deeplift")


class Product(nn.Module):
    """The product of two numbers, and their squares."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, 0] * x[:, 1], x[:, 0] ** 2], 1)


def test_integrated_gradients_by_hand() -> None:
    """Of x y from 0 each gets half (x y); of x squared x gets all (Sundararajan 2017, eq. 1)."""
    x = torch.tensor([[2.0, 3.0], [-1.0, 4.0]])
    found = attribute(Product(), x, 0)
    torch.testing.assert_close(found.values, torch.tensor([[3.0, 3.0], [-2.0, -2.0]]))
    torch.testing.assert_close(found.difference, torch.tensor([6.0, -4.0]))
    assert found.steps == 32
    found = attribute(Product(), x, -1, baseline=torch.tensor([[1.0, 9.0]]))
    torch.testing.assert_close(found.values, torch.tensor([[3.0, 0.0], [0.0, 0.0]]))


@pytest.mark.parametrize("method", [*SUMMING, "occlusion"])
def test_of_a_linear_net_each_number_gave_its_weight_times_its_way(method: str) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    x, baseline = torch.randn(4, 2, 4), torch.randn(1, 2, 4)
    found = attribute(net, x, 2, method=method, baseline=baseline, size=1)
    each = net[1].weight[2].detach().view(2, 4) * (x - baseline)
    if method == "occlusion":  # a patch covers all channels
        each = each.sum(1, keepdim=True).expand(4, 2, 4)
    torch.testing.assert_close(found.values, each)
    if method != "occlusion":
        assert found.gap.abs().max() < 1e-5


@pytest.mark.parametrize("method", ["gradient", "guided"])
def test_gradients_of_a_linear_net_are_its_weights(method: str) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    found = attribute(net, torch.randn(4, 2, 4), 2, method=method)
    torch.testing.assert_close(found.values[1].flatten(), net[1].weight[2].detach())
    assert found.gap is None


def test_deeplift_by_hand() -> None:
    """min(a, b) = a - relu(a - b) at (2, 1) from 0: the rescale rule gives 0 and 1."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0.0], [1.0, -1.0]]))
        net[2].weight.copy_(torch.tensor([[1.0, -1.0]]))
    found = attribute(net, torch.tensor([[2.0, 1.0]]), method="deeplift")
    torch.testing.assert_close(found.values, torch.tensor([[0.0, 1.0]]))


@pytest.mark.parametrize(
    "build",
    [lambda: TCN(2, [6, 6], kernel_size=3), lambda: LSTM(2, 5), lambda: GRU(2, 5, 2)],
    ids=["TCN", "LSTM", "GRU"],
)
@pytest.mark.parametrize("target", [(3, -1), (0, 7)])
def test_attributions_of_sequences_sum_to_the_difference(
    build: Callable[[], nn.Module], target: tuple[int, int]
) -> None:
    net = build()
    x = 3 * torch.randn(3, 2, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = attribute(net, x, target)
    assert found.values.shape == x.shape
    with torch.no_grad():
        y = net.eval()(torch.cat([x, torch.zeros_like(x)]))[(slice(None), *target)]
    torch.testing.assert_close(found.difference, y[:3] - y[3:])
    error = (found.values.sum((1, 2)) - found.difference).abs()
    assert (error <= 0.01 * found.difference.abs() + 1e-5).all()
    torch.testing.assert_close(found.gap.abs(), error, atol=1e-5, rtol=0)
    after = target[1] % 20 + 1  # what comes later gave nothing
    assert found.values[..., after:].abs().sum() == 0


def test_deeplift_of_a_tcn_sums_to_the_difference_and_rectifiers_in_place_stay() -> None:
    found = attribute(TCN(2, [6, 6], kernel_size=3), torch.randn(3, 2, 20), (3, -1),
                      method="deeplift")  # fmt: skip
    assert (found.gap.abs() <= 0.01 * found.difference.abs() + 1e-5).all()
    net = nn.Sequential(nn.Conv1d(1, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(30, 2))
    found = attribute(net, torch.randn(2, 1, 12), 1, method="deeplift")
    assert net[1].inplace
    assert found.gap.abs().max() < 1e-5


def test_the_target_may_be_a_unit_of_a_layer() -> None:
    net = nn.Sequential(nn.Conv1d(1, 3, 3, bias=False), nn.ReLU(), nn.Flatten())
    x = torch.randn(2, 1, 12)
    found = attribute(net, x, (2, 4), layer="0")
    expected = torch.zeros(2, 12)
    expected[:, 4:7] = net[0].weight[2, 0].detach() * x[:, 0, 4:7]
    torch.testing.assert_close(found.values[:, 0], expected)


def test_guided_follows_rectifiers_that_are_functions() -> None:
    """By hand as in tests of projections; captum would return the plain gradient."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.up(torch.relu(self.down(x)))

    net, x = Net(), torch.randn(3, 4)
    found = attribute(net, x, 1, method="guided").values
    weight = net.up.weight[1].detach().clamp_min(0) * (net.down(x).detach() > 0)
    torch.testing.assert_close(found, weight @ net.down.weight.detach())


def test_occlusion_covers_patches() -> None:
    """By hand: patches of two overlap by one; each step is the mean of those that cover it."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    found = attribute(net, torch.ones(1, 1, 4), method="occlusion", size=2)
    torch.testing.assert_close(found.values, torch.tensor([[[3.0, 4.0, 6.0, 7.0]]]))


class Steep(nn.Module):
    """A step that few points of the way see."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(300 * (x - 0.7)).sum((1, 2))[:, None]


def test_a_gap_is_told_with_its_cure_and_more_steps_close_it() -> None:
    x = torch.ones(2, 1, 3)
    with pytest.warns(UserWarning, match=r"2 of 2 examples miss .* give more steps than 4"):
        found = attribute(Steep(), x, steps=4)
    assert found.steps == 4
    assert (found.gap.abs() > 0.01 * found.difference.abs()).all()
    found = attribute(Steep(), x)
    assert found.steps > 32
    assert (found.gap.abs() <= 0.01 * found.difference.abs()).all()


class Called(nn.Module):
    """Rectifiers as functions, which captum's DeepLift does not see."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(3 * x).sum((1, 2))


def test_what_deeplift_cannot_follow_is_told() -> None:
    with pytest.warns(UserWarning, match=r"use method='integrated_gradients', for rectifiers"):
        attribute(Called(), torch.ones(2, 1, 3), method="deeplift")
    shared = nn.ReLU()
    twice = nn.Sequential(nn.Linear(4, 4), shared, nn.Linear(4, 4), shared, nn.Linear(4, 1))
    with pytest.raises(ValueError, match=r"method: 'deeplift' does not follow Sequential \(captum"):
        attribute(twice, torch.randn(3, 4), method="deeplift")
    assert attribute(twice, torch.randn(3, 4)).gap.abs().max() < 0.1


def test_the_net_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Conv1d(1, 4, 3), nn.Dropout(), nn.ReLU(), nn.Flatten(), nn.Linear(40, 2))
    x = torch.randn(2, 1, 12)
    random = torch.get_rng_state()
    for method in ("integrated_gradients", "occlusion", "guided", "deeplift", "gradient"):
        with torch.no_grad():
            found = attribute(net, x, 0, method=method)
        assert not found.values.requires_grad
    assert all(module.training for module in net.modules())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in net.modules())
    assert not x.requires_grad
    assert torch.equal(torch.get_rng_state(), random)


@settings(max_examples=20)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 3),
    time=st.integers(3, 9),
    method=st.sampled_from(["integrated_gradients", "occlusion", "guided", "gradient"]),
)
def test_attributions_are_shaped_as_the_input(
    batch: int, channels: int, time: int, method: str
) -> None:
    net = TCN(channels, [3], kernel_size=2)
    x = torch.randn(batch, channels, time)
    assert attribute(net, x, (1, -1), method=method).values.shape == x.shape
    image = nn.Sequential(nn.Conv2d(channels, 2, 2), nn.ReLU())
    x = torch.randn(batch, channels, time, 4)
    assert attribute(image, x, (1, 0, -1), method=method).values.shape == x.shape


def test_wrong_arguments_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = TCN(1, [3], kernel_size=2), torch.randn(2, 1, 12)
    with pytest.raises(ValueError, match=r"method: 'lime' is not one of 'integrated_gradients'"):
        attribute(net, x, (0, 0), method="lime")
    with pytest.raises(ValueError, match=r"target: None, but there are 36 numbers, \(3, 12\)"):
        attribute(net, x)
    with pytest.raises(ValueError, match=r"target: 1 for an output of \(3, 12\)"):
        attribute(net, x, 1)
    with pytest.raises(ValueError, match=r"target: \(3, 0\) of an output of \(3, 12\); 3 is out"):
        attribute(net, x, (3, 0))
    with pytest.raises(TypeError, match=r"target: 'cat'; give an integer"):
        attribute(net, x, "cat")
    with pytest.raises(ValueError, match=r"steps: 0 must be at least 1"):
        attribute(net, x, (0, 0), steps=0)
    with pytest.raises(ValueError, match=r"baseline: shape \(1, 1, 5\) for inputs of \(2, 1, 12\)"):
        attribute(net, x, (0, 0), baseline=torch.zeros(1, 1, 5))
    with pytest.raises(ValueError, match=r"size: 13 on an axis of 12"):
        attribute(net, x, (0, 0), method="occlusion", size=13)
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(ModuleNotFoundError, match=r"tcn.explain.attribute needs the extra"):
        attribute(net, x, (0, 0))
    assert attribute(net, x, (0, 0), method="gradient").values.shape == x.shape


# -------------------------------------------------------------------------------- effective field


def filters(*weights: list[float]) -> nn.Sequential:
    made = []
    for weight in weights:
        made.append(nn.Conv1d(1, 1, len(weight), bias=False))
        made[-1].weight.data = torch.tensor([[weight]])
    return nn.Sequential(*made)


def test_the_profile_of_filters_by_hand() -> None:
    """1 1 * 1 1 = 1 2 1, and so on: shares of Pascal's triangle, Luo et al. 2016, section 2.2."""
    found = effective_field(filters([1.0, 1.0], [1.0, 1.0]), torch.randn(5, 1, 8), sample_rate=4.0)
    expected = torch.tensor([0.0] * 5 + [1 / 4, 1 / 2, 1 / 4], dtype=torch.float64)
    torch.testing.assert_close(found.profiles[0], expected)
    assert (found.position, found.examples) == ((5,), 5)
    assert [found.width(share) for share in (0.5, 0.75, 0.76, 1.0)] == [1, 2, 3, 3]
    assert found.seconds(0.75) == 0.5
    first = effective_field(filters([1.0, 3.0]), torch.randn(5, 1, 8), position=0)
    assert first.profiles[0][:2].tolist() == [0.25, 0.75]


def test_an_image_has_a_profile_per_axis() -> None:
    net = nn.Conv2d(1, 1, (1, 3), bias=False)
    net.weight.data = torch.tensor([[[[1.0, -2.0, 1.0]]]])
    found = effective_field(net, torch.randn(3, 1, 5, 8), position=(2, 2))
    assert found.profiles[0].tolist() == [0, 0, 1, 0, 0]
    assert found.profiles[1].tolist() == [0, 0, 0.25, 0.5, 0.25, 0, 0, 0]
    assert (found.width(1.0, axis=0), found.width(1.0)) == (1, 3)


@settings(max_examples=15)
@given(
    levels=st.integers(1, 3),
    kernel_size=st.integers(1, 4),
    width=st.integers(1, 4),
    share=st.floats(0.1, 1.0),
)
def test_it_is_never_wider_than_the_declared_field(
    levels: int, kernel_size: int, width: int, share: float
) -> None:
    net = TCN(2, [width] * levels, kernel_size=kernel_size, activation="tanh")
    found = effective_field(net, torch.randn(3, 2, 60))
    assert 1 <= found.width(share) <= found.width(1.0) <= tcn.receptive_field(net).size
    assert net.receptive_field == tcn.receptive_field(net).size
    assert math.isclose(float(found.profiles[0].sum()), 1)


def test_a_layer_has_its_own_field_and_batches_make_no_difference() -> None:
    net = TCN(1, [4, 4], kernel_size=3)
    x = torch.randn(10, 1, 40)
    first = effective_field(net, x, layer="levels.0")
    assert first.width(1.0) <= 5 < net.receptive_field
    whole, parts = effective_field(net, x), effective_field(net, x, batch_size=3)
    torch.testing.assert_close(whole.profiles[0], parts.profiles[0])


def test_fields_that_cannot_be_measured_are_refused() -> None:
    net, x = filters([1.0, 1.0]), torch.randn(5, 1, 8)
    with pytest.raises(ValueError, match=r"position: 7 on an axis of 7; give 0 to 6"):
        effective_field(net, x, position=7)
    with pytest.raises(ValueError, match=r"position: the gradient at \(6,\) .* is 0.0 everywhere"):
        effective_field(filters([0.0]), x[..., :7])
    with pytest.raises(ValueError, match=r"data: inputs of \(9,\) after those of \(8,\)"):
        effective_field(net, [x, torch.randn(1, 1, 9)])
    with pytest.raises(ValueError, match=r"sample_rate: 0 must be above 0"):
        effective_field(net, x, sample_rate=0)
    found = effective_field(net, x)
    with pytest.raises(ValueError, match=r"sample_rate: None; give steps per second"):
        found.seconds()
    with pytest.raises(ValueError, match=r"share: 0; give a number above 0"):
        found.width(0)
