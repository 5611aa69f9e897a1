"""Results of many runs put together: one ``Row`` per model, one ``TaskSummary`` per task."""

import math
import shlex
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.paper import TASKS, Metric, Task, describe
from benchmarks.runs import MODELS, Result, known_tasks


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (n - 1; ``None`` for a single value) of n values."""

    mean: float
    deviation: float | None
    n: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread | None":
        known = [value for value in values if value is not None]
        if not known:
            return None
        deviation = statistics.stdev(known) if len(known) > 1 else None
        return cls(statistics.fmean(known), deviation, len(known))


@dataclass(frozen=True)
class Row:
    """All seeds of one model on one task. Failed runs are counted and enter no mean."""

    task: str
    model: str
    finished: Sequence[Result]
    failed: Sequence[Result]

    def test(self, metric: Metric) -> Spread | None:
        return Spread.of(self.values(metric))

    def values(self, metric: Metric) -> list[float | None]:
        """The test value of every finished seed, in the shown scale."""
        tests = (result.test.get(f"test_{metric.key}") for result in self.finished)
        return [None if value is None else value * metric.scale for value in tests]

    @property
    def parameters(self) -> int | None:
        counts = {result.parameters for result in self.finished}
        return max((count for count in counts if count is not None), default=None)

    @property
    def receptive_field(self) -> int | None:
        fields = {result.receptive_field for result in self.finished}
        return max((each for each in fields if each is not None), default=None)

    def mean(self, name: str) -> float | None:
        """The mean over finished seeds of a number kept in every result."""
        spread = Spread.of(getattr(result, name) for result in self.finished)
        return spread.mean if spread else None


@dataclass(frozen=True)
class TaskSummary:
    """What is known of one task."""

    name: str
    task: Task
    rows: Sequence[Row]

    @property
    def results(self) -> list[Result]:
        return [result for row in self.rows for result in (*row.finished, *row.failed)]

    @property
    def chance(self) -> float | None:
        """The score of the best constant answer; ``None`` if unknown or not the same for all."""
        if self.task.chance is None:
            return None
        levels = {self.task.chance(result.config) for result in self.results}
        return levels.pop() if len(levels) == 1 else None

    @property
    def winner(self) -> str | None:
        """The model with the best mean, if two or more can be compared and it beats chance."""
        sign = -1.0 if self.task.metric.higher_is_better else 1.0
        spreads = {row.model: row.test(self.task.metric) for row in self.rows}
        scores = {model: sign * each.mean for model, each in spreads.items() if each}
        if len(scores) < 2:
            return None
        best = min(scores, key=lambda model: scores[model])
        beaten = self.chance is None or scores[best] < sign * self.chance
        return best if beaten else None

    @property
    def overrides(self) -> list[str]:
        """Every override that entered any result: such numbers are not the config's."""
        return sorted({item for result in self.results for item in result.overrides})

    @property
    def mixed(self) -> bool:
        """Whether the seeds of some model were not all made by the same recipe."""
        return any(len({result.recipe for result in row.finished}) > 1 for row in self.rows)


def summarise(results: Iterable[Result]) -> list[TaskSummary]:
    """Groups results by task, in the order of ``TASKS``, then alphabetically."""
    by_task: dict[str, list[Result]] = {}
    for result in results:
        by_task.setdefault(result.task, []).append(result)
    order = {name: index for index, name in enumerate(TASKS)}
    names = sorted(by_task, key=lambda name: (order.get(name, len(order)), name))
    return [_summarise_task(name, by_task[name]) for name in names]


def _summarise_task(name: str, results: Sequence[Result]) -> TaskSummary:
    further = sorted({result.model for result in results} - set(MODELS))
    rows = [
        Row(
            name,
            model,
            [each for each in results if each.model == model and each.status == "finished"],
            [each for each in results if each.model == model and each.status == "failed"],
        )
        for model in (*MODELS, *further)
    ]
    selected = results[0].selection
    task = describe(name, selected.get("metric", "val_loss"), selected.get("mode", "min"))
    return TaskSummary(name, task, rows)


def missing_tasks(summaries: Sequence[TaskSummary]) -> list[str]:
    """Tasks that have configs and no result."""
    present = {summary.name for summary in summaries}
    return [task for task in known_tasks() if task not in present]


def fill_command(task: str, models: Sequence[str], seeds: Sequence[int], results: str) -> str:
    """The command that makes results which are not there."""
    parts = ["python", "-m", "benchmarks", "run", "--tasks", task, "--models", *models]
    parts += ["--seeds", *map(str, seeds), "--results", results]
    return shlex.join(parts)


def significant(value: float | None, digits: int = 3) -> str:
    """``0.00005842`` -> ``"5.84e-5"``, ``98.612`` -> ``"98.6"``; never loses a leading digit."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not finite"
    if value != 0 and (abs(value) < 1e-3 or abs(value) >= 1e6):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    magnitude = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(0, digits - 1 - magnitude)}f}"


def spread_text(spread: Spread | None, digits: int = 3) -> str:
    """Mean ± deviation, both to the same decimal."""
    if spread is None:
        return "–"
    if abs(spread.mean) >= 10:
        digits += 1  # of an accuracy of 98.965 %, 99.0 would say too much
    if spread.deviation is None:
        return significant(spread.mean, digits)
    mean = significant(spread.mean, digits)
    if "e" in mean:
        exponent = int(mean.split("e")[1])
        deviation = f"{spread.deviation / 10.0**exponent:.{digits - 1}f}"
        return f"({mean.split('e')[0]} ± {deviation})e{exponent}"
    decimals = len(mean.partition(".")[2])
    return f"{mean} ± {spread.deviation:.{decimals}f}"
