"""What decides the numbers of a run, and what overrides its config."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.grid.runs import Run
from tcn.commands.names import split_override

RECIPE = "recipe.json"
MOVED = {"benchmarks.ablations.": "benchmarks.studies.ablations."}
"""New names of modules by the old ones in overrides: a recipe survives the move of a module."""


@dataclass(frozen=True)
class Recipe:
    """What decides the numbers of a run besides its seed: results are comparable if these agree."""

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
        """Where the two differ: ``"config, trainer.max_epochs"``; empty if they agree."""
        config = ["config"] if self.config_sha256 != other.config_sha256 else []
        changed = set(self.overrides) ^ set(other.overrides)
        return ", ".join(config + sorted({split_override(item)[0] for item in changed}))


def content_sha256(config: Path) -> str:
    """The hash of what a config says; comments, layout and the order of its keys do not matter.

    ``initialization: pytorch`` of a TCN does not matter either: configs that were run before it had
    to be given left it out.
    """
    return sha256_of(_as_before(yaml.safe_load(config.read_text(encoding="utf-8"))))


def _as_before(content: Any) -> Any:
    """A config in the terms of the first results; settings without such a term remain different."""
    if isinstance(content, list):
        return [_as_before(item) for item in content]
    if not isinstance(content, dict):
        return content
    content = {key: _as_before(value) for key, value in content.items()}
    if content.get("class_path") == "tcn.models.TCN":
        said = content["init_args"].pop("initialization", None)
        if said != "pytorch":  # if missing: the default of the class today
            content["init_args"]["initialization"] = said
    return content


def sha256_of(content: Any) -> str:
    """The hash of what could be written as JSON; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _with_present_names(override: str) -> str:
    for before, now in MOVED.items():
        override = override.replace(before, now)
    return override


def read_recipe(note: Path) -> Recipe | None:
    """The recipe that began a work folder; ``None`` if unknown, and then the run starts afresh."""
    try:
        return Recipe.from_json(json.loads(note.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None
