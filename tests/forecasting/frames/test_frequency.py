"""Frequencies are compared with pandas' own date ranges, and clock changes with the calendar."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn.forecasting.frames.calendar import features_for
from tcn.forecasting.frames.clock import localized
from tcn.forecasting.frames.frequency import Frequency

NAMES = [
    *("30s", "min", "15min", "h", "2h", "7h", "D", "2D", "W-SUN", "W-WED", "2W-MON", "B"),
    *("MS", "2MS", "ME", "BMS", "BME", "SMS-15", "QS-JAN", "QE-DEC", "BQE-DEC", "YS-JAN", "YE-JUN"),
]


def utc(index: pd.DatetimeIndex) -> np.ndarray:
    if index.tz is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    return index.as_unit("ns").to_numpy()


def after(frequency: Frequency, index: pd.DatetimeIndex, steps: int) -> pd.DatetimeIndex:
    """The times after the first of an index, in its zone."""
    zone = None if index.tz is None else str(index.tz)
    return localized(frequency.after(utc(index[:1]), steps, zone)[0], zone)


def ends(*lengths: int) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(lengths)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("timezone", [None, "America/New_York"])
def test_steps_and_future_are_those_of_a_date_range(name: str, timezone: str | None) -> None:
    # 31 steps from autumn on cross a change of the clocks for every step from days upwards.
    index = pd.date_range("2021-10-20", periods=31, freq=name, tz=timezone)
    frequency = Frequency.given(name)
    steps, on_grid = frequency.steps(utc(index), ends(31), timezone)
    assert steps.tolist() == list(range(31))
    assert on_grid.all()
    assert (after(frequency, index[9:], 21) == index[10:]).all()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "SMS-15"])
def test_the_step_is_inferred_although_rows_are_absent(name: str) -> None:
    index = pd.date_range("2021-10-20", periods=30, freq=name).delete([7, 8, 20])
    assert Frequency.infer(utc(index), ends(27), None) == Frequency(name)


@pytest.mark.parametrize(
    ("name", "inferred"),
    [("D", "D"), ("h", "h"), ("MS", "MS"), ("W-SUN", "W-SUN")],
)
def test_the_step_is_inferred_on_the_local_clock(name: str, inferred: str) -> None:
    # In UTC the midnights of Paris are 22:00 in summer and 23:00 in winter.
    index = pd.date_range("2023-03-01", periods=40, freq=name, tz="Europe/Paris")
    assert Frequency.infer(utc(index), ends(40), "Europe/Paris") == Frequency(inferred)


def test_the_step_is_inferred_over_all_series_but_not_across_them() -> None:
    first = pd.date_range("2023-01-01", periods=3, freq="D")
    second = pd.date_range("2019-01-01", periods=3, freq="D")
    times = np.concatenate([utc(first), utc(second)])
    assert Frequency.infer(times, ends(3, 3), None) == Frequency("D")


def test_integer_times_have_an_integer_step() -> None:
    times = np.array([0, 10, 20, 40, 5, 15])
    frequency = Frequency.infer(times, ends(4, 2), None)
    assert frequency == Frequency(10)
    steps, on_grid = frequency.steps(times, ends(4, 2), None)
    assert steps.tolist() == [0, 1, 2, 4, 0, 1]
    assert on_grid.all()
    assert frequency.after(np.array([40]), 2, None).tolist() == [[50, 60]]


def test_weekdays_alone_are_business_days() -> None:
    days = pd.date_range("2023-01-02", periods=30, freq="B")
    assert Frequency.infer(utc(days), ends(30), None) == Frequency("B")
    one_week = days[:5]  # which weekends it has is not known
    assert Frequency.infer(utc(one_week), ends(5), None) == Frequency("D")


def test_series_of_one_row_have_no_step() -> None:
    times = utc(pd.date_range("2023", periods=2, freq="D"))
    with pytest.raises(ValueError, match=r"freq: it cannot be inferred, for no series has two"):
        Frequency.infer(times, ends(1, 1), None)


@pytest.mark.parametrize(
    ("freq", "error", "message"),
    [
        ("hourly", ValueError, r"freq: 'hourly' is not usable: .*; give 'h', '15min'"),
        ("fortnight", ValueError, r"freq: 'fortnight' is not usable"),
        ("-1D", ValueError, r"freq: '-1D' steps backwards"),
        (0, ValueError, r"freq: 0 must be at least 1"),
        (1.5, TypeError, r"freq: 1\.5 is not the name of a frequency"),
        (True, TypeError, r"freq: True is not the name"),
        ("bh", ValueError, r"hours of business are not supported"),
        (pd.DateOffset(months=1), ValueError, r"is not usable"),
    ],
)
def test_what_is_no_frequency_is_refused(freq: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        Frequency.given(freq)


def test_offsets_and_their_names_are_the_same() -> None:
    assert Frequency.given(pd.offsets.MonthBegin()) == Frequency("MS")
    assert Frequency.given(pd.Timedelta("15min")) == Frequency("15min")
    assert Frequency.given(Frequency("h")) == Frequency("h")


@pytest.mark.parametrize(
    ("freq", "season"),
    # 24 hours, 96 quarters of an hour, 12 months, 4 quarters: the usual ones (M4, GluonTS).
    [
        *(("h", 24), ("2h", 12), ("7h", 1), ("15min", 96), ("min", 1440), ("30s", 120)),
        *(("D", 7), ("B", 5), ("W-SUN", 52), ("MS", 12), ("ME", 12), ("2MS", 6)),
        *(("QS-OCT", 4), ("YE", 1), (1, 1), ("10ms", 100)),
    ],
)
def test_season(freq: str | int, season: int) -> None:
    assert Frequency.given(freq).season == season


def test_hours_are_counted_through_both_changes_of_the_clocks() -> None:
    spring = pd.date_range("2023-03-25 22:00", periods=8, freq="h", tz="Europe/Paris")
    assert 2 not in spring.hour  # 02:00 does not exist that night
    autumn = pd.date_range("2023-10-28 22:00", periods=8, freq="h", tz="Europe/Paris")
    assert (autumn.hour == 2).sum() == 2
    for index in (spring, autumn):
        steps, on_grid = Frequency("h").steps(utc(index), ends(8), "Europe/Paris")
        assert steps.tolist() == list(range(8))
        assert on_grid.all()
        assert (after(Frequency("h"), index, 7) == index[1:]).all()


def test_a_midnight_that_the_clock_skips_is_the_next_hour() -> None:
    # São Paulo, 2018-11-04: the day began at 01:00.
    zone = "America/Sao_Paulo"
    index = pd.date_range("2018-11-01", periods=6, freq="D")
    index = index.tz_localize(zone, nonexistent="shift_forward")
    assert index[3].hour == 1
    steps, on_grid = Frequency("D").steps(utc(index), ends(6), zone)
    assert steps.tolist() == list(range(6))
    assert on_grid.all()
    assert (after(Frequency("D"), index, 5) == index[1:]).all()


def test_rows_off_the_grid_are_seen() -> None:
    days = pd.DatetimeIndex(["2023-01-02", "2023-01-03 01:00", "2023-01-04"])
    assert Frequency("D").steps(utc(days), ends(3), None)[1].tolist() == [True, False, True]
    weeks = pd.date_range("2023-01-02", periods=3, freq="W-MON")
    assert not Frequency("W-SUN").steps(utc(weeks), ends(3), None)[1].any()
    months = pd.DatetimeIndex(["2023-01-01", "2023-02-02", "2023-03-01"])
    assert Frequency("MS").steps(utc(months), ends(3), None)[1].tolist() == [True, False, True]
    hours = pd.DatetimeIndex(["2023-01-01 00:00", "2023-01-01 01:30"])
    assert Frequency("h").steps(utc(hours), ends(2), None)[1].tolist() == [True, False]


@settings(max_examples=25)
@given(
    name=st.sampled_from(NAMES),
    start=st.datetimes(pd.Timestamp("1995-01-01"), pd.Timestamp("2030-01-01")),
    steps=st.lists(st.integers(0, 60), min_size=1, max_size=6, unique=True),
)
def test_advance_and_steps_are_inverse(name: str, start: pd.Timestamp, steps: list[int]) -> None:
    frequency = Frequency.given(name)
    begin = pd.date_range(pd.Timestamp(start).floor("s"), periods=1, freq=name)[0]
    counted = np.array([0, *sorted(step for step in steps if step)])
    first = np.repeat(utc(pd.DatetimeIndex([begin])), len(counted))
    times = frequency.advance(first, counted, None)
    found, on_grid = frequency.steps(times, ends(len(counted)), None)
    assert found.tolist() == counted.tolist()
    assert on_grid.all()


def test_series_of_different_phase_share_a_step() -> None:
    even = pd.date_range("2023-01-01", periods=4, freq="2MS")
    odd = pd.date_range("2023-02-01", periods=4, freq="2MS")
    times = np.concatenate([utc(even), utc(odd)])
    steps, on_grid = Frequency("2MS").steps(times, ends(4, 4), None)
    assert steps.tolist() == [0, 1, 2, 3] * 2
    assert on_grid.all()
    after = Frequency("2MS").after(times[[3, 7]], 2, None)
    assert pd.DatetimeIndex(after.ravel()).month.tolist() == [9, 11, 10, 12]


@pytest.mark.parametrize(("step", "freq", "season"), [(1, "MS-15", 12), (3, "3MS-15", 4)])
@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_a_day_of_every_month(step: int, freq: str, season: int, zone: str | None) -> None:
    """The dates are those of ``pandas.DateOffset(months=1)``."""
    dates = pd.DatetimeIndex(
        [pd.Timestamp("2023-01-15", tz=zone) + pd.DateOffset(months=step * n) for n in range(12)]
    )
    times = dates.tz_convert("UTC").tz_localize(None) if zone else dates
    times, offsets = times.as_unit("ns").to_numpy(), np.array([0, 9])
    frequency = Frequency.infer(times[:9], offsets, zone)
    assert frequency == Frequency(freq) == Frequency.given(freq)
    assert frequency.season == season
    steps, on_grid = frequency.steps(times[:9], offsets, zone)
    assert steps.tolist() == list(range(9))
    assert on_grid.all()
    np.testing.assert_array_equal(frequency.after(times[8:9], 3, zone)[0], times[9:])
    assert not frequency.steps(times[:9] + np.timedelta64(1, "D"), offsets, zone)[1].any()
    assert features_for(frequency) == ("month",)


@pytest.mark.parametrize("freq", ["MS-0", "MS-29", "ME-15", "0MS-15"])
def test_other_days_of_the_month_have_no_name(freq: str) -> None:
    with pytest.raises(ValueError, match="is not usable"):
        Frequency.given(freq)
