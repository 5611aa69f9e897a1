"""What the machine itself can do, measured in the same run as what it is compared with."""

from dataclasses import dataclass

import torch

from benchmarks.speed.timing import Action, spread, take_turns

SIDE = 1024
BYTES = 256 * 2**20


@dataclass(frozen=True)
class Limits:
    """Rates of the machine with the threads in use.

    Attributes:
        matrix: floating-point operations per second of a float32 matrix product, 1024 on a side.
        memory: bytes per second read and written by a copy of 256 MiB.
    """

    matrix: float
    memory: float


def measure_limits(*, rounds: int) -> Limits:
    a, b = torch.randn(2, SIDE, SIDE)
    source, target = torch.randn(2, BYTES // 4)
    product = torch.empty(SIDE, SIDE)
    actions: dict[str, Action] = {
        "matrix": lambda: torch.mm(a, b, out=product),
        "memory": lambda: target.copy_(source),
    }
    turns = take_turns(actions, rounds=rounds)
    return Limits(
        matrix=2 * SIDE**3 / spread(turns["matrix"]).median,
        memory=2 * BYTES / spread(turns["memory"]).median,
    )
