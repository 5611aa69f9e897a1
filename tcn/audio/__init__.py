"""Sound: files, data, and nets of captured devices in the files of Neural Amp Modeler.

Each name is imported when it is first asked for: captures need torch alone, sound files soundfile,
data sets Lightning, and resampling torchaudio.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tcn.audio.augmentation import (
        BackgroundNoise,
        Gain,
        Noise,
        SoundAugmentation,
        Speed,
        TimeShift,
    )
    from tcn.audio.digit_mixtures import SpokenDigitMixtures
    from tcn.audio.folder import SoundFolder, SoundTable
    from tcn.audio.live import Live, as_if_live
    from tcn.audio.loading import SoundDataModule
    from tcn.audio.losses import DCOffset, ErrorToSignal, MultiResolutionSTFT, SoundLoss
    from tcn.audio.mixtures import Mixtures
    from tcn.audio.nam_reading import load_nam
    from tcn.audio.nam_writing import save_nam
    from tcn.audio.pairs import SoundPairs
    from tcn.audio.playing import load_capture, play, play_file
    from tcn.audio.plots import plot_sound
    from tcn.audio.resampling import resample
    from tcn.audio.separation import Separation
    from tcn.audio.sound import Sound, load_sound, save_sound
    from tcn.audio.sound_clips import SoundClips
    from tcn.audio.sound_regression import SoundRegression
    from tcn.audio.speech_commands import SpeechCommands
    from tcn.audio.spoken_digits import SpokenDigits
    from tcn.audio.yesno import YesNo
    from tcn.layers import MFCC, MelSpectrogram, SpecAugment
    from tcn.outputs import mu_law_decode, mu_law_encode

_PLACES = {
    "MFCC": "tcn.layers",
    "BackgroundNoise": "tcn.audio.augmentation",
    "DCOffset": "tcn.audio.losses",
    "ErrorToSignal": "tcn.audio.losses",
    "Gain": "tcn.audio.augmentation",
    "Live": "tcn.audio.live",
    "MelSpectrogram": "tcn.layers",
    "Mixtures": "tcn.audio.mixtures",
    "MultiResolutionSTFT": "tcn.audio.losses",
    "Noise": "tcn.audio.augmentation",
    "Separation": "tcn.audio.separation",
    "Sound": "tcn.audio.sound",
    "SoundAugmentation": "tcn.audio.augmentation",
    "SoundClips": "tcn.audio.sound_clips",
    "SoundDataModule": "tcn.audio.loading",
    "SoundFolder": "tcn.audio.folder",
    "SoundLoss": "tcn.audio.losses",
    "SoundPairs": "tcn.audio.pairs",
    "SoundRegression": "tcn.audio.sound_regression",
    "SoundTable": "tcn.audio.folder",
    "SpecAugment": "tcn.layers",
    "SpeechCommands": "tcn.audio.speech_commands",
    "Speed": "tcn.audio.augmentation",
    "SpokenDigitMixtures": "tcn.audio.digit_mixtures",
    "SpokenDigits": "tcn.audio.spoken_digits",
    "TimeShift": "tcn.audio.augmentation",
    "YesNo": "tcn.audio.yesno",
    "as_if_live": "tcn.audio.live",
    "load_capture": "tcn.audio.playing",
    "load_nam": "tcn.audio.nam_reading",
    "load_sound": "tcn.audio.sound",
    "mu_law_decode": "tcn.outputs",
    "mu_law_encode": "tcn.outputs",
    "play": "tcn.audio.playing",
    "play_file": "tcn.audio.playing",
    "plot_sound": "tcn.audio.plots",
    "resample": "tcn.audio.resampling",
    "save_nam": "tcn.audio.nam_writing",
    "save_sound": "tcn.audio.sound",
}

__all__ = [
    "MFCC",
    "BackgroundNoise",
    "DCOffset",
    "ErrorToSignal",
    "Gain",
    "Live",
    "MelSpectrogram",
    "Mixtures",
    "MultiResolutionSTFT",
    "Noise",
    "Separation",
    "Sound",
    "SoundAugmentation",
    "SoundClips",
    "SoundDataModule",
    "SoundFolder",
    "SoundLoss",
    "SoundPairs",
    "SoundRegression",
    "SoundTable",
    "SpecAugment",
    "SpeechCommands",
    "Speed",
    "SpokenDigitMixtures",
    "SpokenDigits",
    "TimeShift",
    "YesNo",
    "as_if_live",
    "load_capture",
    "load_nam",
    "load_sound",
    "mu_law_decode",
    "mu_law_encode",
    "play",
    "play_file",
    "plot_sound",
    "resample",
    "save_nam",
    "save_sound",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'tcn.audio' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return __all__
