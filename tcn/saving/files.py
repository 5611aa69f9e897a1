"""Files that are either whole or absent: written next to their place, then renamed into it.

What is being written lies in a folder ``.writing-...`` next to its place. Whoever writes holds a
lock on ``.writing-....lock``, so that writers of one place wait for each other, and what a killed
one left behind can be told from what a living one writes: the next writer takes it away.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple


class Desk(NamedTuple):
    """Where something is written before it takes its place.

    Attributes:
        folder: for files that are not ready yet.
        alone: whether no other writer of the same place can be at work; False where the file
            system has no locks.
    """

    folder: Path
    alone: bool


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to that takes the place of ``path`` if the block ends without an error.

    Until then, and after an error, whatever stands at ``path`` is untouched.

    Args:
        path: where the file belongs; its folder is made if it is missing. A symbolic link stays
            one, and the file that it names is replaced.

    Yields:
        A path of the same name.

    Raises:
        OSError: if the system cannot write it; it names ``path``.
        ValueError: if ``path`` is there and is not a file, such as ``/dev/null``.
    """
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a device or a pipe"
        raise ValueError(f"path: {path} is {what}; give the path of a file")
    place = path.resolve() if path.is_symlink() else path
    with _naming(path), writing(place) as desk:
        file = desk.folder / path.name
        yield file
        flush(file)
        file.replace(place)
        flush(place.parent)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Names the place of a file where the system names none, or what was written beside it."""
    try:
        yield
    except OSError as error:
        ours = error.filename is None or ".writing-" in os.fsdecode(error.filename)
        if error.errno is None or not ours:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def writing(path: Path) -> Iterator[Desk]:
    """A desk next to ``path``, on the same disk, after all other writers of ``path`` are done.

    Args:
        path: what is going to be written; its folder is made if it is missing.
    """
    folder = path.parent
    folder.mkdir(parents=True, exist_ok=True)
    # A name of its own would not do: with anything before it, it may be too long.
    prefix = f".writing-{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:12]}"
    with _locked(folder / f"{prefix}.lock") as alone:
        if alone:
            for leftover in folder.glob(f"{prefix}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f"{prefix}-") as temporary:
            yield Desk(Path(temporary), alone)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file that is not there yet, all of it, to the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def flush(path: Path) -> None:
    """Has the system write a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Holds a lock that ends with the process, on a file that is gone afterwards."""
    handle, locks = _opened(path)
    try:
        yield locks
    finally:
        # Before it is released: afterwards it could be another's.
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if locks:  # a process forked meanwhile has the handle too, and would go on holding it
            fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _opened(path: Path) -> tuple[int, bool]:
    """The file of a lock, and whether it is held."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            locks = _lock(handle)
            if not locks or _is_at(path, handle):
                return handle, locks
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the holder before took the file away, so it locks nobody out


def _lock(handle: int) -> bool:
    """Waits for the lock; False if the file system has none."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle))
    except FileNotFoundError:
        return False
