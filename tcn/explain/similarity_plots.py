"""Pictures of dissimilarities: matrices, arrangements of the conditions, agreement with brains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from tcn.explain.dissimilarity import Array
from tcn.explain.similarity import Comparison
from tcn.extras import need
from tcn.figures import COLORS, FURTHER, INK, PALE, SOFT, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = (*COLORS.values(), *FURTHER)


def plot_agreement(
    comparisons: Comparison | Mapping[str, Comparison], *, title: str = ""
) -> Figure:
    """Bars of how well layers agree with brains, with standard errors and the noise ceiling.

    Args:
        comparisons: one, or several of the same brains by name, such as of trained and of random
            weights, whose bars stand side by side.
        title: above.

    Raises:
        ValueError: there is none, or they differ in how they compare.
        ImportError: matplotlib is missing.

    Source: the form of Khaligh-Razavi & Kriegeskorte 2014, figure 1.

    ::

        plot_agreement(compare(models, brains, bootstrap=100)).savefig("agreement.png")
    """
    matplotlib, Figure = _matplotlib("plot_agreement")
    given = {"": comparisons} if isinstance(comparisons, Comparison) else dict(comparisons)
    if not given or len({each.method for each in given.values()}) > 1:
        raise ValueError("comparisons: give at least one, all with the same method")
    names = list(dict.fromkeys(name for each in given.values() for name in each.names))
    first = next(iter(given.values()))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(4.5, 1.6 + 0.62 * len(names)), 3.6), layout="constrained")
        axes = figure.subplots()
        if not math.isnan(first.ceiling[0]):
            axes.axhspan(*first.ceiling, color=PALE, zorder=0)
            axes.text(0, sum(first.ceiling) / 2, "  noise ceiling", color=SOFT, va="center",
                      transform=axes.get_yaxis_transform())  # fmt: skip
        for number, (label, each) in enumerate(given.items()):
            beside = [[name in other.names for other in given.values()] for name in each.names]
            at = [names.index(name) for name in each.names]
            _bars(axes, at, each, beside, number, label)
        axes.axhline(0, color=SOFT, linewidth=0.8)
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
        axes.tick_params(axis="x", length=0)
        axes.set(title=title, ylabel=f"agreement ({_METHODS.get(first.method, first.method)})")
        if len(given) > 1:
            figure.legend(loc="outside upper right", ncols=len(given))
    return figure


_METHODS = {"tau-a": "Kendall's τ$_A$", "spearman": "Spearman's ρ", "corr": "Pearson's r"}


def _bars(
    axes: Any, at: list[int], found: Comparison, beside: list[list[bool]], number: int, label: str
) -> None:
    """The bars of one comparison; those that stand at a name are together in its middle."""
    width = 0.8 / len(beside[0])
    moved = [
        place + (sum(there[:number]) - (sum(there) - 1) / 2) * width
        for place, there in zip(at, beside, strict=True)
    ]
    errors = None if np.isnan(found.errors).all() else found.errors
    axes.bar(moved, found.values, width * 0.92, color=PALETTE[number % len(PALETTE)], label=label,
             yerr=errors, error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2})  # fmt: skip


def plot_dissimilarities(
    rdms: Mapping[str, ArrayLike], *, groups: Sequence[str] | None = None, columns: int = 4
) -> Figure:
    """Matrices side by side, each dissimilarity as its percentile among those of its matrix.

    Args:
        rdms: ``(conditions, conditions)`` by title.
        groups: of each condition, in runs: the borders between two are drawn, their names at the
            left.
        columns: of matrices, at most.

    Raises:
        ValueError: there is none, or the groups are not as many as the conditions.
        ImportError: matplotlib is missing.

    ::

        plot_dissimilarities({"layer 1": rdm}).savefig("matrix.png")
    """
    matplotlib, Figure = _matplotlib("plot_dissimilarities")
    if not rdms:
        raise ValueError("rdms: none given; give dissimilarities by title")
    wide = min(columns, len(rdms))
    high = math.ceil(len(rdms) / wide)
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.6 * wide + 1.5, 2.75 * high), layout="constrained")
        places = figure.subplots(high, wide, squeeze=False).ravel()
        for number, (axes, (name, rdm)) in enumerate(zip(places, rdms.items(), strict=False)):
            shown = _percentiles(np.asarray(rdm))
            image = axes.imshow(shown, cmap="magma", vmin=0, vmax=100, interpolation="nearest")
            axes.set(title=name, xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if groups is not None:
                _mark_groups(axes, groups, len(shown), named=number % wide == 0)
        for axes in places[len(rdms) :]:
            axes.set_visible(False)
        bar = figure.colorbar(image, ax=places.tolist(), shrink=0.6, aspect=25)
        bar.set_label("dissimilarity (percentile)")
        bar.outline.set_visible(False)
    return figure


def _percentiles(rdm: Array) -> Array:
    """Ranks of the dissimilarities off the diagonal, from 0 to 100; the diagonal is 0."""
    pairs = np.triu_indices(len(rdm), 1)
    values = np.sort(rdm[pairs])
    low, high = (np.searchsorted(values, rdm, side) for side in ("left", "right"))
    shown: Array = 100 * (low + high - 1) / 2 / max(1, len(values) - 1)
    np.fill_diagonal(shown, 0)
    return shown


def _mark_groups(axes: Any, groups: Sequence[str], conditions: int, *, named: bool) -> None:
    if len(groups) != conditions:
        raise ValueError(f"groups: {len(groups)} for {conditions} conditions; give one each")
    starts = [i for i in range(conditions) if i == 0 or groups[i] != groups[i - 1]]
    ends = [*starts[1:], conditions]
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="white", linewidth=0.7)
        axes.axvline(start - 0.5, color="white", linewidth=0.7)
    if named:
        middles = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
        axes.set_yticks(middles, [groups[start] for start in starts])
        axes.tick_params(axis="y", length=0)


def plot_arrangement(
    points: ArrayLike,
    pictures: Tensor,
    *,
    groups: Sequence[str] | None = None,
    background: Sequence[float] | None = None,
    title: str = "",
) -> Figure:
    """The conditions as pictures, near each other where they are alike.

    Args:
        points: ``(conditions, 2)``, of :func:`tcn.explain.arrangement`.
        pictures: ``(conditions, 1 or 3, height, width)`` in [0, 1].
        groups: of each condition; a group has a color, drawn as a ring under the picture.
        background: the color around the objects, one number per channel, which is left out.
        title: above.

    Raises:
        ValueError: points, pictures and groups do not fit each other.
        ImportError: matplotlib is missing.

    ::

        plot_arrangement(arrangement(rdm), pictures).savefig("arrangement.png")
    """
    matplotlib, Figure = _matplotlib("plot_arrangement")
    at = np.asarray(points, dtype=float)
    if at.ndim != 2 or at.shape[1] != 2 or len(at) != len(pictures):
        raise ValueError(
            f"points: shape {at.shape} for {len(pictures)} pictures; give (conditions, 2)"
        )
    if groups is not None and len(groups) != len(at):
        raise ValueError(f"groups: {len(groups)} for {len(at)} conditions; give one each")
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(7, 7), layout="constrained")
        axes = figure.subplots()
        if groups is not None:
            _rings(axes, at, groups)
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, markerscale=0.4)
        for place, picture in zip(at, _with_opacity(pictures, background), strict=True):
            _stamp(axes, place, picture)
        axes.scatter(*at.T, s=0)
        axes.set(title=title, xticks=[], yticks=[], aspect="equal")
        axes.margins(0.06)
        axes.spines[:].set_visible(False)
    return figure


def _rings(axes: Any, at: Array, groups: Sequence[str]) -> None:
    for number, group in enumerate(dict.fromkeys(groups)):
        chosen = at[[each == group for each in groups]]
        axes.scatter(*chosen.T, s=620, label=group, color=PALETTE[number % len(PALETTE)],
                     alpha=0.22, linewidths=0)  # fmt: skip


def _stamp(axes: Any, place: Array, picture: Array) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    image = OffsetImage(picture, zoom=28 / max(picture.shape[:2]), interpolation="antialiased")
    axes.add_artist(AnnotationBbox(image, tuple(place), frameon=False, pad=0))


def _with_opacity(pictures: Tensor, background: Sequence[float] | None) -> Array:
    """``(conditions, height, width, 4)``, nothing where there is the background."""
    shown = pictures.detach().float().cpu().clamp(0, 1).numpy().transpose(0, 2, 3, 1)
    shown = np.broadcast_to(shown, (*shown.shape[:3], 3))
    opacity = np.ones((*shown.shape[:3], 1))
    if background is not None:
        opacity[..., 0] = (np.abs(shown - np.asarray(background)) > 1.5 / 255).any(-1)
    return np.concatenate([shown, opacity], axis=-1)


def _matplotlib(who: str) -> tuple[Any, Any]:
    need(f"tcn.explain.{who}", "explain", "matplotlib")
    import matplotlib
    from matplotlib.figure import Figure

    return matplotlib, Figure
