"""The command line of ``python -m benchmarks forecasting``; light, so that its help is quick."""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.grid.runs import ROOT

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
        help="default: all; peers where they are installed",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--report", action="store_true", help="write the page alone")
    parser.add_argument("--live", action="store_true",
                        help="time a new row and the next forecast, and nothing else")  # fmt: skip
    parser.add_argument("--scale", nargs="+", type=int, metavar="N",
                        help="forecast N short series, and nothing else")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="turns of --live")


def _run(options: argparse.Namespace) -> int:
    from benchmarks.forecasting.command import Plan, run

    plan = Plan(
        sets=options.sets,
        horizons=options.horizons,
        models=options.models,
        seeds=options.seeds,
        threads=options.threads,
        command=options.command_line,
    )
    if options.live:
        from benchmarks.forecasting import live

        print(
            live.measure(
                options.results,
                rounds=options.rounds,
                threads=options.threads,
                command=options.command_line,
            )
        )
    if options.scale:
        from benchmarks.forecasting import scale

        print(
            scale.measure(
                options.results,
                options.scale,
                threads=options.threads,
                command=options.command_line,
            )
        )
    report_only = options.report or options.live or bool(options.scale)
    for path in run(plan, options.results, report_only=report_only):
        print(path)
    return 0
