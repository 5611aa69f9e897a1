"""Long frames to start from."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest


def _long_frame(
    lengths: Sequence[int] = (30, 20),
    *,
    freq: str = "h",
    start: str = "2023-01-02",
    timezone: str | None = None,
    extra: Sequence[str] = (),
    seed: int = 0,
) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    parts = []
    for number, length in enumerate(lengths):
        part = pd.DataFrame({"unique_id": chr(ord("a") + number), "ds": range(length)})
        part["ds"] = pd.date_range(start, periods=length, freq=freq, tz=timezone)
        part["y"] = 100.0 * (number + 1) + np.arange(length) + generator.normal(size=length)
        for name in extra:
            part[name] = generator.normal(size=length)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="session")
def long_frame() -> Callable[..., pd.DataFrame]:
    """Makes series "a", "b", ... of given lengths; `y` rises from 100, 200, ... with noise."""
    return _long_frame
