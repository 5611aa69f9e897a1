"""Looking inside: what a net has learned, over time and over images.

Everything here works on any ``nn.Module``, of this library or not, in one dimension and in two. A
layer is named as in ``net.named_modules()``, a unit is a channel (axis 1) of what it returns.

    layers.py        layers by name, and what they return
    probe.py         the strongest inputs of every unit, and what of them it saw
    fields.py        which part of the input a position of a layer covers
    projection.py    one activation led back to the input, beside the strongest inputs
    occlusion.py     what a net says while a patch covers its input
    correspondence.py  whether a layer knows that parts of different inputs are the same part
    attribution.py   how much each part of an input gave to an answer
    effective_field.py  where the weight of a receptive field lies
    gradients.py     gradients by the input, with other rules for rectifiers
    targets.py       which of a net's numbers is asked about
"""

from tcn.explain.attribution import Attribution, attribute
from tcn.explain.correspondence import Correspondence, correspondence
from tcn.explain.effective_field import EffectiveField, effective_field
from tcn.explain.fields import Fields
from tcn.explain.layers import activations, layer_names
from tcn.explain.occlusion import Occlusion, occlusion
from tcn.explain.probe import Place, Strongest, places, strongest
from tcn.explain.projection import Projections, project, projections

__all__ = [
    "Attribution",
    "Correspondence",
    "EffectiveField",
    "Fields",
    "Occlusion",
    "Place",
    "Projections",
    "Strongest",
    "activations",
    "attribute",
    "correspondence",
    "effective_field",
    "layer_names",
    "occlusion",
    "places",
    "project",
    "projections",
    "strongest",
]
