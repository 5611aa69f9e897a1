"""Which runs of a pipeline there are: one for each file under ``configs/<pipeline>``."""

from collections.abc import Sequence

from benchmarks.grid.runs import CONFIGS, Run, check_seeds

IMAGES = "images"
AUDIO = "audio"
NOTES = "notes"


def known_tasks(pipeline: str = IMAGES) -> list[str]:
    """The tasks that have configs."""
    return sorted(path.name for path in (CONFIGS / pipeline).iterdir() if path.is_dir())


def known_models(task: str, pipeline: str = IMAGES) -> list[str]:
    """The models for which a task has configs."""
    return sorted(path.stem for path in (CONFIGS / pipeline / task).glob("*.yaml"))


def chosen(
    tasks: Sequence[str] | None,
    models: Sequence[str] | None,
    seeds: Sequence[int],
    pipeline: str = IMAGES,
) -> list[Run]:
    """All runs asked for, each once; None: all tasks, and of each all models or those it has.

    Raises:
        ValueError: a task is unknown, no task has one of the models, or a seed is out of range.
    """
    check_seeds(seeds)
    known = {task: known_models(task, pipeline) for task in known_tasks(pipeline)}
    for task in tasks or ():
        if task not in known:
            raise ValueError(f"--tasks: {task!r} is none of {', '.join(known)}")
    asked = {task: known[task] for task in tasks or known}
    everything = sorted({model for each in asked.values() for model in each})
    for model in models or ():
        if model not in everything:
            raise ValueError(f"--models: {model!r} is none of {', '.join(everything)}")
    runs = [
        Run(f"{pipeline}/{task}", model, seed)
        for task, has in asked.items()
        for model in (has if models is None else models)
        if model in has
        for seed in seeds
    ]
    return list(dict.fromkeys(runs))
