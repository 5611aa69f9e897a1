"""From settings and a panel to a trained net."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tcn.forecasting.fitted.backbones import backbone_of
from tcn.forecasting.fitted.net import ForecastNet
from tcn.forecasting.fitted.out_of_memory import training_in_memory
from tcn.forecasting.fitted.settings import Settings
from tcn.forecasting.fitted.sizes import Sizes
from tcn.forecasting.fitted.trained import Trained
from tcn.forecasting.fitted.training import ForecastTask, train
from tcn.forecasting.fitted.training_data import ForecastDataModule
from tcn.forecasting.frames.calendar import features_for
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.intervals.levels import USUAL_LEVELS
from tcn.forecasting.intervals.widening import LAYERS_BEFORE, widening_of
from tcn.forecasting.windows.scaling import CovariateScaler, SeriesScaler, scaled_panel
from tcn.forecasting.windows.window_choice import choose_window_scaler
from tcn.forecasting.windows.window_scaling import WindowScaler
from tcn.forecasting.windows.windows import Windows
from tcn.outputs import Output
from tcn.outputs import output as output_of
from tcn.training.reproducibility import seeded
from tcn.training.schedules import CosineDecay

_SQUARED = ("mse", "normal")
"""Outputs whose loss grows with the square of an error."""


def fit_panel(settings: Settings, panel: Panel, val_size: int) -> Trained:
    """Trains a net from the beginning.

    Args:
        settings: of everything.
        panel: the series.
        val_size: last rows of every series that are not trained on, but choose the weights and
            calibrate intervals.

    Raises:
        ValueError: if ``val_size`` is too short, no window is left, or a number is not finite.
    """
    _check_val_size(settings, val_size)
    output = output_of(settings.loss)
    output.check_target(torch.from_numpy(panel.target.copy()))
    past = _training_part(panel, val_size)
    with seeded(settings.seed):
        trained = _untrained(settings, panel, past, output, val_size)
        windows, validation = _windows(settings, trained, panel, past, val_size)
        if _chosen_from_data(settings, output):
            choice = choose_window_scaler(
                windows,
                validation,
                scaler=trained.scaler,
                squared=output.name in _SQUARED,
                seed=settings.seed,
            )
            trained.net.window_scaler = WindowScaler(choice.name, trained.net.sizes.targets)
            trained.window_errors = choice.errors
        if output.support != "count":
            trained.widening = widening_of(len(windows), LAYERS_BEFORE * trained.net.coefficients)
        _train(settings, trained, windows, validation)
    return _complete(settings, trained, panel)


def tune_panel(settings: Settings, begin: Trained, panel: Panel, val_size: int) -> Trained:
    """Trains a net further, on other series or on more of the same.

    What all series share stays as it was: the window scaler, the scaling of covariates, calendar
    and categories, and how much intervals are widened. Series that were there before keep their
    scaling, others get that of their own training part.

    Args:
        settings: of everything, with the learning rate and the steps of this training.
        begin: goes on from its weights and is left as it is.
        panel: the series, with the columns and categories of the training.
        val_size: see :func:`fit_panel`.

    Raises:
        ValueError: see :func:`fit_panel`.
    """
    _check_val_size(settings, val_size)
    begin.output.check_target(torch.from_numpy(panel.target.copy()))
    past = _training_part(panel, val_size)
    calibration = val_size if settings.intervals else 0
    counts = map(_are_counts, past.target.T)
    with seeded(settings.seed):
        trained = replace(
            begin,
            net=copy.deepcopy(begin.net),
            ids=past.ids,
            statistics=begin.statistics_of(past),
            history=panel.last(settings.input_size + calibration),
            calibration=calibration,
            nonnegative=tuple(a and b for a, b in zip(begin.nonnegative, counts, strict=False)),
            bands={},
            adaptive={},
        )
        _train(settings, trained, *_windows(settings, trained, panel, past, val_size))
    return _complete(settings, trained, panel)


def _complete(settings: Settings, trained: Trained, panel: Panel) -> Trained:
    """The scaling of every series, and intervals by the validation part."""
    # Series that lie in the validation part alone: later rows leave their scaling as it is, too.
    trained.statistics, trained.ids = trained.statistics_of(panel), panel.ids
    if settings.intervals:
        band = trained.band(settings.h)
        if settings.intervals == "cqr":
            trained.correct(band, USUAL_LEVELS)
    return trained


def _training_part(panel: Panel, val_size: int) -> Panel:
    """The panel without its last rows, and without the series that have no others."""
    if not val_size:
        return panel
    if (panel.lengths <= val_size).all():
        raise ValueError(
            f"val_size: {val_size} steps leave nothing to train on, for the longest series has "
            f"{int(panel.lengths.max())}; give fewer"
        )
    return panel.select(panel.lengths > val_size).until(-val_size)


def _train(
    settings: Settings, trained: Trained, windows: Windows, validation: Windows | None
) -> None:
    task = ForecastTask(
        trained.net,
        trained.output,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        season=trained.history.frequency.season,
        schedule=CosineDecay(),
    )
    data = ForecastDataModule(
        windows, validation, batch_size=settings.batch_size, seed=settings.seed
    )
    with training_in_memory(settings.batch_size):
        trained.report = train(task, data, settings)


def _untrained(
    settings: Settings, panel: Panel, past: Panel, output: Output, val_size: int
) -> Trained:
    """Net and scalers; of the panel beyond the training part only the history is taken."""
    scaler = SeriesScaler(settings.scaler or _real_or_count(output))
    calendar = (
        features_for(panel.frequency) if settings.calendar == "auto" else tuple(settings.calendar)
    )
    sizes = _sizes(settings, panel, output, len(calendar))
    net = ForecastNet(
        backbone_of(settings, sizes),
        sizes,
        window_scaler="identity"
        if settings.window_scaler is None or _chosen_from_data(settings, output)
        else settings.window_scaler,
        skip=settings.skip,
    )
    calibration = val_size if settings.intervals else 0
    return Trained(
        net=net,
        output=output,
        scaler=scaler,
        ids=past.ids,
        statistics=scaler.fit(past),
        covariates=CovariateScaler.fit(past),
        calendar=calendar,
        history=panel.last(settings.input_size + calibration),
        intervals=settings.intervals,
        calibration=calibration,
        seed=settings.seed,
        device=device_of(settings.accelerator),
        nonnegative=tuple(map(_are_counts, past.target.T)),
    )


def _are_counts(values: NDArray[np.float64]) -> bool:
    """Whether all that was observed of a target are whole numbers from 0 on."""
    known = values[~np.isnan(values)]
    return bool(len(known) and (known >= 0).all() and (known == np.floor(known)).all())


def _sizes(settings: Settings, panel: Panel, output: Output, calendar: int) -> Sizes:
    future = panel.futr.shape[1] + calendar
    return Sizes(
        h=settings.h,
        input_size=settings.input_size,
        targets=panel.target.shape[1],
        outputs=output.size,
        locations=output.locations,
        past=panel.hist.shape[1] + future,
        future=future,
        static=panel.stat.shape[1],
        categories=tuple(len(panel.vocabularies[c]) for c in panel.columns.categorical),
        masked=settings.missing == "mask",
        counts=output.support == "count",
    )


def _windows(
    settings: Settings, trained: Trained, panel: Panel, past: Panel, val_size: int
) -> tuple[Windows, Windows | None]:
    """Those to train on, and those of the validation."""
    windows = Windows(
        past,
        settings.input_size,
        settings.h,
        scaled=scaled_panel(past, trained.scaler, trained.statistics, trained.covariates),
        calendar=trained.calendar,
        receptive_field=trained.net.receptive_field,
    )
    validation = None
    if val_size:
        panel = panel.select(panel.lengths > val_size)
        ends = panel.lengths - 1
        validation = trained.windows(
            panel, settings.h, first=ends - val_size, last=ends - settings.h
        )
    return windows, validation


def _check_val_size(settings: Settings, val_size: int) -> None:
    if not isinstance(val_size, int | np.integer) or val_size < 0:
        raise ValueError(f"val_size: {val_size!r} must be an integer of at least 0")
    if 0 < val_size < settings.h:
        raise ValueError(
            f"val_size: {val_size} steps cannot hold a horizon of h={settings.h}; give at least "
            "as many, or 0"
        )
    if settings.early_stop_patience_steps is not None and not val_size:
        raise ValueError(
            f"early_stop_patience_steps: {settings.early_stop_patience_steps} with val_size=0, "
            "which leaves no validation to stop by; give a val_size of at least "
            f"h={settings.h}, or None"
        )
    if settings.intervals and not val_size:
        raise ValueError(
            f"val_size: 0, but intervals={settings.intervals!r} are calibrated on the last "
            f"val_size steps; give at least {settings.h + 19} for intervals of 95 %"
        )


def _chosen_from_data(settings: Settings, output: Output) -> bool:
    return settings.window_scaler in (None, "auto") and output.support != "count"


def _real_or_count(output: Output) -> str:
    return "identity" if output.support == "count" else "standard"


def device_of(accelerator: str) -> str:
    """Where forwards run."""
    wanted = accelerator in ("auto", "gpu", "cuda")
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"
