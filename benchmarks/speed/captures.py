"""Captured amplifiers, block by block as they are played, and the whole sound by PyTorch."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from benchmarks.speed.case import OURS, Case
from benchmarks.speed.timing import Action
from tcn.audio import load_nam
from tcn.inference import StreamSession
from tcn.layers import Conv1d
from tcn.models import Capture, NAMBlock, NAMStack, NAMWaveNet

STEPS = 64
SOUND = 2 * 48000
"""Steps of the whole sound, which PyTorch is given at once: two seconds."""

FILES = {
    "A1": ("wavenet_a1_standard.nam", None),
    "A2": ("A2.nam", None),
    "A2 lite": ("A2.nam", 0.0),
}
"""Of ``$TCN_DATA_DIR/nam``, by architecture, with the width of the net in the file."""

POWERS = tuple((3, 2**power) for power in range(10))
WIDE = tuple((6, dilation) for dilation in (1, 3, 7, 17, 41, 101, 239))
A2 = (*WIDE, *WIDE, (15, 1), (15, 13), *WIDE)
"""Kernel size and dilation of each block."""


def captured(name: str) -> Case:
    """One more block of a stream, a reset and a block, and as many steps of the whole sound."""
    net = capture(name)
    sound = 0.1 * torch.randn(1, 1, SOUND)
    blocks = itertools.cycle(sound[..., : 64 * STEPS].split(STEPS, dim=-1))
    session, other = StreamSession(net), StreamSession(net)

    def begin() -> None:
        other.reset()
        other.push(next(blocks))

    actions: dict[str, Action] = {
        OURS: lambda: session.push(next(blocks)),
        "tcn, a reset before the block": begin,
        "the whole sound by PyTorch": torch.inference_mode()(lambda: net(sound)),
    }
    units = {label: SOUND // STEPS if "whole" in label else 1 for label in actions}
    file = "a file" if path(name) is not None else "random weights"
    return Case(
        "captures", f"{name}, {file}, blocks of {STEPS} steps", actions, unit="block", units=units
    )


def path(name: str) -> Path | None:
    """The file, if there is one."""
    folder = os.environ.get("TCN_DATA_DIR")
    found = Path(folder) / "nam" / FILES[name][0] if folder else None
    return found if found is not None and found.exists() else None


def capture(name: str) -> Capture:
    """The net of the file, or of the same sizes with random weights."""
    found = path(name)
    if found is not None:
        return load_nam(found, width=FILES[name][1])
    if name == "A1":
        stacks = [stack(1, 16, POWERS, nn.Tanh(), 8), stack(16, 8, POWERS, nn.Tanh(), 1)]
    else:
        width = 3 if "lite" in name else 8
        stacks = [stack(1, width, A2, nn.LeakyReLU(), 1, head_kernel=16)]
    return Capture(NAMWaveNet(stacks, scale=0.02)).eval()


def stack(
    inputs: int,
    width: int,
    blocks: Sequence[tuple[int, int]],
    activation: nn.Module,
    outputs: int,
    *,
    head_kernel: int = 1,
) -> NAMStack:
    """Blocks of one width and their head."""
    made = [
        NAMBlock(
            Conv1d(width, width, kernel, dilation=dilation),
            Conv1d(1, width, 1, bias=False),
            activation,
            residual=Conv1d(width, width, 1),
        )
        for kernel, dilation in blocks
    ]
    entry = Conv1d(inputs, width, 1, bias=False)
    return NAMStack(entry, made, Conv1d(width, outputs, head_kernel))
