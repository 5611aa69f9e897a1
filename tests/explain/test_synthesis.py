"""Synthesis: the filter of a unit comes back, and units are driven beyond what data do to them."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.explain import (
    Ascent,
    OneHotPopulation,
    Readout,
    Stretch,
    Units,
    channel_mixture,
    places,
    strongest,
    synthesize,
)
from tcn.models import TCN


def gabor(size: int, angle: float, ndim: int = 2) -> Tensor:
    """A wave under a bell, with a mean of 0 and length 1."""
    axis = torch.arange(size) - (size - 1) / 2
    if ndim == 1:
        along, far = axis, axis
    else:
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        along = x * math.cos(angle) + y * math.sin(angle)
        far = (x.square() + y.square()).sqrt()
    made = torch.cos(2 * math.pi * along / 5 + 0.5) * torch.exp(-(far**2) / (2 * (size / 5) ** 2))
    made -= made.mean()
    return made / made.norm()


def filters(*weights: Tensor) -> nn.Module:
    """A convolution with these weights and a ReLU."""
    ndim = weights[0].dim()
    convolution = {1: nn.Conv1d, 2: nn.Conv2d}[ndim](1, len(weights), len(weights[0]))
    with torch.no_grad():
        convolution.weight.copy_(torch.stack(weights)[:, None])
        convolution.bias.fill_(0.1)
    return nn.Sequential(convolution, nn.ReLU())


def correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


@pytest.mark.parametrize("frequency", [True, False])
@pytest.mark.parametrize("ndim", [1, 2])
def test_the_filter_of_a_unit_comes_back(ndim: int, frequency: bool) -> None:
    weight = gabor(15, 0.6, ndim)
    ascent = Ascent(steps=150, jitter=0, energy=10.0, frequency=frequency)
    made = synthesize(
        filters(weight), "1", Stretch(0, Units("center")), shape=(1, *[33] * ndim), ascent=ascent
    )
    middle = (slice(9, 24),) * ndim
    assert correlation(made.inputs[(0, 0, *middle)], weight) > 0.95
    outside = made.inputs[0, 0].clone()
    outside[middle] = 0
    assert outside.norm() < 0.2 * made.inputs.norm()


def test_the_best_input_of_a_linear_unit_computed_by_hand() -> None:
    # w x - energy / n * x^2 is highest at x = n w / (2 energy).
    weight = torch.tensor([1.0, -2.0, 0.5, 3.0])
    ascent = Ascent(steps=600, rate=0.02, jitter=0, energy=8.0, frequency=False)
    net = nn.Sequential(nn.Conv1d(1, 1, 4, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(weight[None, None])
    made = synthesize(net, "0", 0, shape=(1, 4), ascent=ascent)
    torch.testing.assert_close(made.inputs[0, 0], 4 * weight / 16, rtol=0, atol=2e-3)
    torch.testing.assert_close(made.values[-1], (weight @ weight / 4)[None], rtol=1e-2, atol=0)


def test_one_site_against_others() -> None:
    # Two filters that share half of what they answer to.
    first, second = gabor(15, 0.0), gabor(15, 1.5)
    net = filters(first, (first + second) / math.sqrt(2))
    ascent = Ascent(steps=100, jitter=0, bounds=(-1.0, 1.0))
    center = Units("center")
    answers = {}
    for objective in (Stretch(1, center), OneHotPopulation(1, of=center)):
        made = synthesize(net, "1", objective, shape=(1, 15, 15), ascent=ascent)
        with torch.no_grad():
            answers[type(objective)] = net(made.inputs)[0, :, 0, 0]
    stretched, one_hot = answers[Stretch], answers[OneHotPopulation]
    assert stretched[1] > one_hot[1]
    assert stretched[0] > stretched[1] / 4
    assert one_hot[0] < one_hot[1] / 10
    assert float(made.values[-1, 0]) > math.log(0.9) > float(made.values[0, 0])


def test_the_softmax_of_a_population_by_hand() -> None:
    sites = torch.tensor([[1.0, 3.0, 0.0, 2.0]])
    among = math.exp(1.5) / (math.exp(1.5) + math.exp(0.5))
    found = OneHotPopulation(1, others=[0, 1], temperature=2.0)(sites)
    assert found.tolist() == pytest.approx([math.log(among)])
    everyone = sum(math.exp(value) for value in (1, 3, 0, 2))
    assert OneHotPopulation(3)(sites).tolist() == pytest.approx([math.log(math.exp(2) / everyone)])


def test_units_by_position() -> None:
    activation = torch.arange(24.0).reshape(1, 2, 3, 4)
    assert Units()(activation).tolist() == [[5.5, 17.5]]
    assert Units("center")(activation).tolist() == [[6.0, 18.0]]
    assert Units((0, -1))(activation).tolist() == [[3.0, 15.0]]
    assert Units()(activation[:, :, 0, 0]).tolist() == [[0.0, 12.0]]


def test_sites_that_are_read_out_are_driven() -> None:
    net = TCN(1, [6, 6], kernel_size=3)
    weights, bias = torch.randn(6, 3), torch.randn(3)
    sites = Readout(weights, bias, Units())
    ascent = Ascent(steps=40, jitter=0, bounds=(-1.0, 1.0))
    made = synthesize(net, "levels.1", Stretch(2, sites), shape=(1, 40), ascent=ascent)
    with torch.no_grad():
        net.eval()
        by_hand = net(made.inputs).mean(2) @ weights + bias
    torch.testing.assert_close(made.values[-1], by_hand[:, 2], rtol=1e-4, atol=1e-4)
    assert made.values[-1] > made.values[0] + 0.1
    flat = Readout(torch.eye(6 * 40)[:, :5])
    torch.testing.assert_close(flat(net(made.inputs)), net(made.inputs)[:, 0, :5])


def test_an_objective_of_ones_own() -> None:
    net = TCN(1, [4, 4], kernel_size=3)
    made = synthesize(
        net, "levels.0", lambda activation: -activation[:, 1].square().mean(1),
        start=torch.randn(2, 1, 30), ascent=Ascent(steps=100, jitter=0),
    )  # fmt: skip
    assert (made.values[-1] > made.values[0] / 4).all()


@settings(max_examples=20)
@given(
    st.integers(1, 3),
    st.lists(st.integers(3, 12), min_size=1, max_size=2),
    st.booleans(),
    st.booleans(),
)
def test_any_shape_within_its_bounds(
    batch: int, sizes: list[int], frequency: bool, bounded: bool
) -> None:
    convolution = {1: nn.Conv1d, 2: nn.Conv2d}[len(sizes)]
    net = nn.Sequential(convolution(2, 3, 3, padding=1), nn.Tanh())
    bounds = (2.0, 2.5) if bounded else None
    ascent = Ascent(steps=3, rate=5.0, jitter=1, frequency=frequency, bounds=bounds)
    made = synthesize(net, "1", 2, shape=(2, *sizes), batch=batch, ascent=ascent)
    assert made.inputs.shape == (batch, 2, *sizes)
    assert made.values.shape == (4, batch)
    if bounded:
        assert made.inputs.min() >= 2
        assert made.inputs.max() <= 2.5
        assert made.inputs.std() > 0.01
    with torch.no_grad():
        answers = net(made.inputs)[:, 2].flatten(1).mean(1)
    torch.testing.assert_close(made.values[-1], answers)


@pytest.mark.parametrize("frequency", [True, False])
@pytest.mark.parametrize("mixture", [None, torch.tensor([[1.0, 0.3], [-0.8, 0.1]])])
@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_a_start_is_where_it_begins(
    frequency: bool, mixture: Tensor | None, bounds: tuple | None
) -> None:
    net = nn.Sequential(nn.Conv2d(2, 1, 3))
    start = torch.rand(2, 2, 7, 6) * 0.98 + 0.01
    ascent = Ascent(
        steps=1, rate=1e-7, jitter=0, frequency=frequency, bounds=bounds, mixture=mixture
    )
    kept = start.clone()
    found = synthesize(net, "0", 0, start=start, ascent=ascent).inputs
    torch.testing.assert_close(found, start, rtol=0, atol=1e-5)
    assert torch.equal(start, kept)


def test_the_seed_decides_alone_and_the_net_is_left_as_it_was() -> None:
    net = TCN(1, [4, 4], kernel_size=3, dropout=0.5).train()
    next(net.parameters()).requires_grad_(False)
    asked = [parameter.requires_grad for parameter in net.parameters()]
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    before = torch.get_rng_state()
    ascent = Ascent(steps=5)
    made = [
        synthesize(net, "levels.1", 0, shape=(1, 20), batch=2, ascent=ascent, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(made[0].inputs, made[1].inputs)
    assert torch.equal(made[0].values, made[1].values)
    assert not torch.equal(made[0].inputs, made[2].inputs)
    assert not torch.equal(made[0].inputs[0], made[0].inputs[1])
    assert net.training
    assert [parameter.requires_grad for parameter in net.parameters()] == asked
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


def test_a_silent_unit_is_woken_by_stronger_noise() -> None:
    net = filters(gabor(9, 0.0))
    nn.init.constant_(net[0].bias, -0.4)
    ascent = Ascent(steps=2, rate=1e-6, jitter=0, frequency=False)
    made = synthesize(net, "1", 0, shape=(1, 20, 20), batch=2, ascent=ascent)
    assert 0.08 < made.inputs.std() < 1.2  # faint noise has .01
    assert (made.values[0] > 0).all()
    with pytest.raises(ValueError, match=r"objective: it does not answer to the input"):
        synthesize(net, "1", 0, start=made.inputs / 100, ascent=ascent)


def test_shifts_are_as_far_as_was_said() -> None:
    seen = []

    class Looking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(divmod(int(x[0, 0].argmax()), x.shape[3]))
            return x

    start = torch.zeros(1, 1, 9, 11)
    start[0, 0, 4, 5] = 1
    ascent = Ascent(steps=60, rate=1e-6, jitter=2, frequency=False)
    synthesize(nn.Sequential(Looking()), "0", 0, start=start, ascent=ascent)
    assert {y - 4 for y, _ in seen} == {x - 5 for _, x in seen} == {-2, -1, 0, 1, 2}
    assert seen[-1] == (4, 5)  # what is handed back is measured where it lies


def test_total_variation_makes_it_smooth() -> None:
    net = nn.Sequential(nn.Conv1d(1, 1, 1, bias=False))
    start = torch.randn(1, 1, 64)
    rough, smooth = (
        synthesize(
            net, "0", 0, start=start,
            ascent=Ascent(steps=100, jitter=0, frequency=False, total_variation=weight),
        ).inputs.diff().abs().mean()
        for weight in (0.0, 3.0)
    )  # fmt: skip
    assert smooth < rough / 5


def test_channels_of_data_go_together() -> None:
    # Deviations of 4 and 1 along (.6, .8) and (-.8, .6), in any order and with any sign.
    along = torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    data = (torch.randn(4000, 2, 5).movedim(1, -1) * torch.tensor([4.0, 1.0]) @ along) + 7
    found = channel_mixture(list(data.movedim(-1, 1).split(900)))
    expected = along.T @ torch.diag(torch.tensor([16.0, 1.0])) @ along / 8.5
    torch.testing.assert_close(found @ found.T, expected, rtol=0, atol=0.05)
    # Both channels are asked for, the one up and the other down; the data hardly do that.
    net = nn.Sequential(nn.Conv1d(2, 1, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[[1.0], [-0.2]]]))
    made = [
        synthesize(
            net, "0", 0, shape=(2, 16), ascent=Ascent(steps=5, frequency=False, mixture=mixture)
        ).inputs[0]
        for mixture in (None, found)
    ]
    assert made[0][1].mean() < 0 < made[0][0].mean()
    assert made[1][1].mean() > 0
    assert made[1][0].mean() > 0


@pytest.mark.parametrize("ndim", [1, 2])
def test_every_octave_climbs_alike(ndim: int) -> None:
    # An impulse has every frequency alike, and Adam's first steps are as long for each coefficient:
    # what comes out falls as f^(-1/2) over time and as f^-1 over an image.
    net = nn.Sequential({1: nn.Conv1d, 2: nn.Conv2d}[ndim](1, 1, 31, bias=False))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].weight[(0, 0, *[15] * ndim)] = 1
    ascent = Ascent(steps=3, jitter=0, rate=0.5)
    made = synthesize(net, "0", 0, shape=(1, *[31] * ndim), ascent=ascent).inputs[0, 0]
    size = torch.fft.rfft(made).abs() if ndim == 1 else torch.fft.fft2(made).abs().diagonal()
    assert float(size[1] / size[9]) == pytest.approx(9 ** (ndim / 2), rel=0.3)


@pytest.mark.parametrize("ndim", [1, 2])
def test_a_unit_is_driven_beyond_what_data_do(ndim: int) -> None:
    net = TCN(1, [8, 8], kernel_size=3) if ndim == 1 else nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()
    )  # fmt: skip
    layer = "levels.1" if ndim == 1 else "3"
    data = torch.rand(500, 1, *[24] * ndim) * 2 - 1
    unit = int(strongest(net, data, layer).values[:, 0].argmax())
    (highest,), _ = places(net, data, layer, unit, count=1)
    made = synthesize(
        net, layer, Stretch(unit, Units(highest.position)), start=data[highest.example][None],
        ascent=Ascent(steps=80, rate=0.1, jitter=0, bounds=(-1.0, 1.0)),
    )  # fmt: skip
    factor = strongest(net, made.inputs, layer).values[unit, 0] / highest.value
    assert factor > 1.1


def test_a_trained_unit_is_driven_beyond_photographs(lite0: nn.Module) -> None:
    data = pytest.importorskip("skimage.data")
    pictures = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    patches = torch.cat(
        [
            (torch.from_numpy(picture).movedim(-1, 0) / 127.5 - 1)
            .unfold(1, 64, 64)
            .unfold(2, 64, 64)
            .flatten(1, 2)
            .movedim(0, 1)
            for picture in pictures
        ]
    )
    unit = 5
    ascent = Ascent(steps=40, jitter=2, bounds=(-1.0, 1.0))
    made = synthesize(
        lite0, "blocks.2", Stretch(unit, Units("center")), shape=(3, 64, 64), ascent=ascent
    )
    highest = strongest(lite0, patches, "blocks.2").values[unit, 0]
    assert strongest(lite0, made.inputs, "blocks.2").values[unit, 0] > 1.5 * highest


def test_what_is_wrong_is_named() -> None:
    net = TCN(1, [4], kernel_size=3)
    layer, shape = "levels.0", (1, 20)
    with pytest.raises(ValueError, match=r"shape: give the shape of one input, or inputs"):
        synthesize(net, layer, 0)
    with pytest.raises(ValueError, match=r"shape: give the shape of one input, or inputs"):
        synthesize(net, layer, 0, shape=shape, start=torch.zeros(1, 1, 20))
    with pytest.raises(ValueError, match=r"site: 4 of 4 sites; give 0 to 3"):
        synthesize(net, layer, 4, shape=shape)
    with pytest.raises(TypeError, match=r"site: '4' is not an integer"):
        synthesize(net, layer, "4", shape=shape)
    with pytest.raises(ValueError, match=r"none named 'level'"):
        synthesize(net, "level", 0, shape=shape)
    with pytest.raises(ValueError, match=r"objective: it gives \(1, 20\) for 1 inputs"):
        synthesize(net, layer, lambda activation: activation[:, 0], shape=shape)
    with pytest.raises(ValueError, match=r"objective: it does not depend on the input"):
        synthesize(net, layer, lambda activation: torch.zeros(1), shape=shape)
    with pytest.raises(ValueError, match=r"objective: infinite or NaN on the way"):
        synthesize(net, layer, lambda activation: activation[:, 0, 0] / 0, shape=shape)
    with pytest.raises(ValueError, match=r"start: values from 0 to 0; bring them into the bounds"):
        synthesize(net, layer, 0, start=torch.zeros(1, 1, 20), ascent=Ascent(bounds=(1.0, 2.0)))
    with pytest.raises(ValueError, match=r"frequency: the inputs have no positions"):
        synthesize(nn.Sequential(nn.Linear(3, 2)), "0", 0, shape=(3,))
    with pytest.raises(ValueError, match=r"mixture: shape \(2, 2\) for 1 channels"):
        synthesize(net, layer, 0, shape=shape, ascent=Ascent(mixture=torch.eye(2)))
    with pytest.raises(ValueError, match=r"data: constant, or not finite"):
        channel_mixture(torch.ones(3, 2, 4))
    silent = nn.Sequential(nn.Conv1d(1, 1, 1), nn.ReLU())
    nn.init.constant_(silent[0].bias, -100.0)
    with pytest.raises(ValueError, match=r"objective: it does not answer to the input"):
        synthesize(silent, "1", 0, shape=shape, ascent=Ascent(steps=2))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, r"steps: 0 must be at least 1"),
        ({"rate": 0.0}, r"rate: 0.0; give a finite number"),
        ({"jitter": -1}, r"jitter: -1; give a finite number"),
        ({"energy": math.nan}, r"energy: nan; give a finite number"),
        ({"bounds": (1.0, 1.0)}, r"bounds: \(1.0, 1.0\); give a lowest and a higher"),
    ],
)
def test_settings_out_of_range_are_named(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ascent(**wrong)


def test_settings_of_another_type_are_named() -> None:
    with pytest.raises(TypeError, match=r"jitter: 1.5 is not an integer"):
        Ascent(jitter=1.5)
    with pytest.raises(TypeError, match=r"rate: '1' is not a number"):
        Ascent(rate="1")
    with pytest.raises(TypeError, match=r"frequency: 1 is not True or False"):
        Ascent(frequency=1)


def test_what_is_wrong_with_populations_is_named() -> None:
    activation = torch.zeros(1, 2, 5)
    with pytest.raises(ValueError, match=r"position: 'middle' is not 'mean' or 'center'"):
        Units("middle")
    with pytest.raises(TypeError, match=r"position: 3; give a tuple of integers"):
        Units(3)
    with pytest.raises(ValueError, match=r"position: \(5,\) of a layer with \(5,\)"):
        Units((5,))(activation)
    with pytest.raises(ValueError, match=r"weights: shape \(3,\); give \(features, sites\)"):
        Readout(torch.zeros(3))
    with pytest.raises(ValueError, match=r"bias: shape \(3,\) for 2 sites"):
        Readout(torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(ValueError, match=r"weights: for 3 features, but the layer gives \(10,\)"):
        Readout(torch.zeros(3, 2))(activation)
    with pytest.raises(ValueError, match=r"others: \[1\]; give at least one beside 1"):
        OneHotPopulation(1, others=[1])
    with pytest.raises(ValueError, match=r"temperature: 0 must be above 0"):
        OneHotPopulation(1, temperature=0)
    with pytest.raises(ValueError, match=r"others: 7 of 2 sites"):
        OneHotPopulation(1, others=[7])(activation)
    with pytest.raises(ValueError, match=r"of: the population gives \(1, 2, 5\)"):
        Stretch(0, lambda given: given)(activation)
