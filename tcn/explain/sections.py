"""The sections of a page that explain single inputs, fields and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tcn.explain.attribution import attribute
from tcn.explain.canvas import channel_mixture
from tcn.explain.choice import Choice
from tcn.explain.drawing import bare, draw, draw_signed, kind_of, limits
from tcn.explain.effective_field import EffectiveField, effective_field
from tcn.explain.inputs import Data
from tcn.explain.layers import activations, evaluate, seen_through
from tcn.explain.objectives import Stretch, Units
from tcn.explain.occlusion import Occlusion, occlusion
from tcn.explain.page import Page
from tcn.explain.probe import strongest
from tcn.explain.synthesis import Ascent, synthesize
from tcn.explain.targets import first_tensor
from tcn.explain.unit_pictures import UnitPatches, draw_units, listed
from tcn.explain.views import View
from tcn.figures import COLORS, SOFT, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COVERED = 8
"""A window covers an eighth of each axis, and the next one begins after half of it."""
STEPS = 128
"""Of a synthesis."""
DRIVEN = 8
"""Units that are driven, of those that are shown."""


def asked_of(net: nn.Module, x: Tensor) -> tuple[tuple[int, ...], int]:
    """The largest number in the answer to one example, as a target, and its channel.

    Of an answer with positions it is that of the last one.
    """
    y = _answer_to(net, x)
    if y.dim() == 0:
        return (), 0
    last = y.flatten(1)[:, -1] if y.dim() > 1 else y
    channel = int(last.argmax())
    return (channel, *(n - 1 for n in y.shape[1:])), channel


def _answer_to(net: nn.Module, x: Tensor) -> Tensor:
    """What the net returns for one example, without the axis of the batch."""
    with seen_through(net), torch.no_grad():
        return first_tensor(net, evaluate(net, x))[0]


def occlusion_section(
    page: Page, net: nn.Module, first: Sequence[Tensor], layer: str, choice: Choice, view: View
) -> None:
    """What the net answers while a part of the input is covered."""
    page.section(
        "Occlusion",
        "A gray window slides over each input. How sure the net still is of its answer, and how "
        f"strong the strongest map of {layer} is, stand where the window stood: what matters is "
        "where they fall (Zeiler and Fergus 2014, figure 7).",
    )
    for number, x in enumerate(choice.bar(first, "occlusion")):
        target, channel = asked_of(net, x)
        size = [max(n // COVERED, 1) for n in x.shape[2:]]
        stride = [max(n // 2, 1) for n in size]
        # A softmax over a single number, such as a regression gives, says nothing.
        raw = len(torch.atleast_1d(_answer_to(net, x))) == 1
        found = occlusion(net, x, target or None, size=size, stride=stride, layer=layer, raw=raw)
        said = f"input {number}: {choice.name_of(channel)}"
        page.picture(_occluded(x[0], view, found, size, said), f"{said}; {layer}")


def _occluded(x: Tensor, view: View, found: Occlusion, size: Sequence[int], title: str) -> Figure:
    import matplotlib
    from matplotlib.figure import Figure

    answer, activity = found.answer[0].float().cpu(), found.activity
    maps = [
        ("answer", answer),
        *([("activity", activity[0].float().cpu())] if activity is not None else []),
    ]
    with matplotlib.rc_context(STYLE):
        if x.dim() == 3:
            figure = Figure(figsize=(2.6 * (1 + len(maps)), 2.6), layout="constrained")
            axes = figure.subplots(1, 1 + len(maps))
            draw(axes[0], x)
            axes[0].set_title(title)
            for place, (name, values) in zip(axes[1:], maps, strict=True):
                drawn = place.imshow(values, cmap="magma", interpolation="nearest")
                place.set_title(name)
                bare(place)
                figure.colorbar(drawn, ax=place, shrink=0.8)
            return figure
        figure = Figure(figsize=(8, 1.6 * (1 + len(maps))), layout="constrained")
        above, *below = figure.subplots(1 + len(maps), 1, sharex=True)
        _draw_over(above, view(x), x.shape[-1])
        above.set_title(title)
        middle = found.starts[-1] + size[-1] / 2
        uncovered = (found.uncovered, found.uncovered_activity)
        for place, (name, values), whole in zip(below, maps, uncovered, strict=False):
            place.plot(middle, values, color=COLORS["TCN"], linewidth=1.4)
            if whole is not None:
                place.axhline(float(whole[0]), color=SOFT, linewidth=0.8, linestyle="--")
            place.set(ylabel=name, xlim=(0, x.shape[-1]))
        below[-1].set_xlabel("steps")
    return figure


def attribution_section(
    page: Page, net: nn.Module, first: Sequence[Tensor], choice: Choice, view: View
) -> None:
    """Which parts of the input an answer rests on."""
    page.section(
        "Attribution",
        "How much each part of an input adds to the answer (red) or takes from it (blue), by "
        "integrated gradients from an input of zeros (Sundararajan et al. 2017).",
    )
    for number, x in enumerate(choice.bar(first, "attribution")):
        target, channel = asked_of(net, x)
        found = attribute(net, x, target or None, method="integrated_gradients")
        said = f"input {number}: {choice.name_of(channel)}"
        page.picture(_attributed(x[0], found.values[0].float(), view, said), said)


def _attributed(x: Tensor, values: Tensor, view: View, title: str) -> Figure:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        if x.dim() == 3:
            figure = Figure(figsize=(5.6, 2.8), layout="constrained")
            left, right = figure.subplots(1, 2)
            draw(left, x)
            # A few pixels often outdo all others: they are drawn as the strongest of the rest.
            most = float(values.sum(0).abs().flatten().quantile(0.995))
            figure.colorbar(draw_signed(right, values, largest=most), ax=right, shrink=0.8)
            left.set_title(title)
            return figure
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        _draw_over(above, view(x), x.shape[-1])
        above.set_title(title)
        if kind_of(values) == "map":
            most = float(values.abs().max()) or 1.0
            drawn = below.imshow(
                values.cpu(), cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", origin="lower",
                extent=(0, x.shape[-1], 0, len(values)),
            )  # fmt: skip
            below.set(yticks=[], xlabel="steps")
            below.grid(visible=False)
            figure.colorbar(drawn, ax=[above, below], shrink=0.8)
        else:
            total = _binned(values.sum(0).cpu())
            width = x.shape[-1] / len(total)
            colors = [COLORS["LSTM"] if v > 0 else COLORS["TCN"] for v in total.tolist()]
            at = (torch.arange(len(total)) + 0.5) * width
            below.bar(at, total, width=width, color=colors)
            below.set(ylabel="attribution", xlabel="steps")
        below.set(xlim=(0, x.shape[-1]))
    return figure


def _binned(values: Tensor, bins: int = 200) -> Tensor:
    """Sums of neighbors, so that at most so many are left: samples of sound are too many to see."""
    each = -(-len(values) // bins)
    return nn.functional.pad(values, (0, -len(values) % each)).view(-1, each).sum(1)


def _draw_over(axes: Axes, seen: Tensor, steps: int) -> None:
    """Draws a series, or a map of it, over the axis of its steps."""
    if kind_of(seen) == "map":
        low, high = limits([seen])
        axes.imshow(seen.float().cpu(), cmap="magma", vmin=low, vmax=high, origin="lower",
                    aspect="auto", extent=(0, steps, 0, len(seen)))  # fmt: skip
        axes.set(yticks=[])
        axes.grid(visible=False)
    else:
        draw(axes, seen)


def field_section(
    page: Page, net: nn.Module, first: Sequence[Tensor], layers: Sequence[str], choice: Choice
) -> None:
    """How far the layers look, and how far they really use it."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 1.7 * len(layers)), layout="constrained")
        rows = figure.subplots(len(layers), 1, squeeze=False)[:, 0]
        for axes, layer in zip(rows, choice.bar(layers, "field"), strict=True):
            found = _field_of(net, first[0], layer)
            if found is None:
                axes.set(title=f"{layer}: no gradient", yticks=[])
                continue
            profile = found.profiles[-1].cpu()
            axes.fill_between(range(len(profile)), profile / profile.max().clamp_min(1e-30),
                              color=COLORS["TCN"], alpha=0.8, linewidth=0)  # fmt: skip
            axes.set(title=layer, ylim=(0, 1.05), xlim=(0, len(profile) - 1), yticks=[])
        rows[-1].set_xlabel("steps of the input" if first[0].dim() == 3 else "columns of the input")
    page.section(
        "Effective field",
        "How strongly one position of each layer depends on each step of the input: the mean "
        "absolute gradient, relative to its largest (Luo et al. 2016).",
    )
    page.picture(figure, f"{', '.join(layers)}; input 0")


