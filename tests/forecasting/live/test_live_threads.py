"""Threads on one forecaster: every row that was taken is there, and forecasts are those of it."""

import copy
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tcn.forecasting import Forecaster
from tcn.forecasting.frames.panel import Panel
from tcn.forecasting.live import forecaster as live

TRAINED, ROWS, WRITERS = 30, 4000, 4
NAMES = [f"s{number}" for number in range(8)]
KINDS = {
    "tcn": {},
    "carried": {"window_scaler": "identity", "layers": 1},
    "adaptive": {"intervals": "adaptive"},
    "calendar": {"calendar": ["dayofweek"], "model": "gru"},
}


@cache
def series() -> dict[str, pd.DataFrame]:
    generator = np.random.default_rng(0)
    times = pd.date_range("2000-01-01", periods=ROWS, freq="h")
    walks = 100 + generator.normal(size=(len(NAMES), ROWS)).cumsum(axis=1)
    return {
        name: pd.DataFrame({"unique_id": name, "ds": times, "y": walk})
        for name, walk in zip(NAMES, walks, strict=True)
    }


@cache
def trained(kind: str) -> Forecaster:
    df = pd.concat([part[:TRAINED] for part in series().values()])
    settings = {"h": 3, "input_size": 10, "width": 4, "max_steps": 3, "accelerator": "cpu"}
    return Forecaster(**settings | KINDS[kind]).fit(df, val_size=10)


@pytest.fixture(autouse=True)
def _many_switches() -> Iterator[None]:
    """Threads take turns a thousand times as often, so that what can go wrong does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


def share(forecaster: Forecaster, go_on: Callable[[int], bool], folder: Path) -> dict[str, int]:
    """Four threads write, two series each, and one reads; the rows of each series in the end."""
    taken, raised = dict.fromkeys(NAMES, TRAINED), []
    writing = threading.Event()

    def write(number: int) -> None:
        names, generator = NAMES[number::WRITERS], np.random.default_rng(number)
        turn = 0
        while go_on(turn):
            turn += 1
            some = names if generator.random() < 0.3 else [names[turn % 2]]
            count = 1 if generator.random() < 0.7 else 2
            new = [series()[name][taken[name] : taken[name] + count] for name in some]
            result = forecaster.update(pd.concat(new) if len(new) > 1 else new[0])
            assert result["unique_id"].unique().tolist() == some
            for name in some:
                taken[name] += count

    def read() -> None:
        looks = [
            forecaster.predict,
            lambda: pickle.loads(pickle.dumps(forecaster)).predict(),
            lambda: copy.deepcopy(forecaster).predict(),
            lambda: Forecaster.load(forecaster.save(folder)).predict(),
        ]
        turn = 0
        while not writing.is_set():
            assert len(looks[turn % 4]()) == 3 * len(NAMES)
            time.sleep(0.002)
            turn += 1

    def kept(work: Callable[..., None], *arguments: int) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            raised.append(error)

    writers = [threading.Thread(target=kept, args=(write, each)) for each in range(WRITERS)]
    reader = threading.Thread(target=kept, args=(read,))
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    writing.set()
    reader.join()
    assert not raised
    return taken


def numbers(df: pd.DataFrame) -> np.ndarray:
    return df.select_dtypes("number").to_numpy()


def check_nothing_is_lost(forecaster: Forecaster, taken: dict[str, int]) -> None:
    so_far = pd.concat([part[: taken[name]] for name, part in series().items()])
    np.testing.assert_array_equal(
        forecaster._history.times.reshape(len(NAMES), -1)[:, -10:],
        so_far.groupby("unique_id").tail(10)["ds"].to_numpy().reshape(len(NAMES), -1),
    )
    pd.testing.assert_frame_equal(forecaster.predict(), forecaster.predict(so_far))


@pytest.mark.parametrize("kind", KINDS)
def test_four_writers_and_a_reader_lose_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = live.with_rows

    def slowly(*arguments: Any) -> Panel:
        history = joined(*arguments)
        time.sleep(0.005)  # rows that come meanwhile must not be forgotten
        return history

    monkeypatch.setattr(live, "with_rows", slowly)
    forecaster = copy.deepcopy(trained(kind))
    taken = share(forecaster, lambda turn: turn < 12, tmp_path)
    check_nothing_is_lost(forecaster, taken)


@pytest.mark.parametrize("moved", [False, True])
def test_copies_while_intervals_of_more_horizons_are_calibrated(moved: bool) -> None:
    settings = {"h": 3, "input_size": 10, "width": 4, "max_steps": 3, "accelerator": "cpu"}
    df = series()["s0"]
    forecaster = Forecaster(**settings, intervals="conformal").fit(df[:120], val_size=60)
    if moved:
        forecaster.update(df[120:121])
    raised, calibrating = [], threading.Event()

    def copies() -> None:
        try:
            while not calibrating.is_set():
                copy.deepcopy(forecaster)
        except RuntimeError as error:  # the dictionary changed its size
            raised.append(error)

    thread = threading.Thread(target=copies)
    thread.start()
    for horizon in range(4, 24):
        forecaster.predict(h=horizon, level=[80 if horizon % 2 else 70])
    calibrating.set()
    thread.join()
    assert not raised


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_four_writers_and_a_reader_lose_nothing_for_long(kind: str, tmp_path: Path) -> None:
    forecaster, end = copy.deepcopy(trained(kind)), time.monotonic() + 15
    taken = share(forecaster, lambda turn: time.monotonic() < end and turn < 1500, tmp_path)
    check_nothing_is_lost(forecaster, taken)
