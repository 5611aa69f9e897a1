"""The how-to on series of other libraries runs, as far as these are installed."""

import importlib.util
import re
from pathlib import Path

import pandas as pd

from tcn.forecasting import Forecaster

PAGE = Path(__file__).parents[3] / "docs" / "forecasting" / "other_libraries.md"


def test_frames_of_the_page_can_be_forecast_and_come_back() -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.S | re.M):
        others = re.findall(r"^from (darts|gluonts|hierarchicalforecast)", block, flags=re.M)
        needed = others or (["darts"] if "one.time_index" in block else [])
        if all(importlib.util.find_spec(other) for other in needed):
            exec(compile(block, str(PAGE), "exec"), names)
    df, past, future = names["df"], names["past"], names["future"]
    assert isinstance(df, pd.DataFrame)
    small = {"h": 1, "input_size": 2, "width": 2, "max_steps": 1, "accelerator": "cpu"}
    assert Forecaster(**small).fit(df).predict()["unique_id"].tolist() == ["a", "b"]
    known = Forecaster(**small, futr_exog_list=["promotion"], freq="MS").fit(past)
    ahead = known.predict(futr_df=future)
    assert ahead["ds"].tolist() == [pd.Timestamp("2024-04-01")]
    sales = names["sales"]
    assert sales.groupby("shop").size().to_dict() == {"Berlin": 72, "Bonn": 72, "Boston": 72}
    if "coherent" in names:
        total = names["coherent"].set_index("unique_id")["TCN/BottomUp"].groupby(level=0).mean()
        assert abs(total["all"] - total["all/DE"] - total["all/US"]) < 1e-9 * total["all"]
    if "again" in names:
        pd.testing.assert_frame_equal(names["again"], df, check_dtype=False)
