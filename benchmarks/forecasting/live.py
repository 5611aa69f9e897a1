"""One new row and the next forecast: ``update`` compared with neuralforecast's ``predict``.

Both have seen the same series and forecast the same steps from the same look-back; the contestants
take turns. Ours carries its state from row to row; before anything is timed, its forecasts are
checked against forecasts from scratch.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.forecasting import long_horizon
from benchmarks.forecasting.peers import TRAINER, installed, quiet
from benchmarks.grid.files import write_json
from benchmarks.grid.provenance import origin
from benchmarks.report.tables import Section, Table
from benchmarks.speed.timing import Action, Spread, ratios, spread, take_turns

NAME = "live.json"
OURS = "update and next forecast"
SCRATCH = "ours, predict from scratch"
PEER = "neuralforecast, predict"
TOLERANCE = 1e-5
TRAINED = 2000
HORIZON, LOOK_BACK, STEPS = 24, 168, 20


def measure(folder: Path, *, rounds: int, threads: int, command: str) -> Path:
    """Times the contestants, writes ``live.json`` and returns its path.

    Raises:
        RuntimeError: a carried forecast differs from one from scratch.
    """
    import torch

    torch.set_num_threads(threads)
    frame = _series()
    actions = _ours(frame)
    if installed("neuralforecast_tcn"):
        actions[PEER] = _neuralforecast(frame)
    turns = take_turns(actions, rounds=rounds)
    content = {
        **origin(command, threads),
        "rounds": rounds,
        "horizon": HORIZON,
        "look_back": LOOK_BACK,
        "rows": {
            name: {
                "seconds": asdict(spread(seconds)),
                "ratio": asdict(ratios(seconds, turns[OURS])),
            }
            for name, seconds in turns.items()
        },
    }
    path = folder / NAME
    write_json(path, content)
    return path


def read(folder: Path) -> Section | None:
    """What the page shows of it; None if it was not measured."""
    path = folder / NAME
    if not path.exists():
        return None
    content = json.loads(path.read_text())
    rows = [_shown(name, row) for name, row in content["rows"].items()]
    what = (
        f"One hourly series (ETTh1, OT), look-back {content['look_back']}, next "
        f"{content['horizon']} steps: one more row, and the forecast after it. "
        f"{content['machine']['cpu']}, {content['machine']['threads']} thread(s), "
        f"{content['rounds']} turns."
    )
    heads = ["contestant", "milliseconds", "times ours (quartiles)"]
    return Section("live", "A new row, the next forecast", what, [Table(heads, rows)])


def _shown(name: str, row: Mapping[str, Any]) -> list[str]:
    seconds, ratio = Spread(**row["seconds"]), Spread(**row["ratio"])
    return [
        name,
        f"{1000 * seconds.median:,.2f}",
        f"{ratio.median:,.1f} ({ratio.low:,.1f} to {ratio.high:,.1f})",
    ]


def _series() -> pd.DataFrame:
    """Oil temperature of ETTh1: one series."""
    problem = long_horizon.load("ETTh1")
    frame = problem.long_frame(0, len(problem.values))
    return frame[frame["unique_id"] == "OT"].reset_index(drop=True)


def _ours(frame: pd.DataFrame) -> dict[str, Action]:
    from tcn.forecasting import Forecaster

    forecaster = Forecaster(HORIZON, LOOK_BACK, max_steps=STEPS, batch_size=32)
    forecaster.fit(frame[:TRAINED])
    check_carried(forecaster, frame)
    scratch = frame[:TRAINED]
    rows = (frame[row : row + 1] for row in range(TRAINED + 100, len(frame)))
    coming = iter(list(rows))

    def update() -> None:
        forecaster.update(next(coming))

    return {OURS: update, SCRATCH: lambda: forecaster.predict(scratch)}


def check_carried(forecaster: Any, frame: pd.DataFrame) -> None:
    """Refuses a carried forecast that differs from one from scratch, over 100 rows.

    Raises:
        RuntimeError: a forecast differs; the message names the row and the difference.
    """
    for row in range(TRAINED, TRAINED + 100):
        carried = forecaster.update(frame[row : row + 1])
        if row % 20 == 19:
            scratch = forecaster.predict(frame[: row + 1])
            difference = float(np.abs(carried["TCN"].to_numpy() - scratch["TCN"].to_numpy()).max())
            if difference > TOLERANCE:
                raise RuntimeError(f"row {row}: carried forecast off by {difference}")


def _neuralforecast(frame: pd.DataFrame) -> Action:
    from neuralforecast import NeuralForecast
    from neuralforecast.models import TCN

    with quiet():
        model = TCN(h=HORIZON, input_size=LOOK_BACK, max_steps=STEPS, **TRAINER)
        forecaster = NeuralForecast([model], freq="h")
        forecaster.fit(frame[:TRAINED])
    past = frame[TRAINED - LOOK_BACK : TRAINED]

    def predict() -> None:
        with quiet():
            forecaster.predict(past)

    return predict
