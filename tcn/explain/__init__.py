"""Looking inside: what a net has learned, over time and over images.

Everything here works on any ``nn.Module``, of this library or not, in one dimension and in two. A
layer is named as in ``net.named_modules()``, a unit is a channel (axis 1) of what it returns.

    layers.py        layers by name, and what they return
    probe.py         the strongest inputs of every unit, and what of them it saw
    fields.py        which part of the input a position of a layer covers
    dissimilarity.py how dissimilar a layer finds every two examples of a data set
    similarity.py    that beside the same of brains (pictures: similarity_plots.py)
    brain92.py       92 pictures, and how dissimilar people and monkeys find them
    predictivity.py  how well a layer predicts recorded cells
    shapes.py        silhouettes of known outline
    curvature.py     tuning to curvature and angular position, fitted
    tuning.py        what shapes the units of a layer prefer (pictures: tuning_plots.py)
"""

from tcn.explain.brain92 import Brain92, load_brain92
from tcn.explain.curvature import CurvatureTuning, curvature_responses, fit_curvature, squashed
from tcn.explain.dissimilarity import dissimilarities, dissimilarities_of, patterns
from tcn.explain.fields import Fields
from tcn.explain.layers import activations, layer_names
from tcn.explain.predictivity import (
    Predictivity,
    load_recordings,
    predictivity,
    split_half_reliability,
)
from tcn.explain.probe import Place, Strongest, places, strongest
from tcn.explain.shapes import Shape, pictures_of, shape_set
from tcn.explain.similarity import Comparison, arrangement, compare
from tcn.explain.similarity_plots import plot_agreement, plot_arrangement, plot_dissimilarities
from tcn.explain.tuning import ShapeTuning, translation_invariance, tune
from tcn.explain.tuning_plots import plot_tuning

__all__ = [
    "Brain92",
    "Comparison",
    "CurvatureTuning",
    "Fields",
    "Place",
    "Predictivity",
    "Shape",
    "ShapeTuning",
    "Strongest",
    "activations",
    "arrangement",
    "compare",
    "curvature_responses",
    "dissimilarities",
    "dissimilarities_of",
    "fit_curvature",
    "layer_names",
    "load_brain92",
    "load_recordings",
    "patterns",
    "pictures_of",
    "places",
    "plot_agreement",
    "plot_arrangement",
    "plot_dissimilarities",
    "plot_tuning",
    "predictivity",
    "shape_set",
    "split_half_reliability",
    "squashed",
    "strongest",
    "translation_invariance",
    "tune",
]
