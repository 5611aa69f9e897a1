"""Random search: equally many trials and optimizer steps for every model, judged by validation.

``configs/<task>/search.yaml`` says what is drawn, key by key as in an override::

    shared:    # in trial k the same for all models, and with it the optimizer steps
      data.init_args.batch_size: {choice: [1, 4]}
    tcn:
      model.init_args.optimizer.init_args.lr: {log_uniform: [1.0e-4, 1.0e-2]}
      model.init_args.net.init_args.backbone.init_args.dropout: {uniform: [0.0, 0.6]}

``integer: [low, high]`` includes both; a value that is not a mapping is the same in every trial.
Trial 0 is the config as it stands, and trial k is trained from seed k. A value depends only on
seed, model, trial and key: adding trials, models or keys does not change those drawn before.
"""

import json
import math
import random
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.grid.overview import clock, number
from benchmarks.grid.results import Result
from benchmarks.grid.runs import CONFIGS, SEARCH, SPACE, Run, known_models
from benchmarks.grid.store import Store

SHARED = "shared"
DIGITS = 3

Draws = Mapping[str, Any]
"""What is drawn for each key: a distribution such as ``{"uniform": [0, 1]}``, or a constant."""


@dataclass(frozen=True)
class Search:
    """The trials of one task: every run with the overrides drawn for it."""

    task: str
    models: Sequence[str]
    drawn: Mapping[Run, Sequence[str]]

    @classmethod
    def of(
        cls,
        task: str,
        models: Sequence[str] | None,
        *,
        trials: int,
        seed: int = 0,
        budget_epochs: int | None = None,
    ) -> "Search":
        """Draws the trials, alternating between the models; ``models=None`` for all in the space.

        Raises:
            ValueError: the task has no space, the space is wrong or lacks a model, or a number is
                below 1.
        """
        for name, value in (("--trials", trials), ("--budget-epochs", budget_epochs)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}: give 1 or more")
        space = read_space(space_file(task))
        known = [name for name in space if name != SHARED]
        for model in known:
            if model not in known_models(task):
                raise ValueError(f"{space_file(task)}: {model!r} has no config in {task}")
        for model in models or ():
            if model not in known:
                raise ValueError(f"{task} has no search space for {model!r}; known: {known}")
        chosen = list(dict.fromkeys(models or known))
        budget = [] if budget_epochs is None else [f"trainer.max_epochs={budget_epochs}"]
        drawn = {
            Run(task, model, trial, SEARCH): [*budget, *_draw(space, model, trial, seed)]
            for trial in range(trials)
            for model in chosen
        }
        return cls(task, chosen, drawn)

    def ranked(self, store: Store, model: str) -> list[Result]:
        """Finished trials of ``model``, the best first; those that diverged come last."""
        results = (store.read(run) for run in self.drawn if run.model == model)
        return ranked(each for each in results if each is not None)


def ranked(trials: Iterable[Result]) -> list[Result]:
    """The best first; those that diverged come last."""
    return sorted(trials, key=_rank)


def has_value(result: Result) -> bool:
    """Whether the run did not diverge and validation gave a number."""
    value = result.best.get("value")
    return result.status != "failed" and value is not None and math.isfinite(value)


def _rank(result: Result) -> float:
    if not has_value(result):
        return math.inf
    value = float(result.best["value"] or 0.0)
    return -value if result.selection["mode"] == "max" else value


def space_file(task: str) -> Path:
    """The path of the space of ``task``.

    Raises:
        ValueError: there is none; the message lists the tasks that have one.
    """
    path = CONFIGS / task / SPACE
    if not path.exists():
        known = ", ".join(sorted(each.parent.name for each in CONFIGS.glob(f"*/{SPACE}")))
        raise ValueError(f"no search space for task {task!r}; there is one for: {known or 'none'}")
    return path


def read_space(path: Path) -> dict[str, Draws]:
    """What is drawn, by model and for all.

    Raises:
        ValueError: the space is not of the form above, or gives one model its own data or time.
    """
    content = yaml.safe_load(path.read_text())
    draws = list(content.values()) if isinstance(content, dict) else [content]
    if not all(isinstance(each, dict) for each in draws):
        raise ValueError(f"{path}: expected a mapping of keys to draw from for each model")
    for model, draws in content.items():
        for key, drawn in draws.items():
            where = f"{path}: {model}: {key}"
            own = key == "trainer.gradient_clip_val" or not key.startswith(("data.", "trainer."))
            if model != SHARED and not own:
                raise ValueError(f"{where}: belongs under {SHARED}, so that no model has more")
            if isinstance(drawn, dict):
                _check(drawn, where)
    return content


def _check(distribution: Mapping[str, Any], where: str) -> None:
    names = ("choice", "uniform", "log_uniform", "integer")
    kind, values = next(iter(distribution.items()), (None, None))
    if len(distribution) != 1 or kind not in names or not isinstance(values, list) or not values:
        raise ValueError(f"{where}: {distribution} is not one of {', '.join(names)} with a list")
    if kind == "choice":
        return
    kinds = (int,) if kind == "integer" else (int, float)
    if len(values) != 2 or not all(isinstance(value, kinds) for value in values):
        raise ValueError(f"{where}: {kind} needs two numbers, has {values}")
    low, high = values
    if low >= high or (kind == "log_uniform" and low <= 0):
        raise ValueError(f"{where}: {kind} from {low} to {high}: give a lower and a higher bound")


def _draw(space: Mapping[str, Draws], model: str, trial: int, seed: int) -> list[str]:
    if trial == 0:
        return []
    overrides = []
    for owner in (SHARED, model):
        for key, drawn in space.get(owner, {}).items():
            generator = random.Random(f"{seed}/{owner}/{trial}/{key}")
            overrides.append(f"{key}={_text(_value(drawn, generator))}")
    return overrides


def _value(drawn: Any, generator: random.Random) -> Any:
    if not isinstance(drawn, dict):
        return drawn
    ((kind, values),) = drawn.items()
    if kind == "choice":
        return generator.choice(values)
    low, high = values
    if kind == "integer":
        return generator.randint(low, high)
    if kind == "log_uniform":
        return _rounded(math.exp(generator.uniform(math.log(low), math.log(high))))
    return _rounded(generator.uniform(low, high))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def print_trials(search: Search, store: Store) -> None:
    """Prints every trial, the best first, and the overrides of the best of each model."""
    console = Console()
    for model in search.models:
        ranked = search.ranked(store, model)
        table = Table(box=SIMPLE_HEAD, pad_edge=False, title=f"{search.task}: {model}")
        metric = ranked[0].selection["metric"] if ranked else "validation"
        for heading in ("trial", metric, "epoch", "steps", "parameters", "time"):
            table.add_column(heading, justify="right", no_wrap=True)
        for result in ranked:
            table.add_row(*_cells(result))
        console.print(table)
    for model in search.models:
        for result in search.ranked(store, model)[:1]:
            if not has_value(result):
                console.print(f"best of {model}: none, all diverged", highlight=False)
                continue
            again = " ".join(shlex.quote(item) for item in result.overrides)
            text = f"best of {model}: trial {result.seed}, --override {again}"
            console.print(text, highlight=False, markup=False, soft_wrap=True)


def _cells(result: Result) -> list[str]:
    failed = not has_value(result)
    return [
        str(result.seed),
        "failed" if failed else number(result.best["value"]),
        "" if failed else f"{result.best['epoch']}/{len(result.history)}",
        f"{result.steps:,}",
        "" if result.parameters is None else f"{result.parameters:,}",
        clock(result.wall_seconds),
    ]
