"""Looking inside: what a net has learned, over time and over images.

Everything here works on any ``nn.Module``, of this library or not, in one dimension and in two. A
layer is named as in ``net.named_modules()``, a unit is a channel (axis 1) of what it returns.

    layers.py        layers by name, and what they return
    probe.py         the strongest inputs of every unit, and what of them it saw
    fields.py        which part of the input a position of a layer covers
    distance.py      how different two inputs are to a net, and how far people agree
    calibrated.py    LPIPS: a distance that was fitted to people's judgments
    objectives.py    what a synthesized input is to do
    canvas.py        what inputs are made of while they climb
    synthesis.py     inputs made for a unit, a site or a population
"""

from tcn.explain.calibrated import lpips
from tcn.explain.canvas import channel_mixture
from tcn.explain.distance import PerceptualDistance, just_noticeable, two_alternative
from tcn.explain.fields import Fields
from tcn.explain.layers import activations, layer_names
from tcn.explain.objectives import OneHotPopulation, Readout, Stretch, Units
from tcn.explain.probe import Place, Strongest, places, strongest
from tcn.explain.synthesis import Ascent, Synthesis, synthesize

__all__ = [
    "Ascent",
    "Fields",
    "OneHotPopulation",
    "PerceptualDistance",
    "Place",
    "Readout",
    "Stretch",
    "Strongest",
    "Synthesis",
    "Units",
    "activations",
    "channel_mixture",
    "just_noticeable",
    "layer_names",
    "lpips",
    "places",
    "strongest",
    "synthesize",
    "two_alternative",
]
