"""FiLM, added conditions and squeeze-and-excite against formulas and numbers worked out by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tcn.layers import AddCondition, FiLM, SqueezeExcite
from tcn.models import TCN

EXACT = {"rtol": 1e-12, "atol": 1e-12}
CONDITIONED = [FiLM, AddCondition]


def test_film_hand_computed_value() -> None:
    # One channel, condition c = 2: scale = 3c + 1 = 7, shift = 10c = 20, y = (1 + 7) x + 20.
    film = FiLM(1, 1)
    with torch.no_grad():
        film.projection.weight.copy_(torch.tensor([[3.0], [10.0]]))
        film.projection.bias.copy_(torch.tensor([1.0, 0.0]))
    y = film(torch.tensor([[[1.0, -1.0]]]), condition=torch.tensor([[2.0]]))
    assert y.flatten().tolist() == [28.0, 12.0]


def test_film_scales_first_and_shifts_by_the_second_half() -> None:
    film = FiLM(3, 2).double()
    x, c = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 2, dtype=torch.float64)
    projected = c @ film.projection.weight.T + film.projection.bias
    expected = torch.stack([
        x[:, i] * (1 + projected[:, i : i + 1]) + projected[:, 3 + i : 4 + i] for i in range(3)
    ], dim=1)  # fmt: skip
    torch.testing.assert_close(film(x, condition=c), expected, **EXACT)


def test_add_condition_hand_computed_value() -> None:
    add = AddCondition(2, 1)
    with torch.no_grad():
        add.projection.weight.copy_(torch.tensor([[3.0], [0.0]]))
        add.projection.bias.copy_(torch.tensor([1.0, 5.0]))
    y = add(torch.zeros(1, 2, 2), condition=torch.tensor([[[2.0, 4.0]]]))  # one value per step
    assert y.tolist() == [[[7.0, 13.0], [5.0, 5.0]]]


@pytest.mark.parametrize("kind", CONDITIONED)
@pytest.mark.parametrize("sizes", [(6,), (3, 4)])
def test_a_global_condition_is_a_constant_local_one(kind, sizes: tuple[int, ...]) -> None:
    layer, x, c = kind(3, 2), torch.randn(2, 3, *sizes), torch.randn(2, 2)
    local = c.view(2, 2, *[1] * len(sizes)).expand(2, 2, *sizes)
    torch.testing.assert_close(layer(x, condition=c), layer(x, condition=local))


@pytest.mark.parametrize("kind", CONDITIONED)
def test_a_local_condition_acts_on_its_own_step_and_row(kind) -> None:
    layer, x, c = kind(3, 2), torch.randn(2, 3, 6), torch.randn(2, 2, 6)
    changed = c.clone()
    changed[0, :, 4] += 1
    difference = (layer(x, condition=changed) - layer(x, condition=c)).abs().sum(1)
    assert (difference > 0).nonzero().tolist() == [[0, 4]]


@pytest.mark.parametrize("kind", CONDITIONED)
@pytest.mark.parametrize(("shape", "found"), [
    ((2, 5), r"shape \(2, 5\) does not fit x of shape \(2, 3, 6\)"),
    ((1, 4), r"shape \(1, 4\)"),
    ((2, 4, 5), r"shape \(2, 4, 5\)"),
    ((2, 6, 4), r"shape \(2, 6, 4\)"),
    ((4,), r"shape \(4,\)"),
])  # fmt: skip
def test_conditions_that_do_not_fit_are_refused(kind, shape: tuple[int, ...], found: str) -> None:
    cure = r"expected \(batch, 4\) for the whole sequence or \(batch, 4, 6\) per step"
    with pytest.raises(ValueError, match=f"condition: {found}.*{cure}"):
        kind(3, 4)(torch.zeros(2, 3, 6), condition=torch.zeros(shape))


def test_a_missing_condition_is_refused() -> None:
    net = TCN(1, [4], 2, modulation=lambda channels: FiLM(channels, 4))
    with pytest.raises(ValueError, match=r"condition: None, but this net is conditioned; pass \(b"):
        net(torch.zeros(2, 1, 5))
    with pytest.raises(ValueError, match=r"condition: None, but this net is conditioned"):
        net.step(torch.zeros(2, 1, 5))


@pytest.mark.parametrize("layer", [FiLM(3, 2), AddCondition(3, 2), SqueezeExcite(3)])
def test_an_input_of_other_channels_is_refused(layer: nn.Module) -> None:
    condition = torch.zeros(2, 2) if layer.reads_condition else None
    for channels in (1, 4):  # a single channel would broadcast
        with pytest.raises(ValueError, match=rf"x: shape \(2, {channels}, 5\) does not fit .*3 ch"):
            layer(torch.zeros(2, channels, 5), condition=condition)


@pytest.mark.parametrize(("build", "match"), [
    (lambda: FiLM(0, 1), r"channels: 0 must be at least 1"),
    (lambda: AddCondition(1, 0), r"condition_channels: 0 must be at least 1"),
    (lambda: SqueezeExcite(4, reduction=0), r"reduction: 0 must be at least 1"),
])  # fmt: skip
def test_bad_sizes_are_refused(build, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        build()


def excite(layer: SqueezeExcite, average: torch.Tensor) -> torch.Tensor:
    """The channel weights of an average ``(batch, channels)``: Hu et al. 2018, equation 3."""
    hidden = (average @ layer.squeeze.weight.T + layer.squeeze.bias).clamp_min(0)
    return torch.sigmoid(hidden @ layer.excite.weight.T + layer.excite.bias)


@given(st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 99))
def test_squeeze_excite_equals_the_formula(time: int, image: bool, causal: bool, seed: int) -> None:
    torch.manual_seed(seed)
    layer = SqueezeExcite(8, causal=causal).double()
    x = torch.randn(2, 8, *([3] if image else []), time, dtype=torch.float64)
    lengths = torch.randint(1, time + 1, (2,))
    y = layer(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        for t in range(length):
            seen = x[row, ..., : t + 1 if causal else length].flatten(1).mean(1, keepdim=True).T
            expected = x[row, ..., t] * excite(layer, seen)[0].view(8, *[1] * image)
            torch.testing.assert_close(y[row, ..., t], expected, **EXACT)


def test_squeeze_excite_streams_only_if_causal() -> None:
    x = torch.randn(1, 4, 6)
    layer = SqueezeExcite(4)
    first, state = layer.step(x[..., :2])
    torch.testing.assert_close(torch.cat([first, layer.step(x[..., 2:], state)[0]], -1), layer(x))
    with pytest.raises(TypeError, match=r"no step\(\): squeeze-and-excite with causal=False avera"):
        SqueezeExcite(4, causal=False).step(x)


@pytest.mark.parametrize("layer", [FiLM, AddCondition])
def test_a_batch_without_rows(layer) -> None:
    net = TCN(2, [4], 2, modulation=lambda channels: layer(channels, 3))
    for condition in (torch.randn(0, 3), torch.randn(0, 3, 5)):
        assert net(torch.randn(0, 2, 5), condition=condition).shape == (0, 4, 5)
