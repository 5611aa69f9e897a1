"""Ninety-two pictures of objects, and how dissimilar people and monkeys find them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tcn.explain.dissimilarity import Array
from tcn.extras import need

PICTURES = "Kriegeskorte_Neuron2008_supplementalData.mat"
BRAINS = "92_brainRDMs.mat"
SOURCE = "https://github.com/rsagroup/rsatoolbox, demos/92imageData"


class Brain92(NamedTuple):
    """The pictures of Kriegeskorte et al. 2008, and dissimilarities in inferior temporal cortex.

    Attributes:
        pictures: ``(92, 3, 175, 175)`` in [0, 1], objects on gray.
        categories: of each picture, such as ``"human face"``.
        human: ``(8, 92, 92)``, one minus the correlation of the patterns of 316 voxels, of four
            people in two sessions each.
        subjects: whose each of ``human`` is.
        monkey: ``(92, 92)``, the same of 674 cells of two monkeys.
    """

    pictures: Tensor
    categories: tuple[str, ...]
    human: Array
    subjects: tuple[str, ...]
    monkey: Array


def load_brain92(folder: str | Path) -> Brain92:
    """Reads the 92 pictures and the dissimilarities of people and monkeys.

    Args:
        folder: that holds ``Kriegeskorte_Neuron2008_supplementalData.mat`` and
            ``92_brainRDMs.mat``, as rsatoolbox's repository has them (``demos/92imageData``).

    Raises:
        FileNotFoundError: a file is absent, saying where it comes from.
        ValueError: a file is damaged, or holds something else.

    Source: Kriegeskorte et al. 2008, Neuron 60(6), figure 1 and supplemental data.

    ::

        found = load_brain92("data/brain92")
        compare({"monkey": found.monkey}, found.human, subjects=found.subjects)
    """
    need("tcn.explain", "explain", "scipy")
    pictures = _read(Path(folder) / PICTURES, ["stimuli_92objs", "RDMs_mIT_hIT_fig1"])
    brains = _read(Path(folder) / BRAINS, ["RDMs"])
    try:
        stimuli = pictures["stimuli_92objs"].ravel()
        images = np.stack([each["image"] for each in stimuli])  # (92, height, width, 3)
        sessions = brains["RDMs"].ravel()
        return Brain92(
            torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255,
            tuple(str(each["category"].item()) for each in stimuli),
            np.stack([each["RDM"] for each in sessions]).astype(np.float64),
            tuple(each["name"].item().split("|")[1].strip() for each in sessions),
            _square(pictures["RDMs_mIT_hIT_fig1"].ravel()[0]["RDM"].ravel()),
        )
    except (ValueError, IndexError, KeyError) as error:
        raise ValueError(f"folder: {folder} holds other .mat files; take those of {SOURCE}") from (
            error
        )


def _read(path: Path, names: Sequence[str]) -> dict[str, Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise FileNotFoundError(f"{path} is absent; it comes from {SOURCE}")
    try:
        found: dict[str, Any] = loadmat(path, variable_names=list(names))
    except (MatReadError, ValueError, NotImplementedError, OSError) as error:
        raise ValueError(
            f"{path}: cannot be read ({error}); fetch it anew from {SOURCE}"
        ) from error
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{path}: holds no {missing[0]}; take the file of {SOURCE}")
    return found


def _square(pairs: Array) -> Array:
    """A matrix from the dissimilarities above its diagonal, row by row."""
    from scipy.spatial.distance import squareform

    found: Array = squareform(np.asarray(pairs, dtype=np.float64))
    return found
