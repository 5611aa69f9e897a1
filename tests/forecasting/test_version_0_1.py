"""A forecaster that version 0.1 wrote forecasts what it forecast."""

from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file

from tcn.forecasting import Forecaster

FOLDER = Path(__file__).parent / "version_0_1"


def test_a_forecaster_of_0_1_forecasts_the_same(tmp_path: Path) -> None:
    expected = load_file(FOLDER / "expected.safetensors")
    forecaster = Forecaster.load(FOLDER / "forecaster")
    forecasts = forecaster.predict(level=[80])
    for name, values in expected.items():
        torch.testing.assert_close(torch.tensor(forecasts[name].to_numpy(float)), values)
    again = Forecaster.load(forecaster.save(tmp_path)).predict(level=[80])
    pd.testing.assert_frame_equal(again, forecasts)
