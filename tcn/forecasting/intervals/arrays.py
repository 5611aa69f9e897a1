"""Intervals of a trained forecaster as named arrays, and back.

bands.H.errors          of a horizon of H steps: errors of the calibration windows
bands.H.corrections.L   scores that correct the quantiles at L percent
adaptive.H.L.series     which series the states at L percent below belong to, side by side
adaptive.H.L.*          what they have learned from a stream
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from tcn.forecasting.intervals.band import Band
from tcn.forecasting.intervals.split import ConformalizedQuantiles
from tcn.forecasting.intervals.streams import Adaptive, AdaptiveStreams

Arrays = Mapping[str, NDArray[Any]]


def band_arrays(bands: Mapping[int, Band]) -> dict[str, NDArray[Any]]:
    """Errors and corrections of each horizon."""
    parts: dict[str, NDArray[Any]] = {}
    for horizon, band in bands.items():
        parts[f"bands.{horizon}.errors"] = band.errors
        for level, scores in band.corrections.scores.items():
            parts[f"bands.{horizon}.corrections.{level}"] = scores
    return parts


def bands_of(arrays: Arrays) -> dict[int, Band]:
    """The inverse of :func:`band_arrays`, from all arrays of a folder."""
    bands: dict[int, Band] = {}
    for name, errors in arrays.items():
        if name.startswith("bands.") and name.endswith(".errors"):
            prefix = name.removesuffix("errors")
            scores = {
                float(key.removeprefix(f"{prefix}corrections.")): found
                for key, found in arrays.items()
                if key.startswith(f"{prefix}corrections.")
            }
            horizon = int(prefix.split(".")[1])
            bands[horizon] = Band(horizon, errors, corrections=ConformalizedQuantiles(scores))
    return bands


def adaptive_arrays(adaptive: Adaptive) -> dict[str, NDArray[Any]]:
    """Of each horizon and level the states of all series side by side, and whose they are."""
    parts: dict[str, NDArray[Any]] = {}
    for (level, horizon), streams in adaptive.items():
        prefix = f"adaptive.{horizon}.{level}"
        parts[f"{prefix}.series"] = streams.numbers
        parts |= {f"{prefix}.{name}": part for name, part in streams.state().items()}
    return parts


def adaptive_of(arrays: Arrays, count: int) -> Adaptive:
    """The inverse of :func:`adaptive_arrays`, from all arrays of a folder of ``count`` series.

    Raises:
        ValueError: if they speak of a series that is not among those.
    """
    adaptive: Adaptive = {}
    for name, numbers in arrays.items():
        if not (name.startswith("adaptive.") and name.endswith(".series")):
            continue
        prefix = name.removesuffix("series")
        _, horizon, level = prefix.removesuffix(".").split(".", 2)
        states = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
        if not ((numbers >= 0) & (numbers < count)).all():
            raise ValueError(f"{name} speaks of series that are not among the {count} of history")
        states.pop("series")
        streams = AdaptiveStreams(level=float(level)).restore(numbers, states)
        adaptive[float(level), int(horizon)] = streams
    return adaptive
