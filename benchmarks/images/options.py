"""The command lines of ``python -m benchmarks images``, ``audio`` and ``notes``; help is quick."""

import argparse
from typing import Any

from benchmarks.grid.command import add_plan, make
from benchmarks.grid.runs import ROOT
from benchmarks.grid.store import Store
from benchmarks.images.runs import AUDIO, IMAGES, NOTES, chosen, known_tasks

RESULTS = ROOT / "benchmarks" / "results"


HELP = {
    IMAGES: "nets for images, and their page",
    AUDIO: "nets for sound, and their page",
    NOTES: "questions about nets of convolutions, and their page",
}


def add_parser(actions: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommands."""
    for pipeline, text in HELP.items():
        parser = actions.add_parser(pipeline, help=text)
        parser.set_defaults(action=_run, pipeline=pipeline)
        known = ", ".join(known_tasks(pipeline))
        parser.add_argument("--tasks", nargs="+", metavar="TASK",
                            help=f"some of: {known} (default: all)")  # fmt: skip
        parser.add_argument("--models", nargs="+", metavar="MODEL",
                            help="default: all with a config")  # fmt: skip
        parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
        parser.add_argument("--results", default=RESULTS, metavar="DIR")
        parser.add_argument(
            "--report", action="store_true", help="write the page of all results alone"
        )
        parser.add_argument("--minutes", type=float, metavar="M",
                            help="stop each run after the epoch in which they are over; its curve "
                            "so far is kept, and the same command goes on from there")  # fmt: skip
        parser.add_argument("--override", nargs="+", action="extend", default=[],
                            metavar="KEY=VALUE", help="laid over every config")  # fmt: skip
        add_plan(parser)
        parser.add_argument("--retry-failed", action="store_true", help="diverged runs again")


def _run(options: argparse.Namespace) -> int:
    from benchmarks.images.page import write_page

    store, complete, pipeline = Store(options.results), True, options.pipeline
    runs = chosen(options.tasks, options.models, options.seeds, pipeline)
    if not options.report:
        complete = make(options, store, runs, options.override)
        if not complete and not any(store.results(tasks=f"{pipeline}/*")):
            return 1  # why has been said
    for path in write_page(store, pipeline):
        print(path)
    return 0 if complete else 1
