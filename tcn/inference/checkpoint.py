"""The weights of a net from a checkpoint of its training: all of them, as they were, or none."""

from __future__ import annotations

import copy
import io
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from tcn.layers.compiled import PREFIX


def load_checkpoint(net: nn.Module, path: str | PathLike[str]) -> nn.Module:
    """Loads the weights of a net from a checkpoint of its training, in place.

    The checkpoint is read by PyTorch's restricted unpickler, which runs no code, and only after the
    checksum of every record of it has been found right. Only the tensors of the task's net are
    taken from it, and all of them are checked before the first is copied: a net that is refused is
    what it was.

    Args:
        net: built as it was for the training; whether it, or the net that was trained, has been
            through ``torch.compile`` makes no difference.
        path: a ``.ckpt`` file that ``tcn fit`` wrote.

    Returns:
        The net.

    Raises:
        ValueError: if the file is missing, damaged, holds more than data, no net, or another net;
            the message names it.
    """
    path = Path(path)
    state = _net_of(_read(path), path)
    names = {name.replace(PREFIX, ""): name for name in net.state_dict()}
    state = {names.get(name, name): tensor for name, tensor in state.items()}
    # On meta nothing is copied, and hooks that change the names of weights are run.
    trial = copy.deepcopy(net).to("meta")
    with _refusing(path, "of another net"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that nothing is copied
        trial.load_state_dict(state)
    net.load_state_dict(state)
    return net


def _read(path: Path) -> Any:
    """What the checkpoint holds."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; pass a checkpoint of `tcn fit`")
    reason = "not a checkpoint that can be read without running code"
    with _refusing(path, reason), path.open("rb") as file:
        return torch.load(_sound(file), map_location="cpu", weights_only=True)


def _sound(file: IO[bytes]) -> IO[bytes]:
    """The same archive, rebuilt from its records once each has been checked against its CRC-32.

    PyTorch is not given the file itself: its reader of archives looks at no checksum, and believes
    the rest of a directory too. For a record that a flipped bit calls a folder it returns whatever
    was in memory. Files that are not archives (PyTorch's of before 2020) have no checksums.
    """
    is_archive = file.read(2) == b"PK" or zipfile.is_zipfile(file)
    file.seek(0)
    if not is_archive:
        return file
    made = io.BytesIO()
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(made, "w") as anew:
        for record in archive.infolist():
            anew.writestr(record.filename, archive.read(record))
    made.seek(0)
    return made


def _net_of(checkpoint: Any, path: Path) -> dict[str, Tensor]:
    """The tensors of the net, under the names that they have without ``torch.compile``."""
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, Mapping):
        raise ValueError(f"{path}: no state_dict in it; expected a checkpoint of `tcn fit`")
    plain = {str(name).replace(PREFIX, ""): tensor for name, tensor in state.items()}
    own = {k.removeprefix("net."): v for k, v in plain.items() if k.startswith("net.")}
    for name, tensor in own.items():
        if not isinstance(tensor, Tensor) or tensor.is_meta or tensor.layout is not torch.strided:
            raise ValueError(f"{path}: {name} is not a tensor of numbers; use another checkpoint")
    return own


@contextmanager
def _refusing(path: Path, reason: str) -> Iterator[None]:
    """Whatever is raised within becomes a ValueError that names the file.

    No contract says what a damaged archive or pickle raises: PyTorch, pickle and zipfile have
    raised more than a dozen types of errors.
    """
    try:
        yield
    except Exception as error:
        text = str(error) if reason == "of another net" else str(error).partition("\n")[0]
        raise ValueError(f"{path}: {reason}: {text or type(error).__name__}") from error
