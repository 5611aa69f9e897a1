"""The command line of ``python -m benchmarks images``; imports little, so help is quick."""

import argparse
from typing import Any

from benchmarks.grid.command import add_plan, make
from benchmarks.grid.runs import ROOT
from benchmarks.grid.store import Store
from benchmarks.images.runs import chosen, known_tasks

RESULTS = ROOT / "benchmarks" / "results"


def add_parser(actions: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = actions.add_parser("images", help="nets for images, and their page")
    parser.set_defaults(action=_run)
    parser.add_argument("--tasks", nargs="+", metavar="TASK",
                        help=f"some of: {', '.join(known_tasks())} (default: all)")  # fmt: skip
    parser.add_argument("--models", nargs="+", metavar="MODEL", help="default: all with a config")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--results", default=RESULTS, metavar="DIR")
    parser.add_argument("--report", action="store_true", help="write the page alone")
    parser.add_argument("--minutes", type=float, metavar="M",
                        help="stop each run after the epoch in which they are over; its curve so "
                        "far is kept, and the same command goes on from there")  # fmt: skip
    add_plan(parser)
    parser.add_argument("--retry-failed", action="store_true", help="diverged runs again")


def _run(options: argparse.Namespace) -> int:
    from benchmarks.images.page import write_page

    store, complete = Store(options.results), True
    if not options.report:
        complete = make(options, store, chosen(options.tasks, options.models, options.seeds))
    for path in write_page(store):
        print(path)
    return 0 if complete else 1
