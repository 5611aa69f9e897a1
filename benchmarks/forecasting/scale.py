"""Many short series: one epoch on a sample of them, then a forecast for each, and the memory used.

The series are generated as they are read, a thousand at a time, so that the measurement covers only
what forecasting them takes. Each count runs in a separate process, whose peak memory is reported.
"""

import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.grid.files import write_json
from benchmarks.grid.provenance import origin, peak_memory
from benchmarks.report.tables import Section, Table

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "scale.json"
MONTHS, LOOK_BACK, HORIZON, LEVEL = 36, 12, 6, 80
SAMPLE, PIECE, BATCH = 2000, 1000, 128


def measure(folder: Path, counts: Sequence[int], *, threads: int, command: str) -> Path:
    """Forecasts each number of series, writes ``scale.json`` and returns its path.

    Raises:
        ValueError: a count is below 1.
    """
    if any(count < 1 for count in counts):
        raise ValueError(f"--scale is {list(counts)}: give counts of series, 1 or more")
    rows = []
    for count in counts:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            rows.append(process.submit(forecast_all, count, threads).result())
    content = {
        **origin(command, threads),
        "rows": rows,
    }
    path = folder / NAME
    write_json(path, content)
    return path


def read(folder: Path) -> Section | None:
    """What the page shows of it; None if it was not measured."""
    path = folder / NAME
    if not path.exists():
        return None
    content = json.loads(path.read_text())
    what = (
        f"Monthly series of {MONTHS} steps; one epoch on a sample of {SAMPLE:,}, then {HORIZON} "
        f"steps ahead of every one with an interval of {LEVEL} %. {content['machine']['cpu']}, "
        f"{content['machine']['threads']} thread(s)."
    )
    heads = ["series", "fit, s", "predict, s", "memory before, MB", "peak, MB"]
    rows = [
        [
            f"{row['series']:,}",
            f"{row['fit_seconds']:.1f}",
            f"{row['predict_seconds']:.1f}",
            f"{row['megabytes_before']:,.0f}",
            f"{row['megabytes_peak']:,.0f}",
        ]
        for row in content["rows"]
    ]
    return Section("scale", "Many series", what, [Table(heads, rows, left=())])


def forecast_all(count: int, threads: int) -> dict[str, float]:
    """One epoch on a sample, then all forecasts: seconds, and the memory of this process."""
    import torch

    from tcn.forecasting import Forecaster
    from tcn.forecasting.distributed.partition import predict_stream

    torch.set_num_threads(threads)
    sample = series(0, min(count, SAMPLE)).to_pandas()
    windows = len(sample) // MONTHS * (MONTHS - HORIZON - LOOK_BACK + 1)
    forecaster = Forecaster(
        HORIZON, LOOK_BACK, loss="normal", batch_size=BATCH, max_steps=-(-windows // BATCH)
    )
    begin = time.perf_counter()
    forecaster.fit(sample)
    fitted, before = time.perf_counter(), megabytes()
    made = sum(len(part) for part in predict_stream(pieces(count), forecaster, level=[LEVEL]))
    if made != count * HORIZON:
        raise RuntimeError(f"{made} rows of forecasts for {count} series of {HORIZON} steps")
    return {
        "series": count,
        "fit_seconds": fitted - begin,
        "predict_seconds": time.perf_counter() - fitted,
        "megabytes_before": before,
        "megabytes_peak": megabytes(),
    }


def pieces(count: int) -> Iterator["pa.Table"]:
    """All series, a batch at a time."""
    for begin in range(0, count, PIECE):
        yield series(begin, min(begin + PIECE, count))


def series(begin: int, end: int) -> "pa.Table":
    """Some of the series: each has its own level and yearly wave, and noise."""
    import pyarrow as pa

    generator, count = np.random.default_rng(begin), end - begin
    month = np.arange(MONTHS)
    level, wave = 100 * (1 + generator.random((2, count, 1)))
    values = level + 0.1 * wave * np.sin(2 * np.pi * month / 12)
    times = pd.date_range("2022", periods=MONTHS, freq="MS").as_unit("us").to_numpy()
    return pa.table({
        "unique_id": np.repeat([f"{number:09d}" for number in range(begin, end)], MONTHS),
        "ds": np.tile(times, count),
        "y": (values + generator.normal(size=values.shape)).ravel(),
    })  # fmt: skip


def megabytes() -> float:
    """The peak memory of this process so far."""
    return peak_memory() / 2**20
