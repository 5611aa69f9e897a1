"""Features of times that are known by heart."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn.forecasting.frames.calendar import calendar_features, check_features, features_for
from tcn.forecasting.frames.frequency import Frequency


def at(*times: str) -> np.ndarray:
    return pd.DatetimeIndex(list(times)).as_unit("ns").to_numpy()


def test_scaled_fields_run_from_minus_a_half_to_a_half() -> None:
    times = at("2024-01-01 00:00:00", "2024-12-29 23:59:59")  # a Monday and a Sunday
    names = ("hour", "minute", "second", "dayofweek", "month", "quarter")
    features = calendar_features(times, names, None)
    np.testing.assert_array_equal(features, [[-0.5] * 6, [0.5] * 6])
    ends = calendar_features(at("2024-01-01", "2024-12-31"), ("dayofyear", "dayofmonth"), None)
    np.testing.assert_array_equal(ends, [[-0.5, -0.5], [0.5, 0.5]])  # 2024 has 366 days
    noon = calendar_features(at("2023-01-05 12:00"), ("hour", "dayofweek"), None)
    np.testing.assert_allclose(noon, [[12 / 23 - 0.5, 3 / 6 - 0.5]], rtol=1e-6)  # a Thursday


def test_waves_have_the_period_of_what_they_count() -> None:
    times = at("2023-03-01 06:00", "2023-03-01 18:00")
    features = calendar_features(times, ("hour_sin", "hour_cos"), None)
    np.testing.assert_allclose(features, [[1, 0], [-1, 0]], atol=1e-7)
    # After half a year, 183 of 366 days, the cosine is at its lowest; in 2023 between two days.
    middle = calendar_features(at("2024-07-02"), ("dayofyear_cos",), None)
    np.testing.assert_allclose(middle, [[-1]], atol=1e-7)
    february = calendar_features(at("2023-02-15"), ("dayofmonth_cos",), None)
    np.testing.assert_allclose(february, [[-1]], atol=1e-7)  # 14 of 28 days


def test_the_local_clock_is_read() -> None:
    # Noon in UTC is 21:00 in Tokyo and 07:00 in New York; 20:00 is the next day in Tokyo.
    times = at("2023-07-02 11:00", "2023-07-02 20:00")  # a Sunday
    names = ("hour", "dayofweek")
    tokyo = calendar_features(times, names, "Asia/Tokyo")
    np.testing.assert_allclose(tokyo, [[20 / 23 - 0.5, 0.5], [5 / 23 - 0.5, -0.5]], rtol=1e-6)
    york = calendar_features(times, names, "America/New_York")
    np.testing.assert_allclose(york, [[7 / 23 - 0.5, 0.5], [16 / 23 - 0.5, 0.5]], rtol=1e-6)


def test_the_hour_that_comes_twice_has_one_value() -> None:
    night = at("2023-10-29 00:30", "2023-10-29 01:30")  # both 02:30 in Paris
    hour = calendar_features(night, ("hour",), "Europe/Paris")
    assert hour[0] == hour[1]


@settings(max_examples=20)
@given(
    st.lists(
        st.datetimes(pd.Timestamp("1971-01-01"), pd.Timestamp("2100-01-01")),
        min_size=1,
        max_size=5,
    )
)
def test_every_feature_is_bounded(times: list[pd.Timestamp]) -> None:
    fields = ("second", "minute", "hour", "dayofweek", "dayofmonth", "dayofyear", "week", "month")
    array = pd.DatetimeIndex(times).as_unit("ns").to_numpy()
    assert (np.abs(calendar_features(array, fields, "Europe/Paris")) <= 0.5).all()
    waves = [f"{field}_{wave}" for field in fields for wave in ("sin", "cos")]
    found = calendar_features(array, waves, None).reshape(len(times), len(fields), 2)
    np.testing.assert_allclose((found**2).sum(axis=2), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("freq", "names"),
    [
        ("h", ("month", "dayofyear", "dayofmonth", "dayofweek", "hour")),
        ("15min", ("month", "dayofyear", "dayofmonth", "dayofweek", "hour", "minute")),
        ("D", ("month", "dayofyear", "dayofmonth", "dayofweek")),
        ("B", ("month", "dayofyear", "dayofmonth", "dayofweek")),
        ("W-SUN", ("month", "dayofyear")),
        ("MS", ("month",)),
        ("ME", ("month",)),
        ("QS", ("month",)),
        ("YS", ()),
        (1, ()),
    ],
)
def test_usual_features_vary_at_the_frequency(freq: str | int, names: tuple[str, ...]) -> None:
    assert features_for(Frequency.given(freq)) == names


@pytest.mark.parametrize(
    ("names", "freq", "message"),
    [
        (("hours",), "h", r"calendar: 'hours' is not known; give second, minute, hour"),
        (("hour_tan",), "h", r"calendar: 'hour_tan' is not known"),
        (("_sin",), "h", r"calendar: '_sin' is not known"),
        (("hour", "hour"), "h", r"calendar: 'hour' is named twice"),
        (("hour",), 1, r"calendar: \['hour'\] cannot be read from integer times"),
    ],
)
def test_features_that_cannot_be_had_are_refused(
    names: tuple[str, ...], freq: str | int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_features(names, Frequency.given(freq))


def test_holidays_of_two_countries() -> None:
    """Days that the law of each country names; 2021-07-05 as the 4th was a Sunday."""
    days = at("2024-07-04", "2024-10-03", "2024-12-25", "2024-12-26", "2021-07-05", "2024-07-05")
    names = ("holiday_DE", "holiday_US")
    found = calendar_features(days, names, None)
    np.testing.assert_array_equal(found.T, [[0, 1, 1, 1, 0, 0], [1, 0, 1, 0, 1, 0]])


def test_holidays_of_a_part_and_the_days_around_them() -> None:
    epiphany = at("2024-01-05", "2024-01-06", "2024-01-07")  # of Bavaria, not of all Germany
    names = ("holiday_DE", "holiday_DE_BY", "holiday_DE_BY_before", "holiday_DE_BY_after")
    found = calendar_features(epiphany, names, None)
    np.testing.assert_array_equal(found.T, [[0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    turn = at("2023-12-31", "2024-01-01", "2024-01-02")
    found = calendar_features(turn, ("holiday_DE_before", "holiday_DE_after"), None)
    np.testing.assert_array_equal(found.T, [[1, 0, 0], [0, 0, 1]])


def test_a_holiday_begins_at_local_midnight() -> None:
    night = at("2024-07-04 03:59", "2024-07-04 04:00", "2024-07-05 03:59", "2024-07-05 04:00")
    found = calendar_features(night, ("holiday_US",), "America/New_York")
    assert found.ravel().tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("holiday_XX", "country 'XX' is not known; give one of AD, AE, "),
        ("holiday_DE_QQ", "part 'QQ' of DE is not known; give one of BB, BE, BW.*'holiday_DE'"),
        ("holiday_de", "'holiday_de' is not known; give second, .*holiday_US_CA"),
        ("holiday_DE_sin", "'holiday_DE_sin' is not known"),
    ],
)
def test_holidays_that_are_not_known(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_features([name], Frequency.given("D"))


def test_holidays_are_of_days() -> None:
    with pytest.raises(ValueError, match="'holiday_DE' is about days, and a step is longer; give"):
        check_features(["month", "holiday_DE"], Frequency.given("W"))
    check_features(["holiday_DE"], Frequency.given("h"))
