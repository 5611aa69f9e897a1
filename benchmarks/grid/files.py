"""Writes files that are always whole, new or as before, whatever happens during the writing."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Like :func:`write_atomically`, with ``content`` as JSON."""
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def write_atomically(path: Path, content: bytes) -> None:
    """After this returns, or after a crash at any point, ``path`` is whole: new or as before.

    A crash leaves behind a folder next to ``path`` that git ignores. The folder is not elsewhere,
    since each folder of results may be a link to another disk, and a file cannot be renamed from
    one disk to another.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        (Path(folder) / ".gitignore").write_bytes(b"*\n")
        temporary = Path(folder) / "content"
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes a rename inside ``folder`` survive a power cut (POSIX only; elsewhere does nothing)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
