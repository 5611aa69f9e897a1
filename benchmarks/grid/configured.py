"""The maker of runs described by a config; light, since the scheduler asks it for recipes."""

from pathlib import Path

from benchmarks.grid import recipes
from benchmarks.grid.makers import Circumstances
from benchmarks.grid.results import Result
from benchmarks.grid.runs import Run

recipe = recipes.Recipe.of


def execute(run: Run, recipe: recipes.Recipe, work: Path, around: Circumstances) -> Result:
    from benchmarks.grid import execution

    return execution.execute(run, recipe, work, around)
