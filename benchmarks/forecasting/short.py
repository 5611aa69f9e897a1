"""The forecasting sets in one short table: the first metric of each, of our nets and the peers."""

import statistics
from collections.abc import Sequence

from benchmarks.forecasting.contestants import CONTESTANTS
from benchmarks.forecasting.page import LOWER, UNITS, grouped, metrics_of, tested, title_of
from benchmarks.grid.results import Result
from benchmarks.grid.store import Store
from benchmarks.report.tables import Best, Table, spread

SHOWN = ("tcn", "lstm", "gru", "dlinear", "neuralforecast_tcn", "darts_tcn", "seasonal_naive")
"""The columns. The page has all contestants."""

OTHERWISE = {"neuralforecast_tcn": ("neuralforecast_tcn_mae", "its loss MAE")}
"""The same model made in another way, with a remark: the better of the two is shown."""


def short_table(store: Store) -> Table:
    """A line for each set and horizon that the first of the columns forecast.

    How many seeds follows a mean of several.

    Raises:
        ValueError: there are no results.
    """
    groups = {
        key: results
        for key, results in grouped(list(store.results())).items()
        if any(each.model == SHOWN[0] for each in results)
    }
    if not groups:
        raise ValueError(
            f"no results in {store.folder}; `python -m benchmarks forecasting` makes them"
        )
    rows = [_row(title_of(*key), results) for key, results in groups.items()]
    return Table(["data", "metric", *(CONTESTANTS[name].label for name in SHOWN)], rows, (0, 1))


def _row(title: str, results: Sequence[Result]) -> list[str]:
    metric = next(name for name in metrics_of(results) if name in LOWER)
    found = [_cell(name, metric, results) for name in SHOWN]
    lowest = min((mean for mean, _ in found if mean is not None), default=None)
    cells = [Best(text) if mean is not None and mean == lowest else text for mean, text in found]
    return [title, f"{UNITS[metric][0]} ↓", *cells]


def _cell(name: str, metric: str, results: Sequence[Result]) -> tuple[float | None, str]:
    """The mean, and how it is shown."""
    ways = [(name, ""), *([OTHERWISE[name]] if name in OTHERWISE else [])]
    made = [
        (statistics.fmean(values), _text(values, metric, remark))
        for model, remark in ways
        if (values := tested(metric, [each for each in results if each.model == model]))
    ]
    return min(made, default=(None, "–"))


def _text(values: Sequence[float], metric: str, remark: str) -> str:
    notes = [f"{len(values)} seeds"] * (len(values) > 1) + [remark] * bool(remark)
    return spread(values, UNITS[metric][1]) + (f" ({', '.join(notes)})" if notes else "")
