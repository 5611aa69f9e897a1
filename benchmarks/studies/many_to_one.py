"""What computing only the last step saves in training, compared with the whole sequence.

Both sides are the same net with the same weights on the same batch, and take turns: once with plain
PyTorch layers, where the ratio is that of the work, and once with the native kernels, with which
the whole sequence is even faster than its part.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.grid.files import write_json
from benchmarks.grid.provenance import origin
from benchmarks.speed.timing import ratios, spread, take_turns
from tcn.models import TCN, SequenceModel
from tcn.native import library, switched_off


@dataclass(frozen=True)
class Case:
    """A net of Bai et al. 2018, Table 2, and the batch it is trained on."""

    name: str
    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    kernel_size: int
    time: int
    batch: int


CASES = (
    Case("adding, T = 600", 2, 1, (24,) * 8, 8, 600, 32),
    Case("sequential MNIST", 1, 10, (25,) * 8, 7, 784, 64),
)


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a training step as medians, and the quartiles of the ratios of the turns."""

    case: str
    kernels: bool
    last_step: float
    whole_sequence: float
    ratio: float
    ratio_low: float
    ratio_high: float
    rounds: int
    difference: float


def whole_sequence(net: SequenceModel, x: Tensor) -> Tensor:
    """What ``net(x)`` gives, computed for every step, with only the last one read."""
    output: Tensor = net.head(net.backbone(x)[..., -1])
    return output


def measure(case: Case, *, kernels: bool = True, rounds: int = 15, seed: int = 0) -> Timing:
    """Times both ways in turns.

    Raises:
        ValueError: ``rounds`` is below 2.
        RuntimeError: the results of the two ways differ by more than 1e-4.
    """
    torch.manual_seed(seed)
    backbone = TCN(case.in_channels, case.channels, case.kernel_size)
    net = SequenceModel(backbone, case.out_channels, readout="last")
    x = torch.rand(case.batch, case.in_channels, case.time)
    y = torch.rand(case.batch, case.out_channels)
    difference = (net(x) - whole_sequence(net, x)).abs().max().item()
    if difference > 1e-4:
        raise RuntimeError(f"{case.name}: the two ways differ by {difference}")
    optimizer = torch.optim.Adam(net.parameters())

    def last() -> Tensor:
        output: Tensor = net(x)
        return output

    actions = {
        "last": lambda: _step(net, optimizer, last, y),
        "whole": lambda: _step(net, optimizer, lambda: whole_sequence(net, x), y),
    }
    with nullcontext() if kernels else switched_off():
        turns = take_turns(actions, rounds=rounds)
    ratio = ratios(turns["whole"], turns["last"])
    return Timing(
        case=case.name,
        kernels=kernels and library() is not None,
        last_step=1000 * spread(turns["last"]).median,
        whole_sequence=1000 * spread(turns["whole"]).median,
        ratio=ratio.median,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        rounds=rounds,
        difference=difference,
    )


def _step(
    net: nn.Module, optimizer: torch.optim.Optimizer, way: Callable[[], Tensor], y: Tensor
) -> None:
    """One training step."""
    optimizer.zero_grad()
    F.mse_loss(way(), y).backward()
    optimizer.step()


def measure_all(*, threads: int = 1, rounds: int = 15, output: Path | None = None) -> list[Timing]:
    """Measures every case, prints a table, and writes ``output`` as JSON if given."""
    if threads < 1:
        raise ValueError(f"threads is {threads}: give 1 or more")
    torch.set_num_threads(threads)
    ways = (False, True) if library() is not None else (False,)
    timings = [measure(case, kernels=kernels, rounds=rounds) for case in CASES for kernels in ways]
    table = Table(title=f"Milliseconds of a training step, {threads} thread(s)")
    for heading in ("net", "layers", "last step only", "whole", "ratio (quartiles)", "difference"):
        table.add_column(heading, justify="left" if heading in ("net", "layers") else "right")
    for each in timings:
        table.add_row(
            each.case,
            "native kernels" if each.kernels else "PyTorch",
            f"{each.last_step:.1f}",
            f"{each.whole_sequence:.1f}",
            f"{each.ratio:.2f} ({each.ratio_low:.2f} to {each.ratio_high:.2f})",
            f"{each.difference:.0e}",
        )
    Console(width=max(Console().width, 100)).print(table)
    if output is not None:
        content = {
            **origin(
                f"python -m benchmarks many_to_one --threads {threads} --rounds {rounds}", threads
            ),
            "timings": [asdict(each) for each in timings],
        }
        write_json(output, content)
    return timings
