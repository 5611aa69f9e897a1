"""Everything that can be set before a forecaster has seen data."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, get_args

from tcn.forecasting.fitted.backbones import BACKBONES
from tcn.forecasting.fitted.net import SKIPS
from tcn.forecasting.fitted.setting_groups import ColumnSettings, NetSettings, TrainingSettings
from tcn.forecasting.frames.frequency import Frequency
from tcn.forecasting.frames.gaps import FILLS, Fill
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.frames.rows import Missing
from tcn.forecasting.intervals.levels import INTERVALS
from tcn.forecasting.windows.scaling import SERIES_SCALERS
from tcn.forecasting.windows.window_scaling import WINDOW_SCALERS
from tcn.layers import SequenceModule
from tcn.layers.compiled import uncompiled
from tcn.layers.validation import check_positive, check_probability, check_switch
from tcn.outputs import Output
from tcn.outputs import output as output_of

_SIZES = (
    "h", "input_size", "width", "kernel_size", "max_steps", "batch_size", "val_check_steps",
)  # fmt: skip
_SIZES_OR_NONE = ("layers", "early_stop_patience_steps")
_NAMES: dict[str, Collection[Any]] = {
    "model": BACKBONES,
    "scaler": (None, *SERIES_SCALERS),
    "window_scaler": (None, "auto", *WINDOW_SCALERS),
    "skip": SKIPS,
    "intervals": INTERVALS,
    "missing": get_args(Missing),
    "fill": (None, *FILLS),
}
"""What an argument may be."""


OF_A_RUN = frozenset(
    {"max_steps", "batch_size", "learning_rate", "weight_decay", "early_stop_patience_steps",
     "val_check_steps", "fill", "alias", "accelerator", "progress", "seed"}
)  # fmt: skip
"""Settings that may be others when a net is trained further."""


@dataclass(eq=False, repr=False)
class Settings(ColumnSettings, NetSettings, TrainingSettings):
    """Arguments of a forecaster, checked; an estimator of scikit-learn as far as these go.

    Attributes:
        h: steps forecast at once. A longer horizon can be asked for later.
        input_size: steps of the past that a forecast sees.
        loss: ``"mse"``, ``"mae"``, ``"huber"``, ``"mase"``, ``"quantiles"``, ``"normal"``,
            ``"student_t"``, ``"mixture"``, ``"poisson"``, ``"negative_binomial"``, or an
            output of :mod:`tcn.outputs`. Whichever it is, forecasts and intervals of a target
            whose values in training are whole numbers, none negative, do not go below 0.
            Intervals allow for the fit, see :mod:`tcn.forecasting.intervals.widening`, unless
            they are those of a distribution of counts.
        scaler: of every series, by its training part; see
            :class:`tcn.forecasting.windows.scaling.SeriesScaler`. None: ``"standard"``, and
            ``"identity"`` for counts.
        window_scaler: of every look-back; see
            :class:`tcn.forecasting.windows.window_scaling.WindowScaler` for the names and for
            which data each one is. None and ``"auto"``: the one by which a linear map forecasts
            the validation best, or without one the last windows of the training part; see
            :mod:`tcn.forecasting.windows.window_choice`. For counts always ``"identity"``.
        calendar: names of :mod:`tcn.forecasting.frames.calendar`, or ``"auto"`` for those that
            suit the frequency.
        intervals: None for those of the loss, if it is a distribution; ``"conformal"`` around
            any point, or ``"cqr"`` for the quantiles of a distribution corrected, both
            calibrated on the last ``val_size`` steps; ``"adaptive"``: as ``"conformal"``, and
            :meth:`update` corrects them after every value that comes.
        missing: ``"raise"``, or ``"mask"``: the net is told of NaN and absent rows, and they
            count in no loss.
        fill: ``"forward"``, ``"zero"`` or ``"interpolate"`` before anything else; None: not.
        freq: the step of the rows, such as ``"h"``, ``"MS"`` or 1; ``"MS-15"`` is the 15th of
            every month; inferred if None.
        alias: name of the result column; that of the model if None.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a size, name or share is not possible, naming it.
    """

    h: int
    input_size: int
    _: KW_ONLY
    loss: str | Output = "mse"
    scaler: str | None = None
    window_scaler: str | None = None
    calendar: Sequence[str] | str = ()
    intervals: str | None = None
    missing: Missing = "raise"
    fill: Fill | None = None
    freq: str | int | None = None
    alias: str | None = None

    def __post_init__(self) -> None:
        """Nothing is computed."""
        self.model = uncompiled(self.model)
        self.check()

    @property
    def result_name(self) -> str:
        """Name of the result column, which the interval ends follow."""
        if self.alias is not None:
            return self.alias
        return BACKBONES[self.model] if isinstance(self.model, str) else type(self.model).__name__

    def check(self) -> None:
        """Refuses settings that cannot work, whatever the data.

        Raises:
            TypeError: if an argument is of the wrong kind.
            ValueError: if a size, name or share is not possible, naming it.
        """
        check_switch(progress=self.progress)
        self._check_numbers()
        self._check_names()
        self._check_output(output_of(self.loss))
        for name in ("futr_exog_list", "hist_exog_list", "stat_exog_list", "categorical_list"):
            if isinstance(value := getattr(self, name), str):
                raise TypeError(f"{name}: {value!r} is one name; give a list, [{value!r}]")
        if isinstance(self.calendar, str) and self.calendar != "auto":
            raise ValueError(f"calendar: {self.calendar!r}; give 'auto' or a list of names")
        if self.freq is not None:
            Frequency.given(self.freq)
        self.check_names_of_results()

    def check_unchanged(self, history: Panel) -> None:
        """Refuses settings that are not those of the training, which ended with this history.

        Raises:
            ValueError: if one was set after fit that only a fit can follow.
        """
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

    def check_tunable(self, of_fit: Mapping[str, Any]) -> None:
        """Refuses settings that were changed after the fit and that its net cannot follow."""
        now = self.get_params(deep=False)
        for name, told in of_fit.items():
            if name not in OF_A_RUN and not (now[name] is told or now[name] == told):
                raise ValueError(
                    f"{name}: {now[name]!r} was set after fit, which was told {told!r}, and a net "
                    "that is trained further cannot follow; set it back, or fit from the beginning"
                )

    def check_names_of_results(self) -> None:
        """Refuses columns that results would have twice, of which one would be lost.

        Raises:
            TypeError: if ``alias`` is not text.
            ValueError: if a column is named as a forecast, or either one ``cutoff``.
        """
        if not isinstance(self.alias, str | None):
            raise TypeError(f"alias: {self.alias!r} is not text; give alias='{self.alias}'")
        columns, name = self.columns, self.result_name
        kept = (columns.id, columns.time, "cutoff", *columns.target)
        if len(set(kept)) < len(kept):
            raise ValueError(
                "cutoff: results name the last time that was seen so; give the column of this name "
                "in your frame another one"
            )
        several = len(columns.target) > 1
        for point in [f"{target}-{name}" for target in columns.target] if several else [name]:
            end = re.compile(re.escape(point) + "(-(lo|hi)-[0-9.]+)?")
            if twice := [column for column in kept if end.fullmatch(column)]:
                raise ValueError(
                    f"alias: forecasts would be named {twice[0]!r}, which another column of the "
                    "result is named already; give another alias"
                )

    def _check_numbers(self) -> None:
        sizes = (*_SIZES, *(name for name in _SIZES_OR_NONE if getattr(self, name) is not None))
        for name in sizes:
            check_positive(name, [getattr(self, name)])
        check_probability("dropout", self.dropout)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate: {self.learning_rate} must be above 0")
        for name in ("weight_decay", "seed"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 0")

    def _check_names(self) -> None:
        if not isinstance(self.model, str | SequenceModule):
            raise TypeError(
                f"model: {type(self.model).__name__} is neither a name, such as 'tcn', nor a "
                "tcn.layers.SequenceModule"
            )
        for name, known in _NAMES.items():
            value = getattr(self, name)
            if value not in known and not isinstance(value, SequenceModule):
                raise ValueError(f"{name}: {value!r} is not one of {', '.join(map(repr, known))}")

    def _check_output(self, output: Output) -> None:
        if output.support not in ("real", "count"):
            raise ValueError(
                f"loss: {output.name!r} is for other targets than real numbers or counts; to "
                "forecast, use one of those, such as 'normal', 'quantiles' or 'poisson'"
            )
        if output.support == "count":
            for name in ("scaler", "window_scaler"):
                if getattr(self, name) not in (None, "identity"):
                    raise ValueError(
                        f"{name}: {getattr(self, name)!r} would make loss {output.name!r}, which "
                        "is for counts, meet numbers that are not counts; use 'identity', or "
                        "a loss for real numbers"
                    )
        if self.intervals == "cqr" and not output.intervals:
            raise ValueError(
                f"intervals: 'cqr' corrects the quantiles of a distribution, and loss "
                f"{output.name!r} gives points; use loss='quantiles', or intervals='conformal'"
            )
