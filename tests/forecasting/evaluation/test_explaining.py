"""Explained forecasts: planted causes are found, others get almost nothing, and all adds up."""

import io
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from sklearn.exceptions import NotFittedError

from tcn.forecasting import Forecaster

H, L = 4, 12
DAYS = 260


def shops(ids: tuple[str, ...] = ("a", "b")) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Series that a promotion of the day moves by 50 and nothing else; noise is a column too."""
    generator = np.random.default_rng(0)
    parts = []
    for number, name in enumerate(ids):
        part = pd.DataFrame(
            {"unique_id": name, "ds": pd.date_range("2024-01-01", periods=DAYS + H)}
        )
        part["promo"] = (generator.random(DAYS + H) < 0.3).astype(float)
        part["noise"] = generator.normal(size=DAYS + H)
        part["visits"] = generator.normal(size=DAYS + H)
        part["y"] = 1000.0 * (number + 1) + 50 * part["promo"] + generator.normal(size=DAYS + H)
        parts.append(part)
    whole = pd.concat(parts, ignore_index=True)
    ahead = whole["ds"] >= whole["ds"].max() - pd.Timedelta(days=H - 1)
    future = whole[ahead].drop(columns=["y", "visits"]).copy()
    future["promo"] = 1.0
    return whole[~ahead].reset_index(drop=True), future


@pytest.fixture(scope="module")
def fitted() -> Forecaster:
    df, _ = shops()
    return Forecaster(
        H, L, futr_exog_list=["promo", "noise"], hist_exog_list=["visits"],
        calendar=["dayofweek"], max_steps=300, dropout=0.0, width=8, window_scaler="last",
        accelerator="cpu",
    ).fit(df)  # fmt: skip


def close(found: pd.DataFrame) -> None:
    """The sums miss forecast less baseline by less than 1 %."""
    difference = found["forecast"] - found["baseline"]
    gap = (found["attributed"] - difference).abs()
    assert (gap <= 0.01 * difference.abs() + 1e-6 * found["forecast"].abs()).all(), found


def test_a_planted_covariate_gets_the_attribution_and_noise_almost_none(
    fitted: Forecaster,
) -> None:
    _, future = shops()
    explained = fitted.explain(futr_df=future)
    frame = explained.frame
    now = frame[(frame["input"] == "promo") & (frame["lag"] == 0)]
    assert len(now) == 2 * H
    assert now["attribution"].between(40, 60).all(), now
    assert (now["input_ds"] == now["ds"]).all()
    for name in ("noise", "visits", "dayofweek"):
        rest = frame[frame["input"] == name].groupby(["unique_id", "ds"])["attribution"].sum()
        assert rest.abs().max() < 12, (name, rest)
    other = frame[(frame["input"] == "promo") & (frame["lag"] < 0)]["attribution"]
    assert other.abs().max() == 0  # the net reads of the future the day that it forecasts


def test_attributions_add_up_to_the_forecast(fitted: Forecaster) -> None:
    _, future = shops()
    explained = fitted.explain(futr_df=future)
    close(explained.totals)
    predicted = fitted.predict(futr_df=future)
    np.testing.assert_allclose(explained.totals["forecast"], predicted["TCN"], rtol=1e-5)
    sums = explained.frame.groupby(["unique_id", "ds"])["attribution"].sum()
    np.testing.assert_allclose(sums, explained.totals["attributed"], atol=1e-9)


def test_the_frame_says_when_what_and_which_role(fitted: Forecaster) -> None:
    df, future = shops()
    found = fitted.explain(futr_df=future, ids=["b"], step=2).frame
    assert list(found.columns) == ["unique_id", "ds", "input", "role", "input_ds", "lag",
                                   "attribution"]  # fmt: skip
    assert set(found["unique_id"]) == {"b"}
    end = df["ds"].max()
    assert (found["ds"] == end + pd.Timedelta(days=2)).all()
    days = (found["ds"] - found["input_ds"]).dt.days
    assert (days == found["lag"]).all()
    counts = found.groupby(["role", "input"], sort=False).size()
    assert counts.to_dict() == {
        ("target", "y"): L, ("hist", "visits"): L, ("futr", "promo"): L + H,
        ("futr", "noise"): L + H, ("calendar", "dayofweek"): L + H,
    }  # fmt: skip
    assert found[found["role"] == "target"]["input_ds"].max() == end


def test_occlusion_takes_one_input_away_at_a_time(fitted: Forecaster) -> None:
    """Against a forecast without the promotion, which occlusion must equal for that one input."""
    _, future = shops()
    found = fitted.explain(futr_df=future, step=1, method="occlusion").frame
    now = found[(found["input"] == "promo") & (found["lag"] == 0)]["attribution"].to_numpy()
    without = future.copy()
    first = without.groupby("unique_id").cumcount() == 0
    without.loc[first, "promo"] = 0.0
    fall = fitted.predict(futr_df=future)["TCN"] - fitted.predict(futr_df=without)["TCN"]
    np.testing.assert_allclose(now, fall.to_numpy()[[0, H]], atol=1e-2)


def walk() -> pd.DataFrame:
    generator = np.random.default_rng(1)
    times = pd.date_range("2024-01-01", periods=80, freq="h")
    return pd.concat([
        pd.DataFrame({"unique_id": name, "ds": times, "y": level + generator.normal(size=80)})
        for name, level in (("a", 50.0), ("b", 500.0), ("c", 5.0))
    ])  # fmt: skip


SMALL = {"h": 3, "input_size": 8, "max_steps": 20, "width": 4, "accelerator": "cpu"}


@pytest.mark.parametrize("scaler", ["identity", "standard", "robust", "mean", "last", "revin"])
@pytest.mark.parametrize("model", ["tcn", "gru"])
def test_sums_are_right_whatever_scales_a_window(scaler: str, model: str) -> None:
    forecaster = Forecaster(**SMALL, window_scaler=scaler, model=model).fit(walk())
    totals = forecaster.explain(step=[1, 3]).totals
    close(totals)
    predicted = forecaster.predict().groupby("unique_id").nth([0, 2]).iloc[:, -1]
    np.testing.assert_allclose(totals["forecast"], predicted, rtol=1e-4)


@pytest.mark.parametrize("loss", ["quantiles", "poisson", "student_t"])
def test_sums_are_right_for_distributions(loss: str) -> None:
    df = walk()
    df["y"] = df["y"].clip(lower=0).round()
    forecaster = Forecaster(**SMALL, loss=loss).fit(df)
    close(forecaster.explain(step=1).totals)


@pytest.mark.parametrize("scaler", ["log", "log1p", "minmax"])
def test_attributions_are_in_units_of_y_behind_logarithms(scaler: str) -> None:
    forecaster = Forecaster(**SMALL, scaler=scaler).fit(walk())
    totals = forecaster.explain(step=2).totals
    close(totals)
    predicted = forecaster.predict().groupby("unique_id").nth([1]).iloc[:, -1]
    np.testing.assert_allclose(totals["forecast"], predicted, rtol=1e-4)


def test_static_columns_categories_and_several_targets_are_inputs() -> None:
    df = walk()
    df["z"] = df["y"] * 2
    static = pd.DataFrame({"unique_id": ["a", "b", "c"], "size": [1.0, 5.0, 9.0],
                           "kind": ["x", "y", "x"]})  # fmt: skip
    forecaster = Forecaster(
        **SMALL, target_col=("y", "z"), stat_exog_list=["size"], categorical_list=["kind"]
    ).fit(df, static)
    explained = forecaster.explain(step=1)
    close(explained.totals)
    assert set(explained.totals["target"]) == {"y", "z"}
    stat = explained.frame[explained.frame["role"] == "stat"]
    assert stat["input"].tolist() == ["size", "kind"] * 6
    assert (stat["lag"] == 1).all()


def test_missing_values_and_short_series_have_no_rows_or_no_attribution() -> None:
    df = walk()
    df.loc[(df["unique_id"] == "a") & (df["ds"] == df["ds"].max()), "y"] = np.nan
    short = pd.concat([df[df["unique_id"] != "c"], df[df["unique_id"] == "c"].tail(5)])
    forecaster = Forecaster(**SMALL, missing="mask").fit(df)
    explained = forecaster.explain(short, step=1)
    close(explained.totals)
    assert explained.frame.groupby("unique_id").size().to_dict() == {"a": 8, "b": 8, "c": 5}
    last = explained.frame.query("unique_id == 'a' and lag == 1")["attribution"]
    assert last.tolist() == [0]


@pytest.mark.parametrize("kind", ["polars", "pyarrow"])
def test_frames_are_of_the_kind_that_went_in(kind: str) -> None:
    library = pytest.importorskip(kind)
    made = library.Table if kind == "pyarrow" else library.DataFrame
    convert = library.Table.from_pandas if kind == "pyarrow" else library.from_pandas
    plain = Forecaster(**SMALL).fit(walk())
    df = convert(walk().reset_index(drop=True))
    explained = Forecaster(**SMALL).fit(df).explain(step=1)
    assert isinstance(explained.frame, made)
    assert isinstance(explained.totals, made)
    expected = plain.explain(step=1).frame
    found = explained.frame.to_pandas()
    assert list(found.columns) == list(expected.columns)
    np.testing.assert_allclose(found["attribution"], expected["attribution"], atol=1e-6)
    assert (pd.to_datetime(found["input_ds"]).to_numpy() == expected["input_ds"].to_numpy()).all()


def test_integer_times_and_other_names() -> None:
    df = walk().rename(columns={"unique_id": "shop", "ds": "hour", "y": "sales"})
    df["hour"] = df.groupby("shop").cumcount()
    forecaster = Forecaster(**SMALL, id_col="shop", time_col="hour", target_col="sales").fit(df)
    found = forecaster.explain(ids=["a"], step=3).frame
    assert found["hour"].tolist() == [82] * 8
    assert found["input_hour"].tolist() == list(range(72, 80))
    assert set(found["input"]) == {"sales"}


def test_the_figure_shows_the_inputs_and_their_sums(fitted: Forecaster) -> None:
    _, future = shops()
    explained = fitted.explain(futr_df=future, step=[1, 2])
    figure = explained.plot("b", 1)
    above, below, right = figure.axes
    assert above.get_title(loc="left").startswith("b, forecast of 2024-09-")
    past, forecast = above.lines
    own = explained.totals[explained.totals["unique_id"] == "b"]
    assert forecast.get_ydata()[0] == own["forecast"].iloc[1]
    frame = explained.frame
    seen = frame[(frame["unique_id"] == "b") & (frame["input"] == "y")]
    df, _ = shops()
    values = df[(df["unique_id"] == "b") & df["ds"].isin(seen["input_ds"])]["y"]
    assert past.get_ydata().tolist() == values.tolist()
    shown = [text.get_text() for text in right.get_yticklabels()]
    assert shown[-1] == "promo"
    assert set(shown) == {"promo", "noise", "visits", "dayofweek", "y"}
    bars = [to_hex(bar.get_facecolor()) for bar in right.patches]
    assert bars == [to_hex(line.get_color()) for line in below.lines[4::-1]]
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=50)
    assert picture.getvalue().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"unique_id: 'q' was not explained"):
        explained.plot("q")
    with pytest.raises(ValueError, match=r"step: 2 of 2 that were explained"):
        explained.plot("b", 2)
    with pytest.raises(TypeError, match=r"step: 'first' is not an integer"):
        explained.plot("b", "first")


def test_the_figure_names_the_target_and_its_dates_do_not_overlap() -> None:
    df = walk()
    df["z"] = df["y"] * 2
    df["ds"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(df.groupby("unique_id").cumcount(), "D")
    explained = Forecaster(**SMALL, target_col=("y", "z")).fit(df).explain(step=1)
    assert explained.targets == ("y", "z")
    for target in ("y", "z"):
        figure = explained.plot("b", target=target)
        assert figure.axes[0].get_title(loc="left") == f"b, forecast of {target}, 2024-03-21"
        figure.canvas.draw()
        labels = [each for each in figure.axes[1].get_xticklabels() if each.get_text()]
        boxes = [each.get_window_extent() for each in labels]
        assert len(boxes) >= 3
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
    own = explained.frame.query("unique_id == 'b' and target == 'z' and input == 'z'")
    names = [label.get_text() for label in figure.axes[2].get_yticklabels()][::-1]
    line = figure.axes[1].lines[names.index("z")]
    np.testing.assert_array_equal(line.get_ydata(), own["attribution"])
    with pytest.raises(ValueError, match="target: 'q' is not one of y, z"):
        explained.plot("b", target="q")


def test_the_figure_of_a_single_input_has_bars_and_no_sums() -> None:
    """Each bar is what one step of the look-back gave."""
    explained = Forecaster(**SMALL).fit(walk()).explain(ids=["a"], step=1)
    _, below = explained.plot().axes
    heights = [patch.get_height() for patch in below.patches]
    assert heights == explained.frame.sort_values("input_ds")["attribution"].tolist()


def test_the_forecaster_stays_as_it_was(fitted: Forecaster) -> None:
    _, future = shops()
    net = fitted.trained_.net
    before = fitted.predict(futr_df=future)
    state = {name: values.clone() for name, values in net.state_dict().items()}
    for parameter in net.parameters():
        parameter.grad = None
    fitted.explain(futr_df=future, step=1)
    pd.testing.assert_frame_equal(fitted.predict(futr_df=future), before)
    assert all(torch.equal(net.state_dict()[name], state[name]) for name in state)
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_what_surrounds_a_call_changes_nothing(
    fitted: Forecaster, around: type[torch.no_grad]
) -> None:
    _, future = shops()
    expected = fitted.explain(futr_df=future, step=1)
    with around():
        found = fitted.explain(futr_df=future, step=1)
    pd.testing.assert_frame_equal(found.frame, expected.frame)


def test_wrong_arguments_are_refused_by_name(fitted: Forecaster) -> None:
    _, future = shops()
    with pytest.raises(NotFittedError, match=r"call fit\(df\) first"):
        Forecaster(**SMALL).explain()
    with pytest.raises(ValueError, match=r"ids: 'z' of the series 'a', 'b'; give some of these"):
        fitted.explain(futr_df=future, ids=["a", "z"])
    with pytest.raises(TypeError, match=r"ids: 'a' is a single id; give a list"):
        fitted.explain(futr_df=future, ids="a")
    with pytest.raises(ValueError, match=r"step: 5 lies outside the 4 steps .*larger h"):
        fitted.explain(futr_df=future, step=5)
    with pytest.raises(ValueError, match=r"step: 0 lies outside"):
        fitted.explain(futr_df=future, step=[1, 0])
    with pytest.raises(TypeError, match=r"step: 1.5; give an integer"):
        fitted.explain(futr_df=future, step=1.5)
    with pytest.raises(ValueError, match=r"method: 'shap' is not one of 'integrated_gradients'"):
        fitted.explain(futr_df=future, method="shap")
    with pytest.raises(ValueError, match=r"futr_df: it is missing"):
        fitted.explain()
