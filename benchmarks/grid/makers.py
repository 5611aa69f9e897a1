"""What makes a run: a module, named to the worker, that knows its recipe and how it is executed."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from benchmarks.grid.recipes import Recipe
from benchmarks.grid.results import Result
from benchmarks.grid.runs import Run

CONFIGURED = "benchmarks.grid.configured"
"""The usual one: a run is what its config says."""


@dataclass(frozen=True)
class Circumstances:
    """What surrounds a run: the user's command, threads of this run, runs made at a time, and the
    minutes after which it stops at the end of an epoch, to be gone on with later.
    """

    command: str
    threads: int
    workers: int
    minutes: float | None = None


class Maker(Protocol):
    """Such a module."""

    def recipe(self, run: Run, overrides: Sequence[str]) -> Recipe:
        """What decides the numbers of ``run`` besides its seed."""

    def execute(self, run: Run, recipe: Recipe, work: Path, around: Circumstances) -> Result:
        """Makes it; what is needed to go on after a kill is kept in ``work``."""


def maker(name: str) -> Maker:
    """The module of a dotted name."""
    return cast(Maker, importlib.import_module(name))
