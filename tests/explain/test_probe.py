"""The strongest inputs of every unit, against a look at all of them at once, and their fields."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import tcn
from tcn.explain import Fields, places, strongest
from tcn.layers import Conv2d, MaxPool2d
from tcn.models import GRU, LSTM, TCN
from tcn.training import Batch


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3))


@settings(max_examples=20)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 7))
def test_the_strongest_are_those_of_all_at_once(examples: int, count: int, batch: int) -> None:
    net, x = small(), torch.randn(examples, 1, 9, 12)
    found = strongest(net, x, "2", count=count, batch_size=batch)
    with torch.no_grad():
        largest = net(x).flatten(2).max(2).values.T  # (units, examples)
    values, order = largest.sort(dim=1, descending=True)
    kept = min(count, examples)
    torch.testing.assert_close(found.values[:, :kept], values[:, :kept])
    assert torch.equal(found.examples[:, :kept], order[:, :kept])
    assert (found.values[:, kept:] == -torch.inf).all()
    assert found.seen == examples


def test_positions_are_where_the_activation_is() -> None:
    net, x = small(), torch.randn(20, 1, 9, 12)
    found = strongest(net, x, "2")
    y = net(x)
    for unit, rank in itertools.product(range(3), range(9)):
        height, width = found.positions[unit, rank].tolist()
        value = y[found.examples[unit, rank], unit, height, width]
        torch.testing.assert_close(found.values[unit, rank], value)


def test_of_equal_ones_the_earlier_comes_first() -> None:
    found = strongest(nn.Sequential(nn.Identity()), torch.ones(7, 2, 3), "0", count=4, batch_size=2)
    assert found.examples.tolist() == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("form", ["tensor", "data set", "loader", "list", "tuples"])
def test_data_in_any_form(form: str) -> None:
    net, x = small(), torch.randn(11, 1, 9, 12)
    labels = torch.arange(11)
    data = {
        "tensor": x,
        "data set": TensorDataset(x, labels),
        "loader": DataLoader(TensorDataset(x, labels), batch_size=4),
        "list": [x[:5], x[5:]],
        "tuples": [Batch(x[:5], labels[:5]), (x[5:], labels[5:])],
    }[form]
    expected, found = strongest(net, x, "0"), strongest(net, data, "0")
    assert torch.equal(found.examples, expected.examples)
    where, patches = places(net, data, "2", 1)
    for place, patch in zip(where, patches, strict=True):
        assert torch.equal(patch, x[place.example][(slice(None), *place.span)])


def test_padding_is_not_seen() -> None:
    """A bias answers in the padding too, louder than anything else here."""
    net = TCN(1, [3], 2)
    x, lengths = torch.randn(4, 1, 30), torch.tensor([3, 30, 10, 1])
    x[torch.arange(30) >= lengths[:, None, None].expand(4, 1, 30)] = 50.0
    batch = Batch(x, torch.zeros(4), lengths)
    where, patches = places(net, [batch], "levels.0", 2)
    assert sorted(place.example for place in where) == [0, 1, 2, 3]
    for place, patch in zip(where, patches, strict=True):
        assert place.span[0].stop <= lengths[place.example]
        assert patch.max() < 50


# ------------------------------------------------------------------------------ fields


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_padding_of_recurrent_layers_is_not_seen(kind: type[LSTM | GRU]) -> None:
    """They are given packed sequences. Expected is what each example gives by itself."""
    net, x, lengths = kind(2, 4), torch.randn(4, 2, 40), torch.tensor([30, 10, 25, 7])
    found = strongest(net, [Batch(x, torch.zeros(4), lengths)], "recurrence", count=4)
    alone = [x[n : n + 1, :, :length] for n, length in enumerate(lengths)]
    expected = strongest(net, alone, "recurrence", count=4)
    torch.testing.assert_close(found.values, expected.values)
    assert torch.equal(found.examples, expected.examples)
    assert torch.equal(found.positions, expected.positions)


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3
    ),
    st.integers(20, 40),
    st.data(),
)
def test_a_stack_has_the_field_of_the_arithmetic(
    layers: list[tuple[int, int, int]], size: int, data: st.DataObject
) -> None:
    """Kernel, stride and dilation of each: first and last input by hand, from the top down."""
    net = nn.Sequential(*[nn.Conv1d(1, 1, k, stride=s, dilation=d) for k, s, d in layers])
    try:
        steps = net(torch.zeros(1, 1, size)).shape[-1]
    except RuntimeError:  # nothing is left
        return
    position = data.draw(st.integers(0, steps - 1))
    first = last = position
    for kernel, stride, dilation in reversed(layers):
        first, last = first * stride, last * stride + (kernel - 1) * dilation
    fields = Fields(net, str(len(layers) - 1), torch.zeros(1, 1, size))
    assert fields.positions == (steps,)
    assert fields.span([position]) == (slice(first, last + 1),)


def test_a_tcn_has_the_field_that_it_declares() -> None:
    net = TCN(2, [3, 3, 3], 3)
    declared = int(tcn.receptive_field(net.levels).size)
    assert Fields(net, "levels", torch.zeros(1, 2, 90)).span([80]) == (slice(81 - declared, 81),)
    assert Fields(net, "levels", torch.zeros(1, 2, 90)).span([4]) == (slice(0, 5),)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(3, 2), MaxPool2d(3, stride=2, padding="valid")])
def test_pools_of_ours_and_of_others(pool: nn.Module) -> None:
    """Two outputs of a pool of 3 with stride 2 cover 5 of its inputs, before that a kernel of 3."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU6(), pool, nn.Hardswish(), nn.Conv2d(2, 2, 2))
    assert Fields(net, "4", torch.zeros(1, 1, 20, 20)).span([1, 2]) == (slice(2, 9), slice(4, 11))


