"""The sets of the forecasting benchmark are read, split and scaled as published."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.forecasting import long_horizon, many_series
from benchmarks.forecasting.baselines import SeasonalNaive
from benchmarks.forecasting.errors import errors
from benchmarks.forecasting.published import LTSF, PUBLISHED
from benchmarks.forecasting.tsf import long_frame, read_tsf

EXAMPLE = """# a comment, with a letter in no encoding: \xa4
@relation Example
@attribute series_name string
@attribute start_timestamp date
@frequency monthly
@horizon 2
@missing true
@equallength false
@data
T1:1990-11-01 00-00-00:1,2.5,?
T2:2000-01-01 00-00-00:4,5

"""


@pytest.fixture
def tsf(tmp_path):
    def write(text: str = EXAMPLE):
        path = tmp_path / "example.tsf"
        path.write_text(text, encoding="latin-1")
        return path

    return write


def test_a_tsf_file_is_read_as_it_is_written(tsf):
    header, series = read_tsf(tsf())
    assert (header.relation, header.frequency, header.horizon) == ("Example", "monthly", 2)
    assert header.attributes == (("series_name", "string"), ("start_timestamp", "date"))
    np.testing.assert_array_equal(series[0].values, [1, 2.5, np.nan])
    frame = long_frame(header, series)
    assert frame["unique_id"].tolist() == ["T1"] * 3 + ["T2"] * 2
    months = ["1990-11-01", "1990-12-01", "1991-01-01", "2000-01-01", "2000-02-01"]
    assert frame["ds"].tolist() == [pd.Timestamp(month) for month in months]


def test_without_a_frequency_steps_are_counted(tsf):
    header, series = read_tsf(tsf(EXAMPLE.replace("@frequency monthly\n", "")))
    assert long_frame(header, series)["ds"].tolist() == [1, 2, 3, 1, 2]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("@data\n", "", r"line 9: 'T1:1990.*' is not a header line"),
        ("@horizon 2", "@horizon", r"line 6: '@horizon' is not a header line"),
        ("monthly", "fortnightly", r"frequency 'fortnightly' is unknown; known: 4_seconds"),
        ("T2:2000", "2000", r"line 11: 1 attributes before the values, the header names 2"),
        ("2.5", "two", r"line 10: could not convert string to float: 'two'"),
    ],
)
def test_what_is_wrong_in_a_tsf_file_is_named(tsf, old, new, message):
    with pytest.raises(ValueError, match=message):
        read_tsf(tsf(EXAMPLE.replace(old, new)))


def test_a_file_without_data_is_refused(tsf):
    with pytest.raises(ValueError, match=r"example\.tsf: holds no line @data"):
        read_tsf(tsf("@relation Example\n"))


# Rows of the splits: 12, 4 and 4 months of 30 days; elsewhere 70, 10 and 20 % rounded as in the
# published loaders. Windows: rows of the test part - horizon + 1.
@pytest.mark.requires_data("ett", "ltsf")
@pytest.mark.parametrize(
    ("name", "channels", "train", "validation", "end", "windows"),
    [
        ("ETTh1", 7, 8640, 11520, 14400, 2785),
        ("ETTm1", 7, 34560, 46080, 57600, 11425),
        ("weather", 21, 36887, 42157, 52696, 10444),
        ("exchange_rate", 8, 5311, 6071, 7588, 1422),
        ("national_illness", 7, 676, 773, 966, 170),
    ],
)
def test_splits_and_scaling_are_the_published_ones(name, channels, train, validation, end, windows):
    problem = long_horizon.load(name)
    assert problem.values.shape == (end, channels)
    assert (problem.train, problem.validation) == (train, validation)
    assert len(problem.first_rows("test")) == windows
    np.testing.assert_allclose(problem.values[:train].mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(problem.values[:train].std(0), 1)


@pytest.mark.requires_data("ltsf")
def test_times_with_gaps_are_counted_instead():
    assert long_horizon.load("weather").times[:3].tolist() == [0, 1, 2]
    assert long_horizon.load("national_illness").times.dtype.kind == "M"


def _published_last_value(name: str, horizon: int) -> tuple[float, float]:
    found = [
        each
        for each in PUBLISHED[name, horizon]
        if each.label == "last value" and each.source == LTSF
    ]
    return found[0].figures["mse"], found[0].figures["mae"]


# A forecast in which nothing is random: files, splits, scaling and windows are right if it comes
# out as published.
@pytest.mark.requires_data("ett", "ltsf")
@pytest.mark.parametrize("name", ["ETTm1", "weather", "exchange_rate"])
def test_the_last_value_has_its_published_error(name):
    problem = long_horizon.load(name)
    found = errors(problem, SeasonalNaive(problem, 1), "test")
    assert (round(found["mse"], 3), round(found["mae"], 3)) == _published_last_value(name, 96)


@pytest.mark.requires_data("ltsf")
def test_the_published_error_of_illness_leaves_out_the_last_batch():
    problem = long_horizon.load("national_illness")
    naive, first = SeasonalNaive(problem, 1), problem.first_rows("test").start
    published = _published_last_value("national_illness", 24)

    def error(windows: int) -> tuple[float, float]:
        difference = naive.forecast(first, first + windows) - problem.truth(first, first + windows)
        return round(float(np.square(difference).mean()), 3), round(
            float(np.abs(difference).mean()), 3
        )

    assert error(170 - 170 % 32) == published  # batches of 32
    assert error(170) == (6.213, 1.622)


@pytest.mark.requires_data("ltsf")
def test_what_was_published_is_told_from_what_is_unknown():
    with pytest.raises(ValueError, match="set 'ETTx' is unknown; known: ETTh1"):
        long_horizon.load("ETTx")
    with pytest.raises(ValueError, match=r"horizon is 98, but the shorter .* has 97 rows"):
        long_horizon.load("national_illness", 98)


# 414 series of 700 or 960 hours, 48 to forecast: Makridakis et al. 2020, table 1.
@pytest.mark.requires_data("m4")
def test_m4_hourly_is_whole():
    data = many_series.load("m4_hourly")
    lengths = data.train.groupby("unique_id").size()
    assert len(lengths) == 414
    assert set(lengths) == {700, 960}
    assert (data.test.groupby("unique_id").size() == 48).all()
    first = data.test[data.test["unique_id"] == "H1"]
    assert first["ds"].tolist() == list(range(701, 749))
    assert first["y"].iloc[0] == 619


# Series and horizons: Godahewa et al. 2021, tables 1 and 2.
@pytest.mark.requires_data("monash_tsf")
@pytest.mark.parametrize(
    ("name", "series", "horizon"), [("hospital", 767, 12), ("tourism_quarterly", 427, 8)]
)
def test_monash_sets_end_with_their_horizon(name, series, horizon):
    data = many_series.load(name)
    assert data.train["unique_id"].nunique() == series
    assert (data.test.groupby("unique_id").size() == horizon).all()
    last = data.train.groupby("unique_id")["ds"].max()
    assert (data.test.groupby("unique_id")["ds"].min() > last).all()


def test_a_set_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="set 'm4_daily' is unknown; known: m4_hourly"):
        many_series.load("m4_daily")
