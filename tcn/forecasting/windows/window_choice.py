"""Which window scaler suits a panel: measured by linear forecasts, before the net is trained.

::

    rows that may be trained on    |--------- fitted ---------|  gap of h  |- compared -|
    and once more, before those    |-- fitted --|  gap of h  |- compared -|
    with validation                |--------------- fitted ---------------| validation  |

For each scaler the horizon is fitted in closed form, as a linear map of the look-back and of the
covariates. Where there are none, random features of the look-back are added (a hidden layer whose
weights are left as they were drawn: Huang et al. 2006, Extreme learning machine, section 2), and
the errors of a few such draws averaged. That takes about a second. What it forecasts of the windows
that it was not fitted to decides. Without validation the series are scaled anew by what precedes
those windows, for a mean over the future would tell where it lies. One part of a series that is
compared may by chance favor any scaler; therefore there are two.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from tcn.forecasting.frames.arrays import Floats, Integers
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.scaling import SeriesScaler, Statistics
from tcn.forecasting.windows.window_scaling import WindowScaler
from tcn.forecasting.windows.windows import Windows

CANDIDATES = ("standard", "identity", "last")
"""In the order in which one is taken if no other is clearly better."""
WITH_COVARIATES = ("identity", "last", "standard")
"""The same for effects of covariates, which are usually amounts in the units of the series."""
CLEARLY = 0.98  # of its error is what another one has to reach where one part is compared
HELD_OUT = 0.2  # of the windows of every series, where there is no validation
TIMES = 2  # parts of this size, one after the other, are compared
FITTED, COMPARED = 4096, 8192  # windows at most, each of one target
FEWEST = 8  # windows of either kind
STEPS = 800_000  # of all their horizons at most
PAST_COLUMNS = 512  # at most, of past covariates
FEATURES = 100  # random ones of the look-back
DRAWS = 4  # of these, over which errors are averaged
PENALTIES = (1e-5, 1e-3, 1e-1)  # of the mean square of a column
ROUNDS = 3  # of the fit of the look-back and of that of the horizon's covariates, by turns
FEW = 31  # different values of a covariate that are told apart one by one


@dataclass(frozen=True)
class WindowChoice:
    """What was chosen, and by which errors.

    Attributes:
        name: of the window scaler.
        errors: of the linear forecasts by each scaler, in the units of the series scaler; empty
            where there were too few windows to compare.
    """

    name: str
    errors: dict[str, float] = field(default_factory=dict)


def choose_window_scaler(
    windows: Windows,
    validation: Windows | None,
    *,
    scaler: SeriesScaler,
    squared: bool,
    seed: int,
) -> WindowChoice:
    """The scaler by which a linear map forecasts best.

    Args:
        windows: of the training part.
        validation: the windows to compare by; if None, the last of the training part.
        scaler: of the series.
        squared: whether errors are squared before they are averaged, or taken as they are.
        seed: of the windows drawn where there are very many.
    """
    draw = np.random.default_rng(seed)
    if validation is None:
        parts = _splits(windows, scaler, draw)
    else:
        fitted = _drawn(windows, windows.first, windows.last, FITTED, draw)
        compared = _drawn(validation, validation.first, validation.last, COMPARED, draw)
        parts = [(fitted, compared)]
    found = [
        _errors(fitted, compared, squared, draw)
        for fitted, compared in parts
        if fitted is not None and compared is not None
        if min(len(fitted.target), len(compared.target)) >= FEWEST
    ]
    if not found:
        return WindowChoice("standard")
    errors = {name: sum(part[name] for part in found) / len(found) for name in CANDIDATES}
    best = min(errors.values())
    covariates = any(fitted is not None and fitted.exogenous.shape[1] for fitted, _ in parts)
    order = WITH_COVARIATES if covariates else CANDIDATES
    clearly = CLEARLY ** (1 / len(found))  # chance decides less where more is compared
    chosen = next(name for name in order if best >= clearly * errors[name])
    return WindowChoice(chosen, errors)


def _errors(
    fitted: WindowBatch, compared: WindowBatch, squared: bool, draw: np.random.Generator
) -> dict[str, float]:
    """Of a linear map by each scaler, fitted to the one batch, on the other."""
    time = fitted.target.shape[-1]
    size = np.append(np.full(time, time**0.5), 1)[:, None]
    errors = dict.fromkeys(CANDIDATES, 0.0)
    # What covariates explain, such as a jump, would only be noise to features of the look-back.
    features = 0 if fitted.exogenous.shape[1] else FEATURES
    draws = DRAWS if features else 1
    for _ in range(draws):
        weights = draw.normal(size=(time + 1, features)) / size
        for name in CANDIDATES:
            known, unknown = (
                _Design.of(name, batch, weights, fitted) for batch in (fitted, compared)
            )
            error = min(_error(known, unknown, penalty, squared) for penalty in PENALTIES)
            errors[name] += error / draws
    return errors


def _splits(
    windows: Windows, scaler: SeriesScaler, draw: np.random.Generator
) -> list[tuple[WindowBatch | None, WindowBatch | None]]:
    """Windows to fit to and later ones to compare by, both scaled by what precedes the latter."""
    first, last = windows.first, windows.last
    parts: list[tuple[WindowBatch | None, WindowBatch | None]] = []
    for _ in range(TIMES):
        counts = np.maximum(last - first + 1, 0)
        held = np.where(counts > 1, np.ceil(HELD_OUT * counts).astype(np.int64), 0)
        gap = np.minimum(windows.h - 1, np.maximum(counts - held - 1, 0))
        fitted = _drawn(windows, first, np.where(held, last - held - gap, last), FITTED, draw)
        compared = _drawn(windows, np.where(held, last - held + 1, last + 1), last, COMPARED, draw)
        if fitted is None or compared is None:
            break
        ends = np.where(held, last - held + 2, windows.panel.lengths)
        before = scaler.fit(windows.panel.until(ends))
        statistics = windows.statistics
        parts.append(
            (_rescaled(fitted, statistics, before), _rescaled(compared, statistics, before))
        )
        last = last - held
    return parts


def _rescaled(batch: WindowBatch, scaled: Statistics, again: Statistics) -> WindowBatch:
    """A batch as other statistics of its series would have scaled it."""
    series = batch.series.numpy()
    old, new = scaled.take(series), again.take(series)
    factor = torch.from_numpy(old.scale / new.scale)[..., None]
    shift = torch.from_numpy((old.location - new.location) / new.scale)[..., None]
    return batch._replace(
        target=batch.target * factor + shift, horizon=batch.horizon * factor + shift
    )


def _drawn(
    windows: Windows, first: Integers, last: Integers, most: int, draw: np.random.Generator
) -> WindowBatch | None:
    """Windows with these positions whose horizon is known, at most so many."""
    counts: Integers = np.maximum(last - first + 1, 0)
    total = int(counts.sum())
    if not total:
        return None
    most = max(1, min(most, STEPS // windows.h) // windows.panel.target.shape[1])
    number = np.arange(total)
    if total > most:
        number = np.sort(draw.choice(total, most, replace=False))
    ends = np.cumsum(counts)
    series = np.searchsorted(ends, number, side="right")
    batch = windows.at(series, last[series] - (ends[series] - 1 - number))
    whole = batch.horizon_observed.all(-1).all(-1) & batch.observed.any(-1).all(-1)
    if not bool(whole.any()):
        return None
    return batch.rows(whole)


def _error(fitted: _Design, compared: _Design, penalty: float, squared: bool) -> float:
    """Of the forecasts of ``compared``, in the units of the batch."""
    effect = np.zeros_like(fitted.target)
    shared = np.zeros((fitted.future.shape[-1], 1))
    for _ in range(ROUNDS if len(shared) else 1):
        weights = _ridge(fitted.past, fitted.target - effect, penalty)
        if len(shared):
            rest = fitted.target - fitted.past @ weights
            columns = fitted.future.reshape(rest.size, -1)
            shared = _ridge(columns, rest.reshape(-1, 1), penalty)
            effect = (columns @ shared).reshape(rest.shape)
    found = compared.past @ weights + (compared.future @ shared)[..., 0]
    error = np.abs(compared.target - found)
    return float((error**2 if squared else error).mean())


@dataclass(frozen=True)
class _Design:
    """Windows of every target as rows, in the units of the batch.

    Attributes:
        past: ``(B * K, columns)`` of the look-back, its random features and its covariates.
        future: ``(B * K, h, columns)`` of the covariates of the horizon.
        target: ``(B * K, h)`` the horizon without the location of the window.
    """

    past: Floats
    future: Floats
    target: Floats

    @classmethod
    def of(cls, name: str, batch: WindowBatch, weights: Floats, fitted: WindowBatch) -> _Design:
        """What a net would be given after the scaler of that name."""
        channels, time = batch.target.shape[1:]
        with torch.no_grad():
            scaled, (location, scale) = WindowScaler(name, channels).scale(
                batch.target, batch.observed
            )
        unit = scale.double().numpy().reshape(-1, 1)
        past = scaled.double().numpy().reshape(-1, time)
        steps = max(1, PAST_COLUMNS // max(1, batch.exogenous.shape[1]))
        known = batch.exogenous[..., -steps:].double().flatten(1).numpy()
        constant = np.concatenate([known, np.ones((len(known), 1))], axis=1)
        features = np.tanh(past @ weights[:-1] + weights[-1])
        past = np.concatenate([past, features, np.repeat(constant, channels, axis=0)], axis=1)
        target = (batch.horizon - location).double().numpy().reshape(len(past), -1)
        future = _expanded(batch, fitted) * unit[:, None]
        return cls(past * unit, future, target)


def _expanded(batch: WindowBatch, fitted: WindowBatch) -> Floats:
    """Covariates of the horizon, ``(B * K, h, columns)``: their value, and each one of few."""
    parts = []
    for channel in range(batch.future.shape[1]):
        values = batch.future[:, channel].double().numpy()
        parts.append(values[..., None])
        known = np.unique(fitted.future[:, channel].double().numpy())
        if 2 < len(known) <= FEW:
            parts.append((values[..., None] == known).astype(np.float64))
    rows, steps = len(batch.target), batch.horizon.shape[-1]
    columns = np.concatenate(parts, axis=-1) if parts else np.empty((rows, steps, 0))
    return np.repeat(columns, batch.target.shape[1], axis=0)


def _ridge(columns: Floats, target: Floats, penalty: float) -> Floats:
    """Weights ``(columns, outputs)`` of the least squares with a penalty on their size."""
    gram = columns.T @ columns
    scale = np.trace(gram) / len(gram) or 1.0
    gram[np.diag_indices_from(gram)] += penalty * scale
    return np.asarray(np.linalg.solve(gram, columns.T @ target), dtype=np.float64)
