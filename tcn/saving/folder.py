"""A folder of two files, one of settings (JSON) and one of tensors (safetensors); whole or absent.

The settings decide. They hold size and SHA-256 of the tensors and, as their last entry, a checksum
of their own bytes: a bit that flips anywhere is found. One renaming, that of the settings, puts a
new pair in place of the old one::

    model-<sha256>.safetensors    1. the new tensors, next to the old ones
    config.json                   2. the settings that name them: from here on the new pair is there
    model.safetensors             3. the new tensors under their known name

Killed before the second step, a folder holds the old pair, after it the new one, whose tensors are
then read under the name of the first step; the next save goes on with the third and takes away what
is left over. (Under a name that holds their checksum alone the tensors would need no third step.
But ``model.safetensors`` is the name that the Hugging Face hub, its viewers and its download
counters know, and that version 1 had.) A reader who finds tensors that its settings do not name
reads again if the settings have been replaced meanwhile.

Version 1 had neither the checksum of the settings nor the first step; it is read, not written. A
library that reads version 1 alone says ``format_version: 2 is not 1``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tcn.saving.files import flush, write_bytes, writing
from tcn.saving.schema import Schema, first_error, parse

FORMAT_VERSION = 2
"""Of what is written."""
VERSIONS = (1, FORMAT_VERSION)
"""Of what is read."""
CHECKSUM: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
"""The schema of any checksum."""

_BLANK = "0" * 64
_LAST = re.compile(rb'"checksum": "([0-9a-f]{64})"\s*\}\s*\Z')
_ATTEMPTS = 100


class Layout(NamedTuple):
    """What the files of a kind of folder are called.

    Attributes:
        settings: name of the file of settings, such as ``"config.json"``.
        tensors: name of the file of tensors, such as ``"model.safetensors"``.
        entry: under which the settings hold name, size and SHA-256 of the tensors.
        missing: the error for a folder in which a file of a name is missing.
    """

    settings: str
    tensors: str
    entry: str
    missing: Callable[[Path, str], str]

    def staged(self, digest: str) -> str:
        """The name of the file of tensors before it gets its own."""
        stem, suffix = os.path.splitext(self.tensors)
        return f"{stem}-{digest}{suffix}"


class Pair(NamedTuple):
    """What a folder holds: checked settings, the bytes of the tensors, and where those are."""

    settings: dict[str, Any]
    tensors: bytes
    path: Path


def tensors_schema(layout_name: str) -> Schema:
    """The schema of what the settings say about the file of tensors of that name."""
    return {
        "type": "object",
        "required": ["file", "size", "sha256"],
        "additionalProperties": False,
        "properties": {
            "file": {"const": layout_name},
            "size": {"type": "integer", "minimum": 0},
            "sha256": CHECKSUM,
        },
    }


def entry(layout: Layout, tensors: bytes) -> dict[str, Any]:
    """What the settings say about the file of tensors."""
    digest = hashlib.sha256(tensors).hexdigest()
    return {layout.entry: {"file": layout.tensors, "size": len(tensors), "sha256": digest}}


def seal(settings: Mapping[str, Any]) -> str:
    """Settings as text that ends in a checksum of itself."""
    content = {name: value for name, value in settings.items() if name != "checksum"}
    text = json.dumps(content | {"checksum": _BLANK}, indent=2, allow_nan=False) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    before, _, after = text.rpartition(_BLANK)
    return before + digest + after


# ----------------------------------------------------------------------------- writing


def write(folder: Path, layout: Layout, settings: Mapping[str, Any], tensors: bytes) -> None:
    """Writes both files, or leaves what was there as it was.

    Two that write at once do so one after the other.

    Args:
        folder: made if it is missing.
        layout: the names.
        settings: what JSON can hold, with the ``entry`` of these tensors.
        tensors: the bytes of a safetensors file.

    Raises:
        OSError: if the disk is full or refuses; the folder then holds what it held.
    """
    text = seal(settings).encode()
    staged = folder / layout.staged(settings[layout.entry]["sha256"])
    with writing(folder / layout.settings) as desk:
        try:
            write_bytes(desk.folder / staged.name, tensors)
            write_bytes(desk.folder / layout.settings, text)
            (desk.folder / staged.name).replace(staged)
            flush(folder)  # else a failing disk may know the settings alone
            (desk.folder / layout.settings).replace(folder / layout.settings)
            flush(folder)
        finally:
            if desk.alone:
                _tidy(folder, layout)


def _tidy(folder: Path, layout: Layout) -> None:
    """Gives the tensors that the settings name their known name; takes away all others of ours.

    What cannot be done is left to the next save: the pair is whole as it is.
    """
    path = folder / layout.settings
    current = None
    with suppress(OSError, ValueError, LookupError, TypeError):
        if path.exists():
            digest = parse(path.read_bytes())[layout.entry]["sha256"]
            current = layout.staged(digest)
    if current is None and path.exists():  # whom the files belong to cannot be said
        return
    stem, suffix = os.path.splitext(layout.tensors)
    with suppress(OSError):
        for file in folder.glob(f"{stem}-{'[0-9a-f]' * 64}{suffix}"):
            if file.name == current:
                file.replace(folder / layout.tensors)
                flush(folder)
            else:
                file.unlink()


# ----------------------------------------------------------------------------- reading


def read(folder: Path, layout: Layout, schema: Schema) -> Pair:
    """Both files, checked against each other.

    Args:
        folder: where they are.
        layout: the names.
        schema: of the settings.

    Raises:
        ValueError: if a file is missing, cannot be read, is truncated, changed, of another version
            or does not fit the other; the message names the file and the reason.
    """
    for _ in range(_ATTEMPTS):
        before = _identity(folder / layout.settings)
        settings = _settings(folder, layout, schema)
        try:
            return _pair(folder, layout, settings)
        except ValueError:
            if _identity(folder / layout.settings) == before:
                raise
    raise ValueError(f"{folder}: it is replaced again and again while it is read; try it later")


def _settings(folder: Path, layout: Layout, schema: Schema) -> dict[str, Any]:
    path = folder / layout.settings
    data = _bytes(folder, layout.settings)
    if data is None:
        raise ValueError(layout.missing(folder, layout.settings))
    try:
        settings = parse(data)
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    reason = _reason_of_version(settings, data) or first_error(settings, schema)
    if reason is not None:
        raise ValueError(f"{path}: {reason}")
    return settings


def _reason_of_version(settings: Any, data: bytes) -> str | None:
    """Why settings are not as they were written, or by whom; None if they are."""
    if not isinstance(settings, dict) or "format_version" not in settings:
        return None  # the schema says it better
    version = settings["format_version"]
    if version not in VERSIONS or type(version) is not int:
        return (
            f"format_version: {str(version)[:40]} is not one of {', '.join(map(str, VERSIONS))}; "
            "read it with the version of tcn that wrote it, or a later one"
        )
    if version == 1:
        return "checksum is not known in version 1" if "checksum" in settings else None
    found = _LAST.search(data)
    if found is None:
        return "its last entry is not a checksum; copy or download the folder again"
    blank = data[: found.start(1)] + _BLANK.encode() + data[found.end(1) :]
    if hashlib.sha256(blank).hexdigest().encode() != found[1]:
        return "its checksum is not that of its bytes; it was changed: copy the folder again"
    return None


def _pair(folder: Path, layout: Layout, settings: dict[str, Any]) -> Pair:
    """The tensors that the settings speak of, first under the name that has them alone."""
    expected = settings[layout.entry]
    names = [layout.staged(expected["sha256"]), layout.tensors]
    for name in names[settings["format_version"] == 1 :]:
        data = _bytes(folder, name)
        if data is None:
            continue
        size, digest = len(data), hashlib.sha256(data).hexdigest()
        if (size, digest) == (expected["size"], expected["sha256"]):
            return Pair(settings, data, folder / name)
        if name == layout.tensors:
            raise ValueError(
                f"{folder / name}: {size} bytes that are not the {expected['size']} whose "
                f"SHA-256 {layout.settings} holds; they are truncated, changed or of another "
                "folder: copy or download the whole folder again"
            )
    raise ValueError(layout.missing(folder, layout.tensors))


def _bytes(folder: Path, name: str) -> bytes | None:
    """What a file holds; None if there is no such file."""
    path = folder / name
    try:
        return path.read_bytes() if path.is_file() else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"{path}: it cannot be read: {error.strerror}") from error


def _identity(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
