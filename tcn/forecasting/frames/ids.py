"""The ids of series: read from a column, and shown in messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tcn.forecasting.frames.arrays import Integers
from tcn.forecasting.frames.columns import Columns
from tcn.forecasting.frames.reading import SHOWN


def read_ids(ids: pd.Series, name: str, argument: str) -> tuple[Integers, NDArray[Any]]:
    """Index of the series of every row, ``(R,)``, and the ids, ``(N,)``.

    Raises:
        TypeError: an id is a list or something else that may change.
        ValueError: an id is absent.
    """
    if isinstance(ids.dtype, pd.ArrowDtype) and str(ids.dtype).startswith("dictionary"):
        ids = ids.astype(object)  # pandas would count entries of the dictionary without a row, too
    try:
        codes, unique = pd.factorize(ids)
    except TypeError as error:
        raise TypeError(
            f"{argument}: column {name!r} holds ids that cannot be told apart ({error}); give text "
            "or integers, for example by astype(str)"
        ) from error
    absent = np.flatnonzero(codes < 0)
    if len(absent):
        raise ValueError(
            f"{argument}: column {name!r} has no id in {len(absent)} rows, at "
            f"{absent[:SHOWN].tolist()}; drop these rows"
        )
    return codes.astype(np.int64), np.array(unique)


def numbers_of(known: NDArray[Any], ids: NDArray[Any]) -> Integers:
    """The place of each id among those known, -1 for one that is not."""
    number = {identity: index for index, identity in enumerate(known.tolist())}
    return np.array([number.get(identity, -1) for identity in ids.tolist()], dtype=np.int64)


def shown(values: NDArray[Any]) -> str:
    """The first few values for a message, and how many there are in all."""
    some = ", ".join(repr(value) for value in values[:SHOWN].tolist())
    return some if len(values) <= SHOWN else f"{some}, ... ({len(values)} in all)"


def shown_rows(columns: Columns, ids: NDArray[Any], times: Any, *, total: int) -> str:
    """The first few rows for a message."""
    some = [
        f"{columns.id}={identity!r} {columns.time}={time}"
        for identity, time in zip(ids.tolist(), times, strict=True)
    ]
    return ", ".join(some) + (", ..." if total > len(some) else "")
