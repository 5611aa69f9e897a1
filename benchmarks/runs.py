"""What a run is, what makes it the same run, and how its result is kept."""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml

SCHEMA = 1
ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
MODELS = ("tcn", "lstm", "gru", "rnn")

Epoch = dict[str, float | int | None]


@dataclass(frozen=True, order=True)
class Run:
    """One model trained on one task from one seed."""

    task: str
    model: str
    seed: int

    @property
    def config(self) -> Path:
        return CONFIGS / self.task / f"{self.model}.yaml"

    def __str__(self) -> str:
        return f"{self.task}/{self.model} seed {self.seed}"


@dataclass(frozen=True)
class Recipe:
    """What decides the numbers of a run besides its seed: two results compare if these agree."""

    config_sha256: str
    overrides: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Run, overrides: Sequence[str] = ()) -> "Recipe":
        """Reads the config file of ``run``; ``overrides`` are ``key=value`` strings.

        Overrides are stored sorted by key; a key given twice keeps its last value.
        """
        latest = dict(split_override(item) for item in overrides)
        ordered = tuple(f"{key}={latest[key]}" for key in sorted(latest))
        return cls(hashlib.sha256(run.config.read_bytes()).hexdigest(), ordered)

    def to_json(self) -> dict[str, Any]:
        return {"config_sha256": self.config_sha256, "overrides": list(self.overrides)}


def split_override(item: str) -> tuple[str, str]:
    """``"--trainer.max_epochs=3"`` or ``"trainer.max_epochs=3"`` -> its key and value.

    Raises:
        ValueError: there is no ``=``, or nothing before it.
    """
    key, equals, value = item.lstrip("-").partition("=")
    if not equals or not key:
        raise ValueError(
            f"override {item!r} is not key=value; write for example trainer.max_epochs=3"
        )
    return key, value


@dataclass
class Result:
    """Everything kept of one run; written as one JSON file.

    ``history`` has one entry per epoch: ``epoch`` (from 1), ``step`` (optimiser steps so far),
    ``seconds`` (training and validation so far), ``train_loss`` and the ``val_*`` metrics.
    Times are seconds, memory is bytes.
    """

    task: str
    model: str
    seed: int
    status: Literal["finished", "failed"]
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
    schema: int = SCHEMA

    @property
    def run(self) -> Run:
        return Run(self.task, self.model, self.seed)

    @property
    def recipe(self) -> Recipe:
        return Recipe(self.config_sha256, tuple(self.overrides))


class Store:
    """The folder that holds results, and under ``.work`` what unfinished runs need."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def result_path(self, run: Run) -> Path:
        return self.folder / run.task / run.model / f"seed{run.seed}.json"

    def work(self, run: Run) -> Path:
        return self.folder / ".work" / run.task / run.model / f"seed{run.seed}"

    def lock_path(self, run: Run) -> Path:
        return self.work(run).with_suffix(".lock")

    def prepare(self, run: Run) -> None:
        """Makes the folders; git is told to ignore the work folder."""
        self.lock_path(run).parent.mkdir(parents=True, exist_ok=True)
        ignore = self.folder / ".work" / ".gitignore"
        if not ignore.exists():
            write_atomically(ignore, b"*\n")

    def read(self, run: Run) -> Result | None:
        """The result of ``run``, or ``None`` when there is none yet."""
        path = self.result_path(run)
        return read_result(path) if path.exists() else None

    def write(self, result: Result) -> Path:
        path = self.result_path(result.run)
        notes = list(result.notes)
        content = _without_nan(asdict(result), "", notes)
        content["notes"] = notes
        text = json.dumps(content, indent=1, allow_nan=False)
        write_atomically(path, (text + "\n").encode())
        return path

    def results(self) -> Iterator[Result]:
        """Every result in the folder, by task, model and seed."""
        paths = self.folder.glob("*/*/seed*.json")
        yield from sorted((read_result(path) for path in paths), key=lambda each: each.run)


def read_result(path: Path) -> Result:
    """Reads one result file.

    Raises:
        ValueError: the file is no JSON, or of another schema version.
    """
    try:
        content = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); delete it and run it again") from error
    version = content.get("schema") if isinstance(content, dict) else None
    if version != SCHEMA:
        raise ValueError(
            f"{path} has result schema {version!r}, this program reads {SCHEMA}; "
            "delete it and run it again"
        )
    known = {each.name for each in fields(Result)}
    if content.keys() != known:
        odd = sorted(content.keys() ^ known)
        raise ValueError(f"{path} lacks or adds the fields {odd}; delete it and run it again")
    return Result(**content)


def write_atomically(path: Path, content: bytes) -> None:
    """After this returns, or after a crash at any point, ``path`` is whole: new or as before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes a rename inside ``folder`` survive a power cut (POSIX only; elsewhere no such call)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _without_nan(value: Any, where: str, notes: list[str]) -> Any:
    """JSON has no NaN: such numbers become null, and ``notes`` says which and where."""
    if isinstance(value, dict):
        return {key: _without_nan(item, f"{where}.{key}", notes) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = enumerate(value)
        return [_without_nan(item, f"{where}[{index}]", notes) for index, item in items]
    if isinstance(value, float) and not math.isfinite(value):
        note = f"{where.lstrip('.')} is {value}, kept as null"
        if note not in notes:
            notes.append(note)
        return None
    return value


def known_tasks() -> list[str]:
    """The tasks that have configs."""
    return sorted({path.parent.name for path in CONFIGS.glob("*/*.yaml")})


def select(tasks: Iterable[str], models: Iterable[str], seeds: Iterable[int]) -> list[Run]:
    """All runs asked for, in the order given, each once.

    Raises:
        ValueError: a task or model has no config; the message lists those that have.
    """
    chosen = []
    for task in tasks:
        if task not in known_tasks():
            raise ValueError(f"unknown task {task!r}; known tasks: {', '.join(known_tasks())}")
        for model in models:
            available = sorted(path.stem for path in (CONFIGS / task).glob("*.yaml"))
            if model not in available:
                raise ValueError(f"unknown model {model!r} for {task}; known: {available}")
            chosen += [Run(task, model, seed) for seed in seeds]
    return list(dict.fromkeys(chosen))


def load_config(run: Run) -> dict[str, Any]:
    """The config file as written, before defaults and overrides."""
    content: dict[str, Any] = yaml.safe_load(run.config.read_text())
    return content
