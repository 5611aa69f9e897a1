"""Looking inside: what a net has learned, over time and over images.

Everything here works on any ``nn.Module``, of this library or not, in one dimension and in two. A
layer is named as in ``net.named_modules()``, a unit is a channel (axis 1) of what it returns.

    layers.py        layers by name, and what they return
    probe.py         the strongest inputs of every unit, and what of them it saw
    fields.py        which part of the input a position of a layer covers
"""

from tcn.explain.fields import Fields
from tcn.explain.layers import activations, layer_names
from tcn.explain.probe import Place, Strongest, places, strongest

__all__ = [
    "Fields",
    "Place",
    "Strongest",
    "activations",
    "layer_names",
    "places",
    "strongest",
]
