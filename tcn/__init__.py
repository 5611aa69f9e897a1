"""Sequence modelling by convolution: layers and nets in PyTorch, trained through Lightning.

``import tcn`` needs torch alone; ``tcn.training``, ``tcn.data`` and the pipelines are imported by
name.
"""

from tcn import layers, models
from tcn.layers.receptive_field import ReceptiveField, receptive_field

__version__ = "0.1.0"

__all__ = ["ReceptiveField", "layers", "models", "receptive_field"]
