"""What a run is, what makes it the same run, and how its result is kept."""

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import yaml

SCHEMA = 1
ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
MODELS = ("tcn", "lstm", "gru", "rnn")
OURS = "ours"
SEARCH = "search"
SPACE = f"{SEARCH}.yaml"
RECIPE = "recipe.json"

NUMBERED = re.compile(r"(?:seed|trial)\d+\.json")
LARGEST_SEED = 2**32 - 1  # numpy's
MOVED = {"benchmarks.ablations.": "benchmarks.studies.ablations."}
"""Modules that overrides name, by where they were: a recipe stays the same when one moves."""

Epoch = dict[str, float | int | None]


@dataclass(frozen=True, order=True)
class Run:
    """One model trained on one task from one seed.

    ``settings`` names whose they are: ``"ours"`` or a folder beside them, such as ``"paper"``. In
    ``"search"`` the settings are ours with others laid over them, and ``seed`` is also the trial.
    """

    task: str
    model: str
    seed: int
    settings: str = OURS

    @property
    def is_trial(self) -> bool:
        """Whether it is part of a search, which never looks at the test set."""
        return self.settings == SEARCH

    @property
    def config(self) -> Path:
        folder = "" if self.settings in (OURS, SEARCH) else self.settings
        return CONFIGS / self.task / folder / f"{self.model}.yaml"

    @property
    def group(self) -> str:
        """The task, and whose settings if not ours: ``"jsb"``, ``"jsb/paper"``."""
        return self.task if self.settings == OURS else f"{self.task}/{self.settings}"

    @property
    def number(self) -> str:
        """What tells it from the others of its model: ``"seed"`` or ``"trial"``."""
        return "trial" if self.is_trial else "seed"

    @property
    def place(self) -> str:
        """Below a folder of results: ``"jsb/tcn/seed0"``, ``"jsb/search/tcn/trial3"``."""
        return f"{self.group}/{self.model}/{self.number}{self.seed}"

    def __str__(self) -> str:
        return f"{self.group}/{self.model} {self.number} {self.seed}"


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
        return cls(content_sha256(run.config), ordered)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Recipe":
        return cls(content["config_sha256"], tuple(map(_with_present_names, content["overrides"])))

    def to_json(self) -> dict[str, Any]:
        return {"config_sha256": self.config_sha256, "overrides": list(self.overrides)}

    def difference(self, other: "Recipe") -> str:
        """In what the two differ: ``"config, trainer.max_epochs"``; empty where they agree."""
        config = ["config"] if self.config_sha256 != other.config_sha256 else []
        changed = set(self.overrides) ^ set(other.overrides)
        return ", ".join(config + sorted({split_override(item)[0] for item in changed}))


def content_sha256(config: Path) -> str:
    """The hash of what a config says: comments, layout and the order of its keys do not count."""
    content = yaml.safe_load(config.read_text(encoding="utf-8"))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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


def _with_present_names(override: str) -> str:
    for before, now in MOVED.items():
        override = override.replace(before, now)
    return override


@dataclass
class Result:
    """Everything kept of one run; written as one JSON file.

    ``history`` has one entry per epoch: ``epoch`` (from 1), ``step`` (optimizer steps so far),
    ``seconds`` (training and validation so far), ``train_loss`` and the ``val_*`` metrics.
    Times are seconds, memory is bytes. ``budget`` says what the run was given, the same for every
    model of its task, and what it took: ``limit`` (the setting that ends it), ``steps`` (optimizer
    steps that makes), ``steps_done`` and ``ended`` (``"budget"``, ``"early stop"``,
    ``"divergence"`` or ``"time"``: then it is ``"unfinished"`` and was not tested).
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


class Store:
    """The folder that holds results, and under ``.work`` what unfinished runs need.

    Raises:
        ValueError: there is a file of that name.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        for path in (self.folder, *self.folder.parents):
            if path.is_file():
                raise ValueError(f"--results: {path} is a file; give a folder")

    def result_path(self, run: Run) -> Path:
        return self.folder / f"{run.place}.json"

    def work(self, run: Run) -> Path:
        return self.folder / ".work" / run.place

    def lock_path(self, run: Run) -> Path:
        return self.work(run).with_suffix(".lock")

    def prepare(self, run: Run) -> None:
        """Makes the folders; git is told to ignore the work folder."""
        self.lock_path(run).parent.mkdir(parents=True, exist_ok=True)
        ignored = self.folder / ".work" / ".gitignore"
        if not ignored.exists():
            write_atomically(ignored, b"*\n")

    def read(self, run: Run) -> Result | None:
        """The result of ``run``, or ``None`` when there is none yet."""
        path = self.result_path(run)
        return read_result(path) if path.exists() else None

    def begun(self, run: Run) -> Recipe | None:
        """What made the checkpoints of ``run``; ``None`` where no epoch was finished."""
        begun = any(self.work(run).glob("epoch-*.ckpt"))
        return read_recipe(self.work(run) / RECIPE) if begun else None

    def conflict(self, run: Run, recipe: Recipe) -> str | None:
        """What another recipe made of ``run``, and in what it differs; ``None`` if nothing."""
        result = self.read(run)
        made = {
            self.result_path(run): None if result is None else result.recipe,
            self.work(run): self.begun(run),
        }
        for path, other in made.items():
            if other not in (None, recipe):
                return f"{path} was made with other settings ({recipe.difference(other)})"
        return None

    def write(self, result: Result) -> Path:
        path = self.result_path(result.run)
        notes = list(result.notes)
        content = _without_nan(asdict(result), "", notes)
        content["notes"] = notes
        text = json.dumps(content, indent=1, allow_nan=False)
        write_atomically(path, (text + "\n").encode())
        return path

    def results(self, settings: str = OURS) -> Iterator[Result]:
        """Every result made with these settings, by task, model and seed.

        Raises:
            ValueError: a file is no result, or that of another run.
        """
        some = Run("*", "*", 0, settings)
        paths = self.folder.glob(f"{some.group}/{some.model}/{some.number}*.json")
        found = (self._read_in_place(path) for path in paths if NUMBERED.fullmatch(path.name))
        yield from sorted(found, key=lambda each: each.run)

    def _read_in_place(self, path: Path) -> Result:
        result = read_result(path)
        if self.result_path(result.run) != path:
            raise ValueError(f"{path} is the result of {result.run}: move it back, or delete it")
        return result

    def siblings(self, run: Run) -> Iterator[Run]:
        """The same model on the same task from all seeds that have a result."""
        for path in self.result_path(run).parent.glob(f"{run.number}*.json"):
            if NUMBERED.fullmatch(path.name):
                yield replace(run, seed=int(path.stem.removeprefix(run.number)))


