"""What is kept of a run: one JSON file."""

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from benchmarks.grid.recipes import Recipe
from benchmarks.grid.runs import OURS, Run

SCHEMA = 1
SAME = ("model", "seed", "parameters", "command", "date", "commit", "versions", "machine")
FORECASTS = {"data", "horizon", "look_back", "settings", "recipe", "data_sha256", "windows"} | {
    *SAME, "validation", "test", "steps", "fit_seconds", "forecast_seconds", "notes", "schema",
}  # fmt: skip
"""The fields of forecasts made before they were runs of this grid."""

Epoch = dict[str, float | int | None]


@dataclass
class Result:
    """Everything kept of one run; written as one JSON file.

    ``history`` has one entry per epoch: ``epoch`` (from 1), ``step`` (optimizer steps so far),
    ``seconds`` (training and validation so far), ``train_loss`` and the ``val_*`` metrics.
    Times are seconds, memory is bytes. ``budget`` says what the run was given, the same for every
    model of its task, and what it used: ``limit`` (the setting that ends it), ``steps`` (the
    optimizer steps this amounts to), ``steps_done`` and ``ended`` (``"budget"``, ``"early
    stop"``, ``"divergence"`` or ``"time"``: then it is ``"unfinished"`` and was not tested).
    """

    task: str
    model: str
    seed: int
    status: Literal["finished", "failed", "unfinished"]
    command: str
    date: str
    config_file: str
    config_sha256: str
    overrides: list[str]
    config: dict[str, Any]
    commit: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    data_fingerprint: str | None = None
    parameters: int | None = None
    receptive_field: int | None = None
    selection: dict[str, str] = field(default_factory=dict)
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, float | int | None] = field(default_factory=dict)
    test: dict[str, float | None] = field(default_factory=dict)
    steps: int = 0
    steps_per_second: float | None = None
    wall_seconds: float = 0.0
    peak_memory: int | None = None
    gpu_peak_memory: int | None = None
    resumed: int = 0
    reason: str | None = None
    notes: list[str] = field(default_factory=list)
    settings: str = OURS
    budget: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def run(self) -> Run:
        return Run(self.task, self.model, self.seed, self.settings)

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.config_sha256, tuple(self.overrides))

    @property
    def is_what_a_commit_says(self) -> bool:
        """False with overrides, after a change of the config, and from uncommitted code."""
        if self.commit is not None and self.commit["dirty"]:
            return False
        return self.run.config.exists() and self.recipe == Recipe.of(self.run)


def judged_once(
    validation: dict[str, float], test: dict[str, float], *, steps: int | None, seconds: float
) -> dict[str, Any]:
    """The outcome fields of a ``Result``, for training without epochs to report.

    Args:
        validation, test: figures by metric; weights are chosen by the first of ``validation``.
        steps: of the optimizer, None where nothing was trained.
        seconds: of training.
    """
    found: dict[str, Any] = {
        "status": "finished",
        "overrides": [],
        "test": {f"test_{name}": value for name, value in test.items()},
        "steps": steps or 0,
        "wall_seconds": seconds,
    }
    if validation:
        figures = {f"val_{name}": value for name, value in validation.items()}
        metric = next(iter(figures))
        found["selection"] = {"metric": metric, "mode": "min"}
        found["history"] = [{"epoch": 1, "step": steps or 0, "seconds": seconds, **figures}]
        found["best"] = {"epoch": 1, "value": figures[metric]}
    return found


def read_result(path: Path) -> Result:
    """Reads one result file.

    Raises:
        ValueError: the file is not JSON, or has another schema version.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as error:  # not JSON, or not text
        raise ValueError(f"{path} is not JSON ({error}); delete it and run it again") from error
    version = content.get("schema") if isinstance(content, dict) else None
    if version != SCHEMA:
        raise ValueError(
            f"{path} has result schema {version!r}, this program reads {SCHEMA}; "
            "delete it and run it again"
        )
    if content.keys() == FORECASTS:
        content = _as_now(content)
    content.setdefault("settings", OURS)  # files older than the other settings
    content.setdefault("budget", {})  # files older than this field
    known = {each.name for each in fields(Result)}
    if content.keys() != known:
        odd = sorted(content.keys() ^ known)
        raise ValueError(f"{path} lacks or adds the fields {odd}; delete it and run it again")
    content["overrides"] = list(Recipe.from_json(content).overrides)
    return Result(**content)


def _as_now(old: dict[str, Any]) -> dict[str, Any]:
    """The fields of a ``Result`` with the same numbers, from the old format of a forecast."""
    outcome = judged_once(
        old["validation"],
        old["test"] | {"seconds": old["forecast_seconds"]},
        steps=old["steps"],
        seconds=old["fit_seconds"],
    )
    content: dict[str, Any] = {name: old[name] for name in (*SAME, "notes", "schema")} | outcome
    content["task"] = f"{old['data']}_{old['horizon']}"
    content["config_file"] = "benchmarks/forecasting/settings.py"
    content["config_sha256"] = old["recipe"]
    content["config"] = {name: old[name] for name in ("settings", "look_back", "windows")}
    content["config"]["files"] = old["data_sha256"]
    return asdict(Result(**content))
