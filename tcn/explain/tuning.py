"""What shapes the units of a layer prefer, measured as in a visual area of the brain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from tcn.explain.curvature import CurvatureTuning, fit_curvature
from tcn.explain.dissimilarity import Array
from tcn.explain.inputs import batches
from tcn.explain.layers import evaluate, recording
from tcn.explain.probe import check_unit
from tcn.explain.shapes import Shape, pictures_of, shape_set
from tcn.extras import need
from tcn.layers.validation import check_positive


class ShapeTuning(NamedTuple):
    """How units of a layer answer to silhouettes.

    Attributes:
        layer: its name.
        units: ``(units,)``, the channels that were measured.
        shapes: that were shown.
        responses: ``(positions, shapes, units)``, the first position being the middle.
        fit: tuning to curvature and angular position, at the middle.
        invariance: ``(units,)``, see :func:`translation_invariance`; NaN with one position.
        kurtosis: ``(units,)``, of the responses at the middle: 3 of a normal distribution, more the
            fewer shapes drive a unit; NaN of one that answers all alike.
    """

    layer: str
    units: Array
    shapes: list[Shape]
    responses: Array
    fit: CurvatureTuning
    invariance: Array
    kurtosis: Array

    def best(self, count: int = 1) -> list[int]:
        """Where in ``units`` those stand whose responses the fit describes best."""
        order = np.argsort(-np.nan_to_num(self.fit.r, nan=-np.inf), kind="stable")
        return [int(place) for place in order[:count]]


def tune(
    net: nn.Module,
    layer: str,
    *,
    size: int,
    scale: float,
    shapes: Sequence[Shape] | None = None,
    shifts: Sequence[tuple[float, float]] = (),
    units: Sequence[int] | None = None,
    channels: int = 3,
    levels: tuple[float, float] = (0.0, 1.0),
) -> ShapeTuning:
    """Shows silhouettes to a net for images, and fits what each unit of a layer prefers.

    The response of a unit is its activation in the middle of the layer, where the shape is shown.

    Args:
        net: any module that takes ``(batch, channels, size, size)``.
        layer: see :func:`tcn.explain.activations`.
        size: of the pictures, in pixels.
        scale: pixels from the center of a shape to a far point of its outline; a shape should fit
            into what a unit sees, see :class:`tcn.explain.Fields`.
        shapes: shown; None: :func:`tcn.explain.shape_set`.
        shifts: further positions, in pixels right and up of the middle, for the invariance.
        units: channels of the layer; None: all.
        channels: of the net's input.
        levels: of what is around a shape and of the shape, as the net takes its inputs.

    Raises:
        TypeError: a unit is not an integer.
        ValueError: there is no such layer or unit, the net does not take such pictures, or the
            layer returns no maps.

    Source: Pospisil, Pasupathy & Bair 2018, eLife 7:e38242.

    ::

        net = nn.Sequential(nn.Conv2d(3, 4, 9), nn.ReLU())
        tune(net, "1", size=32, scale=10, shapes=shape_set(["pointed"])).fit.r  # of four units
    """
    need("tcn.explain", "explain", "scipy")
    from scipy.stats import kurtosis

    check_positive("size", [size])
    shown = shape_set() if shapes is None else list(shapes)
    found = []
    for shift in ((0.0, 0.0), *shifts):
        pictures = pictures_of(
            shown, size, scale=scale, shift=shift, channels=channels, levels=levels
        )
        found.append(_in_the_middle(net, pictures, layer, units))
    responses = np.stack(found)
    chosen = np.arange(responses.shape[2]) if units is None else np.asarray(units)
    flat = np.ptp(responses[0], axis=0) == 0
    sparse = np.full(len(chosen), np.nan)
    sparse[~flat] = kurtosis(responses[0][:, ~flat], axis=0, fisher=False)
    fit = fit_curvature(shown, responses[0])
    invariance = translation_invariance(responses)
    return ShapeTuning(layer, chosen, shown, responses, fit, invariance, sparse)


def translation_invariance(responses: ArrayLike) -> Array:
    """How alike a unit answers to the same shapes in different places.

    The covariances between the responses at two positions, summed over all pairs of positions, by
    the sum of the products of their standard deviations: a mean correlation, in which positions
    with strong responses count more. 1: the same responses up to gain and baseline.

    Args:
        responses: ``(positions, shapes, units)``.

    Returns:
        ``(units,)``, NaN where fewer than two positions have a response.

    Raises:
        ValueError: the responses have other axes.

    Source: Pospisil, Pasupathy & Bair 2018, methods.

    ::

        once = np.random.randn(1, 9, 4)
        translation_invariance(np.concatenate([once, 2 * once]))  # 1, 1, 1, 1
    """
    given = np.asarray(responses, dtype=np.float64)
    if given.ndim != 3:
        raise ValueError(f"responses: shape {given.shape}; give (positions, shapes, units)")
    given = given - given.mean(1, keepdims=True)
    spread = np.sqrt((given**2).mean(1))  # (positions, units)
    # What is left of a squared sum when the squares are taken away: all pairs, both ways.
    covariances = (given.sum(0) ** 2).mean(0) - (spread**2).sum(0)
    products = spread.sum(0) ** 2 - (spread**2).sum(0)
    there = (spread > 0).sum(0) > 1
    return np.divide(covariances, products, out=np.full(len(there), np.nan), where=there)


def _in_the_middle(
    net: nn.Module, pictures: Tensor, layer: str, units: Sequence[int] | None
) -> Array:
    """``(shapes, units)``: activations in the middle of a layer's maps."""
    found = []
    with recording(net, [layer]) as record, torch.no_grad():
        for x in batches(pictures):
            evaluate(net, x)
            y = record.take()[layer]
            if y.dim() not in (2, 4) or len(y) != len(x):
                raise ValueError(
                    f"layer: {layer!r} returns {tuple(y.shape)} for {len(x)} pictures; choose a "
                    "layer that returns (batch, units, height, width) or (batch, units)"
                )
            middle = y[:, :, y.shape[2] // 2, y.shape[3] // 2] if y.dim() == 4 else y
            if units is not None:
                for unit in units:
                    check_unit(unit, middle.shape[1])
                middle = middle[:, list(units)]
            found.append(middle.double().cpu())
    return torch.cat(found).numpy()
