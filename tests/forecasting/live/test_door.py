"""Arrays in, forecasts out: the same stream as that of frames."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tcn.forecasting import Forecaster

SMALL: dict[str, Any] = {"h": 3, "input_size": 12, "width": 4, "max_steps": 5}


def shops(rows: int = 44) -> pd.DataFrame:
    random = np.random.default_rng(0)
    tables = [
        pd.DataFrame(
            {
                "unique_id": name,
                "ds": pd.date_range("2024-01-01", periods=rows, tz="Europe/Paris"),
                "y": random.normal(50, 10, rows),
                "promo": random.normal(size=rows),
                "visits": random.normal(size=rows),
            }
        )
        for name in "abc"
    ]
    return pd.concat(tables).reset_index(drop=True)


def fitted(**settings: Any) -> tuple[Forecaster, pd.DataFrame]:
    """Of 40 rows of each of three series, and the four that follow."""
    df = shops()
    number = df.groupby("unique_id").cumcount()
    forecaster = Forecaster(**SMALL | {"window_scaler": "standard"} | settings)
    return forecaster.fit(df[number < 40]), df[number >= 40]


def test_arrays_give_what_frames_give() -> None:
    names = {"futr_exog_list": ["promo"], "hist_exog_list": ["visits"], "calendar": ["dayofweek"]}
    (one, ahead), (other, _) = fitted(**names, loss="normal"), fitted(**names, loss="normal")
    stream = one.stream(level=[80])
    assert stream.names == ("y", "promo", "visits")
    row = ahead.groupby("unique_id").head(1)
    later = ahead.groupby("unique_id").tail(3)
    assert stream.times(["b", "a"]).tolist() == [row["ds"].iloc[0]] * 2
    future = later["promo"].to_numpy().reshape(3, 3, 1)
    order = [2, 0]
    found = stream.push(["c", "a"], row[list(stream.names)].to_numpy()[order], future[order])
    expected = other.update(row.iloc[order], later, level=[80])
    np.testing.assert_allclose(found.mean.ravel(), expected["TCN"], rtol=1e-6)
    low, high = found.intervals[80]
    assert low.shape == (2, 1, 3)
    np.testing.assert_allclose(low.ravel(), expected["TCN-lo-80"], rtol=1e-6)
    np.testing.assert_allclose(high.ravel(), expected["TCN-hi-80"], rtol=1e-6)
    # What came through one door is known behind the other.
    assert one.trained_.history.times.tolist() == other.trained_.history.times.tolist()


def test_several_steps_and_predict_go_on_from_them() -> None:
    forecaster, ahead = fitted()
    stream = forecaster.stream()
    for _, row in ahead.groupby("ds"):
        found = stream.push(list("abc"), row["y"].to_numpy())
    np.testing.assert_allclose(found.mean.ravel(), forecaster.predict()["TCN"], rtol=1e-5)
    np.testing.assert_allclose(found.mean.ravel(), forecaster.predict(shops())["TCN"], rtol=1e-5)
    assert stream.times(["a"])[0] == ahead["ds"].iloc[-1] + pd.DateOffset(days=1)


def test_adaptive_intervals_learn_from_what_is_pushed() -> None:
    df = shops()
    number = df.groupby("unique_id").cumcount()
    settings = SMALL | {"window_scaler": "standard", "intervals": "adaptive"}
    one, other = (Forecaster(**settings).fit(df[number < 40], val_size=20) for _ in range(2))
    stream = one.stream(level=[80])
    for _, row in df[number >= 40].groupby("ds"):
        found = stream.push(list("abc"), row["y"].to_numpy())
        expected = other.update(row, level=[80])
        np.testing.assert_allclose(found.intervals[80][0].ravel(), expected["TCN-lo-80"])


def test_missing_values_where_they_are_masked() -> None:
    forecaster, _ = fitted(missing="mask")
    assert np.isfinite(forecaster.stream().push(["a"], [np.nan]).mean).all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((["z"], [1.0]), ValueError, "ids: 'z' are not among .*; new ones join by revise"),
        ((["a", "a"], [1.0, 2.0]), ValueError, "give each series once"),
        (([], []), ValueError, "at least one"),
        (("a", [1.0]), TypeError, r"ids: 'a' is one name; give a list, \['a'\]"),
        ((["a"], [1.0, 2.0]), ValueError, r"values: of shape \(2,\); give one of shape \(1, 1\)"),
        ((["a"], ["1"]), TypeError, "values: of type <U1; give numbers"),
        ((["a"], [np.inf]), ValueError, "values: 1 are infinite"),
        ((["a"], [np.nan]), ValueError, "values: 1 are missing; fill them"),
        ((["a"], [1.0], [[[1.0]]]), ValueError, r"future: of shape .* shape \(1, 3, 0\)"),
    ],
)
def test_what_is_refused_takes_no_row(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    forecaster, _ = fitted()
    before = forecaster.predict()
    with pytest.raises(error, match=message):
        forecaster.stream().push(*arguments)
    assert forecaster.predict().equals(before)


def test_known_futures_are_asked_for() -> None:
    forecaster, _ = fitted(futr_exog_list=["promo"])
    with pytest.raises(ValueError, match=r"future: it is missing; give \['promo'\] .* \(1, 3, 1\)"):
        forecaster.stream().push(["a"], [[1.0, 0.0]])
    found = forecaster.stream().push(["a"], [[1.0, 0.0]], np.zeros((1, 3)))
    assert found.mean.shape == (1, 1, 3)
