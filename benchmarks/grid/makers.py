"""What makes a run: a module, named to the worker, that gives its recipe and executes it."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from benchmarks.grid.recipes import Recipe
from benchmarks.grid.results import Result
from benchmarks.grid.runs import Run

CONFIGURED = "benchmarks.grid.configured"
"""The usual maker: a run does what its config says."""


@dataclass(frozen=True)
class Circumstances:
    """What surrounds a run: the user's command, threads of this run, runs made at a time, and the
    minutes after which it stops at the end of an epoch, to be continued later.
    """

    command: str
    threads: int
    workers: int
    minutes: float | None = None


class Maker(Protocol):
    """A module that makes runs."""

    def recipe(self, run: Run, overrides: Sequence[str]) -> Recipe:
        """What decides the numbers of ``run`` besides its seed."""

    def execute(self, run: Run, recipe: Recipe, work: Path, around: Circumstances) -> Result:
        """Makes the run; whatever is needed to resume it after a kill is kept in ``work``."""


def maker(name: str) -> Maker:
    """The module with a dotted name."""
    return cast(Maker, importlib.import_module(name))
