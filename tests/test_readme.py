"""The Python of the README runs, in order, as a reader would run it."""

import math
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_months(tmp_path / "AirPassengers.csv")
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(), flags=re.S | re.M)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["y"].shape == (1, 24, 25)  # type: ignore[attr-defined]  # the last chunk of a stream
    assert names["prediction"].shape == (32, 1)  # type: ignore[attr-defined]
    assert names["net"].receptive_field == 3571  # type: ignore[attr-defined]  # as its comment says
    assert len(names["ahead"]) == 24  # type: ignore[arg-type]
    assert (tmp_path / "air_passengers.svg").stat().st_size > 10_000


def write_months(path: Path) -> None:
    """A stand-in for the data the README names, in its format: 144 months, trend and season."""
    lines = ["Month,#Passengers"]
    for month in range(144):
        season = 1 + 0.2 * math.sin(2 * math.pi * month / 12)
        lines.append(f"{1949 + month // 12}-{month % 12 + 1:02},{(120 + 2 * month) * season:.0f}")
    path.write_text("\n".join(lines) + "\n")


def test_receptive_field_quoted_in_the_readme() -> None:
    import tcn

    # kernel 2, two convolutions a level: 1 + 2 * (4 + 8 + 16) = 57 steps, every 4th of them seen.
    field = tcn.receptive_field(tcn.models.TCN(1, [8] * 3, 2, dilations=[4, 8, 16]))
    assert (field.size, len(field.holes)) == (57, 42)  # type: ignore[union-attr]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/looking_inside/README.md"])
def test_every_file_that_a_page_links_to_is_there(page: str) -> None:
    written = README.parent / page
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", written.read_text()):
        if "://" not in link:
            assert (written.parent / link).exists(), link
