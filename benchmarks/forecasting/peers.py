"""The TCNs of darts and neuralforecast (``pip install -e '.[peers]'``), on the same windows.

Both are one model for all channels, as ours is; architecture, optimizer and learning rate are their
defaults; look-back, horizon, steps and windows per step are ours. neuralforecast's default loss is
MAE; it also runs with MSE, the error measured here (darts' default is MSE). It scales every window
by its own look-back: on the weather set, days without rain are divided by almost nothing, so the
first shower is 1e6 times as large, and its training with MSE, where losses of 1e11 occur, does not
converge.
"""

import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from benchmarks.forecasting.long_horizon import Problem
from benchmarks.forecasting.settings import Budget

PACKAGES = {
    "neuralforecast_tcn": "neuralforecast",
    "neuralforecast_tcn_mae": "neuralforecast",
    "darts_tcn": "darts",
    "auto_ets": "statsforecast",
    "auto_theta": "statsforecast",
}

TRAINER = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


def installed(model: str) -> bool:
    """Whether the package of a peer can be imported."""
    return importlib.util.find_spec(PACKAGES[model]) is not None


def check_installed(model: str) -> None:
    """Refuses a peer that is not installed, and says how to get it.

    Raises:
        ValueError: its package cannot be imported.
    """
    if not installed(model):
        raise ValueError(
            f"{model} needs the package {PACKAGES[model]}, which is not installed: "
            "pip install -e '.[peers]'"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Suppresses the messages that Lightning and the peers write for every fit and forecast."""
    os.environ.setdefault("NIXTLA_ID_AS_COL", "1")
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


@dataclass(frozen=True)
class FittedNeuralforecast:
    """A trained ``neuralforecast.models.TCN``."""

    problem: Problem
    model: Any
    steps: int

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def forecast(self, first: int, last: int) -> np.ndarray:
        """``(last - first, channels, horizon)``."""
        problem = self.problem
        stop = last - 1 + problem.horizon
        frame = problem.long_frame(first - problem.look_back, stop)
        with quiet():
            self.model.set_test_size(stop - first)
            found = self.model.predict(_dataset(frame, problem.channels), step_size=1)
        shape = (len(problem.channels), last - first, problem.horizon)
        return np.asarray(found).reshape(shape).swapaxes(0, 1)


def fit_neuralforecast(
    problem: Problem, budget: Budget, *, seed: int, loss: Literal["MSE", "MAE"] = "MSE"
) -> FittedNeuralforecast:
    """Trains on the training part; the validation part neither stops nor selects anything."""
    from neuralforecast.losses import pytorch as losses
    from neuralforecast.models import TCN

    with quiet():
        model = TCN(
            h=problem.horizon,
            input_size=problem.look_back,
            loss=getattr(losses, loss)(),
            max_steps=budget.steps,
            val_check_steps=budget.steps,
            windows_batch_size=budget.windows,
            inference_windows_batch_size=128,  # affects only the time: 1024 leave the cache
            random_seed=seed,
            **TRAINER,
        )
        model.fit(_dataset(problem.long_frame(0, problem.train), problem.channels))
    return FittedNeuralforecast(problem, model, budget.steps)


def _dataset(frame: pd.DataFrame, channels: Sequence[str]) -> Any:
    """The series with numbers as names, since the data set sorts its series by name."""
    from neuralforecast.tsdataset import TimeSeriesDataset

    numbers = {channel: number for number, channel in enumerate(channels)}
    frame = frame.assign(unique_id=frame["unique_id"].map(numbers), y=frame["y"].astype(np.float32))
    return TimeSeriesDataset.from_df(frame)[0]


@dataclass(frozen=True)
class FittedDarts:
    """A trained ``darts.models.TCNModel``."""

    problem: Problem
    model: Any
    steps: int

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.model.parameters())

    def forecast(self, first: int, last: int) -> np.ndarray:
        """``(last - first, channels, horizon)``."""
        problem = self.problem
        series = _series(problem, first - problem.look_back, last - 1 + problem.horizon)
        with quiet():
            found = self.model.historical_forecasts(
                series,
                forecast_horizon=problem.horizon,
                retrain=False,
                last_points_only=False,
                show_warnings=False,
                verbose=False,
            )
        values = [[each.values(copy=False)[:, 0] for each in windows] for windows in found]
        return np.array(values).swapaxes(0, 1)


def fit_darts(problem: Problem, budget: Budget, *, seed: int) -> FittedDarts:
    """Trains on the training part."""
    from darts.models import TCNModel

    with quiet():
        model = TCNModel(
            problem.look_back,
            problem.horizon,
            batch_size=budget.windows,
            # More than needed; the trainer ends at max_steps.
            n_epochs=budget.steps,
            random_state=seed,
            pl_trainer_kwargs=TRAINER | {"max_steps": budget.steps},
        )
        model.fit(_series(problem, 0, problem.train), verbose=False)
    return FittedDarts(problem, model, budget.steps)


def _series(problem: Problem, start: int, stop: int) -> list[Any]:
    from darts import TimeSeries

    # By row number: darts' check of dates takes longer than a forecast.
    rows = pd.RangeIndex(start, stop)
    values = problem.values[start:stop].astype(np.float32)
    return [
        TimeSeries.from_times_and_values(rows, values[:, [channel]])
        for channel in range(len(problem.channels))
    ]
