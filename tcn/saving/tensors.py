"""Files of tensors: safetensors, and one with settings in its header and proof that it is whole.

    metadata    format, version, content (JSON: the settings), checksum

safetensors itself checks neither the values nor whose they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from tcn.saving.files import replacing, write_bytes
from tcn.saving.schema import Schema, first_error, parse

_DAMAGE = (
    SafetensorError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
    RuntimeError, RecursionError, MemoryError,
)  # fmt: skip
"""What reading a damaged file may end in."""


class Kind(NamedTuple):
    """A kind of file with settings in its header.

    Attributes:
        format: what the file says it is.
        version: of the format.
        writer: who writes such files, for errors.
        schema: of the settings.
    """

    format: str
    version: str
    writer: str
    schema: Schema


def write(path: Path, kind: Kind, content: Mapping[str, Any], tensors: dict[str, Tensor]) -> None:
    """Writes a file with settings in its header, or leaves what stood at ``path`` as it was.

    Args:
        path: where to.
        kind: of the file.
        content: what JSON can hold.
        tensors: by name, contiguous and on the CPU.
    """
    text = json.dumps(content)
    metadata = {"format": kind.format, "version": kind.version, "content": text}
    metadata["checksum"] = checksum(text, safetensors.torch.save(tensors))
    with replacing(path) as temporary:
        write_bytes(temporary, safetensors.torch.save(tensors, metadata))


def read(path: Path, kind: Kind) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and tensors of a file that :func:`write` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, is not such a file, is of another version or was changed
            after it was written.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(f"path: {path} cannot be read: {error.strerror}") from error
    with damaged(path):
        tensors = safetensors.torch.load(data)
        metadata = header(data).get("__metadata__", {})
    if metadata.get("format") != kind.format:
        raise ValueError(
            f"path: {path} holds no {kind.format.removeprefix('tcn ')} (its format is "
            f"{metadata.get('format')!r}); pass a file that {kind.writer} wrote"
        )
    if metadata.get("version") != kind.version:
        raise ValueError(
            f"path: {path} is of version {metadata.get('version')!r}, this library reads "
            f"{kind.version!r}; use the version of the library that wrote it"
        )
    text = metadata.get("content", "")
    if metadata.get("checksum") != checksum(text, data):
        raise ValueError(
            f"path: {path} is damaged: its checksum does not fit its content; use another copy"
        )
    with damaged(path):
        content = parse(text)
        if (reason := first_error(content, kind.schema)) is not None:
            raise ValueError(reason)
    return content, tensors


def loaded(path: Path, data: bytes) -> dict[str, Tensor]:
    """The tensors of the bytes of a safetensors file.

    Raises:
        ValueError: naming the file, if they are not those of such a file.
    """
    try:
        return safetensors.torch.load(data)
    except _DAMAGE as error:
        raise ValueError(f"{path}: not a safetensors file: {error}") from error


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """A context in which errors in the content of a file become a ValueError naming the file."""
    try:
        yield
    except _DAMAGE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"path: {path} is cut off or damaged: {reason}; use another copy"
        ) from error


def header(data: bytes) -> dict[str, Any]:
    """The JSON at the head of a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])


def checksum(content: str, data: bytes) -> str:
    """Of the content, and of every name, type, shape and value in a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    entries = {name: entry for name, entry in header(data).items() if name != "__metadata__"}
    digest = hashlib.sha256(json.dumps([content, entries], sort_keys=True).encode())
    digest.update(data[8 + length :])
    return digest.hexdigest()