def read_recipe(note: Path) -> Recipe | None:
    """What a work folder was begun by; ``None`` where it does not say, which is begun anew."""
    try:
        return Recipe.from_json(json.loads(note.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_result(path: Path) -> Result:
    """Reads one result file.

    Raises:
        ValueError: the file is no JSON, or of another schema version.
    """
    try:
        content = json.loads(path.read_text())
    except ValueError as error:  # no JSON, or no text
        raise ValueError(f"{path} is not JSON ({error}); delete it and run it again") from error
    version = content.get("schema") if isinstance(content, dict) else None
    if version != SCHEMA:
        raise ValueError(
            f"{path} has result schema {version!r}, this program reads {SCHEMA}; "
            "delete it and run it again"
        )
    content.setdefault("settings", OURS)  # files from before there were others
    content.setdefault("budget", {})  # files from before it was written down
    known = {each.name for each in fields(Result)}
    if content.keys() != known:
        odd = sorted(content.keys() ^ known)
        raise ValueError(f"{path} lacks or adds the fields {odd}; delete it and run it again")
    content["overrides"] = list(Recipe.from_json(content).overrides)
    return Result(**content)


def write_json(path: Path, content: Any) -> None:
    """As :func:`write_atomically`, ``content`` as JSON."""
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def write_atomically(path: Path, content: bytes) -> None:
    """After this returns, or after a crash at any point, ``path`` is whole: new or as before.

    What a crash leaves behind is a folder beside ``path`` from which git takes nothing. It is not
    elsewhere, since each folder of results may be a link to another disk, and no rename goes from
    one disk to another.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        (Path(folder) / ".gitignore").write_bytes(b"*\n")
        temporary = Path(folder) / "content"
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
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


def known_tasks(settings: str = OURS) -> list[str]:
    """The tasks that have configs with these settings."""
    folder = "" if settings == OURS else f"{settings}/"
    found = CONFIGS.glob(f"*/{folder}tcn.yaml")  # of a task there is a TCN at least
    return sorted(path.relative_to(CONFIGS).parts[0] for path in found)


def known_models(task: str, settings: str = OURS) -> list[str]:
    """The models that ``task`` has configs of, our four first."""
    folder = Run(task, "", 0, settings).config.parent
    found = {path.stem for path in folder.glob("*.yaml") if path.name != SPACE}
    return [*(model for model in MODELS if model in found), *sorted(found - set(MODELS))]


def select(
    tasks: Iterable[str],
    models: Iterable[str] | None,
    seeds: Iterable[int],
    settings: str = OURS,
) -> list[Run]:
    """All runs asked for, in the order given, each once; ``models=None`` for all that there are.

    Raises:
        ValueError: settings, task or model have no config (the message lists those that have), or
            a seed is out of range.
    """
    whose = [OURS, *sorted({path.parent.name for path in CONFIGS.glob("*/*/*.yaml")})]
    if settings not in whose:
        raise ValueError(f"unknown settings {settings!r}; known: {whose}")
    seeds = list(seeds)
    for seed in seeds:
        if not 0 <= seed <= LARGEST_SEED:
            raise ValueError(f"--seeds: {seed} is not from 0 to {LARGEST_SEED}")
    chosen = []
    for task in tasks:
        if task not in known_tasks(settings):
            known = ", ".join(known_tasks(settings))
            where = "" if settings == OURS else f" with settings {settings!r}"
            raise ValueError(f"unknown task {task!r}{where}; known tasks: {known}")
        available = known_models(task, settings)
        for model in available if models is None else models:
            if model not in available:
                where = Run(task, model, 0, settings).group
                raise ValueError(f"unknown model {model!r} for {where}; known: {available}")
            chosen += [Run(task, model, seed, settings) for seed in seeds]
    return list(dict.fromkeys(chosen))
