"""Files that are either whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to that takes the place of ``path`` if the block ends without an error.

    As :func:`replacing_all`, for one file.
    """
    with replacing_all([path]) as (file,):
        yield file


@contextmanager
def replacing_all(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Paths to write to that take the place of ``paths`` if the block ends without an error.

    Until then, and after an error, whatever stands at ``paths`` is untouched. Only a machine that
    stops between two renames leaves new files beside old ones; where that matters, the last of them
    has to hold a checksum of the others.

    Args:
        paths: where the files belong, all in one folder; it is made if it is missing.

    Yields:
        A path of the same name for each.
    """
    folder = paths[0].parent
    folder.mkdir(parents=True, exist_ok=True)
    # A folder within the folder: renaming never crosses from one disk to another.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as temporary:
        written = [Path(temporary) / path.name for path in paths]
        yield written
        for file in written:
            _flush(file)
        _rename(written, paths, Path(temporary))
        _flush(folder)


def _rename(written: Sequence[Path], paths: Sequence[Path], spare: Path) -> None:
    """Puts every file in its place, or none."""
    before = {path: spare / f"{path.name}.before" for path in paths[:-1]}
    for path, backup in before.items():
        with suppress(FileNotFoundError):
            os.link(path, backup)
    try:
        for file, path in zip(written, paths, strict=True):
            file.replace(path)
    except OSError:
        for path, backup in before.items():
            if backup.exists():
                backup.replace(path)
            else:
                path.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    """Has the system write a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
