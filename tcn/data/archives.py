"""Files inside zip and tar archives: read where they lie, or unpacked once if they are many."""

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TypeVar

from tcn.data.fetch import RemoteFile, cache_folder, data_folder, locate
from tcn.saving.files import writing

Found = TypeVar("Found")

_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError)


@contextmanager
def opened_member(archive: RemoteFile, name: str) -> Iterator[IO[bytes]]:
    """A file inside a zip or tar archive, in whatever folder there.

    Raises:
        ValueError: the archive is damaged or holds no such file.
    """
    path = locate(archive)
    try:
        with _opened(path, name) as stream:
            yield stream
    except _DAMAGE as error:
        raise ValueError(f"{path}: not a whole archive ({error})") from error


def members(archive: RemoteFile, names: Sequence[str]) -> dict[str, bytes]:
    """Files inside a tar archive, in whatever folder there; it is read once.

    Raises:
        ValueError: the archive is damaged or lacks one of the files.
    """
    path = locate(archive)
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as tarred:
            for member in tarred:
                name = PurePosixPath(member.name).name
                if name in names:
                    found[name] = _found(tarred.extractfile(member), path, name).read()
    except _DAMAGE as error:
        raise ValueError(f"{path}: not a whole archive ({error})") from error
    return {name: _found(found.get(name), path, name) for name in names}


def unpacked(archive: RemoteFile, folder: str) -> Path:
    """The folder of what a tar archive holds.

    Looked for in ``TCN_DATA_DIR``, then in the cache; if it is in neither, the archive is located,
    unpacked next to its place in the cache and moved there when it is whole.

    Args:
        archive: the archive.
        folder: where its content lies inside a data folder, such as ``"yesno/waves_yesno"``.

    Raises:
        ValueError: the archive is damaged, or a file in it would lie outside of the folder.
    """
    given = data_folder()
    if given is not None and (given / folder).is_dir():
        return given / folder
    target = cache_folder() / folder
    if target.is_dir():
        return target
    path = locate(archive)
    with writing(target) as desk:
        if target.is_dir():  # another process was faster
            return target
        inside = desk.folder / "content"
        try:
            with tarfile.open(path) as tarred:
                tarred.extractall(inside, filter="data")
        except (*_DAMAGE, tarfile.FilterError) as error:
            raise ValueError(f"{path}: not a whole archive ({error})") from error
        inside.rename(target)
    return target


@contextmanager
def _opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as zipped:
            inside = {PurePosixPath(member).name: member for member in zipped.namelist()}
            with zipped.open(_found(inside.get(name), path, name)) as stream:
                yield stream
    else:
        with tarfile.open(path) as tarred:
            # One by one: to list a compressed archive is to read it all.
            member = next((m for m in tarred if PurePosixPath(m.name).name == name), None)
            yield _found(tarred.extractfile(_found(member, path, name)), path, name)


def _found(member: Found | None, path: Path, name: str) -> Found:
    if member is None:
        raise ValueError(f"{path}: holds no file {name}")
    return member
