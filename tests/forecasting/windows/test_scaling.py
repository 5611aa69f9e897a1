"""Scalers: statistics by hand or from numpy and scikit-learn, inverses exact, no look ahead."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.panel import Panel, panel_from_frame
from tcn.forecasting.windows.scaling import (
    SERIES_SCALERS,
    CovariateScaler,
    SeriesScaler,
    Statistics,
    scaled_panel,
)

LongFrame = Callable[..., pd.DataFrame]


def panel_of(*series: list[float], missing: str = "raise") -> Panel:
    parts = [
        pd.DataFrame({"unique_id": number, "ds": range(len(y)), "y": np.array(y, dtype=float)})
        for number, y in enumerate(series)
    ]
    return panel_from_frame(
        pd.concat(parts, ignore_index=True), columns=Columns(), missing=missing, freq=1
    )


def round_trip(scaler: SeriesScaler, panel: Panel, statistics: Statistics) -> np.ndarray:
    scaled = scaler.scale(panel, statistics)
    series = np.repeat(np.arange(len(panel)), panel.lengths)
    return scaler.inverse(scaled[:, :, None], statistics.take(series))[:, :, 0]


@pytest.mark.parametrize(
    ("name", "location", "scale"),
    [
        ("identity", [0, 0], [1, 1]),
        ("standard", [3, -4], [np.sqrt(2), 6]),  # deviations 2 1 0 1 2, and 6 twice
        ("robust", [3, -4], [2 / 1.3489795, 6 / 1.3489795]),  # quartiles 2, 4 and -7, -1
        ("minmax", [1, -10], [4, 12]),
        ("mean", [0, 0], [3, 6]),
    ],
)
def test_statistics_by_hand(name: str, location: list[float], scale: list[float]) -> None:
    found = SeriesScaler(name).fit(panel_of([5, 1, 2, 4, 3], [-10, 2]))
    np.testing.assert_allclose(found.location[:, 0], location)
    np.testing.assert_allclose(found.scale[:, 0], scale)


def test_the_logarithm_comes_first() -> None:
    panel = panel_of([1, np.e**2])
    found = SeriesScaler("log").fit(panel)
    np.testing.assert_allclose([found.location[0, 0], found.scale[0, 0]], [1, 1])
    np.testing.assert_allclose(SeriesScaler("log").scale(panel, found)[:, 0], [-1, 1])
    zeros = panel_of([0, np.e**2 - 1])
    found = SeriesScaler("log1p").fit(zeros)
    np.testing.assert_allclose(SeriesScaler("log1p").scale(zeros, found)[:, 0], [-1, 1])


@pytest.mark.parametrize(
    ("name", "peer"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())]
)
def test_scaled_values_are_those_of_scikit_learn(
    long_frame: LongFrame, name: str, peer: StandardScaler | MinMaxScaler
) -> None:
    panel = panel_from_frame(long_frame((50, 40)), columns=Columns())
    scaler = SeriesScaler(name)
    scaled = scaler.scale(panel, scaler.fit(panel))
    expected = np.concatenate([
        peer.fit_transform(panel.target[:50]), peer.fit_transform(panel.target[50:])
    ])  # fmt: skip
    np.testing.assert_allclose(scaled, expected, rtol=1e-12, atol=1e-14)


@settings(max_examples=60)
@given(
    name=st.sampled_from([name for name in SERIES_SCALERS if "log" not in name]),
    series=st.lists(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6), min_size=1, max_size=3),
    magnitude=st.sampled_from([1e-30, 1.0, 1e30, 1e300]),
)
def test_the_inverse_leads_back(name: str, series: list[list[float]], magnitude: float) -> None:
    panel = panel_of(*[[value * magnitude for value in values] for values in series])
    scaler = SeriesScaler(name)
    statistics = scaler.fit(panel)
    assert (statistics.scale > 0).all()
    assert np.isfinite(statistics.scale).all()
    back = round_trip(scaler, panel, statistics)
    largest = np.abs(panel.target).max(initial=1e-300)
    np.testing.assert_allclose(back, panel.target, rtol=1e-12, atol=1e-12 * largest)


@pytest.mark.parametrize("name", SERIES_SCALERS)
@pytest.mark.parametrize("value", [0.1, 7.0, 1e30, 1e-30])
def test_a_constant_series_has_scale_1_and_comes_back_exactly(name: str, value: float) -> None:
    # The mean of many 0.1 is not 0.1 in floating point.
    panel = panel_of([value] * 1001)
    scaler = SeriesScaler(name)
    statistics = scaler.fit(panel)
    if name != "mean":
        assert statistics.scale.tolist() == [[1.0]]
    back = round_trip(scaler, panel, statistics)
    if name in ("standard", "robust", "minmax"):
        assert (scaler.scale(panel, statistics) == 0).all()
    if "log" in name:
        np.testing.assert_allclose(back, panel.target, rtol=1e-13)
    else:
        np.testing.assert_array_equal(back, panel.target)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", ["standard", "robust", "minmax", "mean"])
@pytest.mark.parametrize("magnitude", [2.0**700, 2.0**-700])  # whose squares are not float64
def test_statistics_of_huge_and_tiny_values(name: str, magnitude: float) -> None:
    values = [5.0, 1.0, 2.0, 4.0, 3.0]
    usual = SeriesScaler(name).fit(panel_of(values))
    extreme = SeriesScaler(name).fit(panel_of([value * magnitude for value in values]))
    np.testing.assert_array_equal(extreme.location, usual.location * magnitude)
    np.testing.assert_array_equal(extreme.scale, usual.scale * magnitude)


def test_a_series_of_zeros_is_divided_by_nothing() -> None:
    for name in set(SERIES_SCALERS) - {"log"}:
        statistics = SeriesScaler(name).fit(panel_of([0.0, 0.0]))
        assert statistics.scale.tolist() == [[1.0]]
        assert statistics.location.tolist() == [[0.0]]


def test_robust_falls_back_where_most_values_are_equal() -> None:
    statistics = SeriesScaler("robust").fit(panel_of([0] * 9 + [10]))
    np.testing.assert_allclose(statistics.scale, [[3.0]])  # sqrt(0.1 * 0.9) * 10


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", SERIES_SCALERS)
def test_later_rows_change_no_statistic(long_frame: LongFrame, name: str) -> None:
    df = long_frame((30, 20, 10), extra=("x", "z"))
    columns = Columns(futr=("x",), hist=("z",))
    until = np.array([20, 15, 10])
    later = df.groupby("unique_id").cumcount() >= np.repeat(until, [30, 20, 10])
    changed = df.copy()
    changed.loc[later, ["y", "x", "z"]] = [-1e9, 1e9, 1e9]
    before, after = (panel_from_frame(frame, columns=columns) for frame in (df, changed))
    scaler = SeriesScaler(name)
    before, after = before.until(until), after.until(until)
    for one, other in zip(scaler.fit(before), scaler.fit(after), strict=True):
        np.testing.assert_array_equal(one, other)
    fits = (CovariateScaler.fit(panel) for panel in (before, after))
    one, other = ([*fit.futr, *fit.hist, *fit.stat] for fit in fits)
    assert len(one) == 6
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_missing_values_are_not_counted() -> None:
    holes = panel_of([np.nan, 1, np.nan, 3], [2, 2, np.nan, np.nan], missing="mask")
    for name in SERIES_SCALERS:
        found = SeriesScaler(name).fit(holes)
        expected = SeriesScaler(name).fit(panel_of([1, 3], [2, 2]))
        np.testing.assert_array_equal(found.location, expected.location)
        np.testing.assert_array_equal(found.scale, expected.scale)


def test_a_series_without_a_value_in_the_training_part_is_reported() -> None:
    panel = panel_of([np.nan, np.nan, 5, 7], [1, 2, 3, 4], missing="mask")
    with pytest.warns(UserWarning, match=r"'y' has no value in the training part of 1 series.*: 0"):
        found = SeriesScaler("standard").fit(panel.until(np.array([2, 4])))
    assert (found.location[0, 0], found.scale[0, 0]) == (0, 1)


def test_unseen_series_are_fitted_on_their_own_history() -> None:
    scaler = SeriesScaler("standard")
    seen = panel_of([1, 3], [10, 30])
    known = scaler.fit(seen)
    new = panel_of([100, 300], [5, 7]).select(np.array([1, 0]))  # ids 1, 0
    found = scaler.fit_unseen(new, np.array([0, 5]), known)
    assert found.location[:, 0].tolist() == [6, 2]  # of its own, and that of training
    assert found.scale[:, 0].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("log", [1, 0, -2], r"scaler: 'log' needs values above 0, and 2 rows of the series 0 are"),
        ("log", [0.0, 0.0], r"not; use scaler='standard', or 'log1p' where there are zeros"),
        ("log1p", [1, -1], r"scaler: 'log1p' needs values above -1, and 1 rows"),
    ],
)
def test_a_logarithm_of_nothing_is_refused(name: str, values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SeriesScaler(name).fit(panel_of(values))


def test_an_unknown_scaler_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scaler: 'boxcox' is not known; give identity, standard"):
        SeriesScaler("boxcox")


def test_what_float32_cannot_hold_is_refused() -> None:
    panel = panel_of([1e39, 2e39, 3e39])
    identity = SeriesScaler("identity")
    covariates = CovariateScaler.fit(panel)
    with pytest.raises(ValueError, match=r"column 'y': 3e\+39, after scaler='identity', does not"):
        scaled_panel(panel, identity, identity.fit(panel), covariates)
    standard = SeriesScaler("standard")
    scaled = scaled_panel(panel, standard, standard.fit(panel), covariates)
    np.testing.assert_allclose(scaled.target[:, 0], [-np.sqrt(1.5), 0, np.sqrt(1.5)], rtol=1e-6)


def test_covariates_are_standardized_over_all_series(long_frame: LongFrame) -> None:
    df = long_frame((30, 20), extra=("x",))
    df["constant"] = 3.0
    df.loc[4, "x"] = np.nan
    columns = Columns(futr=("x", "constant"), stat=("size",))
    static = pd.DataFrame({"unique_id": ["a", "b"], "size": [1.0, 3.0]})
    panel = panel_from_frame(df, columns=columns, static_df=static, missing="mask")
    fitted = CovariateScaler.fit(panel)
    future = np.stack([df[["x", "constant"]].to_numpy()[:3]] * 2)
    scaler = SeriesScaler()
    scaled = scaled_panel(panel, scaler, scaler.fit(panel), fitted, future)
    x = df["x"]
    expected = ((x - x.mean()) / x.std(ddof=0)).fillna(0)  # NaN becomes the mean
    np.testing.assert_allclose(scaled.futr[:, 0], expected, rtol=1e-5, atol=1e-6)
    assert (scaled.futr[:, 1] == 0).all()
    assert scaled.stat.tolist() == [[-1], [1]]
    np.testing.assert_allclose(scaled.future[1, :, 0], expected[:3], rtol=1e-5, atol=1e-6)
    assert scaled.target.dtype == scaled.future.dtype == np.float32


def test_forecasts_come_back_in_the_units_of_each_series() -> None:
    scaler = SeriesScaler("standard")
    known = scaler.fit(panel_of([1, 3], [10, 30]))  # 2 ± 1, 20 ± 10
    quantiles = np.array([-1.0, 0.0, 1.0])[:, None, None, None] * np.ones((3, 2, 1, 4))
    back = scaler.inverse(quantiles, known)
    np.testing.assert_array_equal(back[:, 0, 0, 0], [1, 2, 3])
    np.testing.assert_array_equal(back[:, 1, 0, 3], [10, 20, 30])
