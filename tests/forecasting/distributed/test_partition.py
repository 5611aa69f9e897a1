"""Parts of a table are forecast as the whole frame is: by any batching, in pieces, by engines."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn.forecasting import Forecaster
from tcn.forecasting.distributed.partition import forecast_schema, predict_partition, predict_stream

ROOT = Path(__file__).parents[3]
LongFrame = Callable[..., pd.DataFrame]
LENGTHS = (40, 30, 35, 12, 25)
H = 4

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fewer past rows"),
    pytest.mark.filterwarnings("ignore:.*val_dataloader"),
]


def small(**arguments: object) -> Forecaster:
    return Forecaster(
        H, 12, width=4, layers=2, max_steps=3, batch_size=16, accelerator="cpu", **arguments
    )


@pytest.fixture(scope="module")
def trained(long_frame: LongFrame) -> Forecaster:
    return small(loss="normal").fit(long_frame(LENGTHS))


def table_of(df: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(df, preserve_index=False)


def compare(table: pa.Table, expected: pd.DataFrame) -> None:
    found = table.to_pandas()
    assert found.columns.tolist() == expected.columns.tolist()
    order = [found.columns[0], found.columns[1]]
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True),
        expected.sort_values(order, ignore_index=True),
        check_dtype=False,
        rtol=1e-5,
    )


@pytest.mark.parametrize("series_at_once", [1, 2, 1024])
def test_a_partition_is_forecast_as_the_frame_is(
    long_frame: LongFrame, trained: Forecaster, series_at_once: int
) -> None:
    df = long_frame(LENGTHS, seed=1)
    expected = trained.predict(df, level=[80])
    assert expected.columns.tolist() == ["unique_id", "ds", "TCN", "TCN-lo-80", "TCN-hi-80"]
    for frame in (df, df.sort_values("ds")):  # series after series, and in turns
        table = table_of(frame)
        found = predict_partition(table, trained, level=[80], series_at_once=series_at_once)
        compare(found, expected)
        assert found.schema.equals(forecast_schema(table.schema, trained, [80]))
        assert table.equals(table_of(frame))  # pure


def test_a_folder_is_as_good_as_the_forecaster(
    long_frame: LongFrame, trained: Forecaster, tmp_path: Path
) -> None:
    table = table_of(long_frame(LENGTHS, seed=1))
    trained.save(tmp_path / "forecaster")
    expected = predict_partition(table, trained).to_pandas()
    for folder in (tmp_path / "forecaster", str(tmp_path / "forecaster")):
        compare(predict_partition(table, folder), expected)


def test_types_of_id_and_time_are_kept(long_frame: LongFrame, trained: Forecaster) -> None:
    df = long_frame((20, 20), timezone="Europe/Paris")
    dictionary = pa.dictionary(pa.int32(), pa.string())
    for id_type, time_type in [
        (pa.string(), pa.timestamp("ns", "Europe/Paris")),
        (pa.large_string(), pa.timestamp("s", "Europe/Paris")),
        (dictionary, pa.timestamp("us", "Europe/Paris")),
    ]:
        schema = pa.schema([("unique_id", id_type), ("ds", time_type), ("y", pa.float32())])
        found = predict_partition(table_of(df).cast(schema), trained, level=[])
        assert found.schema.types == [id_type, time_type, pa.float64()]
        assert found["ds"].to_pandas().iloc[0] == df["ds"].iloc[19] + pd.Timedelta("1h")


def test_an_empty_partition_is_an_empty_forecast(
    long_frame: LongFrame, trained: Forecaster
) -> None:
    table = table_of(long_frame())
    found = predict_partition(table.slice(0, 0), trained)
    assert len(found) == 0
    assert found.schema.equals(predict_partition(table, trained).schema)


def test_what_the_frame_refuses_the_partition_refuses(
    long_frame: LongFrame, trained: Forecaster
) -> None:
    table = table_of(long_frame().assign(y=np.nan))
    with pytest.raises(ValueError, match=r"\['y'\] is missing in every row"):
        predict_partition(table, trained)
    with pytest.raises(ValueError, match=r"series_at_once: 0 must be at least 1"):
        predict_partition(table, trained, series_at_once=0)


def test_the_future_and_static_columns_travel_in_the_table(long_frame: LongFrame) -> None:
    df = long_frame(LENGTHS, extra=("x", "z"))
    df["size"] = df["unique_id"].map({letter: n for n, letter in enumerate("abcde")})
    static = df.groupby("unique_id", as_index=False)["size"].first()
    model = small(loss="mse", futr_exog_list=["x"], hist_exog_list=["z"], stat_exog_list=["size"])
    future_rows = df.groupby("unique_id").cumcount(ascending=False) < H
    past, future = df[~future_rows], df[future_rows]
    model.fit(past, static)
    expected = model.predict(past, future, static_df=static)
    together = df.assign(y=df["y"].where(~future_rows), z=df["z"].where(~future_rows)).sample(
        frac=1, random_state=0
    )
    with pytest.warns(UserWarning, match="fewer past rows"):
        compare(predict_partition(table_of(together), model, series_at_once=2), expected)


# --- pieces of a sorted table


def pieces(table: pa.Table, cuts: list[int]) -> Iterator[pa.Table | pa.RecordBatch]:
    ends = [0, *sorted(cuts), len(table)]
    for begin, end in pairwise(ends):
        piece = table.slice(begin, end - begin)
        yield from piece.to_batches() if begin % 2 else [piece]


@settings(max_examples=8)
@given(cuts=st.lists(st.integers(0, sum(LENGTHS)), max_size=8), series_at_once=st.integers(1, 6))
def test_pieces_cut_anywhere_are_forecast_as_the_whole(
    long_frame: LongFrame, trained: Forecaster, cuts: list[int], series_at_once: int
) -> None:
    table = table_of(long_frame(LENGTHS, seed=1))
    parts = predict_stream(pieces(table, cuts), trained, level=[80], series_at_once=series_at_once)
    compare(pa.concat_tables(parts), trained.predict(table, level=[80]).to_pandas())


def test_pieces_out_of_order_are_refused(long_frame: LongFrame, trained: Forecaster) -> None:
    table = table_of(long_frame((5, 5)))
    with pytest.raises(ValueError, match=r"tables: unique_id='a' comes after 'b'; sort the whole"):
        list(predict_stream([table.slice(5), table.slice(0, 5)], trained))
    with pytest.raises(ValueError, match=r"tables: column 'unique_id' holds rows without an id"):
        list(predict_stream([table_of(long_frame().assign(unique_id=None))], trained))


def test_memory_does_not_grow_with_the_number_of_series(
    long_frame: LongFrame, trained: Forecaster
) -> None:
    """Never more rows are held than of the series that are forecast at once, and a piece."""
    arrived = forecast = most = 0

    def endless() -> Iterator[pa.Table]:
        nonlocal arrived, most
        for number in range(40):
            arrived += 1
            most = max(most, arrived - forecast)
            df = long_frame((30,)).assign(unique_id=f"{number:03}")
            yield table_of(df)

    for part in predict_stream(endless(), trained, level=[], series_at_once=5):
        forecast += len(part) // H
    assert forecast == arrived == 40
    assert most <= 6


# --- engines, each in a process of its own kind on this machine


def dies_once(trained: Forecaster, marker: Path) -> Forecaster:
    """The same forecaster, but the first worker that uses it is killed."""

    class Mortal(Forecaster):
        """Travels by value, as everything defined in a function does."""

        marker_: str

        def predict(self, *arguments: object, **named: object) -> object:
            try:
                os.close(os.open(self.marker_, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return super().predict(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError("unreachable")

    mortal = Mortal.__new__(Mortal)
    mortal.__dict__.update(trained.__dict__, marker_=str(marker), alias="TCN")
    return mortal


@pytest.fixture(scope="module")
def with_source() -> Iterator[None]:
    """Workers find the package as this process does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))
        yield


