"""Pages and pictures: what is written is whole, what is drawn is where it belongs."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from tcn.explain.drawing import as_picture, kind_of, limits
from tcn.explain.page import Page
from tcn.explain.unit_pictures import UnitPatches, draw_units, tile
from tcn.explain.views import Spectrogram, view_of


class Tags(HTMLParser):
    """Every tag that is opened must be closed, in the other order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_holds_its_pictures_and_loads_nothing(tmp_path: Path) -> None:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    page = Page("Inside <A & B>", {"net": "Net", "command": "`tcn explain a.html`"})
    page.section("conv1: strongest", "5 < 6")
    page.picture(figure, 'unit "3"')
    written = page.write(tmp_path / "a.html").read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(written)
    assert not tags.open
    assert "<h1>Inside &lt;A &amp; B&gt;</h1>" in written
    assert "<dd><code>tcn explain a.html</code></dd>" in written
    assert "http" not in written
    source = re.search(r'src="data:image/png;base64,([^"]+)"', written)
    assert source is not None
    assert Image.open(io.BytesIO(base64.b64decode(source[1]))).size == (260, 130)


def test_a_page_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path: .* does not end in \.html"):
        Page("A", {}).write(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_what_is_an_image_and_what_a_line() -> None:
    kinds = [kind_of(torch.zeros(*sizes)) for sizes in ((1, 4, 5), (3, 4, 5), (2, 9), (40, 9))]
    assert kinds == ["image", "image", "lines", "map"]


def test_tiles_stand_in_rows_of_three() -> None:
    """By hand: four of 2 x 3, a gap of one, the fourth below the first; a smaller one at the top
    left of its place."""
    pictures = [torch.full((2, 3), float(n)) for n in (1, 2, 3)] + [torch.full((1, 1), 4.0)]
    assert tile(pictures, 0.0).tolist() == [
        [1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3],
        [1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]


def test_colors_stay_within_zero_and_one() -> None:
    picture = as_picture(torch.tensor([-2.0, -1, 0, 1, 5]).expand(3, 2, 5), -1, 1)
    assert picture.shape == (2, 5, 3)
    assert picture[0, :, 0].tolist() == [0, 0, 0.5, 1, 1]
    assert limits([torch.zeros(3)]) == (-0.5, 0.5)
    assert limits([torch.zeros(0)]) == (0, 1)


def test_limits_of_any_number_of_patches_hold_for_all_of_each() -> None:
    """More numbers than a quantile is taken of, and a second channel that is brighter."""
    large = torch.stack([torch.zeros(400, 400), torch.ones(400, 400)])
    assert limits([large]) == (0, 1)
    assert limits([large] * 200) == (0, 1)  # of 16.8 million and more none is taken


def test_a_tone_lies_at_its_frequency() -> None:
    """1 kHz of 8 kHz: a quarter of the way from 0 to the half of the rate."""
    view = view_of(torch.zeros(1, 1, 4000), 8000)
    assert isinstance(view, Spectrogram)
    seen = view(torch.sin(2 * torch.pi * 1000 / 8000 * torch.arange(4000))[None])
    assert seen.mean(1).argmax() == (len(seen) - 1) // 4
    assert seen.max() == 1
    assert view(torch.randn(1, 3)).shape[0] == len(seen)  # shorter than a window


@pytest.mark.parametrize("sizes", [(1, 5, 5), (3, 8, 6), (2, 12), (20, 12)])
@pytest.mark.parametrize("projected", [False, True])
def test_units_of_any_input_are_drawn(sizes: tuple[int, ...], projected: bool) -> None:
    patches = [torch.randn(*sizes), torch.randn(*sizes[:-1], 3)]
    units = [UnitPatches(n, [1.5, 0.5], patches, patches if projected else ()) for n in range(5)]
    figure = draw_units(units)
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert titles == [f"unit {n}   1.5" for n in range(5)]
    drawn = [axes for axes in figure.axes if axes.images or axes.lines]
    assert len(drawn) == (10 if projected else 5)
    written = io.BytesIO()
    figure.savefig(written)
    assert written.tell() > 1000


def test_no_unit_is_no_figure() -> None:
    with pytest.raises(ValueError, match="units: none given"):
        draw_units([])
