"""The command line of ``python -m benchmarks forecasting``; imports little, so help is quick."""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.grid.command import add_plan, make, threads_of
from benchmarks.grid.runs import ROOT
from benchmarks.grid.store import Store

RESULTS = ROOT / "benchmarks" / "results" / "forecasting"
DEFAULT_SETS = ("ETTh1", "ETTm1", "weather", "exchange_rate", "national_illness", "m4_hourly")


def add_parser(actions: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    parser = actions.add_parser(
        "forecasting", help="forecasts beside DLinear, a seasonal naive and the peers, and a page"
    )
    parser.set_defaults(action=_run)
    parser.add_argument(
        "--sets",
        nargs="+",
        default=list(DEFAULT_SETS),
        metavar="SET",
        help="of long horizon, m4_hourly, of the Monash archive (default: %(default)s)",
    )
    parser.add_argument(
        "--horizons",
        nargs="+",
        type=int,
        metavar="N",
        help="of the long-horizon sets (default: the first published one)",
    )
    parser.add_argument(
        "--models",
        nargs="+",
        metavar="MODEL",
        help="default: all but those of many series alone; peers where they are installed",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--report", action="store_true", help="write the page alone")
    parser.add_argument("--live", action="store_true",
                        help="time a new row and the next forecast, and nothing else")  # fmt: skip
    parser.add_argument("--scale", nargs="+", type=int, metavar="N",
                        help="forecast N short series, and nothing else")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="turns of --live")
    add_plan(parser, workers=1, threads=1)


def _run(options: argparse.Namespace) -> int:
    from benchmarks.forecasting import live, runs, scale
    from benchmarks.forecasting.page import write_page

    store, complete = Store(options.results), True
    around: dict[str, Any] = {"threads": threads_of(options), "command": options.command_line}
    if options.live:
        print(live.measure(store.folder, rounds=options.rounds, **around))
    if options.scale:
        print(scale.measure(store.folder, options.scale, **around))
    if not (options.report or options.live or options.scale):
        asked = runs.chosen(options.sets, options.horizons, options.models, options.seeds)
        complete = make(options, store, asked, maker=runs.__name__)
    for path in write_page(store):
        print(path)
    return 0 if complete else 1
