"""``python -m benchmarks readme``: the tables of README.md that are made of results.

Each stands between two comments, of which the first names it and the command. What is between them
is replaced, all else is left as it is.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.grid.runs import ROOT

RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
COMMAND = "python -m benchmarks readme"
END = "<!-- end -->"


def add_parser(actions: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = actions.add_parser("readme", help="write the tables of README.md that are of results")
    parser.set_defaults(action=_run)
    parser.add_argument("--check", action="store_true",
                        help="write nothing; exit with 1 if a table differs")  # fmt: skip
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--readme", type=Path, default=README, metavar="FILE")


def tables(results: Path) -> dict[str, str]:
    """The Markdown of every table by its name.

    Raises:
        ValueError: there are no results for one, or a file is not a result.
    """
    from benchmarks.forecasting import short as forecasting
    from benchmarks.grid.store import Store
    from benchmarks.report import short as paper
    from benchmarks.report.page import markdown

    return {
        "forecasting": markdown(forecasting.short_table(Store(results / "forecasting"))),
        "paper": markdown(paper.short_table(Store(results))),
    }


def between(text: str, name: str) -> tuple[int, int]:
    """Where the table of that name begins and ends.

    Raises:
        ValueError: its comments are not there, or are there twice.
    """
    begin = f"<!-- {name}: {COMMAND} -->\n"
    if text.count(begin) != 1:
        raise ValueError(f"README: {begin.strip()!r} is there {text.count(begin)} times, not once")
    start = text.index(begin) + len(begin)
    end = text.find(END, start)
    if end < 0 or "<!--" in text[start:end]:
        raise ValueError(f"README: no {END!r} follows {begin.strip()!r}; put one below its table")
    return start, end


def different(text: str, made: Mapping[str, str]) -> list[str]:
    """The names of the tables that are not those of the results."""
    return [
        name for name, table in made.items() if text[slice(*between(text, name))] != _set(table)
    ]


def rewritten(text: str, made: Mapping[str, str]) -> str:
    """The text with every table in its place."""
    for name, table in made.items():
        start, end = between(text, name)
        text = text[:start] + _set(table) + text[end:]
    return text


def _set(table: str) -> str:
    return f"\n{table}\n"


def _run(options: argparse.Namespace) -> int:
    from benchmarks.grid.files import write_atomically

    text = options.readme.read_text(encoding="utf-8")
    made = tables(options.results)
    names = different(text, made)
    if not options.check:
        if names:
            write_atomically(options.readme, rewritten(text, made).encode())
        print(f"written: {', '.join(names)}" if names else "nothing has changed")
        return 0
    for name in names:
        print(
            f"{options.readme}: the table {name!r} differs; `{COMMAND}` writes it", file=sys.stderr
        )
    return 1 if names else 0
