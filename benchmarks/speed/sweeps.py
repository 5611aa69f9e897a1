"""The cost of a training step against length, batch, depth and width; every step is read."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.speed.cases import training
from benchmarks.speed.contestants import TEXTBOOK, Net
from benchmarks.speed.timing import spread, take_turns


@dataclass(frozen=True)
class Point:
    """Milliseconds of one training step, per contestant, at one value of one size."""

    size: str
    value: int
    milliseconds: dict[str, float]


@dataclass(frozen=True)
class Setting:
    net: Net
    time: int
    batch: int


MIDDLE = Setting(Net(1, (25,) * 6, 7), time=512, batch=8)
"""The values of the other sizes while one of them changes."""


VALUES = {
    "length": (64, 128, 256, 512, 1024, 2048),
    "batch": (1, 2, 4, 8, 16, 32),
    "levels": (2, 3, 4, 5, 6, 7, 8),
    "channels": (8, 16, 32, 64, 128, 256),
}


def sweep(*, rounds: int) -> Iterator[Point]:
    for size, values in VALUES.items():
        for value in values:
            yield measure(size, value, rounds=rounds)


def measure(size: str, value: int, *, rounds: int) -> Point:
    setting = _with(MIDDLE, size, value)
    case = training(size, setting.net, setting.time, setting.batch, 10)
    actions = {name: action for name, action in case.actions.items() if name != TEXTBOOK}
    turns = take_turns(actions, rounds=rounds)
    # Recurrent nets have another width at every point, but one name in the plot.
    return Point(
        size,
        value,
        {name.split(",")[0]: 1000 * spread(seconds).median for name, seconds in turns.items()},
    )


def _with(setting: Setting, size: str, value: int) -> Setting:
    net = setting.net
    if size == "length":
        return replace(setting, time=value)
    if size == "batch":
        return replace(setting, batch=value)
    if size == "levels":
        return replace(setting, net=replace(net, channels=net.channels[:1] * value))
    return replace(setting, net=replace(net, channels=(value,) * len(net.channels)))
