"""Forecasts of a Ray dataset: groups of whole series to workers, each by `predict_partition`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tcn.forecasting.distributed.partition import SERIES_AT_ONCE, predict_partition
from tcn.forecasting.forecaster import Forecaster
from tcn.layers.validation import check_positive

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset

_GROUP = "__group__"


def predict(
    dataset: Dataset,
    forecaster: Forecaster | str | Path,
    *,
    groups: int,
    h: int | None = None,
    level: Sequence[float] | None = None,
    series_at_once: int = SERIES_AT_ONCE,
) -> Dataset:
    """Forecasts every series of a long Ray dataset.

    Series are dealt out to groups by a hash of their id; one group is one call on one worker. Ray
    repeats the call of a worker that dies.

    Args:
        dataset: the columns of :func:`predict_partition`, rows in any
            order.
        forecaster: trained, which travels with the tasks, or a folder that every worker can read.
        groups: how many groups; a worker holds the rows of one in memory.
        h: steps; those trained for if None.
        level: of the intervals, in percent.
        series_at_once: see :func:`predict_partition`.

    Returns:
        A lazy dataset of the forecasts, series in any order.

    Raises:
        ValueError: ``groups`` is below 1; when the result is read, see
            :func:`predict_partition`.
    """
    check_positive("groups", [groups])
    model = forecaster if isinstance(forecaster, Forecaster) else Forecaster.load(forecaster)
    work = partial(_predict, forecaster=forecaster, h=h, level=level, series_at_once=series_at_once)
    deal = partial(_with_group, id_col=model.id_col, groups=groups)
    dealt = dataset.map_batches(deal, batch_format="pyarrow")
    grouped = dealt.groupby(_GROUP, num_partitions=groups)
    return grouped.map_groups(work, batch_format="pyarrow")


def _with_group(table: pa.Table, *, id_col: str, groups: int) -> pa.Table:
    import pyarrow as pa

    # The same on every machine, unlike Python's own hash.
    ids = table[id_col].to_pandas().astype(object)
    number = pd.util.hash_array(ids.to_numpy(), categorize=True) % np.uint64(groups)
    return table.append_column(_GROUP, pa.array(number.astype(np.int64)))


def _predict(table: pa.Table, **arguments: Any) -> pa.Table:
    return predict_partition(table.drop_columns([_GROUP]), **arguments)
