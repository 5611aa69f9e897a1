"""What the figures show: the lines, bands and labels that are in them."""

import io
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tcn.forecasting.evaluation.plots import (
    COLORS,
    plot_coverage,
    plot_error_by_step,
    plot_forecasts,
)

DAYS = pd.date_range("2024-01-01", periods=40, freq="D")


def series(*names: str, times: pd.DatetimeIndex = DAYS) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"unique_id": name, "ds": times, "y": 1000.0 * i + np.arange(len(times))})
        for i, name in enumerate(names)
    ]
    return pd.concat(parts, ignore_index=True)


def forecast(
    data: pd.DataFrame, *, rows: int = 5, models: tuple[str, ...] = ("TCN",)
) -> pd.DataFrame:
    """The last rows of every series, forecast 2 too high, within 3 and 6."""
    last = data.groupby("unique_id").tail(rows).drop(columns="y")
    level = data["y"].loc[last.index] + 2
    for model in models:
        last = last.assign(**{model: level})
        for name, width in ((80, 3.0), (90, 6.0)):
            last[f"{model}-lo-{name}"], last[f"{model}-hi-{name}"] = level - width, level + width
    return last


def line(axes: Axes, label: str) -> Line2D:
    (found,) = [each for each in axes.lines if each.get_label() == label]
    return found


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def bands(axes: Axes) -> list[FillBetweenPolyCollection]:
    return [each for each in axes.collections if isinstance(each, FillBetweenPolyCollection)]


def draws(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=50)
    return picture.getvalue()


# --------------------------------------------------------------------------------------- forecasts


def test_history_forecast_and_intervals() -> None:
    data = series("a")
    figure = plot_forecasts(data, forecast(data))
    (axes,) = figure.axes
    # Four times the forecast's 5 rows before it, and what came.
    assert line(axes, "y").get_ydata().tolist() == list(range(15, 40))
    assert line(axes, "TCN").get_ydata().tolist() == [37, 38, 39, 40, 41]
    assert to_hex(line(axes, "TCN").get_color()) == COLORS["TCN"].lower()
    wide, narrow = bands(axes)
    assert wide.get_datalim(axes.transData).intervaly.tolist() == [31, 47]
    assert narrow.get_datalim(axes.transData).intervaly.tolist() == [34, 44]
    assert legend(figure) == ["y", "TCN", "90 % interval", "80 % interval"]
    assert axes.get_title(loc="left") == "a"
    assert draws(figure).startswith(b"\x89PNG")


def test_the_future_has_no_values_yet() -> None:
    data = series("a")
    figure = plot_forecasts(data.head(35), forecast(data), history=8, level=[90])
    (axes,) = figure.axes
    assert line(axes, "y").get_ydata().tolist() == list(range(27, 35))
    assert len(bands(axes)) == 1


def test_a_panel_for_each_of_the_first_six_series() -> None:
    data = series(*"abcdefgh")
    figure = plot_forecasts(data, forecast(data))
    drawn = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in drawn] == list("abcdef")
    assert [line(axes, "TCN").get_ydata()[0] for axes in drawn] == [37 + 1000 * i for i in range(6)]
    chosen = plot_forecasts(data, forecast(data), ids=["h", "b", "c"])
    drawn = [axes for axes in chosen.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in drawn] == ["h", "b", "c"]
    draws(figure)


def test_windows_of_a_cross_validation_are_separate() -> None:
    data = series("a")
    windows = [
        forecast(data.head(end)).assign(cutoff=DAYS[end - 6]) for end in (38, 40)
    ]  # overlapping by three days
    figure = plot_forecasts(data, pd.concat(windows))
    (axes,) = figure.axes
    drawn = [each.get_ydata().tolist() for each in axes.lines if len(each.get_ydata()) == 5]
    assert drawn == [[35, 36, 37, 38, 39], [37, 38, 39, 40, 41]]
    assert len(bands(axes)) == 4
    assert legend(figure).count("TCN") == 1


def test_models_have_colors_of_their_own_and_intervals_of_the_first() -> None:
    data = series("a")
    models = ("TCN", "LSTM", "Mine", "Other")
    figure = plot_forecasts(data, forecast(data, models=models))
    (axes,) = figure.axes
    assert len({line(axes, model).get_color() for model in models}) == 4
    assert len(bands(axes)) == 2
    only = plot_forecasts(data, forecast(data, models=models), models=["LSTM"])
    assert legend(only) == ["y", "LSTM", "90 % interval", "80 % interval"]


