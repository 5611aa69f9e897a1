"""How good settings are: rolling origins at the end of the frame that was handed in.

::

    rows of every series    |------------------ trained on ------------------|  judged  |
    once more, for the few  |------------ trained on ------------|  judged  |
    that did best
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import clone

from tcn.forecasting.evaluation import Metric, evaluate
from tcn.forecasting.forecaster import Forecaster
from tcn.forecasting.frames.panel import Panel, panel_from_frame
from tcn.forecasting.frames.reading import read_columns
from tcn.forecasting.windows.windows import MIN_PAST

METRICS = ("mase", "mae", "mse", "rmse", "smape")
"""Those of :func:`tcn.forecasting.evaluate` that need points alone."""


@dataclass(eq=False)
class Trial:
    """Settings and how they did.

    Attributes:
        number: 0 for the template's own.
        settings: that were drawn, by name.
        state: ``"finished"``, ``"failed"`` or ``"interrupted"``.
        errors: mean error of every series, of the first part judged and of the second.
        forecasts: of the same parts; not kept of trials that are no longer among the best.
        seconds: that all of it took.
        reason: why it failed.
    """

    number: int
    settings: dict[str, Any]
    state: str = "finished"
    errors: list[pd.Series] = field(default_factory=list)
    forecasts: list[pd.DataFrame] = field(default_factory=list)
    seconds: float = 0.0
    reason: str = ""

    @property
    def score(self) -> float:
        """Mean error of the first part, of every series alike; NaN if there is none."""
        return float(self.errors[0].mean()) if self.errors else float("nan")

    @property
    def confirmed(self) -> float:
        """Mean error of both parts; NaN before the second."""
        both = len(self.errors) > 1
        return sum(float(each.mean()) for each in self.errors) / 2 if both else float("nan")

    @property
    def row(self) -> dict[str, Any]:
        """All but the settings, as a table has it."""
        names = ("number", "state", "score", "confirmed", "seconds", "reason")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Judge:
    """Judges settings by the last windows of a frame, and by those before.

    Attributes:
        template: whose settings stand where a trial has none.
        table: id, time, targets and covariates, regular and in order.
        static_df: of the series.
        val_size: rows before the windows that choose the weights.
        n_windows: windows of every series in each part.
        metric: a name of :data:`METRICS`, or a function of what came and what was forecast in one
            window, ``(h,)`` each.
    """

    template: Forecaster
    table: pd.DataFrame
    static_df: Any
    val_size: int
    n_windows: int
    metric: Metric

    @classmethod
    def of(
        cls, template: Forecaster, df: Any, static_df: Any, *, val_size: int, n_windows: int,
        metric: Metric,
    ) -> Self:  # fmt: skip
        """Reads a caller's frame once for all trials.

        Raises:
            TypeError, ValueError: see :meth:`Forecaster.fit`.
        """
        panel = panel_from_frame(
            df,
            columns=template.columns,
            static_df=static_df,
            freq=template.freq,
            missing=template.missing,
            fill=template.fill,
        )
        return cls(template, _table(panel), static_df, val_size, n_windows, metric)

    def judge(self, trial: Trial, *, again: bool = False) -> None:
        """Trains by a trial's settings, and adds forecasts and errors.

        Args:
            trial: that is added to.
            again: whether to judge by the windows before the last, by a net of another seed; by
                the last where the series have no windows before.
        """
        table = self.earlier if again else self.table
        forecaster = self.forecaster(trial.settings)
        if again:
            forecaster.set_params(seed=forecaster.seed + 1)
        found = forecaster.cross_validation(
            table, self.n_windows, static_df=self._static_of(table), val_size=self.val_size
        )
        errors = self.errors(found)
        if not np.isfinite(errors).all() or not len(errors):
            raise ValueError(f"metric: {self.metric!r} is not finite; give another one")
        trial.forecasts.append(found)
        trial.errors.append(errors)

    def forecaster(self, settings: Mapping[str, Any]) -> Forecaster:
        """The template with other settings, not trained."""
        made: Forecaster = clone(self.template).set_params(
            **settings, progress=False, alias=self.template.alias or "Auto"
        )
        made.check()
        return made

    @property
    def earlier(self) -> pd.DataFrame:
        """Without the rows that the last windows judge; all where too little would be left."""
        h = self.template.h
        cut = self.n_windows * h
        groups = self.table.groupby(self.template.id_col, sort=False)[self.template.time_col]
        left = groups.transform("size") - cut
        enough = left >= cut + self.val_size + h + MIN_PAST
        return self.table[enough & (groups.cumcount() < left)] if enough.any() else self.table

    def _static_of(self, table: pd.DataFrame) -> Any:
        names = self.template.columns
        if self.static_df is None or not names.stat:
            return self.static_df
        static = pd.DataFrame(read_columns(self.static_df, (names.id, *names.stat), "static_df"))
        return static[static[names.id].isin(table[names.id].unique())]

    def errors(self, found: pd.DataFrame) -> pd.Series:
        """Mean error of every series, over its windows and targets."""
        columns, alias = self.template.columns, self.template.alias or "Auto"
        several = len(columns.target) > 1
        parts = [
            self._errors(found, target, f"{target}-{alias}" if several else alias)
            for target in columns.target
        ]
        return pd.concat(parts, axis=1).mean(axis=1).dropna()

    def _errors(self, found: pd.DataFrame, target: str, model: str) -> pd.Series:
        names = self.template.columns
        if callable(self.metric):
            came = found.dropna(subset=[target])
            windows = {
                key: float(self.metric(part[target].to_numpy(), part[model].to_numpy()))
                for key, part in came.groupby([names.id, "cutoff"], sort=False)
            }
            return pd.Series(windows).groupby(level=0, sort=False).mean()
        scores = evaluate(
            found[[names.id, names.time, "cutoff", target, model]],
            self.table,
            models=[model],
            per_series=True,
            id_col=names.id,
            time_col=names.time,
            target_col=target,
        )
        return scores[scores["metric"] == self.metric].set_index(names.id)[model]


def _table(panel: Panel) -> pd.DataFrame:
    columns = panel.columns
    values = {
        name: part[:, position]
        for names, part in (
            (columns.target, panel.target), (columns.futr, panel.futr), (columns.hist, panel.hist),
        )
        for position, name in enumerate(names)
    }  # fmt: skip
    ids = np.repeat(panel.ids, panel.lengths)
    return pd.DataFrame({columns.id: ids, columns.time: panel.local(panel.times), **values})
