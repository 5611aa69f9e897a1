"""Dropout: what is dropped, how much of it, and how the rest is scaled."""

import pytest
import torch
from torch import Tensor

from tcn.layers import Dropout
from tcn.models import TCN


def test_evaluation_and_probability_zero_change_nothing() -> None:
    x = torch.randn(2, 3, 5)
    assert Dropout(0.9).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize("shape", [(50, 40, 10), (50, 40, 2, 5)])
def test_share_and_scale(spatial: bool, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    y = Dropout(0.3, spatial=spatial)(torch.ones(shape))
    # What is kept is divided by 0.7, so that the mean stays 1.
    assert y.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    # 2,000 draws if channels are dropped whole, else 20,000: a deviation of sqrt(0.21 / draws)
    # has five of its own size as room.
    draws = 2000 if spatial else 20000
    assert float((y == 0).double().mean()) == pytest.approx(0.3, abs=5 * (0.21 / draws) ** 0.5)


def dropped_whole(y: Tensor) -> bool:
    """Whether every channel of ones is zero everywhere or nowhere."""
    zeros = (y == 0).flatten(2).float().mean(2)
    return bool(((zeros == 0) | (zeros == 1)).all())


@pytest.mark.parametrize("sizes", [(30,), (5, 6)])
def test_spatial_drops_whole_channels_of_single_rows(sizes: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.ones(20, 10, *sizes)
    spatial, single = Dropout(0.5, spatial=True)(x), Dropout(0.5)(x)
    assert dropped_whole(spatial)
    assert not dropped_whole(single)
    assert not torch.equal(spatial[0], spatial[1])  # each row has channels of its own


def test_a_stream_in_training_keeps_its_dropped_channels() -> None:
    torch.manual_seed(0)
    dropout, x = Dropout(0.5, spatial=True), torch.ones(8, 16, 12)
    first, state = dropout.step(x[..., :5])
    second, state = dropout.step(x[..., 5:6], state)
    third, _ = dropout.step(x[..., 6:], state)
    assert dropped_whole(torch.cat([first, second, third], -1))
    assert 0 < float((first == 0).float().mean()) < 1


def test_a_stream_may_change_to_evaluation_and_back() -> None:
    dropout, x = Dropout(0.5, spatial=True), torch.ones(2, 4, 3)
    _, state = dropout.step(x)
    y, state = dropout.eval().step(x, state)
    assert torch.equal(y, x)
    y, _ = dropout.train().step(x, state)
    assert dropped_whole(y)


def test_the_gradient_takes_the_way_of_the_values() -> None:
    torch.manual_seed(0)
    x = torch.ones(1, 2, 50, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())  # for an input of ones: 0 or the scale


def test_every_layer_of_a_net_draws_for_itself() -> None:
    net = TCN(1, [3, 3], 2, dropout=Dropout(0.4, spatial=True))
    drops = [module for module in net.modules() if isinstance(module, Dropout)]
    assert len({id(module) for module in drops}) == len(drops) == 4  # two per level
    assert all(module.probability == 0.4 and module.spatial for module in drops)


@pytest.mark.parametrize("probability", [1.0, -0.1, 2])
def test_probabilities_outside_are_refused(probability: float) -> None:
    with pytest.raises(ValueError, match=rf"dropout: {probability} is not in \[0, 1\)"):
        Dropout(probability)
    with pytest.raises(ValueError, match=rf"dropout: {probability} is not in \[0, 1\)"):
        TCN(1, [2], 2, dropout=probability)


def test_a_state_of_another_batch_is_refused() -> None:
    dropout = Dropout(0.5, spatial=True)
    _, state = dropout.step(torch.ones(2, 4, 3))
    with pytest.raises(ValueError, match=r"state: Dropout expected shape \(3, 4, '...'\)"):
        dropout.step(torch.ones(3, 4, 3), state)
