"""Forecasts of a Spark frame: whole series to each partition, each by `predict_stream`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tcn.extras import need
from tcn.forecasting.distributed.partition import SERIES_AT_ONCE, forecast_schema, predict_stream
from tcn.forecasting.forecaster import Forecaster

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame


def predict(
    frame: DataFrame,
    forecaster: Forecaster | str | Path,
    *,
    h: int | None = None,
    level: Sequence[float] | None = None,
    partitions: int | None = None,
    series_at_once: int = SERIES_AT_ONCE,
) -> DataFrame:
    """Forecasts every series of a long Spark frame.

    The frame is repartitioned by id and sorted inside each partition, which then streams through
    one worker, ``series_at_once`` series at a time. Spark repeats the partition of a worker that
    dies.

    Args:
        frame: the columns of :func:`predict_partition`. Times of Spark's
            ``timestamp`` arrive in the zone of the session, those of ``timestamp_ntz`` without
            one: take the kind that the forecaster was trained on.
        forecaster: trained, which travels with the tasks, or a folder that every worker can read.
        h: steps; those trained for if None.
        level: of the intervals, in percent.
        partitions: how many; ``spark.sql.shuffle.partitions`` if None.
        series_at_once: see :func:`predict_partition`.

    Returns:
        A lazy frame of the forecasts, series in any order.

    Raises:
        ValueError: when it is read, see :func:`predict_partition`.
    """
    need("tcn.forecasting.distributed.spark", "spark", "pyspark", "pyarrow")
    from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema

    model = forecaster if isinstance(forecaster, Forecaster) else Forecaster.load(forecaster)
    # Whatever zone a timestamp is said to have here, Spark's type of the result is the same.
    schema = from_arrow_schema(forecast_schema(to_arrow_schema(frame.schema), model, level))

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for table in predict_stream(
            batches, forecaster, h=h, level=level, series_at_once=series_at_once
        ):
            yield from table.to_batches()

    by_id = [model.id_col] if partitions is None else [partitions, model.id_col]
    whole = frame.repartition(*by_id).sortWithinPartitions(model.id_col, model.time_col)
    return whole.mapInArrow(work, schema)
