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
    dissimilarity.py how dissimilar a layer finds every two examples of a data set
    similarity.py    that beside the same of brains (pictures: similarity_plots.py)
    brain92.py       92 pictures, and how dissimilar people and monkeys find them
    predictivity.py  how well a layer predicts recorded cells
    shapes.py        silhouettes of known outline
    curvature.py     tuning to curvature and angular position, fitted
    tuning.py        what shapes the units of a layer prefer (pictures: tuning_plots.py)
    distance.py      how different two inputs are to a net, and how far people agree
    calibrated.py    LPIPS: a distance that was fitted to people's judgments
    objectives.py    what a synthesized input is to do
    canvas.py        what inputs are made of while they climb
    synthesis.py     inputs made for a unit, a site or a population
"""

from tcn.explain.attribution import Attribution, attribute
from tcn.explain.brain92 import Brain92, load_brain92
from tcn.explain.calibrated import lpips
from tcn.explain.canvas import channel_mixture
from tcn.explain.correspondence import Correspondence, correspondence
from tcn.explain.curvature import CurvatureTuning, curvature_responses, fit_curvature, squashed
from tcn.explain.dissimilarity import dissimilarities, dissimilarities_of, patterns
from tcn.explain.distance import PerceptualDistance, just_noticeable, two_alternative
from tcn.explain.effective_field import EffectiveField, effective_field
from tcn.explain.fields import Fields
from tcn.explain.layers import activations, layer_names
from tcn.explain.objectives import OneHotPopulation, Readout, Stretch, Units
from tcn.explain.occlusion import Occlusion, occlusion
from tcn.explain.predictivity import (
    Predictivity,
    load_recordings,
    predictivity,
    split_half_reliability,
)
from tcn.explain.probe import Place, Strongest, places, strongest
from tcn.explain.projection import Projections, project, projections
from tcn.explain.shapes import Shape, pictures_of, shape_set
from tcn.explain.similarity import Comparison, arrangement, compare
from tcn.explain.similarity_plots import plot_agreement, plot_arrangement, plot_dissimilarities
from tcn.explain.synthesis import Ascent, Synthesis, synthesize
from tcn.explain.tuning import ShapeTuning, translation_invariance, tune
from tcn.explain.tuning_plots import plot_tuning

__all__ = [
    "Ascent",
    "Attribution",
    "Brain92",
    "Comparison",
    "Correspondence",
    "CurvatureTuning",
    "EffectiveField",
    "Fields",
    "Occlusion",
    "OneHotPopulation",
    "PerceptualDistance",
    "Place",
    "Predictivity",
    "Projections",
    "Readout",
    "Shape",
    "ShapeTuning",
    "Stretch",
    "Strongest",
    "Synthesis",
    "Units",
    "activations",
    "arrangement",
    "attribute",
    "channel_mixture",
    "compare",
    "correspondence",
    "curvature_responses",
    "dissimilarities",
    "dissimilarities_of",
    "effective_field",
    "fit_curvature",
    "just_noticeable",
    "layer_names",
    "load_brain92",
    "load_recordings",
    "lpips",
    "occlusion",
    "patterns",
    "pictures_of",
    "places",
    "plot_agreement",
    "plot_arrangement",
    "plot_dissimilarities",
    "plot_tuning",
    "predictivity",
    "project",
    "projections",
    "shape_set",
    "split_half_reliability",
    "squashed",
    "strongest",
    "synthesize",
    "translation_invariance",
    "tune",
    "two_alternative",
]
