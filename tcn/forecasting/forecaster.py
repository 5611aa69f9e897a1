"""`Forecaster`: frames in, forecasts out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np

from tcn.forecasting.evaluation.cross_validation import cross_validate
from tcn.forecasting.evaluation.explaining import explain
from tcn.forecasting.evaluation.explanation import Explanation
from tcn.forecasting.fitted.fitting import fit_panel, tune_panel
from tcn.forecasting.frames.panel import future_from_frame, panel_like
from tcn.forecasting.frames.rows import Rows
from tcn.forecasting.intervals.levels import checked_levels, checked_quantiles, level_between
from tcn.forecasting.live.estimator import FittedEstimator
from tcn.layers.validation import check_switch
from tcn.outputs import output as output_of


class Forecaster(FittedEstimator):
    """Forecasts series of a long frame, one row per series and time, by one net for all of them.

    ::

        forecaster = Forecaster(h=12, input_size=24, loss="quantiles").fit(df)
        forecaster.predict(level=[80, 90])  # unique_id, ds, TCN, TCN-lo-90, TCN-hi-90, ...

    Frames are those of pandas, polars or pyarrow; results are of the kind that went in, with ids
    and times of the types that went in, in the units of the data. The caller's frames are neither
    kept nor changed. Arguments are those of :class:`tcn.forecasting.fitted.settings.Settings`;
    ``get_params``, ``set_params`` and ``sklearn.base.clone`` work as for any estimator.

    Attributes:
        trained_: what ``fit`` left behind: the net, its scaling and the last rows of every series.
        window_scaler_: the name of the window scaler, given or chosen.
        window_scaler_errors_: of the linear forecasts by which it was chosen, by name; the mean
            squared or absolute error (losses ``"mse"`` and ``"normal"``, or others) in the units
            of the scaled series. Empty if it was given.
    """

    # ------------------------------------------------------------------- training

    def fit(
        self, df: Any, static_df: Any = None, val_size: int = 0, *, warm_start: bool = False
    ) -> Self:
        """Trains on a frame, from the beginning unless told otherwise.

        Args:
            df: one row per series and time: id, time, target and covariates.
            static_df: one row per series with the static columns.
            val_size: last steps of every series that are not trained on, but choose the best
                weights and calibrate intervals.
            warm_start: whether to go on from the last fit, if there was one, with all of
                ``max_steps`` and ``learning_rate``; see :meth:`fine_tune`.

        Returns:
            The forecaster.

        Raises:
            TypeError: see :func:`tcn.forecasting.frames.panel.panel_from_frame`.
            ValueError: likewise; or if ``val_size`` is too short, or a number is not finite.
        """
        check_switch(warm_start=warm_start)
        self.check()
        if warm_start and self.__sklearn_is_fitted__():
            return self._tune(self, df, static_df, val_size)
        return self._begin(fit_panel(self, self._read(df, static_df), val_size), df)

    def fine_tune(
        self,
        df: Any,
        max_steps: int | None = None,
        *,
        learning_rate: float | None = None,
        static_df: Any = None,
        val_size: int = 0,
    ) -> Self:
        """Trains further on other series, or on more of the same, in a fraction of the time.

        The net goes on from its weights. Series that were there before keep their scaling, new
        ones get their own; the window scaler and the scaling of covariates stay. Afterwards
        :meth:`predict` goes on from the series of ``df`` alone.

        Args:
            df: see :meth:`fit`; with the columns and at the frequency of the fit.
            max_steps: optimizer steps; a tenth of ``max_steps`` if None.
            learning_rate: at the start; that of the fit if None.
            static_df: see :meth:`fit`; without it the static columns of the fit are those of its
                series.
            val_size: see :meth:`fit`.

        Returns:
            The forecaster, which stays as it was if anything is refused.

        Raises:
            NotFittedError: before :meth:`fit`.
            TypeError: see :meth:`fit`.
            ValueError: see :meth:`fit`; or if a number is not above 0, or a setting was changed
                that only a fit can follow.

        ::

            forecaster.fit(every_shop).fine_tune(new_shop, max_steps=50).predict()
        """
        settings = copy.copy(self)  # only the two numbers of this training are others
        settings.max_steps = max(self.max_steps // 10, 1) if max_steps is None else max_steps
        if learning_rate is not None:
            settings.learning_rate = learning_rate
        return self._tune(settings, df, static_df, val_size)

    def _tune(self, settings: Self, df: Any, static_df: Any, val_size: int) -> Self:
        begin = self.trained_
        settings.check()
        self.check_unchanged(begin.history)
        self.check_tunable(self._of_fit)
        panel = panel_like(begin.history, df, static_df, self.fill)
        return self._begin(tune_panel(settings, begin, panel, val_size), df)

    # ----------------------------------------------------------------- prediction

    def predict(
        self,
        df: Any = None,
        futr_df: Any = None,
        h: int | None = None,
        level: Sequence[float] | None = None,
        *,
        quantiles: Sequence[float] | None = None,
        static_df: Any = None,
    ) -> Any:
        """Forecasts the steps after the end of every series.

        Args:
            df: the past, of series seen in training or not; that of the training, and of every
                update since, if None.
            futr_df: id, time and the columns of ``futr_exog_list`` for the steps to come.
            h: steps; as many as trained for if None. Beyond these, forecasts are fed back.
            level: of the intervals, in percent; None: 80 and 90 where there are intervals, unless
                there are ``quantiles``.
            quantiles: probabilities, between 0 and 1, of columns such as ``TCN-q-0.05``: ends of
                the same intervals. 0.5 is the median, or the point where intervals are calibrated.
            static_df: static columns of the series of ``df``; without it, those of the training.

        Returns:
            A frame of the kind that ``fit`` or this call was given: id, time, ``TCN``,
            ``TCN-lo-90``, ...; with several targets ``<target>-TCN``, ....

        Raises:
            NotFittedError: before ``fit``.
            TypeError: if there are no intervals.
            ValueError: if a frame does not fit, or rows of the future are missing.
        """
        trained, horizon = self.trained_, self._horizon(h)
        panel, kind = self._past(df, static_df)
        wanted = checked_quantiles(quantiles, trained.output, trained.intervals)
        levels = checked_levels([] if wanted and level is None else level,
                                trained.output, trained.intervals)  # fmt: skip
        future = future_from_frame(futr_df, panel, horizon, self.fill)
        # Of the series that it was trained on, fit has told already.
        windows = trained.windows(panel, horizon, future=future, told=df is not None)
        ends = [level_between(q) for q in wanted if q != 0.5 or trained.intervals is None]
        found = trained.forecasts(windows, [*levels, *ends]).with_quantiles(wanted, levels)
        times = panel.local(windows.horizon_times(np.arange(len(windows))).ravel())
        return self._result(np.repeat(panel.ids, horizon), times, found, kind)

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
        self.check_unchanged(self.trained_.history)
        panel, kind = self._past(df, static_df)
        return explain(
            self.trained_, panel, futr_df, kind, ids=ids, step=step, fill=self.fill, method=method
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
                does not follow the last one, or values are no counts where the loss is of counts.
                No row has been taken then.
        """
        horizon, live = self._horizon(h), self._live
        levels = checked_levels(level, live.trained.output, live.trained.intervals)
        columns = live.trained.history.columns
        latest = live.update_row(new_rows, futr_df, horizon=horizon, levels=levels)
        if latest is None:
            rows = Rows.read(new_rows, columns, columns.values, "new_rows").sorted()
            latest = live.update(rows, futr_df, horizon=horizon, levels=levels, fill=self.fill)
        kind = self._kind_of(new_rows)
        ids = kind.repeated(columns.id, latest.ids, horizon)
        return self._result(ids, latest.times, latest.forecasts, kind)

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
        # Before hours of training.
        levels = checked_levels(level, output_of(self.loss), self.intervals)
        columns = cross_validate(
            self,
            self._read(df, static_df),
            n_windows=n_windows,
            step_size=step_size,
            val_size=val_size,
            refit=refit,
            levels=levels,
        )
        return self._kind_of(df)(columns)
