"""Studies: ordinary runs that differ in one thing, made by the scheduler and kept by point.

A point is a plan over a separate store, ``results/<study>/<point>/``, because a run is identified
by task, model, seed and settings, not by the overrides of its config.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.grid.results import Result
from benchmarks.grid.store import Store
from benchmarks.report.summary import TaskSummary, summarize


@dataclass(frozen=True)
class Point:
    """What is run at one point of a study.

    Attributes:
        name: its folder.
        label: what differs, for tables.
        task: the task whose configs are used.
        models: the models to run.
        overrides: applied to all of them.
        drawn: further ones for single models.
    """

    name: str
    label: str
    task: str
    models: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    drawn: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def store_of(folder: Path, study: str, point: Point) -> Store:
    return Store(folder / study / point.name)


def summary_of(folder: Path, study: str, point: Point) -> TaskSummary | None:
    """What is known about a point made by its present recipes; ``None`` if nothing."""
    store = store_of(folder, study, point)
    found = summarize(result for result in store.results() if _is_of(result, point))
    return found[0] if found else None


def _is_of(result: Result, point: Point) -> bool:
    wanted = {*point.overrides, *point.drawn.get(result.model, ())}
    return result.run.task == point.task and set(result.overrides) == wanted


def points_named(points: Sequence[Point], names: Sequence[str] | None) -> list[Point]:
    """The points with these names, all if ``None``.

    Raises:
        ValueError: no point has one of the names.
    """
    by_name = {point.name: point for point in points}
    for name in names or ():
        if name not in by_name:
            raise ValueError(f"--points: {name!r} is none of {', '.join(by_name)}")
    return [by_name[name] for name in names] if names else list(points)
