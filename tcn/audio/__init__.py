"""Sound: files, data, and nets of captured devices in the files of Neural Amp Modeler.

Each name is imported when it is first asked for: captures need torch alone, sound files soundfile,
data sets Lightning, and resampling torchaudio.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tcn.audio.nam_reading import load_nam
    from tcn.audio.nam_writing import save_nam
    from tcn.audio.resampling import resample
    from tcn.audio.sound import Sound, load_sound, save_sound

_PLACES = {
    "Sound": "sound",
    "load_nam": "nam_reading",
    "load_sound": "sound",
    "resample": "resampling",
    "save_nam": "nam_writing",
    "save_sound": "sound",
}

__all__ = [
    "Sound",
    "load_nam",
    "load_sound",
    "resample",
    "save_nam",
    "save_sound",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'tcn.audio' has no attribute {name!r}")
    return getattr(import_module(f"tcn.audio.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
