"""``python -m benchmarks quick|run|search|memory_curve|ablations|report|readme|speed|...``."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from benchmarks.brain.options import add_parser as add_brain
from benchmarks.forecasting.options import add_parser as add_forecasting
from benchmarks.grid.command import add_plan, make
from benchmarks.grid.provenance import available_cores
from benchmarks.grid.runs import OURS, ROOT, known_tasks, select
from benchmarks.grid.scheduler import Stopped
from benchmarks.grid.store import Store
from benchmarks.images.options import add_parser as add_images
from benchmarks.readme import add_parser as add_readme
from benchmarks.report.summary import summarize
from benchmarks.studies.quick import RESULTS as QUICK_RESULTS
from benchmarks.studies.quick import print_summary, quick_runs

RESULTS = ROOT / "benchmarks" / "results"
Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

STUDIES = {
    "memory_curve": "copying and adding against the length of the sequence",
    "ablations": "what each part of the TCN is worth",
}


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    options = parser.parse_args(arguments)
    options.command_line = shlex.join(["python", "-m", "benchmarks", *arguments])
    try:
        status: int = options.action(options)
    except ValueError as error:
        parser.exit(2, f"{parser.prog} {arguments[0]}: {error}\n")
    except (Stopped, KeyboardInterrupt) as stop:
        print("stopped; the same command goes on from the last finished epochs", file=sys.stderr)
        return stop.exit_status if isinstance(stop, Stopped) else 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    actions = parser.add_subparsers(
        required=True,
        metavar="quick|run|search|memory_curve|ablations|report|readme|many_to_one|speed|forecasting|"
        "images|audio|notes|clip|brain",
    )
    _add_quick(actions)
    _add_run(actions)
    _add_search(actions)
    for name, text in STUDIES.items():
        _add_study(actions, name, text)
    _add_report(actions)
    add_readme(actions)
    _add_many_to_one(actions)
    _add_speed(actions)
    add_forecasting(actions)
    add_images(actions)
    _add_clip(actions)
    add_brain(actions)
    return parser


def _add_quick(actions: Actions) -> None:
    quick = actions.add_parser("quick", help="three small tasks in minutes, then the report")
    quick.set_defaults(action=_quick)
    quick.add_argument("--results", type=Path, default=QUICK_RESULTS, metavar="DIR")
    add_plan(quick)
    _add_retry(quick)


def _add_run(actions: Actions) -> None:
    run = actions.add_parser("run", help="train and test models on tasks")
    run.set_defaults(action=_run)
    run.add_argument("--tasks", nargs="+", required=True, metavar="TASK", help=_tasks_help())
    run.add_argument("--models", nargs="+", metavar="MODEL", help="default: all with a config")
    run.add_argument("--settings", default=OURS, metavar="WHOSE", help=_settings_help())
    run.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    run.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    run.add_argument("--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                     help="laid over every config, such as trainer.max_epochs=3")  # fmt: skip
    run.add_argument("--minutes", type=float, metavar="M",
                     help="stop each run after the epoch in which they are over; its curve so far "
                     "is kept, and the same command goes on from there")  # fmt: skip
    add_plan(run)
    _add_retry(run)


def _add_search(actions: Actions) -> None:
    search = actions.add_parser("search", help="random search over settings, on validation")
    search.set_defaults(action=_search)
    search.add_argument("--task", required=True, help="one that has a search.yaml")
    search.add_argument("--models", nargs="+", metavar="MODEL", help="default: all in search.yaml")
    search.add_argument("--trials", type=int, default=12, metavar="N",
                        help="of each model, the config itself first (%(default)s)")  # fmt: skip
    search.add_argument("--budget-epochs", type=int, metavar="N",
                        help="of each trial at most (default: the config's)")  # fmt: skip
    search.add_argument("--seed", type=int, default=0, help="of the draws (%(default)s)")
    search.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    search.add_argument("--override", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
                        help="laid over every config, below what is drawn")  # fmt: skip
    add_plan(search)


def _add_study(actions: Actions, name: str, text: str) -> None:
    study = actions.add_parser(name, help=text)
    study.set_defaults(action=_study, study=name)
    study.add_argument("--points", nargs="+", metavar="POINT", help="default: all")
    study.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    study.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    add_plan(study)
    _add_retry(study)


def _add_retry(action: argparse.ArgumentParser) -> None:
    action.add_argument("--retry-failed", action="store_true", help="diverged runs again")


def _add_report(actions: Actions) -> None:
    report = actions.add_parser("report", help="write report.md and report.html")
    report.set_defaults(action=_report)
    report.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    report.add_argument("--output", type=Path, metavar="DIR", help="default: beside the results")


def _add_many_to_one(actions: Actions) -> None:
    timing = actions.add_parser("many_to_one", help="training step when only the last is read")
    timing.set_defaults(action=_many_to_one)
    timing.add_argument("--threads", type=int, default=1, metavar="N")
    timing.add_argument("--rounds", type=int, default=15, metavar="N")
    timing.add_argument("--json", type=Path, metavar="FILE")


def _add_speed(actions: Actions) -> None:
    speed = actions.add_parser("speed", help="training, streams, generation, beside the peers")
    speed.set_defaults(action=_speed)
    speed.add_argument("--threads", nargs="+", type=int, default=[1, available_cores()],
                       metavar="N", help="numbers of threads, one after the other")  # fmt: skip
    speed.add_argument("--rounds", type=int, default=9, metavar="N")
    speed.add_argument("--only", default="", metavar="TEXT", help="kinds that contain it: stream")
    speed.add_argument("--no-sweep", action="store_true", help="leave out the cost against sizes")
    speed.add_argument("--json", type=Path, metavar="FILE", help="and a figure beside it")


def _add_clip(actions: Actions) -> None:
    clip = actions.add_parser("clip", help="what a WaveNet has learned of one clip of sound")
    clip.set_defaults(action=_clip)
    clip.add_argument("--checkpoint", type=Path, default=Path("runs/audio/clip/wavenet"),
                      metavar="RUN", help="of `tcn fit` (%(default)s)")  # fmt: skip
    clip.add_argument("--seconds", type=float, default=1.0, metavar="S", help="(%(default)s)")
    clip.add_argument("--seed", type=int, default=0, help="of the generated sound (%(default)s)")
    clip.add_argument("--json", type=Path, metavar="FILE", help="and pictures beside it")


def _tasks_help() -> str:
    return "'all', or some of: " + ", ".join(known_tasks())


def _settings_help() -> str:
    return (
        "'ours' (default), 'paper' (its Tables 2 and 3), 'code' (its authors' defaults), 'joint' "
        "(music, keys that depend on each other) or 'modern' (MNIST, a net of today's parts)"
    )


def _quick(options: argparse.Namespace) -> int:
    from benchmarks.report.report import write_report

    store = Store(options.results)
    complete = make(options, store, quick_runs())
    print_summary(summarize(store.results()), write_report(store))
    return 0 if complete else 1


def _run(options: argparse.Namespace) -> int:
    settings = options.settings
    tasks = known_tasks(settings) if options.tasks == ["all"] else options.tasks
    runs = select(tasks, options.models, options.seeds, settings)
    complete = make(options, Store(options.results), runs, options.override)
    return 0 if complete else 1


def _search(options: argparse.Namespace) -> int:
    from benchmarks.studies.search import Search, print_trials

    store = Store(options.results)
    search = Search.of(
        options.task,
        options.models,
        trials=options.trials,
        seed=options.seed,
        budget_epochs=options.budget_epochs,
    )
    runs = list(search.drawn)
    # Trials of two searches cannot be compared: either all of them are made, or none.
    complete = make(options, store, runs, options.override, search.drawn, whole=True)
    print_trials(search, store)
    return 0 if complete else 1


def _study(options: argparse.Namespace) -> int:
    from benchmarks.studies import ablations, memory_curve
    from benchmarks.studies.study import points_named, store_of

    points = {each.NAME: each.points for each in (memory_curve, ablations)}[options.study]()
    complete = True
    for point in points_named(points, options.points):
        print(f"{options.study}: {point.name}", flush=True)
        runs = select([point.task], point.models, options.seeds)
        store = store_of(options.results, options.study, point)
        drawn = {run: point.drawn.get(run.model, ()) for run in runs}
        complete &= make(options, store, runs, point.overrides, drawn)
    return 0 if complete else 1


def _report(options: argparse.Namespace) -> int:
    from benchmarks.report.report import write_report

    for path in write_report(Store(options.results), options.output):
        print(path)
    return 0


def _many_to_one(options: argparse.Namespace) -> int:
    from benchmarks.studies.many_to_one import measure_all

    measure_all(threads=options.threads, rounds=options.rounds, output=options.json)
    return 0


def _clip(options: argparse.Namespace) -> int:
    from benchmarks.studies.clip import measure

    measure(
        options.checkpoint,
        options.json,
        seconds=options.seconds,
        seed=options.seed,
        command=options.command_line,
    )
    return 0


def _speed(options: argparse.Namespace) -> int:
    from benchmarks.speed.page import measure_all

    measure_all(
        threads=list(dict.fromkeys(options.threads)),
        rounds=options.rounds,
        only=options.only,
        with_sweep=not options.no_sweep,
        output=options.json,
        command=options.command_line,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
