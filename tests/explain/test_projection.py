"""Projections against hand computation, PyTorch's gradients, and captum's rules."""

from collections.abc import Callable

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcn.explain import Fields, activations, places, project, projections
from tcn.layers import MaxPool1d
from tcn.models import TCN

PATTERNS = {
    1: torch.tensor([1.0, -2.0, 3.0, -1.0, 2.0]),
    2: torch.tensor([[1.0, -1.0, 2.0], [-1.0, 3.0, -2.0], [2.0, 0.0, 1.0]]),
}


def detector(ndim: int) -> nn.Sequential:
    """Unit 1 has the pattern as its filter, and answers to nothing weaker than half of it."""
    pattern = PATTERNS[ndim]
    convolution = (nn.Conv1d, nn.Conv2d)[ndim - 1](1, 3, pattern.shape)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[1, 0] = pattern
        convolution.bias.fill_(-float((pattern**2).sum()) / 2)
    return nn.Sequential(convolution, nn.ReLU())


def planted(ndim: int, at: tuple[int, ...], count: int = 1) -> Tensor:
    """Noise, and in it the pattern; `at` is where it begins."""
    x = 0.1 * torch.randn(count, 1, *[20] * ndim)
    spans = (slice(a, a + n) for a, n in zip(at, PATTERNS[ndim].shape, strict=True))
    x[(slice(None), 0, *spans)] += PATTERNS[ndim]
    return x


@pytest.mark.parametrize(("ndim", "at"), [(1, (7,)), (2, (4, 11))])
@pytest.mark.parametrize("rule", ["deconvolution", "guided"])
def test_a_planted_pattern_is_projected_where_it_is(
    ndim: int, at: tuple[int, ...], rule: str
) -> None:
    """By construction: one filter, so its transpose at the place of the pattern."""
    found = project(detector(ndim), planted(ndim, at), "1", 1, rule=rule)
    expected = torch.zeros(1, 1, *[20] * ndim)
    spans = (slice(a, a + n) for a, n in zip(at, PATTERNS[ndim].shape, strict=True))
    expected[(0, 0, *spans)] = PATTERNS[ndim]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(("ndim", "at"), [(1, (7,)), (2, (4, 11))])
def test_the_strongest_patches_lie_beside_their_projections(ndim: int, at: tuple[int, ...]) -> None:
    data = torch.cat([0.1 * torch.randn(4, 1, *[20] * ndim), planted(ndim, at)])
    found = projections(detector(ndim), data, "1", 1, count=2)
    assert found.places[0].example == 4
    assert found.places[0].position == at
    torch.testing.assert_close(found.projected[0][0], PATTERNS[ndim])
    torch.testing.assert_close(found.patches[0][0], PATTERNS[ndim], atol=0.5, rtol=0)
    assert (found.places, 2) == (places(detector(ndim), data, "1", 1, count=2)[0], len(found[1]))


def test_all_rules_are_the_gradient_of_a_net_without_rectifiers() -> None:
    net = nn.Sequential(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Conv1d(4, 3, 3))
    net[1].running_mean.normal_()
    net.eval()
    x = torch.randn(2, 2, 12, requires_grad=True)
    (expected,) = torch.autograd.grad(net(x)[:, 2, 5].sum(), x)
    for rule in ("deconvolution", "guided", "gradient"):
        assert torch.equal(project(net, x.detach(), "2", 2, (5,), rule=rule), expected)


def test_a_pool_hands_down_to_where_its_maximum_was() -> None:
    """By hand: of 1 5 | 4 2 | 0 3 the second pair's maximum is its first."""
    x = torch.tensor([[[1.0, 5.0, 4.0, 2.0, 0.0, 3.0]]])
    for pool in (nn.MaxPool1d(2), MaxPool1d(2, padding="valid")):
        net = nn.Sequential(pool, nn.Identity())
        assert project(net, x, "1", 0, (1,)).tolist() == [[[0, 0, 1, 0, 0, 0]]]
        assert project(net, x, "1", 0).tolist() == [[[0, 1, 0, 0, 0, 0]]]


class Rectified(nn.Module):
    """Two linear maps and a rectifier between, however it is called."""

    def __init__(self, rectify: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(4, 6, bias=False), nn.Linear(6, 2, bias=False)
        self.up.weight.data[:] = torch.tensor([1.0, -1.0, 2.0, -2.0, 0.5, -0.5])
        self.rectify = rectify

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.rectify(self.down(x)))


def in_a_statement(x: Tensor) -> Tensor:
    F.relu_(x)
    return x


RELUS = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "torch.relu": torch.relu,
    "Tensor.relu": Tensor.relu,
    "Tensor.relu_": Tensor.relu_,
    "F.relu_": in_a_statement,
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min_": lambda x: x.clamp_min_(0),
    "threshold": nn.Threshold(0.0, 0.0),
    "ReLU6": nn.ReLU6(),
    "ReLU6 in place": nn.ReLU6(inplace=True),
    "hardtanh": nn.Hardtanh(0.0, 6.0),
}


@pytest.mark.parametrize("name", RELUS)
def test_what_comes_down_is_rectified_however_a_rectifier_is_called(name: str) -> None:
    """By hand: down' relu(up'), and for the guided rule only where the unit was positive."""
    net = Rectified(RELUS[name])
    x = torch.randn(3, 4)
    up, down = net.up.weight[1].detach(), net.down.weight.detach()
    assert (x @ down.T < 0).any()
    deconvolved = project(net, x, "up", 1)
    torch.testing.assert_close(deconvolved, (up.clamp_min(0) @ down).expand(3, 4))
    guided = project(net, x, "up", 1, rule="guided")
    torch.testing.assert_close(guided, (up.clamp_min(0) * (x @ down.T > 0)) @ down)
    gradient = project(net, x, "up", 1, rule="gradient")
    torch.testing.assert_close(gradient, (up * (x @ down.T > 0)) @ down)


