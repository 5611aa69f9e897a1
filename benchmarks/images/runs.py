"""Which runs of nets for images there are: one for each file under ``configs/images``."""

from collections.abc import Sequence

from benchmarks.grid.runs import CONFIGS, Run, check_seeds

PIPELINE = "images"


def known_tasks() -> list[str]:
    """The tasks that have configs."""
    return sorted(path.name for path in (CONFIGS / PIPELINE).iterdir() if path.is_dir())


def known_models(task: str) -> list[str]:
    """The models for which a task has configs."""
    return sorted(path.stem for path in (CONFIGS / PIPELINE / task).glob("*.yaml"))


def chosen(
    tasks: Sequence[str] | None, models: Sequence[str] | None, seeds: Sequence[int]
) -> list[Run]:
    """All runs asked for, each once; None: all tasks, and of each all models or those it has.

    Raises:
        ValueError: a task is unknown, no task has one of the models, or a seed is out of range.
    """
    check_seeds(seeds)
    known = {task: known_models(task) for task in known_tasks()}
    for task in tasks or ():
        if task not in known:
            raise ValueError(f"--tasks: {task!r} is none of {', '.join(known)}")
    asked = {task: known[task] for task in tasks or known}
    everything = sorted({model for each in asked.values() for model in each})
    for model in models or ():
        if model not in everything:
            raise ValueError(f"--models: {model!r} is none of {', '.join(everything)}")
    runs = [
        Run(f"{PIPELINE}/{task}", model, seed)
        for task, has in asked.items()
        for model in (has if models is None else models)
        if model in has
        for seed in seeds
    ]
    return list(dict.fromkeys(runs))
