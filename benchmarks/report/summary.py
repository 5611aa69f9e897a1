"""Combines the results of many runs: one ``Row`` per model, one ``TaskSummary`` per task."""

import math
import shlex
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.grid.results import Result
from benchmarks.grid.runs import CONFIGS, MODELS, OURS, known_tasks
from benchmarks.grid.store import Store
from benchmarks.report.paper import TASKS, Metric, Task, describe

RESULTS = "benchmarks/results"
"""The default folder of results."""


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
    """All seeds of one model on one task. Failed runs are counted, but neither they nor unfinished
    runs enter a mean.
    """

    task: str
    model: str
    finished: Sequence[Result]
    failed: Sequence[Result]
    settings: str = OURS
    unfinished: Sequence[Result] = ()

    @property
    def empty(self) -> bool:
        """Whether no run was finished or failed."""
        return not self.finished and not self.failed

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
        """The mean over finished seeds of a number that every result has."""
        spread = Spread.of(getattr(result, name) for result in self.finished)
        return spread.mean if spread else None

    def seconds_to(self, metric: Metric, level: float) -> Spread | None:
        """Seconds until validation was first as good as ``level``, over the runs that got there;
        ``n`` says how many did.
        """
        return Spread.of(_seconds_to(result, metric, level) for result in self.finished)


def _seconds_to(result: Result, metric: Metric, level: float) -> float | None:
    sign = -1.0 if metric.higher_is_better else 1.0
    for epoch in result.history:
        value = epoch.get(f"val_{metric.key}")
        if value is not None and sign * value * metric.scale <= sign * level:
            return float(epoch["seconds"] or 0.0)
    return None


@dataclass(frozen=True)
class TaskSummary:
    """What is known about one task.

    ``rows`` are our four models in our settings, which can be compared, and further models of ours;
    ``variants`` were made with other settings: the paper's, another output, another net.
    """

    name: str
    task: Task
    rows: Sequence[Row]
    variants: Sequence[Row] = ()

    @property
    def results(self) -> list[Result]:
        """All results made in our settings."""
        return _results(self.rows)

    @property
    def every_result(self) -> list[Result]:
        return _results([*self.rows, *self.variants])

    @property
    def unfinished(self) -> list[Result]:
        """The runs that were begun but not finished, with any settings."""
        return [each for row in (*self.rows, *self.variants) for each in row.unfinished]

    @property
    def chance(self) -> float | None:
        """``Task.chance`` as it was run; ``None`` if unknown or not the same for all."""
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
        """Every override in any result: such numbers are not those of the config."""
        return sorted({item for result in self.results for item in result.overrides})

    @property
    def mixed(self) -> bool:
        """Whether the seeds of some model were made by different recipes."""
        return any(len({result.recipe for result in row.finished}) > 1 for row in self.rows)


def _results(rows: Iterable[Row]) -> list[Result]:
    return [result for row in rows for result in (*row.finished, *row.failed)]


def every_result(store: Store) -> Iterator[Result]:
    """The results of all settings for which there are configs.

    Images and sound have their own pages, and folders of tasks where others have settings.
    """
    tasks = known_tasks()
    found = {
        path.parent.name for path in CONFIGS.glob("*/*/*.yaml") if path.parent.parent.name in tasks
    }
    for settings in (OURS, *sorted(found)):
        yield from store.results(settings)


def summarize(results: Iterable[Result]) -> list[TaskSummary]:
    """Groups results by task, in the order of ``TASKS``, then alphabetically."""
    by_task: dict[str, list[Result]] = {}
    for result in results:
        by_task.setdefault(result.task, []).append(result)
    order = {name: index for index, name in enumerate(TASKS)}
    names = sorted(by_task, key=lambda name: (order.get(name, len(order)), name))
    return [_summarize_task(name, by_task[name]) for name in names]


def _summarize_task(name: str, results: Sequence[Result]) -> TaskSummary:
    ours = [each for each in results if each.settings == OURS]
    further = sorted({result.model for result in ours} - set(MODELS))
    pairs = {(result.settings, place(result.model), result.model) for result in results}
    others = sorted(pair for pair in pairs if pair[0] != OURS)
    return TaskSummary(
        name,
        described_by((ours or results)[0]),
        [_row(name, model, ours, OURS) for model in (*MODELS, *further)],
        [_row(name, model, results, settings) for settings, _, model in others],
    )


def counted(row: Row, summary: TaskSummary) -> str:
    """How many seeds are in the mean: ``"3"``, or ``"2 of 3"`` if the test of one gave NaN."""
    spread = row.test(summary.task.metric)
    n = spread.n if spread else 0
    return str(n) if n == len(row.finished) else f"{n} of {len(row.finished)}"


def described_by(result: Result) -> Task:
    """The task of a result, even if it is not one of the paper's."""
    selected = result.selection
    return describe(result.task, selected.get("metric", "val_loss"), selected.get("mode", "min"))


def place(model: str) -> int:
    """The position of a model in tables: ours in their order, the others after them."""
    return MODELS.index(model) if model in MODELS else len(MODELS)


def _row(task: str, model: str, results: Sequence[Result], settings: str) -> Row:
    own = [each for each in results if (each.model, each.settings) == (model, settings)]
    finished, failed, unfinished = (
        [each for each in own if each.status == status]
        for status in ("finished", "failed", "unfinished")
    )
    return Row(task, model, finished, failed, settings, unfinished)


def unmade(name: str) -> TaskSummary:
    """A task without any result."""
    return TaskSummary(name, TASKS[name], [Row(name, model, [], []) for model in MODELS])


def missing_tasks(summaries: Sequence[TaskSummary]) -> list[str]:
    """Tasks that have configs and no result."""
    present = {summary.name for summary in summaries}
    return [task for task in known_tasks() if task not in present]


def fill_command(
    task: str,
    models: Sequence[str],
    seeds: Sequence[int],
    results: str,
    settings: str = OURS,
    overrides: Sequence[str] = (),
) -> str:
    """The command that makes missing results."""
    parts = ["python", "-m", "benchmarks", "run", "--tasks", task, "--models", *models]
    parts += [] if settings == OURS else ["--settings", settings]
    parts += ["--seeds", *map(str, seeds)]
    parts += ["--override", *overrides] if overrides else []
    parts += [] if results == RESULTS else ["--results", results]
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
        digits += 1  # 99.0 for an accuracy of 98.965 % would overstate it
    if spread.deviation is None:
        return significant(spread.mean, digits)
    mean = significant(spread.mean, digits)
    if "e" in mean:
        exponent = int(mean.split("e")[1])
        deviation = f"{spread.deviation / 10.0**exponent:.{digits - 1}f}"
        return f"({mean.split('e')[0]} ± {deviation})e{exponent}"
    decimals = len(mean.partition(".")[2])
    return f"{mean} ± {spread.deviation:.{decimals}f}"
