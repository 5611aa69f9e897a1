"""Tables of words and numbers, rendered in both forms of a report by one macro."""

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
