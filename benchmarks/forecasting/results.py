"""A run is a set, a horizon, a model and a seed; its result is one JSON file."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks.grid.files import write_json

SCHEMA = 1

Figures = dict[str, float]


@dataclass(frozen=True, order=True)
class Run:
    """One model on one set at one horizon, from one seed."""

    data: str
    horizon: int
    model: str
    seed: int

    def __str__(self) -> str:
        return f"{self.data} {self.horizon}, {self.model} seed {self.seed}"


@dataclass
class Result:
    """Everything kept of one run.

    Attributes:
        settings: all that decides the numbers besides data and seed.
        recipe: checksum of settings, look-back and data: a result with another one is out of date.
        data_sha256: of each file.
        windows: how many were counted in each part.
        validation, test: errors by metric.
        fit_seconds, forecast_seconds: of training, and of both parts' forecasts.
    """

    data: str
    horizon: int
    look_back: int
    model: str
    seed: int
    settings: dict[str, Any]
    recipe: str
    data_sha256: dict[str, str]
    windows: dict[str, int]
    validation: Figures
    test: Figures
    parameters: int | None
    steps: int | None
    fit_seconds: float
    forecast_seconds: float
    command: str
    date: str
    commit: dict[str, Any] | None
    versions: dict[str, str]
    machine: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    schema: int = SCHEMA

    @property
    def run(self) -> Run:
        return Run(self.data, self.horizon, self.model, self.seed)


def recipe(settings: Mapping[str, Any], look_back: int, files: Mapping[str, str]) -> str:
    """What two results must share to be of the same kind."""
    content = json.dumps([dict(settings), look_back, dict(files)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


class Results:
    """The folder of results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, run: Run) -> Path:
        return self.folder / f"{run.data}_{run.horizon}" / run.model / f"seed{run.seed}.json"

    def read(self, run: Run) -> Result | None:
        """The result of a run, None where there is none."""
        path = self.path(run)
        return _read(path) if path.exists() else None

    def write(self, result: Result) -> Path:
        """Keeps a result.

        Raises:
            ValueError: a figure is not finite.
        """
        for part in ("validation", "test"):
            for name, value in getattr(result, part).items():
                if not math.isfinite(value):
                    raise ValueError(f"{result.run}: {part} {name} is {value}")
        path = self.path(result.run)
        write_json(path, asdict(result))
        return path

    def __iter__(self) -> Iterator[Result]:
        paths = self.folder.glob("*/*/seed*.json")
        yield from sorted((_read(path) for path in paths), key=lambda result: result.run)


def _read(path: Path) -> Result:
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); delete it and run it again") from error
    known = {each.name for each in fields(Result)}
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or content.keys() != known:
        raise ValueError(f"{path} is no result of schema {SCHEMA}; delete it and run it again")
    return Result(**content)
