"""What the sections of a page ask of a net: the last answer, and positions that see something."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tcn.explain import occlusion
from tcn.explain.choice import Choice
from tcn.explain.report import look
from tcn.explain.sections import _attributed, _binned, _field_of, _occluded, asked_of
from tcn.explain.views import view_of
from tcn.models import LSTM


class Constant(nn.Module):
    """Answers what it was told, whatever it is asked."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.answer


def test_of_a_sequence_the_last_answer_is_explained() -> None:
    y = torch.zeros(1, 3, 5)
    y[0, 0, 2], y[0, 1, 4] = 9, 1
    assert asked_of(Constant(y), torch.zeros(1, 1, 5)) == ((1, 4), 1)
    assert asked_of(Constant(torch.tensor([[0.0, 2, 1]])), torch.zeros(1, 1, 5)) == ((1,), 1)


def test_where_the_end_is_silent_the_middle_is_looked_at() -> None:
    """At 0 a rectifier passes no gradient on; steps 8 to 12 of 20 are above it."""
    net = nn.Sequential(nn.ReLU(), nn.Conv1d(1, 1, 3, padding=1, bias=False))
    nn.init.ones_(net[1].weight)
    x = torch.zeros(1, 1, 20)
    x[..., 8:13] = 1
    found = _field_of(net, x, "1")
    assert found is not None
    assert found.position == (10,)
    assert _field_of(net, torch.zeros(1, 1, 20), "1") is None


def test_bars_add_up() -> None:
    """By hand: 5 values in at most 2 bars, so 3 in each."""
    assert _binned(torch.tensor([1.0, 2, 3, 4, 5]), 2).tolist() == [6, 9]
    assert _binned(torch.ones(3), 200).tolist() == [1, 1, 1]


@pytest.mark.parametrize("sizes", [(1, 20), (8, 20), (1, 9, 9)])
@pytest.mark.parametrize("kind", ["regression", "bfloat16"])
def test_pages_of_single_numbers_and_of_half_precision(
    kind: str, sizes: tuple[int, ...], tmp_path: Path
) -> None:
    """No softmax is taken of one number, and what is drawn is in a type that can be drawn."""
    convolution = nn.Conv1d if len(sizes) == 2 else nn.Conv2d
    net = nn.Sequential(
        convolution(sizes[0], 2, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(1 + (kind != "regression")),
    )
    net(torch.zeros(1, *sizes))
    x = torch.rand(2, *sizes)
    if kind == "bfloat16":
        net, x = net.bfloat16(), x.bfloat16()
    choice = Choice(methods=["strongest", "occlusion", "attribution"], examples=1)
    assert look(net, x, tmp_path / "page.html", choice=choice).is_file()


def test_lists_of_names_are_lists() -> None:
    with pytest.raises(TypeError, match=r"layers: 'conv1' is a text; give a list, \['conv1'\]"):
        Choice(layers="conv1")
    with pytest.raises(ValueError, match="methods: 'lime' is not one of 'strongest'"):
        Choice(methods=["lime"])


@pytest.mark.parametrize("method", ["occlusion", "attribution", "field"])
def test_inputs_that_are_not_finite_are_named(tmp_path: Path, method: str) -> None:
    x = torch.zeros(2, 1, 9)
    x[1, 0, 3] = torch.nan
    with pytest.raises(ValueError, match="data: input 1 holds NaN or infinite numbers"):
        look(
            nn.Sequential(nn.Conv1d(1, 2, 3)),
            x,
            tmp_path / "a.html",
            choice=Choice(methods=[method]),
        )
    assert list(tmp_path.iterdir()) == []


class Branched(nn.Module):
    """A convolution that is called twice, and one that only training calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Conv1d(1, 3, 3), nn.Conv1d(3, 3, 3)
        self.auxiliary = nn.Conv1d(3, 3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.again(self.again(self.first(x)))
        return (self.auxiliary(y) if self.training else y).mean(2)


def test_layers_that_no_one_named_are_those_that_are_called(tmp_path: Path) -> None:
    """Heads that only training has are registered last in many nets, such as GoogLeNet."""
    choice = Choice(methods=["strongest", "field"], examples=1)
    page = look(Branched(), torch.randn(3, 1, 20), tmp_path / "page.html", choice=choice)
    assert "<dd>first, again#1, again#2</dd>" in page.read_text(encoding="utf-8")
    page = look(LSTM(1, 3), torch.randn(3, 1, 20), tmp_path / "page.html", choice=choice)
    said = page.read_text(encoding="utf-8")
    assert "<dd>recurrence</dd>" in said
    assert "recurrence, units 0 to 2" in said
    with pytest.raises(ValueError, match="layers: Linear calls no convolution and no recurrent"):
        look(nn.Linear(4, 4), torch.randn(3, 1, 4), tmp_path / "none.html")


def test_of_a_series_the_activity_is_drawn_too() -> None:
    """As of an image, and with the whole input's answer and activity as lines across."""
    net, x = (
        nn.Sequential(nn.Conv1d(1, 3, 3), nn.Flatten(), nn.Linear(54, 2)),
        torch.randn(1, 1, 20),
    )
    found = occlusion(net, x, size=4, layer="0")
    figure = _occluded(x[0], view_of(x, None), found, [4], "input 0")
    assert [axes.get_ylabel() for axes in figure.axes] == ["", "answer", "activity"]
    _, answer, activity = ([line.get_ydata() for line in axes.lines] for axes in figure.axes)
    assert answer[0] == pytest.approx(found.answer[0])
    assert answer[1][0] == pytest.approx(float(found.uncovered))
    assert activity[0] == pytest.approx(found.activity[0])
    assert activity[1][0] == pytest.approx(float(found.uncovered_activity))


def test_units_are_listed_as_they_are_read(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv1d(1, 6, 3))
    for units, said in ((None, "0, units 0 to 5"), ([4, 1], "0, units 4, 1")):
        choice = Choice(methods=["synthesis"], units=units)
        page = look(net, torch.randn(3, 1, 20), tmp_path / "page.html", choice=choice)
        assert f"<figcaption>{said}</figcaption>" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("sizes", [(6,), (1, 4, 4, 4)])
def test_inputs_that_cannot_be_drawn_are_named(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(ValueError, match=r"data: inputs of shape .*a page shows \(channels, time"):
        look(net, torch.randn(3, *sizes), tmp_path / "a.html", choice=Choice(layers=["1"]))
    assert list(tmp_path.iterdir()) == []


def test_attributions_of_many_channels_have_a_scale_and_steps() -> None:
    x = torch.rand(8, 20)
    figure = _attributed(x, x - 0.5, view_of(x[None], None), "input 0")
    above, below, scale = figure.axes
    assert below.get_xlabel() == "steps"
    most = float((x - 0.5).abs().max())
    assert scale.get_ylim() == pytest.approx((-most, most))
    figure.canvas.draw()
    edges = [(axes.get_position().x0, axes.get_position().x1) for axes in (above, below)]
    assert edges[0] == pytest.approx(edges[1])  # a step lies below itself
