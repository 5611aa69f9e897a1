"""Several models in one frame."""

from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tcn.forecasting import Ensemble, Forecaster, Forecasters, evaluate, plot_forecasts

SMALL: dict[str, Any] = {"h": 3, "input_size": 12, "width": 4, "max_steps": 5}


def walk(rows: int = 60) -> pd.DataFrame:
    random = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=rows)
    return pd.concat(
        pd.DataFrame({"unique_id": name, "ds": days, "y": 50 + random.normal(size=rows).cumsum()})
        for name in "ab"
    ).reset_index(drop=True)


def models() -> list[Forecaster]:
    return [
        Forecaster(**SMALL, loss="normal"),
        Forecaster(**SMALL, model="lstm"),
        Forecaster(**SMALL, model="gru", alias="small GRU"),
    ]


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
def test_each_column_is_what_the_model_alone_returns(kind: Any) -> None:
    df = kind(walk())
    found = nw.from_native(Forecasters(models()).fit(df).predict(), eager_only=True)
    names = ["TCN", "TCN-lo-90", "TCN-lo-80", "TCN-hi-80", "TCN-hi-90", "LSTM", "small GRU"]
    assert found.columns == ["unique_id", "ds", *names]
    for one in models():
        alone = nw.from_native(one.fit(df).predict(), eager_only=True)
        for name in alone.columns:
            assert found[name].to_list() == alone[name].to_list()


def test_windows_streams_and_folders(tmp_path: Path) -> None:
    df = walk(62)
    past = df[df.groupby("unique_id").cumcount() < 60]
    several = Forecasters(models())
    windows = several.cross_validation(df, n_windows=2)
    assert list(windows.columns[:4]) == ["unique_id", "ds", "cutoff", "y"]
    assert set(evaluate(windows, df, id_col="unique_id").columns) >= {"TCN", "LSTM", "small GRU"}
    several.fit(past)
    loaded = Forecasters.load(several.save(tmp_path / "several"))
    row = df[df.groupby("unique_id").cumcount() == 60]
    pd.testing.assert_frame_equal(loaded.update(row), several.update(row))
    assert [type(each) for each in (loaded, loaded.forecasters[0])] == [Forecasters, Forecaster]


def test_one_plot_of_all(tmp_path: Path) -> None:
    df = walk()
    figure = plot_forecasts(df, Forecasters(models()).fit(df).predict())
    figure.savefig(tmp_path / "all.png")
    drawn = {line.get_label() for line in figure.axes[0].lines}
    assert {"TCN", "LSTM", "small GRU"} <= drawn


def test_quantiles_are_not_taken_for_models() -> None:
    df = walk()
    found = Forecaster(**SMALL, loss="normal").fit(df).predict(quantiles=[0.05, 1e-4])
    figure = plot_forecasts(df, found)
    assert not any("-q-" in str(line.get_label()) for line in figure.axes[0].lines)


def test_what_does_not_go_together() -> None:
    one = Forecaster(**SMALL)
    with pytest.raises(ValueError, match="forecasters: none is given"):
        Forecasters([])
    with pytest.raises(TypeError, match="one alone; give a list"):
        Forecasters(one)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"2 have the name 'TCN'; give each an alias"):
        Forecasters([one, Forecaster(**SMALL, seed=2)])
    with pytest.raises(ValueError, match="h is 3 and 4"):
        Forecasters([one, Forecaster(**SMALL | {"h": 4}, model="lstm")])
    with pytest.raises(TypeError, match="forecasters: 'tcn' is not a Forecaster"):
        Forecasters(["tcn"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="result_name is 'TCN' and 'LSTM'; give both the same"):
        Ensemble([one, Forecaster(**SMALL, model="lstm")])
    assert len(Ensemble([one, Forecaster(**SMALL, seed=2)]).forecasters) == 2


def test_members_that_went_different_ways() -> None:
    df = walk()
    turned = pd.concat([df[df["unique_id"] == "b"], df[df["unique_id"] == "a"]])
    one, other = models()[:2]
    with pytest.raises(ValueError, match="results are of other series, times or libraries"):
        Forecasters([one.fit(df), other.fit(turned)]).predict()
    with pytest.raises(ValueError, match="results are of other series, times or libraries"):
        Forecasters([one.fit(df), other.fit(pl.from_pandas(df))]).predict()
    with pytest.raises(ValueError, match="one of them is given twice"):
        Forecasters([one, one])
    named = Forecaster(**SMALL, alias="TCN-lo-90").fit(df)
    with pytest.raises(ValueError, match="2 have a column 'TCN-lo-90'"):
        Forecasters([one.fit(df), named]).predict()


def test_if_one_refuses_none_has_taken_a_row() -> None:
    df = walk(62)
    number = df.groupby("unique_id").cumcount()
    several = Forecasters(models()).fit(df[number < 60])
    before = several.predict(level=[])
    with pytest.raises(TypeError, match="gives points alone"):
        several.update(df[number == 60], level=iter([80]))
    assert several.predict(level=[]).equals(before)
    found = several.update(df[number == 60], level=[])
    assert found["ds"].iloc[0] == df["ds"].iloc[61]
    several.revise(df[number == 61])
    assert several.predict(level=[])["ds"].iloc[0] == df["ds"].iloc[61] + pd.Timedelta(days=1)
