"""The folder that holds results, and what unfinished runs need."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.grid.files import write_atomically
from benchmarks.grid.recipes import RECIPE, Recipe, read_recipe
from benchmarks.grid.results import Result, read_result
from benchmarks.grid.runs import OURS, Run

NUMBERED = re.compile(r"(?:seed|trial)\d+\.json")


class Store:
    """The folder that holds results, and under ``.work`` what unfinished runs need.

    Raises:
        ValueError: there is a file with that name.
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
        """The recipe of the checkpoints of ``run``; ``None`` if no epoch was finished."""
        begun = any(self.work(run).glob("epoch-*.ckpt"))
        return read_recipe(self.work(run) / RECIPE) if begun else None

    def conflict(self, run: Run, recipe: Recipe) -> str | None:
        """What another recipe made of ``run``, and where the two differ; ``None`` if nothing."""
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

    def results(self, settings: str = OURS, tasks: str = "*") -> Iterator[Result]:
        """Every result made with these settings, by task, model and seed.

        Args:
            settings: whose.
            tasks: a pattern of their names: ``"images/*"`` are those under ``configs/images``.

        Raises:
            ValueError: a file is not a result, or is that of another run.
        """
        some = Run(tasks, "*", 0, settings)
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
