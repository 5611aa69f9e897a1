"""Where windows end, what of a series comes before them, and the frame of their forecasts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tcn.forecasting.evaluation.cross_validation import backtest
from tcn.forecasting.evaluation.cutoffs import Cutoffs, cutoffs
from tcn.forecasting.fitted.predictor import Forecasts, batches
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.panel import Panel, panel_from_frame
from tcn.forecasting.windows.scaling import CovariateScaler, SeriesScaler, scaled_panel
from tcn.forecasting.windows.windows import Windows


def frame(*lengths: int, timezone: str | None = None) -> pd.DataFrame:
    """Series 0, 1, ... whose values say which row they are: 100 * series + row."""
    parts = [
        pd.DataFrame({
            "unique_id": number,
            "ds": pd.date_range("2024-03-30", periods=length, freq="h", tz=timezone),
            "y": 100.0 * number + np.arange(length),
        })
        for number, length in enumerate(lengths)
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def panel_of(*lengths: int, timezone: str | None = None) -> Panel:
    return panel_from_frame(frame(*lengths, timezone=timezone), columns=Columns())


def windows_of(panel: Panel, where: Cutoffs, input_size: int = 2) -> Windows:
    scaler = SeriesScaler("identity")
    scaled = scaled_panel(panel, scaler, scaler.fit(panel), CovariateScaler.fit(panel))
    return Windows(
        panel,
        input_size,
        where.h,
        scaled=scaled,
        first=where.first,
        last=where.last,
        step=where.step,
    )


def naive(windows: Windows) -> pd.DataFrame:
    """The frame of the plain naive forecast."""
    batch = windows.batch(np.arange(len(windows)))
    last = batch.target[..., -1:].expand_as(batch.horizon).double().numpy()
    return pd.DataFrame(backtest(windows, Forecasts(last, {}), "Naive"))


# ------------------------------------------------------------------------------------------ cutoffs


def test_the_drawing_in_the_docstring() -> None:
    found = cutoffs(panel_of(10), n_windows=3, h=3, step_size=2, val_size=1)
    assert (found.first.tolist(), found.last.tolist(), found.step) == ([2], [6], 2)
    assert found.train_rows.tolist() == [2]
    assert found.validation_rows.tolist() == [3]
    assert found.counts.tolist() == [3]


def test_windows_do_not_overlap_unless_asked() -> None:
    found = cutoffs(panel_of(30), n_windows=4, h=5)
    assert found.first.tolist() == [30 - 4 * 5 - 1]
    assert found.train_rows.tolist() == [10]


@pytest.mark.filterwarnings("ignore:.*windows are left out", "ignore:.*fewer past rows")
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    n_windows=st.integers(1, 5),
    h=st.integers(1, 6),
    step_size=st.integers(1, 7),
)
@settings(max_examples=25)
def test_windows_are_counted_from_the_end(
    lengths: list[int], n_windows: int, h: int, step_size: int
) -> None:
    """Every cutoff by the definition: h rows and whole steps before the end, two rows of past."""
    expected = [
        [end for k in reversed(range(n_windows)) if (end := n - 1 - h - k * step_size) >= 1]
        for n in lengths
    ]
    assume(any(expected))
    panel = panel_of(*lengths)
    found = cutoffs(panel, n_windows=n_windows, h=h, step_size=step_size)
    windows = windows_of(panel, found)
    series, position = windows.where(np.arange(len(windows)))
    assert [position[series == i].tolist() for i in range(len(lengths))] == expected
    assert found.counts.tolist() == [len(each) for each in expected]
    assert found.train_rows.tolist() == [each[0] + 1 if each else 0 for each in expected]
    for number in range(int(found.counts.max())):
        one = found.window(number)
        back = int(found.counts.max()) - number
        assert [
            [first] if first <= last else []
            for first, last in zip(one.first.tolist(), one.last.tolist(), strict=True)
        ] == [[each[-back]] if len(each) >= back else [] for each in expected]


def test_one_window_after_another_for_refitting() -> None:
    found = cutoffs(panel_of(12), n_windows=3, h=2, val_size=3)
    assert [found.window(number).train_rows.tolist() for number in range(3)] == [[3], [5], [7]]
    assert found.window(-1).last == found.window(2).last
    with pytest.raises(IndexError, match="number: window 3 of 3"):
        found.window(3)


def test_series_too_short_are_named() -> None:
    panel = panel_of(20, 6, 3)
    with pytest.warns(UserWarning, match=r"5 of 9 windows .* 2 series have fewer than 11 .*: 1, 2"):
        found = cutoffs(panel, n_windows=3, h=3)
    assert found.counts.tolist() == [3, 1, 0]
    assert found.train_rows.tolist() == [11, 3, 0]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n_windows": 0, "h": 2}, ValueError, "n_windows: 0 must be at least 1"),
        ({"n_windows": 1, "h": 0}, ValueError, "h: 0 must be at least 1"),
        ({"n_windows": 1, "h": 2, "step_size": 0}, ValueError, "step_size: 0 must be at least 1"),
        ({"n_windows": 1.5, "h": 2}, TypeError, "n_windows: 1.5 is not an integer"),
        ({"n_windows": 1, "h": 2, "val_size": -1}, ValueError, "val_size: -1 rows; give 0"),
        ({"n_windows": 1, "h": 9}, ValueError, "no series has a window of h=9 .* has 10 rows"),
    ],
)
def test_wrong_sizes(settings: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cutoffs(panel_of(10), **settings)


# ---------------------------------------------------------------------------------------- forecasts


def test_forecasts_stand_beside_what_came() -> None:
    panel = panel_of(8, 9)
    windows = windows_of(panel, cutoffs(panel, n_windows=2, h=3, step_size=1))
    found = naive(windows)
    assert list(found) == ["unique_id", "ds", "cutoff", "y", "Naive"]
    # By hand: cutoffs 3, 4 of the first series, 4, 5 of the second.
    assert found["unique_id"].tolist() == [0] * 6 + [1] * 6
    expected = [4, 5, 6, 5, 6, 7, 105, 106, 107, 106, 107, 108]
    assert found["y"].tolist() == expected
    assert found["Naive"].tolist() == [3] * 3 + [4] * 3 + [104] * 3 + [105] * 3
    start = pd.Timestamp("2024-03-30")
    hours = (found["ds"] - start) / pd.Timedelta(hours=1)
    assert hours.tolist() == [value % 100 for value in expected]
    hours = (found["cutoff"] - start) / pd.Timedelta(hours=1)
    assert hours.tolist() == [3] * 3 + [4] * 3 + [4] * 3 + [5] * 3


def test_batches_are_as_large_as_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcn.forecasting.fitted.predictor.WINDOWS_AT_ONCE", 3)
    panel = panel_of(30)
    windows = windows_of(panel, cutoffs(panel, n_windows=7, h=2))
    assert [len(batch.target) for batch in batches(windows)] == [3, 3, 1]


def test_times_are_those_of_the_callers_zone() -> None:
    # Clocks in Paris go forward on 2024-03-31 at 02:00.
    data = frame(40, timezone="Europe/Paris")
    panel = panel_from_frame(data, columns=Columns())
    windows = windows_of(panel, cutoffs(panel, n_windows=2, h=8))
    found = naive(windows)
    both = found.merge(data, on=["unique_id", "ds"], suffixes=("", "_given"))
    assert len(both) == len(found) == 16
    assert (both["y"] == both["y_given"]).all()
    assert str(found["cutoff"].dt.tz) == "Europe/Paris"


def test_several_targets_have_columns_of_their_own() -> None:
    data = frame(9).assign(x=lambda table: -table["y"])
    panel = panel_from_frame(data, columns=Columns(target=("y", "x")))
    windows = windows_of(panel, cutoffs(panel, n_windows=1, h=2))
    found = naive(windows)
    assert list(found) == ["unique_id", "ds", "cutoff", "y", "x", "y-Naive", "x-Naive"]
    assert found["y"].tolist() == [7, 8]
    assert found["x"].tolist() == [-7, -8]
    assert found["x-Naive"].tolist() == [-6, -6]


def test_what_has_not_come_is_missing() -> None:
    panel = panel_of(6)
    windows = windows_of(panel, Cutoffs(np.array([4]), np.array([5]), 1, 2, 0))
    found = naive(windows)
    assert found["y"].tolist()[:1] == [5]
    assert found["y"].isna().tolist() == [False, True, True, True]
    assert found["ds"].iloc[-1] == pd.Timestamp("2024-03-30 07:00")


def test_the_past_of_a_window_is_not_changed_by_its_future() -> None:
    data = frame(20)
    changed = data.assign(y=data["y"].where(data.index < 12, 1e6))
    results = []
    for each in (data, changed):
        panel = panel_from_frame(each, columns=Columns())
        windows = windows_of(panel, cutoffs(panel, n_windows=2, h=4))
        results.append(naive(windows))
    first = results[0]["cutoff"] == results[0]["cutoff"].min()
    assert results[0]["Naive"][first].equals(results[1]["Naive"][first])
    assert not results[0]["Naive"].equals(results[1]["Naive"])