def _field_of(net: nn.Module, x: Tensor, layer: str) -> EffectiveField | None:
    """That of the last position, or of a middle one; None where the input is too quiet for any."""
    sizes = activations(net, x, [layer])[layer].shape[2:]
    shares = (1 / 2, 1 / 3, 2 / 3) if x.dim() == 4 else (1, 1 / 2, 1 / 4)
    for share in shares:
        position = [min(int(size * share), size - 1) for size in sizes]
        try:
            return effective_field(net, x, layer=layer, position=position)
        except ValueError as error:
            if "everywhere" not in str(error):
                raise
    return None


def synthesis_section(
    page: Page, net: nn.Module, data: Data, layer: str, choice: Choice, view: View
) -> None:
    """Inputs made to drive units."""
    found = strongest(net, data, layer, count=1)
    example = next(iter(_first(data)))
    bounds = limits([example])
    units = choice.units_of(len(found.values))[:DRIVEN]
    colored = example.dim() == 4 and example.shape[1] == 3
    mixture = channel_mixture(example) if colored else None
    made = []
    for unit in choice.bar(units, f"{layer}: synthesis"):
        found.check_unit(unit, layer)
        # An image is filled with what the unit likes; a series has it once, in the middle.
        image = example.dim() == 4
        ascent = Ascent(
            steps=STEPS, bounds=bounds, total_variation=0.1 if image else 0.0,
            jitter=4 if image else 0, mixture=mixture,
        )  # fmt: skip
        wanted = Stretch(unit, of=Units(position="mean" if image else "center"))
        try:
            result = synthesize(
                net, layer, wanted, shape=example.shape[1:], batch=3, ascent=ascent,
                seed=choice.seed,
            )  # fmt: skip
        except ValueError as error:
            if "does not answer" not in str(error) and "no gradient" not in str(error):
                raise
            continue
        driven = strongest(net, result.inputs, layer, count=3).values[unit]
        seen = [view(x) for x in result.inputs]
        note = _driven(float(driven[0]), float(found.values[unit, 0]))
        made.append(UnitPatches(unit, driven.tolist(), seen, note=note))
    page.section(
        f"{layer}: synthesis",
        "Inputs made from noise to drive each unit (three each). The number is how many times as "
        "strong the answer is as the strongest to the data (Bashivan et al. 2019).",
    )
    if made:
        page.picture(draw_units(made), f"{layer}, units {listed([unit.unit for unit in made])}")


def _driven(driven: float, known: float) -> str:
    """How many times as strong; where nothing of the data drives the unit, both numbers."""
    return f"{driven / known:.3g} times" if known > 0 else f"{driven:.3g}, data {known:.3g}"


def _first(data: Data) -> Any:
    from tcn.explain.inputs import batches

    return batches(data, 64)