@pytest.mark.parametrize(
    "module",
    [nn.LeakyReLU(0.2), nn.LeakyReLU(0.2, inplace=True), nn.PReLU(), nn.ELU(), nn.CELU(),
     nn.SELU(inplace=True), nn.GELU(), nn.SiLU(), nn.Mish(), nn.Softplus(), nn.Hardswish(),
     nn.RReLU()],
    ids=lambda module: type(module).__name__,
)  # fmt: skip
def test_relatives_of_relu_rectify_too_and_keep_their_slope_when_guided(module: nn.Module) -> None:
    net = Rectified(module).eval()
    x = torch.randn(3, 4)
    up, down = net.up.weight[0].detach(), net.down.weight.detach()
    torch.testing.assert_close(project(net, x, "up", 0), (up.clamp_min(0) @ down).expand(3, 4))
    hidden = (x @ down.T).requires_grad_()
    (slope,) = torch.autograd.grad(module(hidden.clone()).sum(), hidden)
    guided = project(net, x, "up", 0, rule="guided")
    torch.testing.assert_close(guided, (up.clamp_min(0) * slope) @ down)


def test_tanh_keeps_its_gradient() -> None:
    net = Rectified(torch.tanh)
    x = torch.randn(2, 4)
    assert torch.equal(project(net, x, "up", 0), project(net, x, "up", 0, rule="gradient"))


@pytest.mark.parametrize("name", ["Deconvolution", "GuidedBackprop"])
@pytest.mark.parametrize("kind", ["image", "sequence"])
@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_projections_are_those_of_captum(name: str, kind: str) -> None:
    """Captum's rules follow ReLUs that are modules; ours must agree there, fast paths included."""
    if kind == "image":
        net: nn.Module = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(4, 5, 3), nn.ReLU()
        )
        x, layer = torch.randn(1, 1, 16, 16), "4"
    else:
        net = TCN(2, [6, 6, 6], kernel_size=3).eval()
        x, layer = torch.randn(1, 2, 30), "levels.2"
    y = net(x)
    unit, *position = (int(each) for each in torch.unravel_index(y[0].argmax(), y[0].shape))
    explain = getattr(captum.attr, name)(net)
    expected = explain.attribute(x.clone().requires_grad_(), (unit, *position))
    rule = {"Deconvolution": "deconvolution", "GuidedBackprop": "guided"}[name]
    found = project(net, x, layer, unit, rule=rule)
    assert found.abs().max() > 0
    torch.testing.assert_close(found, expected.detach())


def test_a_projection_stays_in_the_receptive_field() -> None:
    net = TCN(1, [4, 4], kernel_size=3)
    x = torch.randn(1, 1, 60)
    (span,) = Fields(net, "levels.1", x).span((50,))
    assert span == slice(50 - net.receptive_field + 1, 51)
    found = project(net, x, "levels.1", 2, (50,))[0, 0]
    assert found[span].abs().sum() > 0
    found[span] = 0
    assert not found.any()


def test_activations_before_a_rectifier_in_place_are_not_rectified() -> None:
    net = nn.Sequential(nn.Linear(3, 8), nn.ReLU(inplace=True))
    x = torch.randn(4, 3)
    assert torch.equal(activations(net, x, ["0"])["0"], net[0](x))


def test_the_net_and_the_random_state_are_left_as_they_were() -> None:
    net = nn.Sequential(nn.Conv1d(1, 4, 3), nn.Dropout(), nn.ReLU(inplace=True), nn.Conv1d(4, 2, 3))
    net[3].eval()
    net[0].bias.requires_grad_(False)
    state, random = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    x = torch.randn(2, 1, 12)
    random = torch.get_rng_state()
    with torch.inference_mode():
        found = project(net, x, "3", 0)
    assert not found.requires_grad
    assert [module.training for module in net] == [True, True, True, False]
    assert all(torch.equal(net.state_dict()[name], state[name]) for name in state)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert [p.requires_grad for p in net.parameters()] == [True, False, True, True]
    assert net[2].inplace
    assert not x.requires_grad
    assert torch.equal(torch.get_rng_state(), random)


def test_dense_units_have_no_position() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    found = project(net, torch.randn(2, 1, 6), "1", 2)
    torch.testing.assert_close(found[:, 0], net[1].weight[2].detach().expand(2, 6))


def test_wrong_arguments_are_refused_by_name() -> None:
    net, x = nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU()), torch.randn(2, 1, 12)
    with pytest.raises(ValueError, match=r"rule: 'relu' is not one of 'deconvolution'"):
        project(net, x, "1", 0, rule="relu")
    with pytest.raises(ValueError, match=r"unit: 4 of a layer with 4; give 0 to 3"):
        project(net, x, "1", 4)
    with pytest.raises(ValueError, match=r"position: 10 on an axis of 10; give 0 to 9"):
        project(net, x, "1", 0, (10,))
    with pytest.raises(ValueError, match=r"position: \(1, 1\) for 1 axes"):
        project(net, x, "1", 0, (1, 1))
    with pytest.raises(TypeError, match=r"position: \(1.5,\) is not a sequence of integers"):
        project(net, x, "1", 0, (1.5,))
    with pytest.raises(ValueError, match=r"layer: Sequential has none named '7'"):
        project(net, x, "7", 0)
    with pytest.raises(ValueError, match=r"x: torch.int64 has no gradient"):
        project(net, torch.ones(2, 1, 12, dtype=torch.int64), "1", 0)
