"""What a WaveNet has learned of one clip: bits beside counting, and whether its sound has a pitch.

Bits are those of the samples of the held-out end, each given all before it. Beside them stand two
models that count, fitted to the same beginning: order 0, how often each level comes, and order 1,
how often after each level. Both are smoothed, order 1 with the weight that is best on validation.

Spectral flatness is the geometric mean of a power spectrum by its arithmetic one, with the numbers
of librosa: 2048 samples, every 512, at least 1e-10; the mean over all spectra. It is 1 of silence,
0.56 (e to the -gamma) of white noise, and small where there are tones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.grid.files import write_json
from benchmarks.grid.provenance import origin
from tcn.audio import SoundClips, mu_law_encode, plot_sound
from tcn.commands.trained import Trained, load_trained
from tcn.commands.training import build
from tcn.data.loading import Split
from tcn.inference import generate

HELD_OUT: tuple[Split, ...] = ("validation", "test")
WEIGHTS = (1.0, 4.0, 16.0, 64.0, 256.0)
"""Of the order-0 distribution in the order-1 one, in samples."""
SIZE, HOP, LEAST = 2048, 512, 1e-10
TEMPERATURES = (1.0, 0.8)


def order_0(train: Tensor, levels: int) -> Tensor:
    """``(levels,)``: how often each level comes, one sample of each added."""
    counts = torch.bincount(train, minlength=levels).double() + 1
    return counts / counts.sum()


def order_1(train: Tensor, levels: int, weight: float) -> Tensor:
    """``(levels, levels)``: how often each comes after each, with order 0 as ``weight`` more."""
    counts = torch.zeros(levels, levels, dtype=torch.float64)
    once = torch.ones(len(train) - 1, dtype=torch.float64)
    counts.index_put_((train[:-1], train[1:]), once, accumulate=True)
    return (counts + weight * order_0(train, levels)) / (counts.sum(1, keepdim=True) + weight)


def counted_bits(data: SoundClips) -> dict[str, dict[str, float]]:
    """Bits per sample of the two models that count, of each held-out stretch."""
    levels = data.levels or 256
    parts = [_stretches(data, split, levels) for split in ("train", *HELD_OUT)]
    train = torch.cat([targets for _, targets in parts[0]])
    zero = order_0(train, levels)
    bits = {
        split: {
            "order 0": _mean([-zero[targets].log2() for _, targets in part]),
            **{
                f"order 1, weight {weight:g}": _mean(
                    [-table[before, targets].log2() for before, targets in part]
                )
                for weight in WEIGHTS
                for table in [order_1(train, levels, weight)]
            },
        }
        for split, part in zip(HELD_OUT, parts[1:], strict=True)
    }
    best = min(WEIGHTS, key=lambda weight: bits["validation"][f"order 1, weight {weight:g}"])
    return {
        split: {"order 0": each["order 0"], "order 1": each[f"order 1, weight {best:g}"]}
        for split, each in bits.items()
    }


def _stretches(data: SoundClips, split: Split, levels: int) -> list[tuple[Tensor, Tensor]]:
    """The levels of each clip in a split, those a sample before (first silence) and themselves."""
    found = []
    for part in data.dataset(split).stretches:  # type: ignore[attr-defined]
        level = mu_law_encode(torch.cat([torch.zeros(1), part.samples]), levels)
        found.append((level[part.first : -1], level[part.first + 1 :]))
    return found


def _mean(parts: Sequence[Tensor]) -> float:
    return float(torch.cat(list(parts)).mean())


@torch.no_grad()
def net_bits(net: Any, data: SoundClips, split: Split) -> float:
    """Bits per sample of the net, each sample of the held-out stretch counted once."""
    total, count = 0.0, 0
    for batch in data.batches_in_order(split):
        known = ~batch.y.isnan()
        losses = net.output.losses(net.raw(net(batch.x)), batch.y, known)
        total, count = total + float(losses.sum()), count + int(known.sum())
    return total / count / math.log(2)


def flatness(wave: Tensor) -> float:
    """The mean spectral flatness of a wave, ``(time,)``."""
    spectrum = torch.stft(
        wave, SIZE, HOP, window=torch.hann_window(SIZE), return_complex=True, pad_mode="constant"
    )
    power = spectrum.abs().square().clamp_min(LEAST)
    return float((power.log().mean(0).exp() / power.mean(0)).mean())


def measure(
    checkpoint: Path, output: Path | None, *, seconds: float = 1.0, seed: int = 0, command: str = ""
) -> dict[str, Any]:
    """Measures a run, prints it, and keeps it where it is asked to, with a picture beside it.

    Args:
        checkpoint: the folder of a run of ``tcn fit`` on a ``SoundClips``.
        output: a ``.json`` file; None keeps nothing.
        seconds: of each generated sound.
        seed: of its random numbers.
        command: that is running.

    Raises:
        ValueError: there is no such run, or it was trained on something else.
    """
    trained = load_trained(str(checkpoint), None)
    data = _data_of(checkpoint)
    bits = counted_bits(data)
    for split in HELD_OUT:
        bits[split]["WaveNet"] = net_bits(trained.net, data, split)
    steps = round(seconds * trained.sample_rate)
    sounds = {str(t): _generated(trained, steps, t, seed) for t in TEMPERATURES}
    noise = torch.randn(steps, generator=torch.Generator().manual_seed(seed)) * 0.1
    flat = {"silence": torch.zeros(steps), "white noise": noise, "clip": torch.cat(data.clips)}
    flat |= {f"generated, temperature {t}": sound for t, sound in sounds.items()}
    found = {
        "bits_per_sample": bits,
        "spectral_flatness": {name: flatness(wave) for name, wave in flat.items()},
        "seconds": seconds,
        "seed": seed,
    }
    _print(found)
    if output is not None:
        write_json(output, {**found, **origin(command, threads=1, workers=1)})
        for temperature, sound in sounds.items():
            title = f"generated, temperature {temperature}, seed {seed}"
            figure = plot_sound(sound[None], sample_rate=trained.sample_rate, title=title)
            figure.savefig(output.with_name(f"{output.stem}_{temperature}.png"), dpi=80)
    return found


def _data_of(checkpoint: Path) -> SoundClips:
    from tcn.commands.trained import files_of

    config, _ = files_of(checkpoint)
    data = build(config, ["trainer.logger=false", "trainer.enable_checkpointing=false"]).datamodule
    if not isinstance(data, SoundClips):
        raise ValueError(f"--checkpoint: {checkpoint} was trained on {type(data).__name__}")
    return data


def _generated(trained: Trained, steps: int, temperature: float, seed: int) -> Tensor:
    net = trained.net
    drawn = generate(
        net.ahead(), torch.zeros(1, 1, 1), steps, output=net.output, seed=seed,
        temperature=temperature,
    )  # fmt: skip
    return drawn[0, 0]


def _print(found: dict[str, Any]) -> None:
    for split, bits in found["bits_per_sample"].items():
        print(f"bits per sample, {split}: " + ", ".join(f"{k} {v:.3f}" for k, v in bits.items()))
    for name, value in found["spectral_flatness"].items():
        print(f"spectral flatness, {name}: {value:.4f}")
