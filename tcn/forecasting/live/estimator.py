"""What a forecaster holds from its fit on, in memory and as a folder."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.exceptions import NotFittedError

from tcn.forecasting.fitted import folder as folders
from tcn.forecasting.fitted.fitting import device_of
from tcn.forecasting.fitted.paths import check_paths, sample_paths
from tcn.forecasting.fitted.predictor import Forecasts
from tcn.forecasting.fitted.settings import Settings
from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.frames.notices import warn
from tcn.forecasting.frames.panel import Panel, future_from_frame, panel_from_frame, panel_like
from tcn.forecasting.frames.results import FrameKind, frame_like
from tcn.forecasting.frames.rows import Rows
from tcn.forecasting.intervals.levels import checked_levels
from tcn.forecasting.live.door import ForecastStream
from tcn.forecasting.live.forecaster import LiveForecaster
from tcn.layers.validation import check_positive


class FittedEstimator(Settings):
    """Settings with what a fit left behind, which is saved and loaded."""

    _live: LiveForecaster
    _kind: FrameKind
    _told: frozenset[int] = frozenset()
    _of_fit: dict[str, Any]

    @property
    def trained_(self) -> Trained:
        """What ``fit`` left behind.

        Raises:
            NotFittedError: before :meth:`fit`.
        """
        if not hasattr(self, "_live"):
            raise NotFittedError("Forecaster: call fit(df) first")
        return self._live.trained

    @property
    def live_(self) -> LiveForecaster:
        """The stream, which copies go on from as it is.

        Raises:
            NotFittedError: before :meth:`fit`.
        """
        _ = self.trained_
        return self._live

    @live_.setter
    def live_(self, live: LiveForecaster) -> None:
        self._live = live

    def __sklearn_is_fitted__(self) -> bool:
        """For ``sklearn.utils.validation.check_is_fitted``."""
        return hasattr(self, "_live")

    @property
    def window_scaler_(self) -> str:
        """The name of the window scaler, given or chosen."""
        return self.trained_.net.window_scaler.name

    @property
    def window_scaler_errors_(self) -> dict[str, float]:
        """Of the linear forecasts by which the window scaler was chosen, by name."""
        return dict(self.trained_.window_errors)

    def sample(
        self,
        n: int = 100,
        df: Any = None,
        futr_df: Any = None,
        h: int | None = None,
        *,
        static_df: Any = None,
        seed: int = 0,
    ) -> Any:
        """Sample paths: draws of whole horizons, for sums, maxima and what else is asked of them.

        Each step has the distribution that is forecast for it by the loss, which ``intervals`` do
        not calibrate, and the steps of a path go together as the net draws them, one given the one
        before; see :func:`tcn.forecasting.fitted.paths.sample_paths`. Covariates that are known for
        the past alone stay at their last values meanwhile.

        Args:
            n: paths of each series, at least 2.
            df: see :meth:`predict`.
            futr_df: see :meth:`predict`.
            h: see :meth:`predict`.
            static_df: see :meth:`predict`.
            seed: of the draws.

        Returns:
            A frame: id, time, ``sample`` from 0 on, and a column as that of the point forecast.

        Raises:
            NotFittedError: before :meth:`fit`.
            TypeError: if the loss gives points alone, or see :meth:`predict`.
            ValueError: see :meth:`predict`; or if a number is out of range.

        ::

            paths = Forecaster(h=12, input_size=24, loss="normal").fit(df).sample(500)
            paths.groupby(["unique_id", "sample"])["TCN"].sum()  # of the year, 500 times
        """
        trained, horizon = self.trained_, self._horizon(h)
        check_paths(trained, n, seed, self.result_name)
        panel, kind = self._past(df, static_df)
        future = future_from_frame(futr_df, panel, horizon, self.fill)
        windows = trained.windows(panel, horizon, future=future, told=df is not None)
        paths = sample_paths(trained, windows, n, seed).transpose(
            1, 2, 0, 3
        )  # series, target first
        columns, count = panel.columns, len(panel)
        times = windows.horizon_times(np.arange(count))[:, None].repeat(n, axis=1)
        found = Forecasts(paths.reshape(count, len(columns.target), -1), {})
        return kind(
            {
                columns.id: np.repeat(panel.ids, n * horizon),
                columns.time: panel.local(times.ravel()),
                "sample": np.tile(np.repeat(np.arange(n), horizon), count),
                **found.columns(self.result_name, columns.target),
            }
        )

    def stream(self, h: int | None = None, level: Sequence[float] | None = None) -> ForecastStream:
        """The stream of :meth:`update` by arrays: the next values in, forecasts out.

        Args:
            h: see :meth:`predict`.
            level: see :meth:`predict`.

        Returns:
            What takes values by ``push(ids, values)``; it serves until the next :meth:`fit` or
            :meth:`fine_tune`, after which it is of a net that is no longer in use.

        Raises:
            NotFittedError: before :meth:`fit`.
            TypeError, ValueError: see :meth:`predict`.

        ::

            stream = forecaster.stream()
            stream.push(["shop 1"], [31.0]).mean  # (1, 1, h)
        """
        horizon, trained = self._horizon(h), self.trained_
        levels = checked_levels(level, trained.output, trained.intervals)
        return ForecastStream(self._live, horizon=horizon, levels=levels)

    def revise(self, df: Any, static_df: Any = None) -> Self:
        """Takes rows that come late, correct what was there, or are of new series.

        :meth:`predict` and :meth:`update` go on as if the history had always been so: a row of a
        time that is known replaces the former one, others are put in where they belong. New series
        join with all their rows so far, and get the scaling of these; weights and the scaling of
        the others stay. Rows before the last ``input_size`` ones (and ``val_size``, with
        ``intervals``) are not read: no forecast depends on them. Rows that ``fill`` has put in stay
        as they were put in, until they are given.

        Args:
            df: like that of :meth:`fit`; whole rows, with all columns.
            static_df: static columns of the new series, where there are any.

        Returns:
            The forecaster, whose history is as it was if anything is refused.

        Raises:
            NotFittedError: before :meth:`fit`.
            TypeError: see :meth:`fit`.
            ValueError: likewise; or if rows would be missing between others.

        ::

            forecaster.update(rows_of_today)
            forecaster.revise(corrected_rows_of_yesterday).predict()
        """
        history = self.trained_.history
        self.check_unchanged(history)
        rows = Rows.read(df, history.columns, history.columns.values, "df").sorted(told=False)
        self._live.revise(rows, static_df, self.fill)
        return self

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
        self.check_unchanged(self.trained_.history)
        parameters, trained = self.get_params(deep=False), self._live.snapshot()
        return folders.write(folder, parameters, trained, self._kind.library)

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
            forecaster.check_unchanged(trained.history)
            trained.device = device_of(forecaster.accelerator)
        except (TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"{folder}: its settings do not fit: {reason}") from error
        forecaster._live, forecaster._kind = LiveForecaster(trained), FrameKind(library)
        forecaster._of_fit = forecaster.get_params(deep=False)
        return forecaster

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

    def _begin(self, trained: Trained, df: Any) -> Self:
        """Goes on from a training on a frame."""
        kind = self._kind_of(df)
        self._kind, self._told, self._live = kind, frozenset(), LiveForecaster(trained)
        self._of_fit = self.get_params(deep=False)
        return self

    def _past(self, df: Any, static_df: Any) -> tuple[Panel, FrameKind]:
        """The series to go on from, and what builds results for whoever gave them."""
        if df is None:
            return self._history, self._kind
        past = panel_like(self.trained_.history, df, static_df, self.fill)
        self.trained_.check_target(past.target)
        return past, self._kind_of(df)

    def _horizon(self, h: int | None) -> int:
        """The horizon that is asked for; refuses settings that only a fit can follow."""
        trained, horizon = self.trained_, self.h if h is None else h
        check_positive("h", [horizon])
        self.check_unchanged(trained.history)
        hist = trained.history.columns.hist
        if hist and horizon > trained.net.sizes.h and horizon not in self._told:
            self._told |= {horizon}  # once, whatever filters other libraries put in between
            warn(
                f"h: {horizon} steps are more than the {trained.net.sizes.h} that were trained "
                f"for; beyond these, {list(hist)}, which are known for the past alone, stay at "
                "their last values"
            )
        return horizon

    def _result(self, ids: Any, times: Any, found: Forecasts, kind: FrameKind) -> Any:
        columns = self.trained_.history.columns
        named = found.columns(self.result_name, columns.target)
        return kind({columns.id: ids, columns.time: times, **named})

    def _kind_of(self, df: Any) -> FrameKind:
        """What builds results for a frame that was handed in."""
        return frame_like(df, self.id_col, self.time_col)

    @property
    def _history(self) -> Panel:
        """The last rows of every series, those that came in updates among them."""
        return self._live.history
