"""darts, GluonTS and arrays as long frames and back; what is not installed is skipped."""

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tcn.forecasting.frames.adapters import (
    darts_from_frame,
    frame_from_array,
    frame_from_darts,
    frame_from_gluonts,
    gluonts_from_frame,
)
from tcn.forecasting.frames.panel import Columns, panel_from_frame

LongFrame = Callable[..., pd.DataFrame]


# --- arrays


def test_the_axis_of_the_targets_is_told_by_their_number() -> None:
    columns = Columns(target=("low", "high"))
    values = np.arange(3 * 2 * 5).reshape(3, 2, 5)
    df = frame_from_array(values, columns=columns, start="2023-01-01", freq="h")
    panel = panel_from_frame(df, columns=columns)
    assert panel.ids.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(panel.target[5:10].T, values[1])
    assert panel.local(panel.times)[4] == pd.Timestamp("2023-01-01 04:00")
    other = frame_from_array(values.swapaxes(1, 2), columns=columns, start="2023-01-01", freq="h")
    pd.testing.assert_frame_equal(df, other)


def test_a_square_needs_a_layout() -> None:
    columns = Columns(target=("low", "high"))
    values = np.array([[[1, 2], [3, 4]]])
    with pytest.raises(ValueError, match=r"values: shape \(1, 2, 2\) is both .* say which by lay"):
        frame_from_array(values, columns=columns)
    one = frame_from_array(values, columns=columns, layout="series, target, time")
    assert one[["low", "high"]].to_numpy().tolist() == [[1, 3], [2, 4]]
    other = frame_from_array(values, columns=columns, layout="series, time, target")
    assert other[["low", "high"]].to_numpy().tolist() == [[1, 2], [3, 4]]
    assert one["ds"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("shape", "layout", "message"),
    [
        (
            (4, 5, 3),
            None,
            r"values: shape \(4, 5, 3\), expected \(series, 2 targets, time\) or \(series, time, 2",
        ),
        (
            (4, 2, 5),
            "series, time, target",
            r"values: shape \(4, 2, 5\), expected .* with layout='series, time, target'",
        ),
        ((4, 2), None, r"values: shape \(4, 2\), expected"),
        ((4, 2, 5), "NCL", r"layout: 'NCL' is not known; give 'series, target, time' or 'series"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    shape: tuple[int, ...], layout: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        frame_from_array(np.zeros(shape), columns=Columns(target=("a", "b")), layout=layout)


# --- darts


def test_darts_and_back(long_frame: LongFrame) -> None:
    darts = pytest.importorskip("darts")
    df = long_frame((9, 6), freq="D", extra=("y2",))
    columns = Columns(target=("y", "y2"))
    series = darts_from_frame(df, columns=columns)
    assert [type(one) for one in series] == [darts.TimeSeries] * 2
    assert [one.components.tolist() for one in series] == [["y", "y2"]] * 2
    assert [one.freq_str for one in series] == ["D", "D"]
    assert series[1].static_covariates["unique_id"].tolist() == ["b"]
    back = frame_from_darts(series, ids=["a", "b"], columns=columns)
    pd.testing.assert_frame_equal(back, df, check_dtype=False)
    assert frame_from_darts(series[0], columns=columns)["unique_id"].unique().tolist() == [0]


def test_darts_integer_and_local_times(long_frame: LongFrame) -> None:
    pytest.importorskip("darts")
    df = pd.DataFrame({"unique_id": 7, "ds": [10, 12, 14], "y": [1.0, 2, 3]})
    series = darts_from_frame(df)
    pd.testing.assert_frame_equal(frame_from_darts(series, ids=[7]), df)
    local = long_frame((5,), freq="D", timezone="Europe/Paris")
    times = darts_from_frame(local, values=["y"])[0].time_index
    assert (times == local["ds"].dt.tz_localize(None)).all()


def test_darts_series_that_do_not_fit_are_refused(long_frame: LongFrame) -> None:
    darts = pytest.importorskip("darts")
    series = darts_from_frame(long_frame((9, 6)))
    with pytest.raises(ValueError, match=r"ids: 1 for 2 series; give one each"):
        frame_from_darts(series, ids=["a"])
    with pytest.raises(ValueError, match=r"series 0 has 1 components for the targets \['a', 'b'\]"):
        frame_from_darts(series, columns=Columns(target=("a", "b")))
    samples = darts.TimeSeries.from_values(np.zeros((5, 1, 10)))
    with pytest.raises(ValueError, match=r"series: 0 has 10 samples; reduce it, such as by .mean"):
        frame_from_darts(samples)


# --- GluonTS, whose datasets give entries such as these


def entries() -> list[dict[str, object]]:
    return [
        {
            "item_id": "a",
            "start": pd.Period("2023-01", freq="M"),
            "target": np.array([1.0, 2, 3]),
            "feat_dynamic_real": np.array([[5.0, 6, 7, 8]]),
            "past_feat_dynamic_real": np.array([[0.1, 0.2, 0.3]]),
            "feat_static_real": np.array([1.5]),
            "feat_static_cat": np.array([2]),
        }
    ]


GLUONTS = Columns(futr=("x",), hist=("z",), stat=("size", "kind"), categorical=("kind",))


def test_entries_become_frames() -> None:
    df, static = frame_from_gluonts(entries(), columns=GLUONTS)
    assert df["ds"].tolist() == pd.date_range("2023-01-01", periods=4, freq="MS").tolist()
    np.testing.assert_array_equal(df["y"], [1, 2, 3, np.nan])  # the last row is the future
    assert df["x"].tolist() == [5, 6, 7, 8]
    assert static is not None
    assert static.to_dict("records") == [{"unique_id": "a", "size": 1.5, "kind": 2}]
    panel = panel_from_frame(df.iloc[:3], columns=GLUONTS, static_df=static)
    assert panel.categories.tolist() == [[1]]
    plain, none = frame_from_gluonts([{"start": pd.Period("2023", "D"), "target": [1, 2]}])
    assert none is None
    assert plain["unique_id"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(target=("y", "y2")), r"series 'a' has 1 components for the targets \['y', 'y2'\]"),
        (Columns(futr=("x", "w")), r"entry 'a' has 1 features in 'feat_dynamic_real' for the col"),
        (Columns(stat=("size",)), r"entry 'a' has 1 .* 1 in 'feat_static_cat' for 1 and 0 columns"),
    ],
)
def test_entries_that_do_not_fit_are_refused(columns: Columns, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frame_from_gluonts(entries(), columns=columns)


def test_gluonts_datasets_and_back(long_frame: LongFrame) -> None:
    pytest.importorskip("gluonts")
    from gluonts.dataset.pandas import PandasDataset

    df = long_frame((9, 6), freq="D", extra=("x",))
    columns = Columns(futr=("x",))
    dataset = gluonts_from_frame(df, freq="D", columns=columns)
    back, _ = frame_from_gluonts(dataset, columns=columns)
    pd.testing.assert_frame_equal(back, df, check_dtype=False, rtol=1e-6)  # it holds float32
    frames = PandasDataset.from_long_dataframe(
        df, item_id="unique_id", timestamp="ds", target="y", freq="D"
    )
    again, _ = frame_from_gluonts(frames)
    pd.testing.assert_frame_equal(again, df.drop(columns="x"), check_dtype=False)


def test_what_is_not_installed_says_how_to_get_it(
    long_frame: LongFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "darts", None)
    with pytest.raises(ImportError, match=r"pip install darts"):
        darts_from_frame(long_frame())
    monkeypatch.setitem(sys.modules, "gluonts", None)
    with pytest.raises(ImportError, match=r"pip install gluonts"):
        gluonts_from_frame(long_frame(), freq="h")
