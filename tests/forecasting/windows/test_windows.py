"""Windows are compared with slices of each series taken one by one."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from tcn.forecasting.frames.calendar import calendar_features
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.panel import Panel, panel_from_frame
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.scaling import CovariateScaler, Scaled, SeriesScaler, scaled_panel
from tcn.forecasting.windows.windows import Windows

LongFrame = Callable[..., pd.DataFrame]
SHORT = "ignore:.*fewer"
COLUMNS = Columns(futr=("x",), hist=("z",))


def unscaled(panel: Panel, future: np.ndarray | None = None) -> Scaled:
    return Scaled(
        target=panel.target.astype(np.float32),
        futr=panel.futr.astype(np.float32),
        hist=panel.hist.astype(np.float32),
        stat=panel.stat.astype(np.float32),
        future=None if future is None else future.astype(np.float32),
        statistics=SeriesScaler("identity").fit(panel),
    )


def windows_of(panel: Panel, input_size: int, h: int, **arguments: object) -> Windows:
    future = arguments.pop("future", None)
    return Windows(panel, input_size, h, scaled=unscaled(panel, future), **arguments)


def expected_window(
    panel: Panel, series: int, position: int, input_size: int, h: int
) -> dict[str, np.ndarray]:
    """One window by slices: the past is padded on the left, the horizon on the right."""
    begin, end = panel.offsets[series : series + 2]

    def cut(values: np.ndarray, first: int, count: int) -> np.ndarray:
        rows = np.arange(first, first + count) + begin
        inside = (rows >= begin) & (rows < end)
        found = np.full((count, values.shape[1]), np.nan)
        found[inside] = values[rows[inside]]
        return found.T

    past = cut(panel.target, position - input_size + 1, input_size)
    horizon = cut(panel.target, position + 1, h)
    exogenous = np.concatenate([panel.hist, panel.futr], axis=1)
    return {
        "target": np.nan_to_num(past),
        "observed": ~np.isnan(past),
        "exogenous": np.nan_to_num(cut(exogenous, position - input_size + 1, input_size)),
        "horizon": np.nan_to_num(horizon),
        "horizon_observed": ~np.isnan(horizon),
    }


@pytest.mark.filterwarnings(SHORT)
@settings(max_examples=40)
@given(data=st.data())
def test_any_windows_are_slices(data: st.DataObject, long_frame: LongFrame) -> None:
    lengths = data.draw(st.lists(st.integers(1, 14), min_size=1, max_size=4))
    input_size, h = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    step = data.draw(st.integers(1, 3))
    df = long_frame(lengths, extra=("x", "z"))
    holes = data.draw(st.lists(st.integers(0, len(df) - 1), max_size=5, unique=True))
    df.loc[holes, "y"] = np.nan
    df["y"] = df["y"].where(df.groupby("unique_id").cumcount() > 0, 1.0)  # none is empty
    panel = panel_from_frame(df, columns=COLUMNS, missing="mask", freq="h")
    last = np.array([data.draw(st.integers(0, length - 1)) for length in lengths])
    first = np.array([data.draw(st.integers(0, position)) for position in last])
    future = np.zeros((len(lengths), h, 1))
    windows = windows_of(
        panel, input_size, h, first=first, last=last, step=step, future=future, min_past=1
    )
    wanted = [
        (series, position)
        for series in range(len(lengths))
        for position in sorted(range(last[series], first[series] - 1, -step))
    ]
    assert len(windows) == len(wanted)
    order = data.draw(st.permutations(range(len(wanted))))
    batch = windows.batch(order)
    assert batch.series.tolist() == [wanted[index][0] for index in order]
    assert batch.position.tolist() == [wanted[index][1] for index in order]
    for row, index in enumerate(order):
        expected = expected_window(panel, *wanted[index], input_size, h)
        for name, values in expected.items():
            found = getattr(batch, name)[row].numpy()
            np.testing.assert_array_equal(found, values.astype(found.dtype), err_msg=name)


def test_by_default_every_known_horizon_is_a_window(long_frame: LongFrame) -> None:
    panel = panel_from_frame(long_frame((20, 15)), columns=Columns())
    windows = windows_of(panel, 6, 3)
    # As the published protocols count them: length - input_size - h + 1.
    assert len(windows) == (20 - 6 - 3 + 1) + (15 - 6 - 3 + 1)
    batch = windows.batch(range(len(windows)))
    assert batch.observed.all()
    assert batch.horizon_observed.all()
    assert batch.position[batch.series == 0].tolist() == list(range(5, 17))


def test_steps_count_back_from_the_last_window(long_frame: LongFrame) -> None:
    panel = panel_from_frame(long_frame((20, 15)), columns=Columns())
    windows = windows_of(panel, 6, 3, step=4)
    series, position = windows.where(range(len(windows)))
    assert position[series == 0].tolist() == [8, 12, 16]
    assert position[series == 1].tolist() == [7, 11]


def test_shapes_and_types(long_frame: LongFrame) -> None:
    df = long_frame((20, 15), extra=("x", "z", "y2"))
    static = pd.DataFrame({"unique_id": ["a", "b"], "size": [1, 2], "kind": ["p", "q"]})
    columns = Columns(
        target=("y", "y2"),
        futr=("x",),
        hist=("z",),
        stat=("size", "kind"),
        categorical=("kind",),
    )
    panel = panel_from_frame(df, columns=columns, static_df=static)
    windows = windows_of(panel, 6, 3, calendar=("hour", "dayofweek"))
    shapes = {
        "target": (2, 6),
        "observed": (2, 6),
        "exogenous": (4, 6),
        "future": (3, 3),
        "static": (1,),
        "categories": (1,),
        "horizon": (2, 3),
        "horizon_observed": (2, 3),
        "series": (),
        "position": (),
    }
    types = dict.fromkeys(shapes, torch.float32)
    types |= dict.fromkeys(("observed", "horizon_observed"), torch.bool)
    types |= dict.fromkeys(("categories", "series", "position"), torch.int64)
    batch, one = windows.batch([3, 0, 15]), windows.batch([3]).rows(0)
    for name, shape in shapes.items():
        assert getattr(batch, name).shape == (3, *shape), name
        assert getattr(batch, name).is_contiguous(), name
        assert getattr(batch, name).dtype == types[name], name
        assert torch.equal(getattr(one, name), getattr(batch, name)[0]), name
    assert windows.bytes_per_window == 9 * (6 * 4 + 2)


def test_calendar_and_future_covariates_beyond_the_end(long_frame: LongFrame) -> None:
    df = long_frame((20, 15), extra=("x", "z"), start="2023-10-28 20:00", timezone="Europe/Paris")
    cut = df.groupby("unique_id").cumcount(ascending=False) < 3
    panel = panel_from_frame(df[~cut], columns=COLUMNS)
    whole = panel_from_frame(df, columns=COLUMNS)
    future = df.loc[cut, "x"].to_numpy().reshape(2, 3, 1)
    names = ("hour", "dayofweek")
    windows = windows_of(panel, 6, 3, last=panel.lengths - 1, calendar=names, future=future)
    assert len(windows) == 2
    batch = windows.batch([0, 1])
    # The same positions in the longer panel, whose horizon is known.
    known = windows_of(whole, 6, 3, last=whole.lengths - 4, calendar=names).batch([0, 1])
    for name in ("target", "observed", "exogenous", "future"):
        assert torch.equal(getattr(batch, name), getattr(known, name)), name
    assert not batch.horizon_observed.any()
    assert known.horizon_observed.all()
    times = windows.horizon_times([0, 1])
    np.testing.assert_array_equal(times, panel.future_times(3))
    features = calendar_features(times.ravel(), names, "Europe/Paris").reshape(2, 3, 2)
    np.testing.assert_array_equal(batch.future[:, 1:].numpy(), features.transpose(0, 2, 1))


def test_the_future_holds_no_covariate_of_the_past(long_frame: LongFrame) -> None:
    """Changed in the horizon, target and past covariates change `horizon` alone."""
    df = long_frame((20, 15), extra=("x", "z"))
    later = df.groupby("unique_id").cumcount() > 9
    changed = df.copy()
    changed.loc[later, ["y", "z"]] = 1e6
    first = np.full(2, 5)
    before, after = (
        windows_of(panel_from_frame(frame, columns=COLUMNS), 6, 3, first=first, last=first + 4)
        for frame in (df, changed)
    )
    for index in range(len(before)):
        for name in WindowBatch._fields:
            one, other = (getattr(each.batch([index]), name) for each in (before, after))
            if name == "horizon":
                assert torch.equal(one, other) == (int(before.batch([index]).position) + 3 < 10)
            else:
                assert torch.equal(one, other), name
    assert before.batch([0]).future.shape == (1, 1, 3)


def test_short_series_are_padded_with_a_warning(long_frame: LongFrame) -> None:
    panel = panel_from_frame(long_frame((30, 8)), columns=Columns())
    message = (
        r"1 of 2 series have windows with fewer past rows than input_size=10 \(receptive field "
        r"29\), 3 at the least; what lies before them is padded and not observed"
    )
    with pytest.warns(UserWarning, match=message):
        windows = windows_of(panel, 10, 3, receptive_field=29)
    series, position = windows.where(range(len(windows)))
    assert position[series == 1].tolist() == [2, 3, 4]  # from half of what there is
    batch = windows.batch(np.flatnonzero(series == 1))
    assert batch.observed.sum(dim=-1).flatten().tolist() == [3, 4, 5]
    assert batch.observed[:, 0, -3:].all()
    np.testing.assert_array_equal(batch.target[0, 0, -3:], panel.target[30:33, 0].astype("f4"))
    assert (batch.target[0, 0, :-3] == 0).all()


def test_series_too_short_for_a_window_are_left_out_with_their_number(
    long_frame: LongFrame,
) -> None:
    panel = panel_from_frame(long_frame((30, 4, 1)), columns=Columns())
    message = r"2 of 3 series have fewer than 5 rows \(2 of the past and h=3 to come\).*: 'b', 'c'"
    with pytest.warns(UserWarning, match=message):
        windows = windows_of(panel, 6, 3)
    assert set(windows.where(range(len(windows)))[0]) == {0}
    with pytest.raises(
        ValueError,
        match=r"series 'b', 'c' have 4 rows at most, and a window needs 5: 2 of the past and 3 to",
    ):
        windows_of(panel.select(np.array([1, 2])), 6, 3)


@pytest.mark.filterwarnings(SHORT)
def test_one_row_is_forecast_from_only_when_asked(long_frame: LongFrame) -> None:
    panel = panel_from_frame(long_frame((30, 1)), columns=Columns())
    last = panel.lengths - 1
    with pytest.raises(
        ValueError,
        match=r"series 'b' have 1 rows at most, and a window needs 2: 2 of the past; ",
    ):
        windows_of(panel, 6, 3, last=last)
    batch = windows_of(panel, 6, 3, last=last, min_past=1).batch([0, 1])
    assert batch.observed[1, 0].tolist() == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("sizes", "arguments", "error", "message"),
    [
        ((0, 3), {}, ValueError, r"input_size: 0 must be at least 1"),
        ((6, 0), {}, ValueError, r"h: 0 must be at least 1"),
        ((6, 2.5), {}, TypeError, r"h: 2.5 is not an integer"),
        ((6, 3), {"step": 0}, ValueError, r"step: 0 must be at least 1"),
        ((6, 3), {"min_past": 0}, ValueError, r"min_past: 0 must be at least 1"),
        ((6, 3), {"last": 15}, ValueError, r"last: 15 lies beyond .* of series 'b', 14;"),
        ((6, 3), {"first": -1, "last": 9}, ValueError, r"first: position -1 is before the first"),
        ((6, 3), {"first": 9, "last": 8}, ValueError, r"first, last: no series has a window"),
        ((6, 3), {"calendar": ("hours",)}, ValueError, r"calendar: 'hours' is not known"),
        (
            (6, 3),
            {"last": 14},
            ValueError,
            r"futr_df: \['x'\] are needed for 3 steps after the last row, and given for 0",
        ),
        (
            (6, 3),
            {"last": 13, "future": np.zeros((2, 1, 1))},
            ValueError,
            r"futr_df: \['x'\] are needed for 2 steps after the last row, and given for 1",
        ),
    ],
)
def test_windows_that_cannot_be_are_refused(
    long_frame: LongFrame,
    sizes: tuple[int, int],
    arguments: dict[str, object],
    error: type[Exception],
    message: str,
) -> None:
    panel = panel_from_frame(long_frame((20, 15), extra=("x", "z")), columns=COLUMNS)
    with pytest.raises(error, match=message):
        windows_of(panel, *sizes, **arguments)


def test_a_window_that_was_not_asked_for_stays_inside_its_series(long_frame: LongFrame) -> None:
    panel = panel_from_frame(long_frame((20, 15)), columns=Columns())
    windows = windows_of(panel, 6, 3)
    batch = windows.at(np.array([0, 1]), np.array([2, 11]))
    assert batch.observed.sum(dim=-1).flatten().tolist() == [3, 6]
    with pytest.raises(ValueError, match=r"position: a window reaches beyond the known rows"):
        windows.at(np.array([0]), np.array([17]))


def test_a_batch_beyond_the_memory_is_refused_before_it_is_made(long_frame: LongFrame) -> None:
    windows = windows_of(panel_from_frame(long_frame((20, 15)), columns=Columns()), 6, 3)
    message = r"1000000000000 windows of input_size=6 and h=3 need 41909\.5 GiB, and this machine"
    with pytest.raises(MemoryError, match=message):  # 9 steps of 5 bytes each
        windows.batch(range(10**12))


def test_a_loader_gets_whole_batches(long_frame: LongFrame) -> None:
    panel = panel_from_frame(long_frame((20, 15)), columns=Columns())
    windows = windows_of(panel, 6, 3)
    loader = DataLoader(windows, batch_size=8, collate_fn=lambda batch: batch)
    batches = list(loader)
    assert [len(batch.target) for batch in batches] == [8, 8, 3]
    assert torch.equal(batches[1].target, windows.batch(range(8, 16)).target)


def test_a_million_windows_need_no_table_of_them() -> None:
    count, length = 100_000, 12
    df = pd.DataFrame({
        "unique_id": np.repeat(np.arange(count), length),
        "ds": np.tile(np.arange(length), count),
        "y": np.tile(np.arange(length, dtype=float), count),
    })  # fmt: skip
    panel = panel_from_frame(df, columns=Columns())
    scaler = SeriesScaler("identity")
    scaled = scaled_panel(panel, scaler, scaler.fit(panel), CovariateScaler.fit(panel))
    windows = Windows(panel, 4, 2, scaled=scaled)
    assert len(windows) == count * 7
    batch = windows.batch([0, 7 * 70_000 + 3, len(windows) - 1])
    assert batch.series.tolist() == [0, 70_000, 99_999]
    assert batch.target[:, 0].tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert batch.horizon[:, 0].tolist() == [[4, 5], [7, 8], [10, 11]]
