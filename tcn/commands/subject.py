"""What ``tcn explain`` looks into: a net, and data for it, from runs, folders and Python files."""

from __future__ import annotations

import importlib.util
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
SOUNDS = (".wav", ".flac", ".ogg", ".mp3")


class Subject(NamedTuple):
    """A net and its data.

    Attributes:
        net: any ``nn.Module``.
        data: what :func:`tcn.explain.strongest` takes.
        class_names: of the net's outputs, if they are known.
        sample_rate: in Hz, if the data are sound.
        facts: what the page says of them.
    """

    net: Any
    data: Any
    class_names: Sequence[str] | None
    sample_rate: int | None
    facts: dict[str, str]


def subject_of(given: Namespace) -> Subject:
    """The net and the data that the options name.

    Raises:
        OSError: a file cannot be read.
        TypeError: a Python file gives something else than a net or data.
        ValueError: something that is named is not there, or the net comes without data.
    """
    if given.checkpoint is not None:
        return _of_run(given)
    if given.data is None:
        raise ValueError(
            "data: none given; give --data FILE.npy, a folder of pictures or of sounds, or "
            "FILE.py:NAME"
        )
    if given.folder is not None:
        from tcn.inference.pretrained import from_pretrained

        net, place = from_pretrained(given.folder), given.folder
    else:
        net, place = _called("net", given.net), given.net
    data = data_of(given.data, given.sample_rate)
    facts = {"net": f"{described(net)}, from {place}", "data": given.data}
    return Subject(net, data, None, given.sample_rate, facts)


def _of_run(given: Namespace) -> Subject:
    from tcn.commands.trained import built_of_run

    built, checkpoint = built_of_run(Path(given.checkpoint))
    net, module = built.model.net, built.datamodule
    rate = given.sample_rate or getattr(module, "sample_rate", None)
    if given.data is None:
        module.prepare_data()
        module.setup("test")
        data, said = module.test_dataloader(), f"{type(module).__name__}, its test part"
        data = data[0] if isinstance(data, list) else data
    else:
        data, said = data_of(given.data, rate), given.data
    facts = {"net": f"{described(net)}, from {checkpoint}", "data": said}
    return Subject(net, data, getattr(module, "class_names", None), rate, facts)


def described(net: Any) -> str:
    """The class of a net and the number of its parameters."""
    count = sum(parameter.numel() for parameter in net.parameters())
    return f"{type(net).__name__}, {count:,} parameters"


def data_of(name: str, sample_rate: int | None) -> Any:
    """Inputs from a place.

    Args:
        name: a ``.npy`` or ``.npz`` file of ``(examples, channels, *sizes)``, a folder of pictures
            or of sounds, or ``FILE.py:NAME``, a function without arguments that returns data.
        sample_rate: in Hz, which sounds must have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not there, or not of the right form.
    """
    if ".py:" in name:
        return _called("data", name)
    path = Path(name)
    if path.is_dir():
        return _of_folder(path, sample_rate)
    if not path.is_file():
        raise ValueError(f"data: {name!r} is not there; give the path of a file or a folder")
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(
            f"data: {name!r} ends in none of .npy, .npz; give one, a folder of pictures or sounds, "
            "or FILE.py:NAME"
        )
    import numpy as np
    import torch

    try:
        read = np.load(path, allow_pickle=False)
        array = read if path.suffix == ".npy" else read[read.files[0]]
    except (ValueError, IndexError) as error:
        raise ValueError(f"data: {name} is not an array of numbers ({error})") from error
    if array.dtype.kind not in "fiub" or array.ndim < 2:
        raise ValueError(
            f"data: {name} holds {array.dtype} of shape {array.shape}; expected numbers "
            "(examples, channels, ...)"
        )
    x = torch.from_numpy(np.ascontiguousarray(array))
    return x.float() if array.dtype.kind in "fub" else x


def _of_folder(path: Path, sample_rate: int | None) -> Any:
    files = sorted(each for each in path.rglob("*") if each.is_file())
    pictures = [file for file in files if file.suffix.lower() in PICTURES]
    sounds = [file for file in files if file.suffix.lower() in SOUNDS]
    if not pictures and not sounds:
        raise ValueError(f"data: {path} holds neither pictures nor sounds; give another folder")
    return Files(pictures, _picture) if pictures else Files(sounds, _sound_reader(sample_rate))


class Files:
    """Inputs that are read from files, one at a time, anew whenever they are gone through."""

    def __init__(self, files: Sequence[Path], read: Callable[[Path], Any]) -> None:
        """Reads nothing yet."""
        self.files = files
        self.read = read

    def __iter__(self) -> Iterator[Any]:
        return map(self.read, self.files)


def _picture(file: Path) -> Any:
    """``(1, 3, height, width)`` from 0 to 1."""
    from tcn.vision.folder import read_image

    try:
        return read_image(file, color=True, size=None)[None].float() / 255
    except Exception as error:  # decoders raise what they like
        raise ValueError(f"data: {file} is not a picture ({error}); remove it") from error


def _sound_reader(sample_rate: int | None) -> Callable[[Path], Any]:
    """What reads ``(1, 1, time)``."""
    from tcn.audio.clips import Clip, Reader

    if sample_rate is None:
        raise ValueError("sample_rate: none given; give --sample_rate, in Hz, that of the net")
    reader = Reader(sample_rate)
    return lambda file: reader(Clip(file))[None, None]


def _called(option: str, name: str) -> Any:
    """What a function of a Python file returns."""
    file, _, function = name.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not path.is_file() or not function.isidentifier():
        raise ValueError(
            f"{option}: {name!r} is not FILE.py:NAME of a file that is there, such as my_net.py:net"
        )
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    if not callable(getattr(module, function, None)):
        raise ValueError(f"{option}: {path} has no function {function!r}; define it there")
    made = getattr(module, function)()
    if option == "net":
        from torch import nn

        if not isinstance(made, nn.Module):
            raise TypeError(f"net: {name} returned a {type(made).__name__}; return an nn.Module")
    return made
