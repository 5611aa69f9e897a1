"""Files inside archives, on small ones made here."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tcn.data.archives import members
from tcn.data.fetch import RemoteFile

CONTENTS = {"folder/a.bin": b"first", "folder/b.bin": b"second", "folder/readme": b"words"}


@pytest.fixture
def archive(data_folder: Path) -> RemoteFile:
    path = data_folder / "files.tar.gz"
    with tarfile.open(path, "w:gz") as tarred:
        for name, content in CONTENTS.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tarred.addfile(member, io.BytesIO(content))
    return of(path)


def of(path: Path) -> RemoteFile:
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return RemoteFile(path.name, checksum, ("http://127.0.0.1:9/",))


def test_members_come_in_the_order_asked_for(archive: RemoteFile) -> None:
    assert list(members(archive, ["b.bin", "a.bin"]).items()) == [
        ("b.bin", b"second"),
        ("a.bin", b"first"),
    ]


def test_a_member_that_is_not_there_is_named(archive: RemoteFile) -> None:
    with pytest.raises(ValueError, match=r"files.tar.gz: holds no file c.bin"):
        members(archive, ["a.bin", "c.bin"])


def test_a_cut_archive_is_refused(archive: RemoteFile, data_folder: Path) -> None:
    path = data_folder / archive.path
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="not a whole archive"):
        members(of(path), ["a.bin", "b.bin"])
