"""The one place that fetches files.

A file is looked for in this order:

1. ``TCN_DATA_DIR``, a folder of your own. It is only ever read, so it may be a read-only mount or
   shared by many users. A file there that is not the expected one is an error, never replaced.
2. The cache folder: ``TCN_CACHE_DIR`` when set, else the usual place of the system
   (``~/.cache/tcn`` on Linux). A file there that is not the expected one is downloaded again.
3. The addresses of the file, in order; what arrives is stored in the cache folder.

Whatever the place, the content must have the sha256 written in the code.
"""

import functools
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pooch
import requests
from filelock import FileLock

ROUNDS = 3
"""How often the list of addresses is tried."""

PAUSE = 1.0
"""Seconds before the second round; doubled before each later one."""

TIMEOUT = 30.0
"""Seconds without an answer or without new bytes after which an address counts as failed."""


class FileUnavailableError(FileNotFoundError):
    """A file is neither on this machine nor available from its addresses."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Attributes:
        path: where it lies inside a data folder, with forward slashes,
            e.g. ``mnist/train-images-idx3-ubyte.gz``.
        sha256: checksum of its content, 64 hexadecimal digits.
        addresses: where to get it; the first that delivers the right content wins.
    """

    path: str
    sha256: str
    addresses: tuple[str, ...]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name


def locate(file: RemoteFile) -> Path:
    """The path of a file on this machine with the right content; downloaded when it is not here.

    Safe to call from several processes at once: one downloads, the others wait for it. A download
    is written next to its target and moved there once its checksum is right, so a broken
    connection, a killed process or a login page leaves no half-written file.

    Raises:
        ValueError: ``TCN_DATA_DIR`` is not a folder, or holds another file under this path.
        FileUnavailableError: no address delivered the file, or the cache folder cannot be written.
    """
    given = _in_data_folder(file)
    if given is not None:
        return given
    target = cache_folder() / file.path
    # Asked before the lock is taken: a filled cache may lie on a read-only disk.
    if _is_right(target, file):
        return target
    lock = FileLock(f"{target}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise FileUnavailableError(
            f"{file.name} has to be downloaded, but the cache folder {cache_folder()} cannot be "
            f"written ({error}): set TCN_CACHE_DIR to a folder that can, or TCN_DATA_DIR to a "
            f"folder that holds {file.path}"
        ) from error
    try:
        # pooch looks at the target once more: another process may have brought it meanwhile.
        _download(file, target)
    finally:
        lock.release()
    return target


def cache_folder() -> Path:
    """Where downloads are kept: ``TCN_CACHE_DIR`` or the system's cache folder."""
    chosen = os.environ.get("TCN_CACHE_DIR")
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("tcn"))


def data_folder() -> Path | None:
    """``TCN_DATA_DIR``, or None if it is not set.

    Raises:
        ValueError: it is not a folder.
    """
    chosen = os.environ.get("TCN_DATA_DIR")
    if not chosen:
        return None
    folder = Path(chosen).expanduser()
    if not folder.is_dir():
        raise ValueError(f"TCN_DATA_DIR is {chosen!r}, which is not a folder: correct or unset it")
    return folder


def _in_data_folder(file: RemoteFile) -> Path | None:
    folder = data_folder()
    path = None if folder is None else folder / file.path
    if path is None or not path.exists():
        return None
    if not _is_right(path, file):
        raise ValueError(
            f"{path} is not the expected file: its sha256 is {_sha256(path)}, expected "
            f"{file.sha256}. Replace it by the file from {file.addresses[0]}, or remove it to "
            "have it downloaded into the cache folder"
        )
    return path


def _is_right(path: Path, file: RemoteFile) -> bool:
    return path.is_file() and _sha256(path) == file.sha256


def _sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_of_version(path, status.st_mtime_ns, status.st_size)


@functools.cache
def _sha256_of_version(path: Path, modified: int, size: int) -> str:
    # Time and size are part of the key, so a file is read once, and again when it was replaced.
    return str(pooch.file_hash(str(path), alg="sha256"))


def _download(file: RemoteFile, target: Path) -> None:
    remaining = list(file.addresses)
    failures: dict[str, Exception] = {}
    for round_number in range(ROUNDS):
        if round_number > 0 and remaining:
            time.sleep(PAUSE * 2 ** (round_number - 1))
        for address in tuple(remaining):
            try:
                _retrieve(address, file, target)
                return
            except (requests.RequestException, ValueError) as error:
                failures[address] = error
                if _is_final(error):
                    remaining.remove(address)
    raise FileUnavailableError(_explanation(file, target, failures))


def _retrieve(address: str, file: RemoteFile, target: Path) -> None:
    downloader = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(),  # in a log file it would be noise
        timeout=TIMEOUT,
        # A server that announces a .gz file as an encoding would have it unpacked on the way.
        headers={"Accept-Encoding": "identity"},
    )
    pooch.retrieve(
        address,
        known_hash=f"sha256:{file.sha256}",
        fname=target.name,
        path=target.parent,
        downloader=downloader,
    )


def _is_final(error: Exception) -> bool:
    """Whether asking the same address again is pointless: 4xx, but not time-out or rate limit."""
    if not isinstance(error, requests.HTTPError) or error.response is None:
        return False
    status = int(error.response.status_code)
    return 400 <= status < 500 and status not in (408, 429)


def _explanation(file: RemoteFile, target: Path, failures: dict[str, Exception]) -> str:
    tried = "".join(f"\n  {address}: {error}" for address, error in failures.items())
    return (
        f"{file.name} is not on this machine and could not be downloaded:{tried}\n"
        f"If this machine is offline or behind a login page, get the file elsewhere (sha256 "
        f"{file.sha256}) and put it at {target}, or set TCN_DATA_DIR to a folder that holds it "
        f"as {file.path}"
    )
