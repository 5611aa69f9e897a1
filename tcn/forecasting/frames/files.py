"""Tables in files, as people's programs write them: separators, decimals, ids and dates."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pandas as pd

LOOKED_AT = 1000
"""Lines that tell whether decimals stand behind a comma."""

_NO_THOUSANDS = re.compile(r"[+-]?(\d+,(\d{1,2}|\d{4,})|0,\d+|\d{4,},\d+)")
_OFFSET = r".*\d(Z|[+-]\d\d:?\d\d)"
_WHOLE = r"0|-?[1-9]\d{0,17}"


def read_table(path: str, id_col: str) -> pd.DataFrame:
    """A table of a csv, parquet or json file.

    Args:
        path: its suffix tells the kind.
        id_col: a column whose values are read as they are written, where it is there: 007 and NA
            are ids. Whole numbers are numbers.

    Raises:
        ValueError: the suffix is another one, or the file cannot be read.
        OSError: there is no such file.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        raise ValueError(f"{path}: not one of {', '.join(READERS)}")
    try:
        return READERS[suffix](path, id_col)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: it is not text in UTF-8; save it so") from error
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: it cannot be read: {reason}") from error


def _read_csv(path: str, id_col: str) -> pd.DataFrame:
    """A table whose columns are apart by the commas, semicolons or tabs that its first line has."""
    with Path(path).open(encoding="utf-8-sig") as file:
        header, *lines = [*islice(file, LOOKED_AT)] or [""]
    apart = max(",;\t", key=header.count)
    cells = [cell.strip(' "\n') for line in lines for cell in line.split(apart)]
    if apart == ";":
        comma = any(re.fullmatch(r"[+-]?\d+,\d+", cell) for cell in cells)
    else:  # 1,234 may be a thousand
        comma = apart == "\t" and any(map(_NO_THOUSANDS.fullmatch, cells))
    df = pd.read_csv(path, sep=apart, decimal="," if comma else ".", encoding="utf-8-sig")
    if id_col in df:  # once more, for NA is not to be told from nothing where pandas has read it
        ids = pd.read_csv(
            path,
            sep=apart,
            encoding="utf-8-sig",
            usecols=[id_col],
            dtype="str",
            keep_default_na=False,
        )[id_col].str.strip()
        whole = len(ids) > 0 and ids.str.fullmatch(_WHOLE).all()
        df[id_col] = ids.astype("int64") if whole else ids.mask(ids == "")
    return df


def _read_parquet(path: str, id_col: str) -> pd.DataFrame:
    return pd.read_parquet(path)


def _read_json(path: str, id_col: str) -> pd.DataFrame:
    return pd.read_json(path, dtype=False)  # text stays text


READERS: dict[str, Callable[[str, str], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".json": _read_json,
}


def read_dates(times: pd.Series, where: str) -> pd.Series:
    """A column of times; those that are text in ISO format, or any in which they can be one date.

    Args:
        times: of any type; what is not text stays as it is.
        where: file and column, for messages.

    Raises:
        ValueError: they are no dates, or days and months cannot be told apart.
    """
    if isinstance(times.dtype, pd.CategoricalDtype):
        times = times.astype(times.cat.categories.dtype)
    if pd.api.types.infer_dtype(times) != "string":
        return times
    found: list[pd.Series] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a format other than that which was asked for
        if times.str.fullmatch(_OFFSET).all():
            zones = times.str.extract(_OFFSET)[0].nunique()
            found = _parsed(times, format="ISO8601", utc=zones > 1)
        found = found or _parsed(times, format="ISO8601")
        found = found or [*_parsed(times), *_parsed(times, dayfirst=True)]
    if not found:
        raise ValueError(
            f"{where}: {times.iloc[0]!r} is no time that is understood; write all of them as "
            "2024-01-31 or 2024-01-31 13:00"
        )
    if not found[0].equals(found[-1]):
        differ = (found[0] != found[-1]).idxmax()
        one, other = (f"{each[differ]:%B} {each[differ].day}" for each in (found[0], found[-1]))
        raise ValueError(
            f"{where}: {times[differ]!r} may be {one} or {other}; write all times as 2024-01-31"
        )
    return found[0]


def _parsed(
    times: pd.Series, *, format: str | None = None, utc: bool = False, dayfirst: bool = False
) -> list[pd.Series]:
    """The times, or nothing."""
    try:
        return [pd.to_datetime(times, format=format, utc=utc, dayfirst=dayfirst)]
    except (ValueError, TypeError):
        return []
