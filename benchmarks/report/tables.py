"""Tables of words and numbers that are made, in both forms of a report, by one macro."""

from collections.abc import Sequence
from typing import NamedTuple


class Best(str):
    """A cell with the best of its column."""

    best = True


class Table(NamedTuple):
    """Heads and rows of cells; ``left`` are the columns that begin at the left in Markdown."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: tuple[int, ...] = (0,)
    title: str = ""


class Section(NamedTuple):
    """A heading with what must be known, and tables."""

    name: str
    title: str
    note: str
    tables: Sequence[Table]
