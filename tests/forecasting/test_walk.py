"""The walk of a frame, as it is drawn: traced, from the file to the forecast."""

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tcn import forecasting
from tcn.forecasting import Forecaster
from tcn.forecasting.evaluation.tables import read_series
from tcn.forecasting.fitted.net import Answer
from tcn.forecasting.fitted.prediction import Forecast
from tcn.forecasting.fitted.predictor import Forecasts
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.frames.rows import Rows
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.scaling import Scaled

HERE = Path(forecasting.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "forecasting" / "walk.md"
FORMS = (pd.DataFrame, Rows, Panel, Scaled, WindowBatch, Answer, Forecast, Forecasts)
"""What the data of a frame are, one after the other."""


class Walk:
    """What the files of ``tcn/forecasting`` do with the data of a frame.

    Attributes:
        makers: those that return something new, in order.
        takers: those whose functions are called with any of it.
    """

    def __init__(self) -> None:
        self.makers: list[str] = []
        self.takers: set[str] = set()
        self._seen: list[Any] = []  # kept, so that no two have the same id

    def __call__(self, frame: FrameType, event: str, result: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if not path.is_relative_to(HERE):
            return
        name = path.relative_to(HERE).as_posix()
        if event == "call" and any(isinstance(each, FORMS) for each in frame.f_locals.values()):
            self.takers.add(name)
        if event == "return" and isinstance(result, FORMS):
            if not any(result is each for each in self._seen) and name not in self.makers:
                self.makers.append(name)
            self._seen.append(result)


@pytest.mark.parametrize("settings", [{}, {"loss": "quantiles", "futr_exog_list": ["x"]}])
def test_the_drawing_names_the_files_that_a_frame_walks_through(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    df = pd.DataFrame({"unique_id": 1, "ds": range(40), "y": np.sin(np.arange(40)), "x": 0.0})
    df[:36].drop(index=20).to_csv(tmp_path / "series.csv", index=False)
    small = {"fill": "forward", "max_steps": 2, "width": 2, "accelerator": "cpu"}
    forecaster = Forecaster(2, 4, **settings, **small).fit(df)
    walk = Walk()
    sys.setprofile(walk)
    try:
        read = read_series(str(tmp_path / "series.csv"), forecaster.columns)
        forecasts = forecaster.predict(read, df, level=[80] if settings else None)
    finally:
        sys.setprofile(None)
    assert len(forecasts) == 2
    page = PAGE.read_text()
    drawn = re.findall(r"^ *[|] +(\S+\.py)", page, flags=re.M)
    assert sorted(walk.makers) == sorted(drawn)
    assert len(drawn) <= 10
    assert sorted(walk.takers - set(drawn)) == sorted(
        re.findall(r"^- `(\S+\.py)`", page, flags=re.M)
    )
