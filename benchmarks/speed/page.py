"""The measurements as rows of a table, a JSON file and a figure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.grid.files import write_atomically, write_json
from benchmarks.grid.provenance import origin
from benchmarks.speed.case import Case
from benchmarks.speed.cases import cases
from benchmarks.speed.contestants import PEER, peer_installed
from benchmarks.speed.limits import Limits, measure_limits
from benchmarks.speed.sweeps import Point, sweep
from benchmarks.speed.timing import Spread, ratios, spread, take_turns

WIDTH = 100


@dataclass(frozen=True)
class Row:
    """One contestant in one case.

    Attributes:
        microseconds: per unit of work.
        ratio: how many times longer than ours, turn by turn; 1 for ours.
        share: of the machine's matrix rate, None if that is meaningless.
    """

    kind: str
    case: str
    unit: str
    threads: int
    contestant: str
    microseconds: Spread
    ratio: Spread
    share: float | None


def measure(case: Case, limits: Limits, *, threads: int, rounds: int) -> list[Row]:
    """Times the contestants of a case in turns."""
    turns = take_turns(case.actions, rounds=rounds, before=case.before)
    ours = next(iter(case.actions))
    per_unit = {
        name: [1e6 * seconds / case.units.get(name, 1) for seconds in times]
        for name, times in turns.items()
    }
    rows = []
    for name, times in per_unit.items():
        seconds = spread(turns[name]).median
        recurrent = name.startswith("nn.")
        counts = case.operations > 0 and not recurrent
        rows.append(
            Row(
                case.kind,
                case.name,
                case.unit,
                threads,
                name,
                spread(times),
                ratios(times, per_unit[ours]),
                case.operations / seconds / limits.matrix if counts else None,
            )
        )
    return rows


def measure_all(
    *,
    threads: Sequence[int],
    rounds: int,
    only: str = "",
    with_sweep: bool = True,
    output: Path | None = None,
    command: str = "",
) -> list[Row]:
    """Measures every case whose kind contains ``only``, prints the tables, writes the results.

    Raises:
        ValueError: a number of threads is below 1, or no case is left.
    """
    if any(count < 1 for count in threads):
        raise ValueError(f"threads is {list(threads)}: give 1 or more")
    chosen = [build for kind, build in cases() if only in kind]
    if not chosen:
        kinds = ", ".join(dict.fromkeys(repr(kind) for kind, _ in cases()))
        raise ValueError(f"only is {only!r}: no kind of case contains it; there are {kinds}")
    console = Console(width=max(Console().width, WIDTH))
    if not peer_installed():
        console.print(f"{PEER} is not installed: its column is missing (pip install -e '.[peers]')")
    rows: list[Row] = []
    limits: dict[int, Limits] = {}
    for count in threads:
        torch.set_num_threads(count)
        limits[count] = measure_limits(rounds=rounds)
        console.print(
            f"{count} thread(s): matrix product {limits[count].matrix / 1e9:.0f} GFLOP/s, "
            f"memory {limits[count].memory / 1e9:.1f} GB/s"
        )
        for build in chosen:
            torch.manual_seed(0)
            case = build()
            rows += measure(case, limits[count], threads=count, rounds=rounds)
            console.print(table([row for row in rows if _same(row, case, count)]))
    torch.set_num_threads(threads[0])
    points = list(sweep(rounds=3)) if with_sweep else []
    if output is not None:
        write(output, rows, limits, points, threads=max(threads), rounds=rounds, command=command)
    return rows


def _same(row: Row, case: Case, threads: int) -> bool:
    return (row.kind, row.case, row.threads) == (case.kind, case.name, threads)


def table(rows: Sequence[Row]) -> Table:
    """The contestants of one case, with the ratio's quartiles."""
    first = rows[0]
    heading = f"{first.kind}, {first.threads} thread(s)\n{first.case}; us per {first.unit}"
    shown = Table(title=heading, title_justify="left")
    shown.add_column("", no_wrap=True)
    for heading in ("us", "times ours (quartiles)", "of matrix rate"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        ratio = row.ratio
        shown.add_row(
            row.contestant,
            f"{row.microseconds.median:,.1f}",
            f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})",
            "" if row.share is None else f"{row.share:.0%}",
        )
    return shown


def write(
    output: Path,
    rows: Sequence[Row],
    limits: dict[int, Limits],
    points: Sequence[Point],
    *,
    threads: int,
    rounds: int,
    command: str,
) -> None:
    """Writes the JSON file and, next to it, the figure of the sweeps."""
    content: dict[str, Any] = {
        **origin(command, threads, [PEER] if peer_installed() else []),
        "rounds": rounds,
        "limits": {str(count): asdict(each) for count, each in limits.items()},
        "rows": [asdict(row) for row in rows],
        "sweeps": [asdict(point) for point in points],
    }
    write_json(output, content)
    if points:
        from benchmarks.speed.figure import draw

        write_atomically(output.with_suffix(".svg"), draw(points).encode())
