"""CIFAR-10: records made here, and the part of the official files that is at hand."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import numpy
import pytest
import torch

from tcn.data.fetch import RemoteFile
from tcn.data.loading import SPLITS
from tcn.vision import CIFAR10, cifar
from tcn.vision.cifar import read_records


def records(count: int, seed: int = 0) -> tuple[bytes, numpy.ndarray, numpy.ndarray]:
    """A binary file as Krizhevsky describes it, with its images and labels."""
    generator = numpy.random.default_rng(seed)
    images = generator.integers(0, 256, (count, 3, 32, 32), dtype=numpy.uint8)
    labels = generator.integers(0, 10, count, dtype=numpy.uint8)
    rows = [bytes([label]) + image.tobytes() for label, image in zip(labels, images, strict=True)]
    return b"".join(rows), images, labels


def test_records_are_read_back() -> None:
    content, images, labels = records(5)
    found, found_labels = read_records(content, "batch.bin")
    numpy.testing.assert_array_equal(found, images)
    assert found_labels.tolist() == labels.tolist()
    assert found_labels.dtype == torch.int64


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (records(2)[0][:-1], "batch.bin: 6145 bytes are not whole images of 3073 bytes each"),
        (b"", "batch.bin: 0 bytes are not whole images"),
        (b"\x0a" + bytes(3072), "batch.bin: labels must be 0 to 9, got 10"),
    ],
    ids=["cut", "empty", "label"],
)
def test_what_are_not_records_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_records(content, "batch.bin")


def test_an_archive_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {f"data_batch_{number}.bin": records(4, number)[0] for number in range(1, 6)}
    contents["test_batch.bin"] = records(3, 9)[0]
    (tmp_path / "cifar10").mkdir()
    path = tmp_path / "cifar10" / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tarred:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            tarred.addfile(member, io.BytesIO(content))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    file = RemoteFile("cifar10/cifar-10-binary.tar.gz", checksum, ("http://127.0.0.1:9/",))
    monkeypatch.setattr(cifar, "ARCHIVE", file)
    monkeypatch.setenv("TCN_DATA_DIR", str(tmp_path))
    data = CIFAR10(validation_size=5)
    data.prepare_data()
    assert [len(data.dataset(split)) for split in SPLITS] == [15, 5, 3]
    assert data.read("train")[1].tolist() == [
        int(label) for number in range(1, 6) for label in records(4, number)[2]
    ]


def test_a_folder_of_unpacked_files_is_read(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1.bin").write_bytes(records(4, 1)[0])
    (tmp_path / "data_batch_2.bin.gz").write_bytes(gzip.compress(records(4, 2)[0]))
    (tmp_path / "test_batch.bin").write_bytes(records(3, 3)[0])
    data = CIFAR10(folder=tmp_path, validation_size=2, batch_size=4)
    assert [len(data.dataset(split)) for split in SPLITS] == [6, 2, 3]
    assert next(iter(data.train_dataloader())).x.shape == (4, 3, 32, 32)


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"folder: .*/none is not a folder; give one that holds"):
        CIFAR10(folder=tmp_path / "none").setup("test")
    with pytest.raises(
        ValueError, match=r"holds no file test_batch\*.bin or test_batch\*.bin.gz; unpack"
    ):
        CIFAR10(folder=tmp_path).setup("test")
    (tmp_path / "data_batch_1.bin").write_bytes(records(1)[0])
    packed = tmp_path / "data_batch_1.bin.gz"
    packed.write_bytes(gzip.compress(records(1)[0])[:-20])
    with pytest.raises(ValueError, match=r"holds a file both plain and gzip-ed, of .*; remove one"):
        CIFAR10(folder=tmp_path).setup("fit")
    (tmp_path / "data_batch_1.bin").unlink()
    for rest in ("data_batch_2.bin.gz.part", "data_batch_3.bin.bak"):  # of no one's images
        (tmp_path / rest).write_bytes(records(1)[0])
    with pytest.raises(ValueError, match=r"data_batch_1.bin.gz: not a whole gzip file"):
        CIFAR10(folder=tmp_path).setup("fit")
    packed.write_bytes(gzip.compress(records(7)[0]))
    assert len(CIFAR10(folder=tmp_path, validation_size=2).dataset("train")) == 5
    with pytest.raises(TypeError, match="folder: 3 is not a path; give a folder, such as"):
        CIFAR10(folder=3)


@pytest.mark.requires_data("cifar10")
def test_official_records(data_dir: Path) -> None:
    """The first test images, as the data set's page shows them: cat, ship, ship, airplane, frog."""
    (path,) = (data_dir / "cifar10").glob("test_batch*.bin.gz")
    _, labels = read_records(gzip.decompress(path.read_bytes()), path.name)
    names = [CIFAR10.class_names[label] for label in labels[:5]]
    assert names == ["cat", "ship", "ship", "airplane", "frog"]
