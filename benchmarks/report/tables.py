"""Tables of words and numbers, rendered in both forms of a report by one macro."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Best(str):
    """The best cell of its column."""

    best = True


class Table(NamedTuple):
    """Heads and rows of cells; the columns of ``left`` are left-aligned in Markdown."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: tuple[int, ...] = (0,)
    title: str = ""


class Section(NamedTuple):
    """A heading with what a reader must know, and tables."""

    name: str
    title: str
    note: str
    tables: Sequence[Table]


def spread(values: Sequence[float], decimals: int) -> str:
    """The mean, followed by the sample standard deviation if there are several values."""
    if not values:
        return "–"
    mean = f"{statistics.fmean(values):.{decimals}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{decimals}f}"
