"""Scaling of whole series, in float64: values of 1e30 or 1e-30 lose nothing on the way.

Statistics are read from the training part alone. The scaling of single windows, inside the net, is
in :mod:`tcn.forecasting.windows.window_scaling`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tcn.forecasting.frames.arrays import Floats, Integers, Singles
from tcn.forecasting.frames.ids import numbers_of, shown
from tcn.forecasting.frames.notices import warn
from tcn.forecasting.windows.location_and_scale import location_and_scale
from tcn.forecasting.windows.window_scaling import WINDOW_SCALERS, WindowScaler

if TYPE_CHECKING:
    from tcn.forecasting.frames.panel import Panel

__all__ = [
    "SERIES_SCALERS",
    "WINDOW_SCALERS",
    "CovariateScaler",
    "Scaled",
    "SeriesScaler",
    "Statistics",
    "WindowScaler",
    "scaled_panel",
]


SERIES_SCALERS = ("identity", "standard", "robust", "minmax", "mean", "log", "log1p")

_LINKS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], float]] = {
    "log": (np.log, np.exp, 0.0),
    "log1p": (np.log1p, np.expm1, -1.0),
}


class Statistics(NamedTuple):
    """Where each series, or covariate, lies and how far it spreads.

    Attributes:
        location: ``(N, K)`` float64.
        scale: ``(N, K)`` float64, above 0.
    """

    location: Floats
    scale: Floats

    def take(self, series: Any) -> Statistics:
        """Those of some series, by index."""
        return Statistics(self.location[series], self.scale[series])


@dataclass(frozen=True)
class SeriesScaler:
    """Scales every series, and every target of it, by its own numbers.

    ===========  =================================================================================
    identity     leaves the data as it is
    standard     mean 0, standard deviation 1
    robust       median 0, interquartile range that of a normal distribution of deviation 1; a
                 series most values of which are equal falls back to its standard deviation
    minmax       0 to 1
    mean         divided by the mean absolute value: zero stays zero, counts stay positive
    log, log1p   the logarithm of the value, or of 1 + value, then standard; an average of the
                 logarithms leads back to the median of the data, not to its mean
    ===========  =================================================================================

    A constant series is shifted alone, with scale 1, and comes back exactly.

    Attributes:
        name: one of the above.

    Raises:
        ValueError: the name is unknown.
    """

    name: str = "standard"

    def __post_init__(self) -> None:
        if self.name not in SERIES_SCALERS:
            raise ValueError(
                f"scaler: {self.name!r} is not known; give {', '.join(SERIES_SCALERS)}"
            )

    @property
    def linear(self) -> bool:
        """Whether scaling is a shift and a factor, which means commute with."""
        return self.name not in _LINKS

    def fit(self, panel: Panel) -> Statistics:
        """Statistics of every series of a training part; NaN is not counted.

        Raises:
            ValueError: ``log`` of a value of 0 or below, or ``log1p`` of -1 or below.
        """
        series = np.repeat(np.arange(len(panel)), panel.lengths)
        location = np.zeros((len(panel), panel.target.shape[1]))
        scale = np.ones_like(location)
        if self.name == "identity":
            return Statistics(location, scale)
        values = self._linked(panel, series)
        for column in range(location.shape[1]):
            counted = ~np.isnan(values[:, column])
            there, *found = location_and_scale(self.name, values[counted, column], series[counted])
            location[there, column], scale[there, column] = found
            if len(there) < len(panel):
                empty = np.setdiff1d(np.arange(len(panel)), there)
                warn(
                    f"scaler: {panel.columns.target[column]!r} has no value in the training part "
                    f"of {len(empty)} series, which stay unscaled: {shown(panel.ids[empty])}"
                )
        return Statistics(location, scale)

    def fit_unseen(self, panel: Panel, ids: NDArray[Any], known: Statistics) -> Statistics:
        """The statistics of series that were seen in training, and new ones of all others.

        Args:
            panel: the series; the unseen ones are scaled by their own history.
            ids: ``(M,)`` of the series that were seen.
            known: their statistics, of ``M`` series.
        """
        index = numbers_of(ids, panel.ids)
        location = known.location[index]
        scale = known.scale[index]
        unseen = np.flatnonzero(index < 0)
        if len(unseen):
            location[unseen], scale[unseen] = self.fit(panel.select(unseen))
        return Statistics(location, scale)

    def scale(self, panel: Panel, statistics: Statistics) -> Floats:
        """The target of a panel, scaled, ``(R, K)``.

        Raises:
            ValueError: as :meth:`fit`.
        """
        series = np.repeat(np.arange(len(panel)), panel.lengths)
        values = self._linked(panel, series)
        return (values - statistics.location[series]) / statistics.scale[series]

    def inverse(self, values: Floats, statistics: Statistics) -> Floats:
        """Scaled values in the units of the data.

        Args:
            values: ``(..., B, K, T)``.
            statistics: of ``B`` series.
        """
        back = values * statistics.scale[..., None] + statistics.location[..., None]
        return back if self.linear else _LINKS[self.name][1](back)

    def _linked(self, panel: Panel, series: Integers) -> Floats:
        values = panel.target
        if self.linear:
            return values
        link, _, bound = _LINKS[self.name]
        wrong = (values <= bound).any(axis=1)
        if wrong.any():
            named = shown(panel.ids[np.unique(series[wrong])])
            raise ValueError(
                f"scaler: {self.name!r} needs values above {bound:g}, and {wrong.sum()} rows of "
                f"the series {named} are not; use scaler='standard'"
                + (", or 'log1p' where there are zeros" if self.name == "log" else "")
            )
        return link(values)


@dataclass(frozen=True)
class CovariateScaler:
    """Standardizes each covariate over all series; NaN becomes the mean, which is 0.

    Attributes:
        futr: statistics of shape ``(F,)``.
        hist: statistics of shape ``(H,)``.
        stat: statistics of shape ``(S,)``.
    """

    futr: Statistics
    hist: Statistics
    stat: Statistics

    @classmethod
    def fit(cls, panel: Panel) -> CovariateScaler:
        """Statistics of a training part."""
        return cls(_over_all(panel.futr), _over_all(panel.hist), _over_all(panel.stat))


class Scaled(NamedTuple):
    """A panel in the units of a net, in float32.

    Attributes:
        target: ``(R, K)``, NaN where missing.
        futr: ``(R, F)``.
        hist: ``(R, H)``.
        stat: ``(N, S)``.
        future: ``(N, h, F)`` after the last row of each series, or ``None`` where not known.
        statistics: by which the target is scaled.
    """

    target: Singles
    futr: Singles
    hist: Singles
    stat: Singles
    future: Singles | None
    statistics: Statistics


def scaled_panel(
    panel: Panel,
    scaler: SeriesScaler,
    statistics: Statistics,
    covariates: CovariateScaler,
    future: Floats | None = None,
) -> Scaled:
    """Everything in a panel, scaled.

    Args:
        panel: the series.
        scaler: of the target.
        statistics: of its ``N`` series.
        covariates: of everything else.
        future: ``(N, h, F)`` from :func:`tcn.forecasting.frames.panel.future_from_frame`.

    Raises:
        ValueError: a scaled value does not fit into float32.
    """
    columns = panel.columns
    futr = _standardized(panel.futr, covariates.futr)
    return Scaled(
        target=_single(scaler.scale(panel, statistics), columns.target, scaler.name),
        futr=_single(futr, columns.futr, "standard"),
        hist=_single(_standardized(panel.hist, covariates.hist), columns.hist, "standard"),
        stat=_single(_standardized(panel.stat, covariates.stat), columns.numeric_stat, "standard"),
        future=None
        if future is None
        else _single(_standardized(future, covariates.futr), columns.futr, "standard"),
        statistics=statistics,
    )


def _single(values: Floats, names: tuple[str, ...], scaler: str) -> Singles:
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    infinite = np.isinf(single).any(axis=tuple(range(single.ndim - 1)))
    for position in np.flatnonzero(infinite):
        column = values[..., position]
        cure = "correct the value, or give the column in another unit"
        if scaler != "standard":
            cure = f"use scaler='standard', or {cure}"
        raise ValueError(
            f"column {names[position]!r}: {np.nanmax(np.abs(column)):.3g}, after "
            f"scaler={scaler!r}, does not fit into float32 (3.4e38); {cure}"
        )
    return single


def _standardized(values: Floats, statistics: Statistics) -> Floats:
    return np.nan_to_num((values - statistics.location) / statistics.scale, nan=0.0, posinf=np.inf)


def _over_all(values: Floats) -> Statistics:
    """Mean and standard deviation of each column, ``(C,)``."""
    location, scale = np.zeros(values.shape[1]), np.ones(values.shape[1])
    for column in range(values.shape[1]):
        known = values[:, column][~np.isnan(values[:, column])]
        if len(known):
            _, at, spread = location_and_scale(
                "standard", known, np.zeros(len(known), dtype=np.int64)
            )
            location[column], scale[column] = at[0], spread[0]
    return Statistics(location, scale)
