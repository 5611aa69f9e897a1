"""Saves that do not get to their end: killed, or refused by the disk, at each call of the system.

    python interrupted.py KIND killed|refused FOLDER EVERY

prints, as JSON, how many calls a save makes, and after which of them the folder held the old one,
the new one, or anything else. After every EVERY-th the next save follows, and must clear up.
"""

import errno
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tcn.inference import StreamSession, from_pretrained, save_pretrained
from tcn.models import TCN

CALLS = (
    "open", "write", "close", "fsync", "fdatasync", "mkdir", "rmdir", "unlink", "remove", "rename",
    "replace", "link", "symlink", "truncate", "ftruncate", "chmod", "utime", "stat", "lstat",
    "fstat", "scandir", "listdir",
)  # fmt: skip
"""The functions of `os` through which Python saves."""


# --------------------------------------------------------------- what is saved, and read again


def net(number: int) -> TCN:
    """A net of its own shape and weights for every number."""
    made = TCN(2, [3 + number], 2).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.fill_(number)
    return made


def saved_net(folder: Path) -> Any:
    found = from_pretrained(folder)
    weights = {x for part in found.parameters() for x in part.flatten().tolist()}
    return [found.out_channels, sorted(weights)]


def session(number: int) -> StreamSession:
    live = StreamSession(net(1), 2 + number)
    live.push(torch.full((2 + number, 2, 5), float(number)))
    return live


def saved_session(folder: Path) -> Any:
    live = StreamSession.load(folder / "users", net(1))
    return live.push(torch.zeros(live.batch_size, 2, 1)).tolist()


def forecaster(number: int) -> Any:
    import numpy as np
    import pandas as pd

    from tcn.forecasting import Forecaster

    times = pd.date_range("2024-01-01", periods=40)
    frame = pd.DataFrame({"unique_id": "a", "ds": times, "y": number + np.arange(40.0)})
    made = Forecaster(h=2 + number, input_size=4, width=2, max_steps=1, accelerator="cpu")
    return made.fit(frame)


def saved_forecaster(folder: Path) -> Any:
    from tcn.forecasting import Forecaster

    return Forecaster.load(folder).predict()["TCN"].tolist()


KINDS: dict[str, tuple[Callable[[int], Any], Callable[[Any, Path], Any], Callable[[Path], Any]]] = {
    "net": (net, save_pretrained, saved_net),
    "session": (session, lambda live, folder: live.save(folder / "users"), saved_session),
    "forecaster": (forecaster, lambda given, folder: given.save(folder), saved_forecaster),
}


# --------------------------------------------------------------------------- interruptions


class Interrupted:
    """Counts the calls of the system, and does something else in place of one of them."""

    def __init__(self, at: int, instead: Callable[..., Any]) -> None:
        self.at, self.instead, self.count = at, instead, 0

    def __enter__(self) -> "Interrupted":
        self.real = {name: getattr(os, name) for name in CALLS} | {"flock": fcntl.flock}
        for name, call in self.real.items():
            setattr(fcntl if name == "flock" else os, name, partial(self.called, call))
        return self

    def __exit__(self, *error: object) -> None:
        for name, call in self.real.items():
            setattr(fcntl if name == "flock" else os, name, call)

    def called(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.count += 1
        if self.count != self.at:
            return call(*arguments, **named)
        if call is self.real["write"]:  # as much as fitted
            call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
        return self.instead()


def killed() -> None:
    os._exit(9)


def full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def forbidden() -> None:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def save_killed_at(at: int, save: Callable[[], Any]) -> bool:
    """Whether a save in a process of its own came to its end before the call at which it dies."""
    child = os.fork()
    if child == 0:
        with Interrupted(at, killed):
            save()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def save_refused_at(at: int, save: Callable[[], Any]) -> bool:
    """Whether a save came to its end before the call that the disk refuses."""
    with Interrupted(at, full if at % 2 else forbidden) as interrupted:
        try:
            save()
        except OSError:
            return False
    return interrupted.count < at


def main(kind: str, how: str, folder: Path, every: int) -> dict[str, Any]:
    make, save, read = KINDS[kind]
    save_at = {"killed": save_killed_at, "refused": save_refused_at}[how]
    things = [make(number) for number in (0, 1, 2)]
    wanted = []
    for number, thing in enumerate(things):
        save(thing, folder / f"{number}")
        wanted.append(read(folder / f"{number}"))
    names = sorted(file.name for file in (folder / "0").iterdir())
    seen: dict[str, Any] = {"old": 0, "new": 0, "other": [], "left": [], "calls": 0}
    for at in range(1, 1000):
        place = folder / "place"
        shutil.copytree(folder / "0", place)
        ended = save_at(at, lambda: save(things[1], place))  # noqa: B023
        found = read(place)
        outcome = ("old", "new")[wanted.index(found)] if found in wanted[:2] else "other"
        seen[outcome] = seen[outcome] + (1 if outcome != "other" else [at])
        if at % every == 0:
            save(things[2], place)
            left = sorted(file.name for file in place.iterdir())
            if read(place) != wanted[2] or left != names:
                seen["left"].append([at, left])
        shutil.rmtree(place)
        if ended:
            return seen | {"calls": at - 1}
    return seen


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))))