@pytest.fixture(scope="module")
def ray_data(with_source: None) -> Iterator[ModuleType]:
    ray = pytest.importorskip("ray")
    data = pytest.importorskip("ray.data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # workers get no turn on a busy machine otherwise
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        data.DataContext.get_current().enable_progress_bars = False
        yield data
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_ray_gives_the_same_frame(
    long_frame: LongFrame,
    trained: Forecaster,
    ray_data: ModuleType,
    tmp_path: Path,
    killed: bool,
) -> None:
    from tcn.forecasting.distributed import ray as adapter

    df = long_frame(LENGTHS, seed=1).sort_values("ds")
    marker = tmp_path / "killed"
    forecaster = dies_once(trained, marker) if killed else trained
    found = adapter.predict(ray_data.from_pandas(df), forecaster, groups=3, level=[80])
    compare(table_of(found.to_pandas()), trained.predict(df, level=[80]))
    assert marker.exists() == killed


@pytest.fixture(scope="module")
def spark(with_source: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    sql = pytest.importorskip("pyspark.sql", reason="needs pyspark, which make test-slow installs")
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("needs Java: put java on the PATH or set JAVA_HOME")
    folder = tmp_path_factory.mktemp("spark")
    builder = sql.SparkSession.builder.master("local[2,4]")  # a task may fail three times
    for name, value in {
        "ui.enabled": "false",
        "driver.memory": "512m",
        "driver.bindAddress": "127.0.0.1",
        "sql.session.timeZone": "UTC",
        "sql.warehouse.dir": str(folder / "warehouse"),
        "local.dir": str(folder / "local"),
    }.items():
        builder = builder.config(f"spark.{name}", value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)  # the first python3 of the PATH otherwise
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")  # or what the name of the machine stands for
        session = builder.getOrCreate()
        yield session
        session.stop()


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_spark_gives_the_same_frame(
    long_frame: LongFrame, trained: Forecaster, spark: Any, tmp_path: Path, killed: bool
) -> None:
    from tcn.forecasting.distributed import spark as adapter

    df = long_frame(LENGTHS, seed=1).sort_values("ds")
    schema = "unique_id string, ds timestamp_ntz, y double"
    rows = [(i, t.to_pydatetime(), y) for i, t, y in df.itertuples(index=False)]
    marker = tmp_path / "killed"
    forecaster = dies_once(trained, marker) if killed else trained
    frame = adapter.predict(
        spark.createDataFrame(rows, schema), forecaster, partitions=2, level=[80]
    )
    names = [(field.name, field.dataType.simpleString()) for field in frame.schema]
    assert names[:3] == [("unique_id", "string"), ("ds", "timestamp_ntz"), ("TCN", "double")]
    found = pd.DataFrame(frame.collect(), columns=frame.columns)
    compare(table_of(found), trained.predict(df, level=[80]))
    assert marker.exists() == killed
