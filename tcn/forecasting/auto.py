"""`AutoForecaster`: a forecaster whose settings are searched, by the end of its own frame alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self

import pandas as pd
from sklearn.exceptions import NotFittedError

from tcn.extras import need
from tcn.forecasting.ensemble import Ensemble
from tcn.forecasting.forecaster import Forecaster
from tcn.forecasting.judging import METRICS, Judge, Metric
from tcn.forecasting.search import Budget, Search, chosen
from tcn.forecasting.search_space import dimensions
from tcn.layers.validation import check_positive, is_integer


class AutoForecaster:
    """Searches the settings of a forecaster, and is the best one found.

    ::

        auto = AutoForecaster(Forecaster(h=12, input_size=24), trials=20, ensemble=3).fit(df)
        auto.predict()  # unique_id, ds, Auto
        auto.trials_  # a row each: settings, score, seconds, state

    The frame that ``fit`` is given is all that is looked at. Each trial trains on all but the last
    ``n_windows`` windows of every series and is judged by these; the template's own settings are
    the first. The best few are judged again, with the template, by the windows before and another
    seed, for the best of many is partly the luckiest. Settings whose errors are not below the
    template's by more than chance are not taken. What is taken is trained on the whole frame.

    Measured with ten trials and ``ensemble=4``, one seed: on tourism monthly the template was kept
    (MASE on test 1.478; AutoETS 1.531), on hospital settings were taken that are worse on test,
    .774 against .770 (AutoETS .770). Series that rise and fall together say less about chance than
    their number: there, more ``n_windows`` tell more.

    Attributes:
        trials_: a row for every trial: ``number``, ``state``, ``score`` (by the last windows),
            ``confirmed`` (mean of that and of the windows before, of those judged again),
            ``seconds``, ``reason`` (why it failed), and the settings that are searched.
        best_settings_: of the best trial that was taken; empty if that is the template.
        members_: numbers of the trials that were taken, more than one for an ensemble.
        forecaster_: what they made of the whole frame, a :class:`Forecaster` or, of several, an
            :class:`Ensemble`.
    """

    trials_: pd.DataFrame
    best_settings_: dict[str, Any]
    members_: list[int]
    forecaster_: Forecaster | Ensemble

    def __init__(
        self,
        forecaster: Forecaster,
        *,
        trials: int | None = 20,
        minutes: float | None = None,
        space: Mapping[str, Any] | None = None,
        n_windows: int = 1,
        metric: Metric = "mase",
        finalists: int = 3,
        ensemble: int = 1,
        seed: int = 1,
    ) -> None:
        """Settings; nothing is computed.

        Args:
            forecaster: the template: what is not searched stays as it is here. ``progress=True``
                shows a bar of the trials.
            trials: at most; None: as many as ``minutes`` allow.
            minutes: after which it should have ended, last training included; None: no limit. The
                first trial is always made. With a limit, how many trials there are depends on the
                machine; by ``trials`` alone, the same seed makes the same choice.
            space: by name of a setting a list of choices, or ``(low, high)``; None:
                :func:`tcn.forecasting.search_space.default_space`.
            n_windows: of every series that judge, one after the other, each of ``h`` steps.
            metric: ``"mase"``, ``"mae"``, ``"mse"``, ``"rmse"``, ``"smape"``, or a function of what
                came and what was forecast, ``(h,)`` each, such as those of ``sklearn.metrics``; it
                is averaged over series, and less is better.
            finalists: of the best that are judged again.
            ensemble: of how many the mean is forecast: of the template and the best of the others.
                1: the best alone.
            seed: of what is drawn. That of every net is the template's.

        Raises:
            ModuleNotFoundError: without the extra ``search``.
            TypeError: if an argument is of the wrong kind.
            ValueError: if a number is out of range, or a name is unknown.
        """
        need("tcn.forecasting.AutoForecaster", "search", "optuna")
        if not isinstance(forecaster, Forecaster):
            raise TypeError(
                f"forecaster: {forecaster!r} is not a Forecaster; give one, such as "
                "Forecaster(h=12, input_size=24)"
            )
        _check_budget(trials, minutes)
        check_positive("n_windows", [n_windows])
        check_positive("finalists", [finalists])
        check_positive("ensemble", [ensemble])
        if not is_integer(seed) or seed < 0:
            raise ValueError(f"seed: {seed!r} must be an integer of at least 0")
        if ensemble > finalists + 1:
            raise ValueError(
                f"ensemble: {ensemble} of {finalists} finalists and the template; give "
                f"finalists={ensemble} or more"
            )
        if not callable(metric) and metric not in METRICS:
            raise ValueError(
                f"metric: {metric!r} is not one of {', '.join(METRICS)}; give one, or a function"
            )
        dimensions(forecaster, space)
        self.forecaster = forecaster
        self.trials, self.minutes = trials, minutes
        self.space = space
        self.n_windows, self.metric = n_windows, metric
        self.finalists, self.ensemble = finalists, ensemble
        self.seed = seed

    def fit(self, df: Any, static_df: Any = None, val_size: int = 0) -> Self:
        """Searches, and trains what is best on the whole frame.

        Ctrl-C ends the search and keeps what is finished: the best so far is trained.

        Args:
            df: see :meth:`Forecaster.fit`.
            static_df: see :meth:`Forecaster.fit`.
            val_size: see :meth:`Forecaster.fit`; of every trial, too, before what judges.

        Returns:
            The forecaster.

        Raises:
            TypeError, ValueError: see :meth:`Forecaster.fit`; or if no trial finished, with the
                first reason.
        """
        judge = Judge.of(self.forecaster, df, static_df, val_size=val_size,
                         n_windows=self.n_windows, metric=self.metric)  # fmt: skip
        drawn = dimensions(self.forecaster, self.space)
        search = Search(judge, drawn, seed=self.seed, kept=self.finalists)
        later = self.finalists + 1 + self.ensemble
        budget = Budget(self.trials or float("inf"), 60 * (self.minutes or float("inf")), later)
        search.run(budget, progress=self.forecaster.progress)
        members = chosen(judge, search.confirm(self.finalists), self.ensemble)
        made = [judge.forecaster(each.settings) for each in members]
        fitted = [each.fit(df, static_df, val_size) for each in made]
        self.trials_ = pd.DataFrame(
            [each.row | search.full(each.settings) for each in search.trials]
        )
        self.members_ = [each.number for each in members]
        best = min(members, key=lambda each: sum(part.mean() for part in each.errors))
        self.best_settings_ = dict(best.settings)
        self.forecaster_ = fitted[0] if len(fitted) == 1 else Ensemble(fitted)
        return self

    def predict(
        self,
        df: Any = None,
        futr_df: Any = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
        *,
        static_df: Any = None,
    ) -> Any:
        """See :meth:`Forecaster.predict`; the column is ``Auto``, or the template's ``alias``."""
        return self._fitted.predict(df, futr_df, h=h, level=level, static_df=static_df)

    def update(
        self,
        new_rows: Any,
        futr_df: Any = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
    ) -> Any:
        """See :meth:`Forecaster.update`."""
        return self._fitted.update(new_rows, futr_df, h=h, level=level)

    def cross_validation(
        self,
        df: Any,
        n_windows: int = 1,
        step_size: int | None = None,
        *,
        static_df: Any = None,
        val_size: int = 0,
        refit: bool = False,
        level: Sequence[float] | None = None,
    ) -> Any:
        """See :meth:`Forecaster.cross_validation`, by the settings found.

        Of the frame that these were found by, the errors are too small: the settings have seen
        what is forecast. Search in an earlier part to know how good the search is.
        """
        return self._fitted.cross_validation(
            df,
            n_windows,
            step_size,
            static_df=static_df,
            val_size=val_size,
            refit=refit,
            level=level,
        )

    def save(self, folder: str | PathLike[str]) -> Path:
        """Writes what was made, for ``Forecaster.load`` or, of several, ``Ensemble.load``.

        Returns:
            The folder.
        """
        return self._fitted.save(folder)

    @property
    def _fitted(self) -> Forecaster | Ensemble:
        if not hasattr(self, "forecaster_"):
            raise NotFittedError("AutoForecaster: call fit(df) first")
        return self.forecaster_


def _check_budget(trials: int | None, minutes: float | None) -> None:
    if trials is None and minutes is None:
        raise ValueError("trials: None, and minutes: None; give one of them, or it never ends")
    if trials is not None:
        check_positive("trials", [trials])
    if minutes is not None and not minutes > 0:
        raise ValueError(f"minutes: {minutes} must be above 0")