def test_dead_units_hide_nothing() -> None:
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Conv1d(2, 1, 3))
    nn.init.constant_(net[0].bias, -100)
    assert Fields(net, "2", torch.zeros(1, 1, 9)).span([2]) == (slice(2, 7),)
    assert net[0].bias.tolist() == [-100, -100]


def test_what_pools_over_everything_sees_everything() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Conv2d(2, 2, 1))
    assert Fields(net, "2", torch.zeros(1, 1, 8, 6)).span([0, 0]) == (slice(0, 8), slice(0, 6))


class Largest(nn.Module):
    """The largest value along time, said in the ways that PyTorch has."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.way == "amax":
            return x.amax(2, keepdim=True)
        if self.way == "max":
            return x.max(dim=2, keepdim=True).values
        if self.way == "maximum":
            return torch.maximum(x[..., :1], x[..., -1:])
        return torch.max(x).view(1, 1, 1)


@pytest.mark.parametrize("way", ["amax", "max", "maximum", "all"])
def test_the_largest_of_all_sees_all(way: str) -> None:
    net = nn.Sequential(nn.Conv1d(1, 2, 3), Largest(way))
    assert Fields(net, "1", torch.zeros(1, 1, 20)).span([0]) == (slice(0, 20),)


def test_tokens_have_no_field() -> None:
    net = nn.Sequential(nn.Embedding(9, 4))
    with pytest.raises(TypeError, match=r"example: torch\.int64; fields are measured by gradient"):
        places(net, torch.zeros(3, 5, dtype=torch.int64), "0", 1)


def test_strictly_causal_convolutions_see_nothing_at_first() -> None:
    net = nn.Sequential(Conv2d(1, 1, 1, padding=("same", "strictly_causal")))
    fields = Fields(net, "0", torch.zeros(1, 1, 3, 4))
    assert fields.span([1, 0]) == (slice(0, 0), slice(0, 0))
    assert fields.span([1, 2]) == (slice(1, 2), slice(1, 2))


# ------------------------------------------------------------------------------ what is wrong


class Endless(Dataset):
    """More images than memory holds, made when they are asked for."""

    def __len__(self) -> int:
        return 3000

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((1, 9, 12), float(index % 1000))


def test_only_a_batch_is_held_at_a_time() -> None:
    held: list[int] = []

    def watched() -> Iterator[torch.Tensor]:
        for start in range(0, 300, 10):
            held.append(start)
            yield torch.randn(10, 1, 9, 12)

    assert strongest(small(), watched(), "2").seen == 300
    assert len(held) == 30
    assert strongest(nn.Sequential(nn.Identity()), Endless(), "0").examples[0, :3].tolist() == [
        999, 1999, 2999,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (torch.zeros(0, 1, 9, 12), ValueError, "data: it holds no examples"),
        ([], ValueError, "data: it holds no examples"),
        (torch.zeros(3), ValueError, r"shape \(3,\) has no axis of examples"),
        (5, TypeError, "data: int; give a tensor"),
        (["text"], TypeError, "data: a batch of str"),
        (
            torch.zeros(2, 3, 9, 12),
            ValueError,
            r"Sequential does not take .* shape \(2, 3, 9, 12\)",
        ),
        (torch.full((2, 1, 9, 12), torch.nan), ValueError, "'2' returns NaN"),
    ],
)
def test_data_that_are_wrong(data: object, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        strongest(small(), data, "2")


def test_units_and_counts_that_are_wrong() -> None:
    x = torch.randn(3, 1, 9, 12)
    with pytest.raises(ValueError, match="unit: 3 of 2 with 3; give 0 to 2"):
        places(small(), x, "2", 3)
    with pytest.raises(TypeError, match="unit: True is not an integer"):
        places(small(), x, "2", True)
    with pytest.raises(ValueError, match="count: 0 must be at least 1"):
        strongest(small(), x, "2", count=0)


def test_data_that_cannot_be_read_twice() -> None:
    x = torch.randn(3, 1, 9, 12)
    with pytest.raises(ValueError, match=r"a shuffled loader.*shuffle=False"):
        places(small(), DataLoader(TensorDataset(x), shuffle=True), "2", 0)
    with pytest.raises(ValueError, match="an iterator is used up once"):
        places(small(), iter([x]), "2", 0)


@pytest.mark.parametrize("axes", [1, 2])
def test_a_maximum_over_all_positions_sees_everything(axes: int) -> None:
    """By definition: any position could be the largest, not only the one that was."""
    convolution = nn.Conv1d if axes == 1 else nn.Conv2d
    pool = nn.AdaptiveMaxPool1d(1) if axes == 1 else nn.AdaptiveMaxPool2d(1)
    net = nn.Sequential(convolution(1, 4, 3), pool, convolution(4, 2, 1))
    fields = Fields(net, "2", torch.zeros(1, 1, *[12] * axes))
    assert fields.span([0] * axes) == (slice(0, 12),) * axes
