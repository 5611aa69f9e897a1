"""`Forecaster`: frames in, forecasts out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from tcn.forecasting.evaluation.backtest import Cutoffs, Predict, backtest, cutoffs, forecast_column
from tcn.forecasting.evaluation.explaining import explain
from tcn.forecasting.evaluation.explanation import Explanation
from tcn.forecasting.fitted import folder as folders
from tcn.forecasting.fitted.fitting import device_of, fit_panel
from tcn.forecasting.fitted.settings import Settings
from tcn.forecasting.fitted.trained import Forecasts, Predictor, Trained
from tcn.forecasting.frames.ids import shown
from tcn.forecasting.frames.notices import warn
from tcn.forecasting.frames.panel import (
    FrameKind,
    Panel,
    frame_like,
    future_from_frame,
    panel_from_frame,
)
from tcn.forecasting.frames.results import repeated
from tcn.forecasting.frames.rows import Rows
from tcn.forecasting.intervals.levels import checked_levels
from tcn.forecasting.live.forecaster import LiveForecaster
from tcn.forecasting.windows.windows import MIN_PAST
from tcn.layers.validation import check_positive, check_switch
from tcn.outputs import output as output_of

_MAKING = threading.Lock()
"""Held while a forecaster's live state is made."""


class Forecaster(Settings):
    """Forecasts series of a long frame, one row per series and time, by one net for all of them.

    ::

        forecaster = Forecaster(h=12, input_size=24, loss="quantiles").fit(df)
        forecaster.predict(level=[80, 90])  # unique_id, ds, TCN, TCN-lo-90, TCN-hi-90, ...

    Frames are those of pandas, polars or pyarrow; results are of the kind that went in, with ids
    and times of the types that went in, in the units of the data. The caller's frames are neither
    kept nor changed. ``get_params``, ``set_params`` and ``sklearn.base.clone`` work as for any
    estimator.

    Attributes:
        trained_: what ``fit`` left behind: the net, its scaling and the last rows of every series.
        window_scaler_: the name of the window scaler, given or chosen.
        window_scaler_errors_: of the linear forecasts by which it was chosen, by name; the mean
            squared or absolute error (losses ``"mse"`` and ``"normal"``, or others) in the units
            of the scaled series. Empty if it was given.
    """

    trained_: Trained
    _live: LiveForecaster | None = None
    _kind: FrameKind
    _told: frozenset[int] = frozenset()

    @property
    def window_scaler_(self) -> str:
        """The name of the window scaler, given or chosen."""
        return self._trained.net.window_scaler.name

    @property
    def window_scaler_errors_(self) -> dict[str, float]:
        """Of the linear forecasts by which the window scaler was chosen, by name."""
        return dict(self._trained.window_errors)

    # ------------------------------------------------------------------- training

    def fit(self, df: Any, static_df: Any = None, val_size: int = 0) -> Self:
        """Trains from the beginning on a frame.

        Args:
            df: one row per series and time: id, time, target and covariates.
            static_df: one row per series with the static columns.
            val_size: last steps of every series that are not trained on, but choose the best
                weights and calibrate intervals.

        Returns:
            The forecaster.

        Raises:
            TypeError: see :func:`tcn.forecasting.frames.panel.panel_from_frame`.
            ValueError: likewise; or if ``val_size`` is too short, or a number is not finite.
        """
        self.check()
        trained, kind = fit_panel(self, self._read(df, static_df), val_size), self._kind_of(df)
        with _MAKING:  # no thread goes on with the live state of the former net
            self.trained_, self._kind, self._live = trained, kind, None
            self._told = frozenset()
        return self

    def _read(self, df: Any, static_df: Any) -> Panel:
        """A frame to train on."""
        return panel_from_frame(
            df,
            columns=self.columns,
            static_df=static_df,
            freq=self.freq,
            missing=self.missing,
            fill=self.fill,
        )

    # ----------------------------------------------------------------- prediction

    def predict(
        self,
        df: Any = None,
        futr_df: Any = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
        *,
        static_df: Any = None,
    ) -> Any:
        """Forecasts the steps after the end of every series.

        Args:
            df: the past, of series seen in training or not; that of the training, and of every
                update since, if None.
            futr_df: id, time and the columns of ``futr_exog_list`` for the steps to come.
            h: steps; as many as trained for if None. Beyond these, forecasts are fed back.
            level: of the intervals, in percent; None: 80 and 90 where there are intervals.
            static_df: static columns of the series of ``df``; without it, those of the training.

        Returns:
            A frame of the kind that ``fit`` or this call was given: id, time, ``TCN``,
            ``TCN-lo-90``, ...; with several targets ``<target>-TCN``, ....

        Raises:
            NotFittedError: before ``fit``.
            TypeError: if there are no intervals.
            ValueError: if a frame does not fit, or rows of the future are missing.
        """
        trained = self._trained
        horizon = self._horizon(h)
        panel = self._history if df is None else self._panel(df, static_df)
        levels = self._levels(level)
        future = future_from_frame(futr_df, panel, horizon, self.fill)
        # Of the series that it was trained on, fit has told already.
        windows = trained.windows(panel, horizon, future=future, told=df is not None)
        columns = backtest(windows, self._named(trained.predictor(windows, levels)))
        for name in ("cutoff", *panel.columns.target):  # nothing has come yet
            del columns[name]
        return (self._kind if df is None else self._kind_of(df))(columns)

    def explain(
        self,
        df: Any = None,
        futr_df: Any = None,
        ids: Sequence[Any] | None = None,
        step: int | Sequence[int] | None = None,
        *,
        static_df: Any = None,
        method: Literal["integrated_gradients", "occlusion"] = "integrated_gradients",
    ) -> Explanation:
        """What each forecast rests on: which past steps, covariates and columns, in units of y.

        Every input is compared with one that says nothing, see
        :mod:`tcn.forecasting.evaluation.explaining`: the target with the mean of its window,
        covariates with zero. Integrated gradients add up to the forecast less that of this
        baseline.

        Args:
            df: see :meth:`predict`.
            futr_df: see :meth:`predict`; for ``h`` steps.
            ids: of the series to explain; None: all.
            step: of the horizon, one or several from 1 on; None: all.
            static_df: see :meth:`predict`.
            method: ``"integrated_gradients"``, or ``"occlusion"``: by how much the forecast falls
                when one input alone says nothing.

        Raises:
            ModuleNotFoundError: without the extra ``explain``.
            NotFittedError: before :meth:`fit`.
            TypeError, ValueError: see :meth:`predict`; or if an id or a step is not known.

        ::

            explained = forecaster.explain(ids=["shop 1"], step=1)
            explained.frame  # unique_id, ds, input, role, input_ds, lag, attribution
            explained.plot().savefig("shop.png")
        """
        trained = self._trained
        self._refuse_changes(trained.history)
        panel = self._history if df is None else self._panel(df, static_df)
        kind = self._kind if df is None else self._kind_of(df)
        return explain(
            trained, panel, futr_df, kind, ids=ids, step=step, fill=self.fill, method=method
        )

    def update(
        self,
        new_rows: Any,
        futr_df: Any = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
    ) -> Any:
        """Takes the next rows of some series, and forecasts what follows, in about a millisecond.

        The forecast is that of :meth:`predict` on the whole series so far, with the scaling and
        the weights of the training; with ``intervals="adaptive"`` the intervals have learned from
        every value that came. A later :meth:`predict` goes on from these rows. Threads may share a
        forecaster: an update waits until another one has ended.

        Args:
            new_rows: like ``df`` of :meth:`fit`, one or more rows of one or more series.
            futr_df: see :meth:`predict`.
            h: see :meth:`predict`.
            level: see :meth:`predict`.

        Returns:
            As :meth:`predict`, for the series of ``new_rows``.

        Raises:
            NotFittedError: before :meth:`fit`.
            TypeError: see :meth:`predict`.
            ValueError: see :meth:`predict`; or if a series was not there in training, or a row
                does not follow the last one. No row has been taken then.
        """
        horizon = self._horizon(h)
        levels = self._levels(level)
        live = self._live_state()
        history = live.trained.history
        columns = history.columns
        latest = live.update_row(new_rows, futr_df, horizon=horizon, levels=levels)
        if latest is None:
            names = (*columns.target, *columns.futr, *columns.hist)
            rows = Rows.read(new_rows, columns, names, "new_rows").sorted()
            latest = live.update(rows, futr_df, horizon=horizon, levels=levels, fill=self.fill)
        times = latest.times.flatten()  # a copy, which the caller may change
        if history.timezone is None and history.unit is not None:  # what local() does, but faster
            times = times.astype(f"datetime64[{history.unit}]")
        else:
            times = history.local(times)
        kind, ids = self._kind_of(new_rows), np.repeat(latest.ids, horizon)
        if len(latest.ids) == 1 and kind.library == "pandas":
            ids = repeated(latest.ids[0], horizon, kind.types[columns.id].native).copy()
        result = {columns.id: ids, columns.time: times}
        for name, values in self._columns_of(latest.forecasts).items():
            for index, target in enumerate(columns.target):
                named = forecast_column(name, target, columns.target)
                result[named] = values[:, index].ravel()
        return kind(result)

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
        """Forecasts of the last windows of every series, each as if the rest had not come yet.

        A copy is trained, on the rows before the first window; this forecaster stays as it is.

        Args:
            df: see :meth:`fit`.
            n_windows: windows of every series, the last of which ends where the series ends.
            step_size: steps from one window to the next; ``h`` if None.
            static_df: see :meth:`fit`.
            val_size: steps before the first window that choose the weights, see :meth:`fit`.
            refit: whether to train anew before every window, on all that precedes it.
            level: of the intervals, see :meth:`predict`.

        Returns:
            A frame of the kind of ``df``: id, time, ``cutoff`` (the last time that was seen), the
            target and the forecasts.

        Raises:
            TypeError: see :meth:`fit` and :meth:`predict`.
            ValueError: likewise; or if no series is long enough.
        """
        self.check()
        check_switch(refit=refit)
        checked_levels(level, output_of(self.loss), self.intervals)  # before hours of training
        panel = self._read(df, static_df)
        where = cutoffs(panel, n_windows=n_windows, h=self.h, step_size=step_size,
                        val_size=val_size)  # fmt: skip
        self._check_training_part(where, panel, n_windows)
        most = int(where.counts.max())
        parts = [where.window(number) for number in range(most)] if refit else [where]
        columns = [self._fold(panel, part, val_size, level) for part in parts]
        joined = {name: _concatenated([part[name] for part in columns]) for name in columns[0]}
        return self._kind_of(df)(joined)

    def _check_training_part(self, where: Cutoffs, panel: Panel, n_windows: int) -> None:
        """Refuses so many windows that nothing is left to train on before the first."""
        need = MIN_PAST + self.h
        if int(where.train_rows.max()) >= need:
            return
        longest = int(panel.lengths.max())
        most = (longest - self.h - where.val_size - need) // where.step + 1
        val_size = f" and val_size={where.val_size}" if where.val_size else ""
        cure = (
            f"give n_windows={most} or fewer" if most > 0 else "give longer series or a smaller h"
        )
        raise ValueError(
            f"n_windows: {n_windows} windows{val_size} leave {int(where.train_rows.max())} rows of "
            f"the longest series to train on, and a window of h={self.h} needs {need}; {cure}"
        )

    def _fold(
        self, panel: Panel, where: Cutoffs, val_size: int, level: Sequence[float] | None
    ) -> dict[str, Any]:
        """Trains on what precedes the first of some windows, and forecasts these."""
        rows = where.validation_rows
        known = panel.select(rows > 0)
        past = known.until(rows[rows > 0])
        copied = clone(self)
        copied.trained_ = fit_panel(copied, past, val_size)
        windows = copied.trained_.windows(
            panel, self.h, first=where.first, last=where.last, step=where.step
        )
        predict = copied.trained_.predictor(windows, copied._levels(level))
        return backtest(windows, copied._named(predict))

    def _panel(self, df: Any, static_df: Any) -> Panel:
        """A new history as a panel, with the categories of the training."""
        history = self._trained.history
        columns = history.columns
        reuse = static_df is None and bool(columns.stat)
        if reuse:
            columns = replace(columns, stat=(), categorical=())
        panel = panel_from_frame(
            df,
            columns=columns,
            static_df=static_df,
            freq=history.frequency,
            missing=history.missing,
            fill=self.fill,
            vocabularies=None if reuse else history.vocabularies,
        )
        return self._with_static(panel) if reuse else panel

    def _with_static(self, panel: Panel) -> Panel:
        history = self._trained.history
        number = {identity: index for index, identity in enumerate(history.ids.tolist())}
        index = np.array([number.get(identity, -1) for identity in panel.ids.tolist()])
        if (index < 0).any():
            raise ValueError(
                f"static_df: it is missing, and {int((index < 0).sum())} series, such as "
                f"{shown(panel.ids[index < 0][:1])}, were not there in training; give their "
                f"{list(history.columns.stat)}"
            )
        return replace(
            panel,
            columns=history.columns,
            stat=history.stat[index],
            categories=history.categories[index],
            vocabularies=history.vocabularies,
        )

    def _horizon(self, h: int | None) -> int:
        """The horizon that is asked for; refuses settings that only a fit can follow."""
        trained, horizon = self._trained, self.h if h is None else h
        check_positive("h", [horizon])
        self._refuse_changes(trained.history)
        columns = trained.history.columns
        if columns.hist and horizon > trained.net.sizes.h and horizon not in self._told:
            self._told |= {horizon}  # once, whatever filters other libraries put in between
            warn(
                f"h: {horizon} steps are more than the {trained.net.sizes.h} that were trained "
                f"for; beyond these, {list(columns.hist)}, which are known for the past alone, "
                "stay at their last values"
            )
        return horizon

    def _refuse_changes(self, history: Panel) -> None:
        """Refuses settings that are not those of the training, which ended with this history."""
        told, columns = history.missing, history.columns
        self.check_names_of_results()
        if self.missing != told:
            raise ValueError(
                f"missing: {self.missing!r} was set after fit, which was told {told!r}; call "
                f"fit(df) again, or set it back"
            )
        if self.columns != columns:
            raise ValueError(
                f"columns: they were set after fit, which read {columns}; call fit(df) again, or "
                "set them back"
            )

    def _levels(self, level: Sequence[float] | None) -> list[float]:
        return checked_levels(level, self._trained.output, self._trained.intervals)

    def _named(self, predict: Predictor) -> Predict:
        """Forecasts of a batch by the names of their columns."""
        return lambda batch: self._columns_of(predict(batch))

    def _columns_of(self, found: Forecasts) -> dict[str, Any]:
        """``TCN``, then the lower ends from the widest interval on, then the upper ends."""
        name, ends = self.result_name, sorted(found.intervals.items())
        lower = {f"{name}-lo-{level:g}": low for level, (low, _) in reversed(ends)}
        upper = {f"{name}-hi-{level:g}": high for level, (_, high) in ends}
        return {name: found.mean, **lower, **upper}

    # ---------------------------------------------------------------------- files

    def save(self, folder: str | PathLike[str]) -> Path:
        """Writes all that forecasts go on from to a folder.

        Settings, weights, scaling, the last rows of every series, and what adaptive intervals have
        learned from a stream.

        Args:
            folder: made if it is missing; its two files are whole or not there.

        Returns:
            The folder.

        Raises:
            NotFittedError: before :meth:`fit`.
            ValueError: if the net was handed in and cannot be built again from plain data, ids
                are neither text nor integers, or settings were changed to what cannot be loaded.
        """
        self.check()
        self._refuse_changes(self._trained.history)
        live = self._live
        trained = self._trained.snapshot() if live is None else live.snapshot()
        parameters = self.get_params(deep=False)
        return folders.write(folder, folders.Stored(parameters, trained, self._kind.library))

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Self:
        """The forecaster that :meth:`save` wrote, with the same forecasts.

        On a stream adaptive intervals go on as they were. Of the types of ids and times only the
        library is kept: ``predict()`` returns text, integers and timestamps.

        Raises:
            ValueError: if a file is missing, changed or not what it should be, naming it.
        """
        parameters, trained, library = folders.read(folder)
        unknown = sorted(parameters.keys() - cls._get_param_names())
        if unknown:
            raise ValueError(f"{folder}: {unknown} are not settings of this version of tcn")
        try:
            forecaster = cls(**parameters)
            forecaster._refuse_changes(trained.history)
            trained.device = device_of(forecaster.accelerator)
        except (TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"{folder}: its settings do not fit: {reason}") from error
        forecaster.trained_ = trained
        forecaster._kind = FrameKind(library)
        return forecaster

    def __getstate__(self) -> dict[str, Any]:
        """Without the live state, which is computed anew from the history."""
        state = dict(super().__getstate__())
        live = state.pop("_live", None)
        if live is not None:
            state["trained_"] = live.snapshot()
        elif "trained_" in state:
            state["trained_"] = state["trained_"].snapshot()
        return state

    # --------------------------------------------------------------------- checks

    def _live_state(self) -> LiveForecaster:
        """The live state, made once whatever the number of threads that ask for it."""
        live = self._live
        if live is not None:
            return live
        with _MAKING:
            if self._live is None:
                self._live = LiveForecaster(self._trained)
            return self._live

    def _kind_of(self, df: Any) -> FrameKind:
        """What builds results for a frame that was handed in."""
        return frame_like(df, self.id_col, self.time_col)

    @property
    def _history(self) -> Panel:
        """The last rows of every series, those that came in updates among them."""
        return self._trained.history if self._live is None else self._live.history

    @property
    def _trained(self) -> Trained:
        if not hasattr(self, "trained_"):
            raise NotFittedError("Forecaster: call fit(df) first")
        return self.trained_


def _concatenated(parts: Sequence[Any]) -> Any:
    first = parts[0]
    return first.append(list(parts[1:])) if hasattr(first, "append") else np.concatenate(parts)