def test_a_model_keeps_its_color_in_every_plot() -> None:
    data = series("a")
    colors = []
    for models in (("One", "Two"), ("Two", "One"), ("Two",)):
        (axes,) = plot_forecasts(data, forecast(data, models=models)).axes
        colors.append(line(axes, "Two").get_color())
    assert len(set(colors)) == 1


def test_bands_can_be_told_apart() -> None:
    """Where bands lie on each other the color is at least twice as dense as beside them."""
    data = series("a")
    (axes,) = plot_forecasts(data, forecast(data, models=("TCN",))).axes
    outer, inner = (band.get_alpha() for band in bands(axes))
    assert 1 - (1 - outer) * (1 - inner) > 2 * outer


def test_times_are_shown_on_the_wall_clock() -> None:
    local = pd.date_range("2024-03-30 20:00", periods=40, freq="h", tz="Europe/Paris")
    data = series("a", times=local)
    figure = plot_forecasts(data, forecast(data))
    (axes,) = figure.axes
    assert pd.Timestamp(line(axes, "TCN").get_xdata()[-1]) == local[-1].tz_localize(None)
    draws(figure)


def test_integer_times_other_names_and_one_step() -> None:
    data = series("a").assign(ds=np.arange(40)).rename(columns={"ds": "t", "y": "sales"})
    ahead = forecast(data.rename(columns={"sales": "y"}), rows=1)
    figure = plot_forecasts(data, ahead, time_col="t", target_col="sales")
    (axes,) = figure.axes
    assert line(axes, "TCN").get_xdata().tolist() == [39]
    assert line(axes, "TCN").get_marker() == "o"
    assert line(axes, "sales").get_ydata().tolist() == [35, 36, 37, 38, 39]
    draws(figure)


def test_frames_of_another_library_and_the_callers_stay_as_they_are() -> None:
    polars = pytest.importorskip("polars")
    data = series("a", "b")
    ahead = forecast(data)
    before = data.copy(), ahead.copy()
    figure = plot_forecasts(data, ahead)
    pd.testing.assert_frame_equal(data, before[0])
    pd.testing.assert_frame_equal(ahead, before[1])
    other = plot_forecasts(
        polars.DataFrame(data.to_dict("list")), polars.DataFrame(ahead.to_dict("list"))
    )
    for ours, theirs in zip(figure.axes, other.axes, strict=True):
        assert np.array_equal(line(ours, "TCN").get_ydata(), line(theirs, "TCN").get_ydata())


def test_wrong_ids_and_levels() -> None:
    data = series("a")
    with pytest.raises(ValueError, match="ids: no forecast of 'z'"):
        plot_forecasts(data, forecast(data), ids=["z"])
    with pytest.raises(ValueError, match=r"level: \[95\] .* levels \['80', '90'\]"):
        plot_forecasts(data, forecast(data), level=[95])
    with pytest.raises(ValueError, match="history: -1 rows; give 0 or more"):
        plot_forecasts(data, forecast(data), history=-1)


# --------------------------------------------------------------------------- steps ahead and levels


def test_errors_by_step() -> None:
    errors = pd.DataFrame({"TCN": [0.5, 0.7], "SeasonalNaive": [1.0, 1.1]}, index=[1, 2])
    figure = plot_error_by_step(errors)
    (axes,) = figure.axes
    assert line(axes, "TCN").get_xydata().tolist() == [[1, 0.5], [2, 0.7]]
    assert line(axes, "SeasonalNaive").get_linestyle() == "--"
    assert axes.get_ylim()[0] == 0
    assert axes.get_xlabel() == "steps ahead"
    draws(figure)


def test_coverage() -> None:
    found = pd.DataFrame({"TCN": [48.0, 91.0], "Points": [np.nan, np.nan]}, index=[50.0, 90.0])
    figure = plot_coverage(found)
    (axes,) = figure.axes
    assert line(axes, "TCN").get_xydata().tolist() == [[50, 48], [90, 91]]
    assert legend(figure) == ["TCN"]
    diagonal = axes.lines[0].get_xydata()
    assert np.array_equal(diagonal[:, 0], diagonal[:, 1])
    assert axes.get_xlim() == axes.get_ylim() == (40, 101)
    draws(figure)


def test_no_state_of_pyplot_is_touched() -> None:
    settings, figures = dict(mpl.rcParams), plt.get_fignums()
    plot_forecasts(series("a"), forecast(series("a")))
    plot_coverage(pd.DataFrame({"TCN": [80.0]}, index=[80.0]))
    assert dict(mpl.rcParams) == settings
    assert plt.get_fignums() == figures


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"the extra .*\(missing: matplotlib\)"):
        plot_coverage(pd.DataFrame({"TCN": [80.0]}, index=[80.0]))
