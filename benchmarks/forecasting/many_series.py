"""Sets of many series, each forecast once at its end: M4 hourly and the Monash archive."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.forecasting.tsf import FREQUENCIES, long_frame, read_tsf
from tcn.data.fetch import RemoteFile, locate


@dataclass(frozen=True)
class SeriesSet:
    """Many series, one forecast each.

    Attributes:
        name: as used on the command line.
        title: as shown.
        frequency: pandas' name for it; None where ``ds`` counts steps.
        season: steps.
        horizon: steps, the last ones of each series.
        look_back: steps a forecast may read.
        train: ``unique_id, ds, y``, the part that may be seen.
        test: the same columns, the steps that follow.
    """

    name: str
    title: str
    frequency: str | None
    season: int
    horizon: int
    look_back: int
    train: pd.DataFrame
    test: pd.DataFrame


M4 = "https://raw.githubusercontent.com/Mcompetitions/M4-methods/master/Dataset"
M4_HOURLY = (
    RemoteFile(
        "m4/Hourly-train.csv",
        "ea59b7783573c49077a835ab6465c7d66f1474783360f310988a9a737fbca62f",
        (f"{M4}/Train/Hourly-train.csv",),
    ),
    RemoteFile(
        "m4/Hourly-test.csv",
        "71a57fccb15e534d973626ada4fb87febf789e9317715b7cc6dd3b5f90db6f42",
        (f"{M4}/Test/Hourly-test.csv",),
    ),
)


@dataclass(frozen=True)
class MonashSet:
    """A file of the archive, with what its paper says where the file does not.

    Attributes:
        sha256: of the ``.tsf`` file.
        record: its Zenodo record, which holds it inside a zip archive.
        season: steps, as in the paper's section on MASE.
        horizon: steps; None: given in the file.
    """

    sha256: str
    record: int
    season: int
    horizon: int | None = None


MONASH = {
    "electricity_weekly": MonashSet(
        "3b0bb0312c29a9cffb2f1650154adc78d9631ce9c329fcf0f415a0feb7522150", 4656141, 52
    ),
    "hospital": MonashSet(
        "b84c2d28f5154958cb31229a8db1b79eaba9b2307b477c02475eee698ed176e1", 4656014, 12, 12
    ),
    "m3_monthly": MonashSet(
        "962e5e217d3c98780ef240416daa4773a8e65961ea47e0a769178be58622d9c5", 4656298, 12
    ),
    "saugeenday": MonashSet(
        "bfd2ad2d80d8f3b6cd55086716dc9047789ebd76e0c78c06bba7af5b812d95fc", 4656058, 7, 30
    ),
    "tourism_monthly": MonashSet(
        "fba16c20b9c431406e4377aa61347e7310d4cd155033e2f93af4cbd0e8139b6e", 4656096, 12
    ),
    "tourism_quarterly": MonashSet(
        "2180678fdd99afa4bd1e2920829adf81cad3e2811d529b6c6fba5fd914a24673", 4656093, 4
    ),
    "us_births": MonashSet(
        "7c5c0f85661592d30000aa8a9066d938629ee5f3f5a3f72c75517179a50b38bb", 4656049, 7, 30
    ),
}
_TSF_COPY = (
    "https://github.com/naymatkhaana/llm4cast/raw/"
    "1f9d640fb378337e5357bf0bbafcc376b94f7961/dataset/datam/{0}_dataset/{0}_dataset.tsf"
)

NAMES = ("m4_hourly", *MONASH)


def load(name: str) -> SeriesSet:
    """A set by name.

    Raises:
        ValueError: the name is unknown.
    """
    if name == "m4_hourly":
        return _m4_hourly()
    if name in MONASH:
        return _monash(name)
    raise ValueError(f"set {name!r} is unknown; known: {', '.join(NAMES)}")


def checksums(name: str) -> dict[str, str]:
    """The sha256 of each file of a set."""
    if name == "m4_hourly":
        return {file.path: file.sha256 for file in M4_HOURLY}
    return {_tsf_path(name): MONASH[name].sha256}


def _tsf_path(name: str) -> str:
    return f"monash_tsf/{name}_dataset.tsf"


def _m4_hourly() -> SeriesSet:
    """414 series of 700 or 960 hours; the next 48 are forecast.

    The competition's files hold no dates, so ``ds`` counts hours from 1.
    """
    train, test = (_wide(locate(file)) for file in M4_HOURLY)
    lengths = train.groupby("unique_id", sort=False).size()
    test["ds"] += test["unique_id"].map(lengths).to_numpy()
    return SeriesSet("m4_hourly", "M4 hourly", None, 24, 48, 336, train, test)


def _wide(path: Path) -> pd.DataFrame:
    """One series per line; shorter ones end in empty cells."""
    table = pd.read_csv(path, index_col=0)
    values = table.to_numpy(np.float64)
    given = ~np.isnan(values)
    rows, columns = np.nonzero(given)
    return pd.DataFrame(
        {"unique_id": table.index.to_numpy()[rows], "ds": columns + 1, "y": values[given]}
    )


def _monash(name: str) -> SeriesSet:
    about = MONASH[name]
    path = _tsf_path(name)
    file = RemoteFile(path, about.sha256, (_TSF_COPY.format(name),))
    header, series = read_tsf(locate(file))
    frame = long_frame(header, series)
    horizon = about.horizon or header.horizon
    if horizon is None:
        raise ValueError(f"{path} says no horizon: give one in MONASH")
    from_end = frame.groupby("unique_id", sort=False).cumcount(ascending=False)
    shortest = int(frame.groupby("unique_id", sort=False).size().min())
    return SeriesSet(
        name,
        header.relation.replace("_", " ") + f" ({header.frequency})",
        FREQUENCIES[header.frequency] if header.frequency else None,
        about.season,
        horizon,
        min(max(2 * about.season, 2 * horizon), shortest - horizon),
        frame[from_end >= horizon].reset_index(drop=True),
        frame[from_end < horizon].reset_index(drop=True),
    )
