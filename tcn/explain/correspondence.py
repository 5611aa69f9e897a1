"""Whether a layer treats the same part of different inputs as the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tcn.explain.fields import Span
from tcn.explain.layers import activations, as_input
from tcn.explain.occlusion import covering
from tcn.explain.targets import picked
from tcn.layers.compiled import uncompiled


class Correspondence(NamedTuple):
    """How alike the change of a layer is when the same part is covered in different inputs.

    Attributes:
        score: mean over pairs of inputs, 0 if all features change in the same directions.
        spread: standard deviation over pairs.
        distances: ``(inputs, inputs)``, share of the features whose change has another sign.
    """

    score: float
    spread: float
    distances: Tensor


def correspondence(
    net: nn.Module,
    x: Tensor,
    parts: Sequence[Span],
    layer: str,
    *,
    value: float | str = "gray",
) -> Correspondence:
    """Whether a layer knows that the parts covered in different inputs are the same part.

    The change of all features of the layer is compared by its signs alone: the score is the mean
    Hamming distance over pairs of inputs, as a share of the features. It is lower for a part that
    means the same in each, such as the left eye of a face, than for parts at random.

    Args:
        net: any module.
        x: ``(inputs, channels, *sizes)``, two or more.
        parts: of each input the part to cover, a slice per axis behind the channels.
        layer: see :func:`tcn.explain.activations`.
        value: that covers, see :func:`occlusion`.

    Raises:
        TypeError: ``x`` is not a tensor.
        ValueError: there are fewer than two inputs, or not a part of each; a part has another
            number of axes or holds nothing; there is no such layer.

    Source: Zeiler & Fergus 2014, section 4.4 and table 1.

    ::

        net = nn.Sequential(nn.Conv1d(1, 4, 5), nn.ReLU())
        correspondence(net, torch.randn(3, 1, 50), [(slice(0, 9),)] * 3, "1").score  # 0 to 1
    """
    if len(x) < 2 or len(parts) != len(x):
        raise ValueError(
            f"parts: {len(parts)} for {len(x)} inputs; give two inputs, a part of each"
        )
    inner = uncompiled(net)
    x = as_input(inner, x)
    cover = covering(x, value)
    covered = x.clone()
    for index, part in enumerate(parts):
        if len(part) != x.dim() - 2 or not picked(x, index, slice(None), *part).numel():
            raise ValueError(
                f"parts: {tuple(part)} of sizes {tuple(x.shape[2:])}; give a slice per axis that "
                "holds something"
            )
        covered[(slice(index, index + 1), slice(None), *part)] = cover[index : index + 1]
    before, after = (activations(inner, each, [layer])[layer] for each in (x, covered))
    signs = (before - after).flatten(1).sign()
    distances = (signs[:, None] != signs[None]).float().mean(2)
    pairs = distances[tuple(torch.triu_indices(len(x), len(x), 1))]
    return Correspondence(float(pairs.mean()), float(pairs.std(correction=0)), distances)
