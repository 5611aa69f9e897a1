"""Looking inside: what a net has learned, over time and over images.

Everything here works on any ``nn.Module``, of this library or not, in one dimension and in two. A
layer is named as in ``net.named_modules()``, a unit is a channel (axis 1) of what it returns.

    layers.py        layers by name, and what they return
    probe.py         the strongest inputs of every unit, and what of them it saw
    fields.py        which part of the input a position of a layer covers
    distance.py      how different two inputs are to a net, and how far people agree
    calibrated.py    LPIPS: a distance that was fitted to people's judgments
"""

from tcn.explain.calibrated import lpips
from tcn.explain.distance import PerceptualDistance, just_noticeable, two_alternative
from tcn.explain.fields import Fields
from tcn.explain.layers import activations, layer_names
from tcn.explain.probe import Place, Strongest, places, strongest

__all__ = [
    "Fields",
    "PerceptualDistance",
    "Place",
    "Strongest",
    "activations",
    "just_noticeable",
    "layer_names",
    "lpips",
    "places",
    "strongest",
    "two_alternative",
]
