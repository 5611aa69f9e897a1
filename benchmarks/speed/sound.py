"""Sound, sample by sample: a WaveNet of 20 layers, one sound or several at once."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.speed.case import OURS, Case
from benchmarks.speed.timing import Action
from tcn.inference import generate, with_bfloat16_weights
from tcn.models import WaveNet
from tcn.outputs import MuLaw

SAMPLES = 4000
"""Of each sound in a call."""
SOUNDS = 8
SPEAKERS = 16


def sound_generation(*, conditioned: bool) -> Case:
    """Samples of mu-law sound, each drawn given all before it; with a speaker or without."""
    speakers = SPEAKERS if conditioned else None
    net = WaveNet(channels=64, skip_channels=256, stacks=2, condition_channels=speakers).eval()
    output = MuLaw()
    nets = {False: net.ahead(), True: with_bfloat16_weights(net).ahead()}

    def draw(
        *, half: bool = False, count: int = 1, steps: int = SAMPLES, native: bool = True
    ) -> None:
        condition = torch.eye(SPEAKERS)[:1].expand(count, -1) if conditioned else None
        begin = torch.zeros(count, 1, 1)
        generate(
            nets[half], begin, steps, seed=0, output=output, condition=condition, native=native
        )

    actions: dict[str, Action] = {
        OURS: draw,
        "tcn, weights of 16 bits": partial(draw, half=True),
        f"tcn, {SOUNDS} sounds": partial(draw, count=SOUNDS),
        f"tcn, {SOUNDS} sounds, weights of 16 bits": partial(draw, half=True, count=SOUNDS),
        "tcn, PyTorch layers": partial(draw, steps=10, native=False),
    }
    units = {
        name: 10 if "PyTorch" in name else SAMPLES * (SOUNDS if "sounds" in name else 1)
        for name in actions
    }
    name = "20 layers, 64 residual, 128 gate, 256 skip, 256 levels"
    name += f", one of {SPEAKERS} speakers" if conditioned else ""
    return Case("sound generation", name, actions, unit="sample", units=units)
