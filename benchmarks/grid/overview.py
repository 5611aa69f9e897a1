"""The state of all runs in one place: a live table on a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from benchmarks.grid.runs import Run

STYLES = {
    "waiting": "dim",
    "running": "bold cyan",
    "elsewhere": "cyan",
    "finished": "green",
    "kept": "dim green",
    "failed": "bold yellow",
    "unfinished": "yellow",
    "crashed": "bold red",
    "refused": "bold red",
}
ORDER = (
    "running",
    "elsewhere",
    "crashed",
    "refused",
    "failed",
    "unfinished",
    "finished",
    "kept",
    "waiting",
)
PLAIN_SECONDS = 5.0


@dataclass
class Progress:
    """What is known about one run, from its journal and from its process.

    ``state``: waiting, running, elsewhere (another ``benchmarks run`` has it), finished, kept
    (finished before), failed (diverged), unfinished (its time was over), refused (one made with
    other settings exists) or crashed (an error; ``message`` says where to look).
    """

    run: Run
    state: str = "waiting"
    epoch: int = 0
    epochs: int = 0
    fraction: float = 0.0
    metric: str = ""
    value: float | None = None
    seconds: float = 0.0
    message: str = ""
    changed: float = field(default_factory=time.monotonic)

    def apply(self, event: dict[str, Any]) -> bool:
        """Takes in one journal event; true when an epoch was finished."""
        kind = event.get("event")
        if kind == "start":
            self.epoch, self.epochs, self.fraction = event["after"], event["epochs"], 0.0
        elif kind == "progress":
            self.epochs, self.fraction = event["epochs"], event["fraction"]
            self.seconds = event["seconds"]
        elif kind == "epoch":
            self.epoch, self.epochs, self.fraction = event["epoch"], event["epochs"], 0.0
            self.metric, self.value = event["metric"], event["value"]
            self.seconds = event["seconds"]
        return kind == "epoch"

    @property
    def done(self) -> float:
        """The part of the epochs done, from 0 to 1."""
        if self.state in ("finished", "kept", "failed"):
            return 1.0
        return min(1.0, (self.epoch + self.fraction) / self.epochs) if self.epochs > 0 else 0.0

    def set_state(self, state: str, message: str = "") -> None:
        self.state, self.message, self.changed = state, message, time.monotonic()

    def describe(self) -> str:
        parts = [f"{self.run}: {self.state}"]
        if self.epoch and self.state not in ("waiting", "kept"):
            parts.append(f"epoch {self.epoch}/{self.epochs}")
        if self.metric:
            parts.append(f"{self.metric} {number(self.value)}")
        if self.seconds:
            parts.append(f"{self.seconds:.0f} s")
        return ", ".join(parts) + (f" ({self.message})" if self.message else "")


class Overview:
    """Shows the progress of all runs.

    Args:
        entries: one per run; the scheduler changes them, the overview reads them.
        console: where to show it; by default the standard output.
    """

    def __init__(self, entries: Sequence[Progress], console: Console | None = None) -> None:
        self.entries = entries
        self.console = console or Console(file=sys.stdout)
        self._begun = time.monotonic()
        self._told: dict[Run, float] = {}
        self._live: Live | None = None
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=self.render, console=self.console, refresh_per_second=2
            )

    def __enter__(self) -> "Overview":
        self._context: AbstractContextManager[Any] = self._live or nullcontext()
        self._context.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._context.__exit__(*details)

    def state_changed(self, entry: Progress) -> None:
        """A line for each change; on a terminal, above the table, only for problems."""
        if self._live is None or entry.state in ("crashed", "refused", "failed"):
            self._tell(entry)

    def epoch_finished(self, entry: Progress) -> None:
        """Prints a line, but not for every quick epoch; on a terminal the table shows it."""
        recent = time.monotonic() - self._told.get(entry.run, -math.inf) < PLAIN_SECONDS
        if self._live is None and not recent:
            self._tell(entry)

    def _tell(self, entry: Progress) -> None:
        self._told[entry.run] = time.monotonic()
        self.console.print(entry.describe(), markup=False, highlight=False, soft_wrap=True)

    def render(self) -> Group:
        """The table: running runs on top, then the latest; as many rows as fit on the screen."""
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("task", "model"):
            table.add_column(name, no_wrap=True)
        table.add_column("seed", justify="right", no_wrap=True, min_width=4)
        table.add_column("state", no_wrap=True)
        table.add_column("epoch", justify="right", no_wrap=True)
        table.add_column("", width=12)
        table.add_column("validation", no_wrap=True, overflow="ellipsis", max_width=26)
        table.add_column("time", justify="right", no_wrap=True)
        ranked = sorted(self.entries, key=_rank)
        rows = max(4, self.console.height - 5)
        for entry in ranked[:rows]:
            table.add_row(*_row(entry))
        hidden = len(ranked) - rows
        note = [Text(f"... and {hidden} more", style="dim")] if hidden > 0 else []
        return Group(table, *note, self.totals())

    def totals(self) -> Text:
        counts = Counter(entry.state for entry in self.entries)
        line = Text()
        for state in ORDER:
            if counts[state]:
                line.append(f"{counts[state]} {state}  ", style=STYLES[state])
        share = sum(entry.done for entry in self.entries) / max(1, len(self.entries))
        spent = clock(time.monotonic() - self._begun)
        return line.append(f"{share:.0%} of all runs, {spent}", style="dim")


def _rank(entry: Progress) -> tuple[int, float]:
    """By state, the latest change first; waiting runs in the order given."""
    return ORDER.index(entry.state), 0.0 if entry.state == "waiting" else -entry.changed


def _row(entry: Progress) -> list[Any]:
    run = entry.run
    return [
        run.group,
        run.model,
        str(run.seed),
        Text(entry.state, style=STYLES[entry.state]),
        f"{entry.epoch}/{entry.epochs}" if entry.epochs else "",
        ProgressBar(total=1.0, completed=entry.done, width=12, complete_style="cyan"),
        f"{entry.metric.replace('val_', '')} {number(entry.value)}"
        if entry.metric
        else Text(entry.message, style="dim"),
        clock(entry.seconds) if entry.seconds else "",
    ]


def number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def clock(seconds: float) -> str:
    """``75.2`` -> ``"1:15"``, ``3725`` -> ``"1:02:05"``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
