"""What a run is, and which runs there are."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
MODELS = ("tcn", "lstm", "gru", "rnn")
OURS = "ours"
SEARCH = "search"
SPACE = f"{SEARCH}.yaml"
LARGEST_SEED = 2**32 - 1  # numpy's


@dataclass(frozen=True, order=True)
class Run:
    """One model trained on one task from one seed.

    ``task`` is the place of its configs: ``"jsb"``, ``"images/mnist"``.

    ``settings`` says whose they are: ``"ours"`` or a folder next to ours, such as ``"paper"``. In
    ``"search"`` the settings are ours with some overridden, and ``seed`` is also the trial.
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
        """The task, and the settings if not ours: ``"jsb"``, ``"jsb/paper"``."""
        return self.task if self.settings == OURS else f"{self.task}/{self.settings}"

    @property
    def number(self) -> str:
        """What distinguishes it from other runs of its model: ``"seed"`` or ``"trial"``."""
        return "trial" if self.is_trial else "seed"

    @property
    def place(self) -> str:
        """Its place in a folder of results: ``"jsb/tcn/seed0"``, ``"jsb/search/tcn/trial3"``."""
        return f"{self.group}/{self.model}/{self.number}{self.seed}"

    def __str__(self) -> str:
        return f"{self.group}/{self.model} {self.number} {self.seed}"


def known_tasks(settings: str = OURS) -> list[str]:
    """The tasks that have configs with these settings."""
    folder = "" if settings == OURS else f"{settings}/"
    found = CONFIGS.glob(f"*/{folder}tcn.yaml")  # every task has at least a TCN
    return sorted(path.relative_to(CONFIGS).parts[0] for path in found)


def known_models(task: str, settings: str = OURS) -> list[str]:
    """The models for which ``task`` has configs, our four first."""
    folder = Run(task, "", 0, settings).config.parent
    found = {path.stem for path in folder.glob("*.yaml") if path.name != SPACE}
    return [*(model for model in MODELS if model in found), *sorted(found - set(MODELS))]


def select(
    tasks: Iterable[str],
    models: Iterable[str] | None,
    seeds: Iterable[int],
    settings: str = OURS,
) -> list[Run]:
    """All runs asked for, in the order given, each once; ``models=None`` for all there are.

    Raises:
        ValueError: settings, task or model have no config (the message lists those that have), or
            a seed is out of range.
    """
    # Beside the config that is ours; folders of tasks lie in a pipeline's folder as well.
    paths = CONFIGS.glob("*/*/*.yaml")
    beside = {path.parent.name for path in paths if (path.parents[1] / "tcn.yaml").exists()}
    whose = [OURS, *sorted(beside)]
    if settings not in whose:
        raise ValueError(f"unknown settings {settings!r}; known: {whose}")
    seeds = list(seeds)
    check_seeds(seeds)
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


def check_seeds(seeds: Iterable[int]) -> None:
    """Refuses seeds that NumPy does not take.

    Raises:
        ValueError: one is out of range.
    """
    for seed in seeds:
        if not 0 <= seed <= LARGEST_SEED:
            raise ValueError(f"--seeds: {seed} is not from 0 to {LARGEST_SEED}")
