"""A page about a net: every method on some layers, units and examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from tcn.explain.choice import Choice
from tcn.explain.inputs import Data, check_repeatable, padded_batches
from tcn.explain.layers import called, check_layers
from tcn.explain.page import Page
from tcn.explain.probe import Locator, inputs_of, strongest
from tcn.explain.projection import project
from tcn.explain.sections import (
    attribution_section,
    field_section,
    occlusion_section,
    synthesis_section,
)
from tcn.explain.unit_pictures import UnitPatches, draw_units, listed
from tcn.explain.views import View, view_of
from tcn.extras import need
from tcn.layers.compiled import uncompiled

LAYERS = 3
"""Layers that are shown unless others are asked for."""


def look(
    net: nn.Module,
    data: Data,
    path: str | Path,
    *,
    choice: Choice | None = None,
    facts: Mapping[str, str] | None = None,
) -> Path:
    """Writes a page of pictures that shows what a net has learned.

    Args:
        net: any module.
        data: inputs, a data set or batches, in the same order each time.
        path: of the page, which ends in ``.html``.
        choice: layers, units, methods and examples.
        facts: what the page says of net, data and command.

    Returns:
        The path.

    Raises:
        TypeError, ValueError: a layer or a unit is not there, the data hold nothing, or the net
            does not take them.

    ::

        look(LeNet5(1, 10), torch.randn(100, 1, 32, 32), "lenet.html")
    """
    need("tcn.explain.look", "explain", "captum", "matplotlib", "tqdm")
    choice = choice or Choice()
    check_repeatable(data)
    check_layers(net, choice.layers or [])
    first = _shown_examples(data, choice.examples)
    layers = list(choice.layers or _default_layers(net, first[0]))
    view = view_of(first[0], choice.sample_rate)
    said = {"net": type(net).__name__} | dict(facts or {}) | {"layers": ", ".join(layers)}
    page = Page(f"Inside {type(uncompiled(net)).__name__}", said)
    for layer in layers if "strongest" in choice.methods else []:
        _strongest_section(page, net, data, layer, choice, view)
    if "occlusion" in choice.methods:
        occlusion_section(page, net, first, layers[-1], choice, view)
    if "attribution" in choice.methods:
        attribution_section(page, net, first, choice, view)
    if "field" in choice.methods:
        field_section(page, net, first, layers, choice)
    if "synthesis" in choice.methods:
        synthesis_section(page, net, data, layers[-1], choice, view)
    return page.write(path)


def layers_of(net: nn.Module) -> list[str]:
    """The names of the layers, each with its class."""
    modules = uncompiled(net).named_modules()
    return [f"{name}  {type(module).__name__}" for name, module in modules if name]


def _default_layers(net: nn.Module, example: Tensor) -> list[str]:
    """Some of the convolutions and recurrent layers that are called, from the first to the last."""
    names = called(net, example, (nn.Conv1d, nn.Conv2d, nn.RNNBase))
    if not names:
        raise ValueError(
            f"layers: {type(net).__name__} calls no convolution and no recurrent layer; name the "
            "layers to look at"
        )
    if len(names) <= LAYERS:
        return names
    return [names[round(i * (len(names) - 1) / (LAYERS - 1))] for i in range(LAYERS)]


def _shown_examples(data: Data, count: int) -> list[Tensor]:
    """The first examples, which can be drawn."""
    first = first_examples(data, count)
    for number, x in enumerate(first):
        if x.dim() not in (3, 4):
            raise ValueError(
                f"data: inputs of shape {tuple(x.shape[1:])}; a page shows (channels, time) and "
                "(channels, height, width), others are for tcn.explain.strongest and attribute"
            )
        if not x.isfinite().all():
            raise ValueError(
                f"data: input {number} holds NaN or infinite numbers; take it out, or replace them"
            )
    return first


def first_examples(data: Data, count: int) -> list[Tensor]:
    """The first examples, ``(1, channels, *sizes)`` each, without padding."""
    found: list[Tensor] = []
    for inputs in padded_batches(data, count):
        found += [inputs.one(index)[None] for index in range(len(inputs.x))]
        if len(found) >= count:
            break
    return found[:count]


def _strongest_section(
    page: Page, net: nn.Module, data: Data, layer: str, choice: Choice, view: View
) -> None:
    found = strongest(net, data, layer)
    units = choice.units_of(len(found.values))
    for unit in units:
        found.check_unit(unit, layer)
    inputs, locate = inputs_of(data, found, units), Locator(net, layer)
    made = []
    for unit in choice.bar(units, f"{layer}: strongest"):
        places, patches = locate(found, unit, inputs)
        projections = []
        for place in places:
            projected = project(net, inputs[place.example][None], layer, unit, place.position)[0]
            projections.append(view(projected[(slice(None), *place.span)], signed=True))
        values = [place.value for place in places]
        made.append(UnitPatches(unit, values, [view(patch) for patch in patches], projections))
    page.section(
        f"{layer}: strongest inputs",
        f"The nine inputs of {found.seen:,} to which each unit answers most, each cut to what the "
        "unit sees, and beside them the activation projected back to the input (Zeiler and Fergus "
        "2014).",
    )
    page.picture(draw_units(made), f"{layer}, units {listed([unit.unit for unit in made])}")
