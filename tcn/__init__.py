"""Sequence modeling by convolution: layers and nets in PyTorch, trained through Lightning.

``import tcn`` itself loads nothing, so that ``tcn --help`` answers at once; ``tcn.layers`` and
``tcn.models`` are loaded when they are first used and need torch alone. ``tcn.inference``,
``tcn.training``, ``tcn.data`` and the pipelines are imported by name.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tcn.extras import warn_of_keras_tcn

if TYPE_CHECKING:
    from tcn import layers, models
    from tcn.layers.receptive_field import ReceptiveField, receptive_field

__version__ = "0.1.0"

__all__ = ["ReceptiveField", "layers", "models", "receptive_field"]

warn_of_keras_tcn(Path(__file__).parent)


def __getattr__(name: str) -> Any:
    if name in ("layers", "models"):
        return import_module(f"tcn.{name}")
    if name in ("ReceptiveField", "receptive_field"):
        found = getattr(import_module("tcn.layers.receptive_field"), name)
        globals()[name] = found
        return found
    raise AttributeError(f"module 'tcn' has no attribute {name!r}; import tcn.{name} by its name")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
