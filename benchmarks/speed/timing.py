"""Timing by turns: the contestants alternate, so a slow moment of the machine affects them all.

Every turn gives one ratio between two contestants. The median of the ratios is reported with their
quartiles, which drift far less than the times themselves.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Action = Callable[[], object]

SHORTEST_TURN = 0.02
"""Seconds: an action is repeated within its turn until the clock's noise no longer matters."""


CALLS_AFTER_OTHER_WORK = 25
"""Calls in a turn when other work is done between them."""


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float


def take_turns(
    actions: Mapping[str, Action], *, rounds: int, before: Action | None = None
) -> dict[str, list[float]]:
    """Seconds of one call, per contestant and turn; two turns before these do not count.

    Args:
        actions: by contestant.
        rounds: turns of each.
        before: done before every call and not timed; each call is then timed separately, and a turn
            is the median of its calls, since an interrupted one tells nothing.

    Raises:
        ValueError: ``rounds`` is below 2.
    """
    if rounds < 2:
        raise ValueError(f"rounds is {rounds}: give 2 or more, a spread needs them")
    repeats = {name: _repeats(action) for name, action in actions.items()}
    turns: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds + 1):
        for name, action in actions.items():
            turns[name].append(
                _seconds(action, repeats[name]) if before is None else _after(before, action)
            )
    return {name: seconds[1:] for name, seconds in turns.items()}


def _repeats(action: Action) -> int:
    """How many calls fill a turn; finding out is the first turn that does not count."""
    action()
    return max(1, round(SHORTEST_TURN / _seconds(action, 1)))


def _after(before: Action, action: Action) -> float:
    seconds = []
    for _ in range(CALLS_AFTER_OTHER_WORK):
        before()
        seconds.append(_seconds(action, 1))
    return statistics.median(seconds)


def _seconds(action: Action, repeats: int) -> float:
    begun = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - begun) / repeats


def spread(values: list[float]) -> Spread:
    """Median and quartiles of at least two values."""
    low, median, high = statistics.quantiles(values, n=4)
    return Spread(median, low, high)


def ratios(slower: list[float], faster: list[float]) -> Spread:
    """How many times longer ``slower`` takes, turn by turn."""
    return spread([a / b for a, b in zip(slower, faster, strict=True)])
