"""The stages of EfficientNet-lite0 beside inferior temporal cortex, on 92 pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.brain.weights import efficientnet_lite0
from benchmarks.grid.files import write_atomically, write_json
from benchmarks.grid.provenance import origin
from tcn.explain import (
    Brain92,
    Comparison,
    arrangement,
    compare,
    dissimilarities,
    dissimilarities_of,
    load_brain92,
    plot_agreement,
    plot_arrangement,
    plot_dissimilarities,
)

SIZE = 224
LITE = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""Mean and deviation: inputs from -1 to 1, as timm has it of TensorFlow's EfficientNet-lite."""
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GRAY = (0.299, 0.587, 0.114)
PREPARED = (
    "pictures of 175 x 175 pixels, objects on gray, enlarged to 224 x 224 (bilinear), from -1 to "
    "1; dissimilarity 1 - Pearson's r over all channels and positions of a stage; sessions of a "
    "person averaged; pixels: gray values (ITU-R BT.601)"
)
TRAINED, RANDOM, OTHERWISE = "trained", "random weights", "trained, ImageNet's mean and deviation"
STAGES = {
    "stem": "bn1",
    **{f"block {i}": f"blocks.{i}" for i in range(7)},
    "head": "bn2",
    "mean": "global_pool",
}
"""Names of timm's modules; ``bn1`` and ``bn2`` hold the activation too."""
PIXELS = "pixels"
Matrices = dict[str, np.ndarray[Any, Any]]


def prepared(pictures: Tensor, levels: tuple[Sequence[float], Sequence[float]] = LITE) -> Tensor:
    """``(pictures, 3, 224, 224)`` less a mean, by a deviation per channel."""
    large = torch.nn.functional.interpolate(pictures, size=SIZE, mode="bilinear")
    mean, deviation = (torch.tensor(each)[:, None, None] for each in levels)
    return (large - mean) / deviation


def gray(pictures: Tensor) -> Tensor:
    """``(pictures, height, width)``."""
    return (pictures * torch.tensor(GRAY)[:, None, None]).sum(1)


def measure(
    weights: Path,
    data: Path,
    output: Path,
    *,
    bootstrap: int = 200,
    seed: int = 0,
    pictures: Path | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Compares, prints, and keeps the numbers with a figure beside them.

    Args:
        weights: see :func:`benchmarks.brain.weights.efficientnet_lite0`.
        data: folder of the 92 pictures.
        output: a ``.json`` file.
        bootstrap: samples of the standard errors.
        seed: of the random weights and of the bootstrap.
        pictures: a folder for matrices and arrangements; None writes none.
        command: that is running.

    Raises:
        ValueError: weights or data are absent or others.
    """
    try:
        brain, trained = load_brain92(data), efficientnet_lite0(weights)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    models = _models(brain, trained, seed)
    found, figures = {}, {}
    for area, each in _compared(brain, models, bootstrap, seed).items():
        found[area] = {name: _numbers(comparison) for name, comparison in each.items()}
        shown = {name: each[name] for name in (TRAINED, RANDOM)}
        figures[area] = plot_agreement(shown, title=f"EfficientNet-lite0 and {area}")
        _print(area, each)
    content = {
        "prepared": PREPARED,
        "bootstrap": bootstrap,
        "seed": seed,
        "tau_a": found,
    }
    threads = torch.get_num_threads()
    packages = ("rsatoolbox", "timm", "scipy")
    write_json(output, {**content, **origin(command, threads, packages)})
    for area, figure in figures.items():
        name = output.stem + ("" if area == "human IT" else "_monkey")
        write_atomically(output.with_name(f"{name}.svg"), _image(figure, "svg"))
    if pictures is not None:
        _write_pictures(pictures, brain, models[TRAINED])
    return content


def _models(brain: Brain92, trained: torch.nn.Module, seed: int) -> dict[str, Matrices]:
    inputs = prepared(brain.pictures)
    return {
        TRAINED: {
            **_by_stage(trained, inputs),
            PIXELS: dissimilarities_of(gray(brain.pictures)),
        },
        RANDOM: _by_stage(efficientnet_lite0(seed=seed), inputs),
        OTHERWISE: _by_stage(trained, prepared(brain.pictures, IMAGENET)),
    }


def _compared(
    brain: Brain92, models: Mapping[str, Matrices], bootstrap: int, seed: int
) -> dict[str, dict[str, Comparison]]:
    """By area and net."""
    human = {
        name: compare(rdms, brain.human, subjects=brain.subjects, bootstrap=bootstrap, seed=seed)
        for name, rdms in models.items()
    }
    monkey = {
        name: compare(rdms, brain.monkey, bootstrap=bootstrap, over="conditions", seed=seed)
        for name, rdms in models.items()
    }
    return {"human IT": human, "monkey IT": monkey}


def _by_stage(net: torch.nn.Module, inputs: Tensor) -> Matrices:
    found = dissimilarities(net, inputs, list(STAGES.values()))
    return {stage: found[layer] for stage, layer in STAGES.items()}


def _numbers(found: Comparison) -> dict[str, Any]:
    known = not np.isnan(found.errors).all()
    return {
        "values": dict(zip(found.names, found.values.tolist(), strict=True)),
        "standard_errors": dict(zip(found.names, found.errors.tolist(), strict=True))
        if known
        else None,
        "noise_ceiling": None if np.isnan(found.ceiling[0]) else list(found.ceiling),
    }


def _print(area: str, comparisons: Mapping[str, Comparison]) -> None:
    for name, found in comparisons.items():
        values = ", ".join(
            f"{stage} {value:.3f}" for stage, value in zip(found.names, found.values, strict=True)
        )
        print(f"{area}, {name}: {values}")
    lower, upper = next(iter(comparisons.values())).ceiling
    if not np.isnan(lower):
        print(f"{area}: noise ceiling {lower:.3f} to {upper:.3f}")


def _write_pictures(folder: Path, brain: Brain92, stages: Matrices) -> None:
    shown = {"human IT": brain.human.mean(0), "monkey IT": brain.monkey}
    shown |= {stage: stages[stage] for stage in ("stem", "block 2", "block 5", "mean")}
    figure = plot_dissimilarities(shown, groups=brain.categories, columns=3)
    write_atomically(folder / "matrices.png", _image(figure, "png"))
    background = brain.pictures[0, :, 0, 0].tolist()
    for name in ("human IT", "block 5"):
        figure = plot_arrangement(
            arrangement(shown[name]), brain.pictures, groups=brain.categories,
            background=background, title=name,
        )  # fmt: skip
        path = folder / f"arrangement_{name.replace(' ', '_').lower()}.png"
        write_atomically(path, _image(figure, "png"))


def _image(figure: Any, form: str) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format=form, dpi=160)
    return buffer.getvalue()
