"""Series of other libraries, and plain arrays, as long frames and back.

darts and GluonTS are imported where they are needed; what is handed over is copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from tcn.extras import need
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.frequency import Frequency

if TYPE_CHECKING:
    from darts import TimeSeries
    from numpy.typing import NDArray

Layout = Literal["series, target, time", "series, time, target"]


def frame_from_darts(
    series: TimeSeries | Sequence[TimeSeries],
    *,
    ids: Sequence[Any] | None = None,
    columns: Columns | None = None,
) -> pd.DataFrame:
    """A long frame of darts series.

    Args:
        series: one or several, of as many components as there are targets.
        ids: of the series; without them 0, 1, 2, ....
        columns: names of the columns.

    Returns:
        Id, time and targets; NaN where a series has NaN.

    Raises:
        ValueError: a series is probabilistic or has another number of components, or there are
            not as many ids as series.
    """
    columns = columns or Columns()
    several = list(series) if isinstance(series, Sequence) else [series]
    names = list(range(len(several))) if ids is None else list(ids)
    if len(names) != len(several):
        raise ValueError(f"ids: {len(names)} for {len(several)} series; give one each")
    parts = []
    for identity, one in zip(names, several, strict=True):
        if one.is_probabilistic:
            raise ValueError(
                f"series: {identity!r} has {one.n_samples} samples; reduce it, such as by .mean()"
            )
        _check_targets(one.n_components, identity, columns)
        values = one.values(copy=True)
        parts.append(_part(columns, identity, one.time_index, values))
    return pd.concat(parts, ignore_index=True)


def darts_from_frame(
    df: pd.DataFrame, *, values: Sequence[str] | None = None, columns: Columns | None = None
) -> list[TimeSeries]:
    """The series of a long frame as darts series, in the order in which they first appear.

    Args:
        df: a frame of data or of forecasts.
        values: the columns that become components; without them the targets.
        columns: names of the columns. The id becomes a static covariate.

    Raises:
        ModuleNotFoundError: darts is not installed.
    """
    need("tcn.forecasting.frames.adapters.darts_from_frame", None, "darts")
    from darts import TimeSeries

    columns = columns or Columns()
    components = list(columns.target if values is None else values)
    found = []
    for identity, part in df.groupby(columns.id, sort=False, observed=True):
        found.append(
            TimeSeries.from_times_and_values(
                pd.Index(part[columns.time]),  # darts keeps the local time of times with a zone
                part[components].to_numpy(dtype=np.float64, copy=True),
                columns=components,
                static_covariates=pd.Series({columns.id: identity}),
            )
        )
    return found


def frame_from_gluonts(
    dataset: Iterable[Mapping[str, Any]], *, columns: Columns | None = None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """A long frame, and a static one, of a GluonTS dataset.

    Args:
        dataset: entries with ``start`` and ``target``, as ``ListDataset`` and ``PandasDataset``
            give them. ``item_id`` is the id, or the number of the entry where there is none.
        columns: names of the columns: ``futr`` those of ``feat_dynamic_real``, ``hist`` those of
            ``past_feat_dynamic_real``, ``stat`` those of ``feat_static_real`` followed by
            ``feat_static_cat``.

    Returns:
        Both frames; ``None`` for the second where ``columns.stat`` is empty. Known-future
        covariates that are longer than the target give rows in which the target is NaN.

    Raises:
        ValueError: an entry has more or fewer features than there are columns.
    """
    columns = columns or Columns()
    parts, static = [], []
    for number, entry in enumerate(dataset):
        identity = entry.get("item_id", number)
        target = np.atleast_2d(np.asarray(entry["target"], dtype=np.float64))
        _check_targets(len(target), identity, columns)
        groups = [(columns.target, target)]
        for names, field in (
            (columns.futr, "feat_dynamic_real"),
            (columns.hist, "past_feat_dynamic_real"),
        ):
            if names:
                groups.append((names, _features(entry, field, names, identity)))
        length = max(values.shape[1] for _, values in groups)
        times = pd.period_range(entry["start"], periods=length).to_timestamp()
        part = pd.DataFrame({columns.id: identity, columns.time: times})
        for names, values in groups:
            padded = np.full((len(names), length), np.nan)
            padded[:, : values.shape[1]] = values
            part[list(names)] = padded.T
        parts.append(part)
        if columns.stat:
            static.append({columns.id: identity} | _static(entry, columns, identity))
    return pd.concat(parts, ignore_index=True), pd.DataFrame(static) if static else None


def gluonts_from_frame(df: pd.DataFrame, *, freq: str, columns: Columns | None = None) -> Any:
    """The series of a long frame, in order of time, as a GluonTS ``ListDataset``.

    Args:
        df: regular series without gaps.
        freq: of pandas periods, such as ``"h"`` or ``"M"``.
        columns: names of the columns; static ones are not handed over.

    Raises:
        ModuleNotFoundError: GluonTS is not installed.
    """
    need("tcn.forecasting.frames.adapters.gluonts_from_frame", None, "gluonts")
    from gluonts.dataset.common import ListDataset

    columns = columns or Columns()
    entries = []
    for identity, part in df.groupby(columns.id, sort=False, observed=True):
        values = part[list(columns.target)].to_numpy(dtype=np.float64, copy=True).T
        entry = {
            "item_id": identity,
            "start": pd.Period(part[columns.time].iloc[0], freq=freq),
            "target": values[0] if len(values) == 1 else values,
        }
        for names, field in (
            (columns.futr, "feat_dynamic_real"),
            (columns.hist, "past_feat_dynamic_real"),
        ):
            if names:
                entry[field] = part[list(names)].to_numpy(dtype=np.float64, copy=True).T
        entries.append(entry)
    return ListDataset(entries, freq=freq, one_dim_target=len(columns.target) == 1)


def frame_from_array(
    values: NDArray[Any],
    *,
    layout: Layout | None = None,
    start: Any = 0,
    freq: Any = 1,
    columns: Columns | None = None,
) -> pd.DataFrame:
    """A long frame of series of one length in an array.

    Args:
        values: three axes in the order of ``layout``.
        layout: which axis is which; without it, told by the number of targets.
        start: the first time, an integer or a timestamp.
        freq: the step, an integer or a name of pandas.
        columns: names of the columns, and with them the number of targets.

    Returns:
        Series 0, 1, 2, ....

    Raises:
        ValueError: there are not three axes, none of the last two has as many entries as there
            are targets, or both have and ``layout`` is not given.
    """
    columns = columns or Columns()
    values = np.asarray(values)
    count = len(columns.target)
    by_layout = {"series, target, time": 1, "series, time, target": 2}
    if layout is not None and layout not in by_layout:
        raise ValueError(
            f"layout: {layout!r} is not known; give {' or '.join(map(repr, by_layout))}"
        )
    expected = f"(series, {count} targets, time) or (series, time, {count} targets)"
    if values.ndim != 3:
        raise ValueError(f"values: shape {values.shape}, expected {expected}")
    axes = [axis for axis in (1, 2) if values.shape[axis] == count]
    if layout is not None:
        axes = [axis for axis in axes if axis == by_layout[layout]]
    if not axes:
        asked = "" if layout is None else f" with layout={layout!r}"
        raise ValueError(
            f"values: shape {values.shape}, expected {expected}{asked}; name every target in "
            "columns"
        )
    if len(axes) == 2:
        raise ValueError(
            f"values: shape {values.shape} is both (series, targets, time) and (series, time, "
            "targets); say which by layout"
        )
    values = np.moveaxis(values, axes[0], 2)
    step = Frequency.given(freq).freq
    length = values.shape[1]
    times: Any = start + np.arange(length) * step if isinstance(step, int) else None
    if times is None:
        times = pd.date_range(start, periods=length, freq=step)
    parts = [_part(columns, number, times, series) for number, series in enumerate(values)]
    return pd.concat(parts, ignore_index=True)


def _part(columns: Columns, identity: Any, times: Any, values: NDArray[Any]) -> pd.DataFrame:
    part = pd.DataFrame({columns.id: identity, columns.time: times})
    part[list(columns.target)] = values
    return part


def _check_targets(count: int, identity: Any, columns: Columns) -> None:
    if count != len(columns.target):
        raise ValueError(
            f"series {identity!r} has {count} components for the targets {list(columns.target)}; "
            "name as many in columns"
        )


def _features(
    entry: Mapping[str, Any], field: str, names: Sequence[str], identity: Any
) -> NDArray[Any]:
    values = np.atleast_2d(np.asarray(entry.get(field, np.empty((0, 0))), dtype=np.float64))
    if len(values) != len(names):
        raise ValueError(
            f"entry {identity!r} has {len(values)} features in {field!r} for the columns "
            f"{list(names)}"
        )
    return values


def _static(entry: Mapping[str, Any], columns: Columns, identity: Any) -> dict[str, Any]:
    numbers = np.atleast_1d(entry.get("feat_static_real", [])).tolist()
    categories = np.atleast_1d(entry.get("feat_static_cat", [])).tolist()
    counts = (len(columns.numeric_stat), len(columns.categorical))
    if (len(numbers), len(categories)) != counts:
        raise ValueError(
            f"entry {identity!r} has {len(numbers)} features in 'feat_static_real' and "
            f"{len(categories)} in 'feat_static_cat' for {counts[0]} and {counts[1]} columns"
        )
    named = zip((*columns.numeric_stat, *columns.categorical), numbers + categories, strict=True)
    return dict(named)
