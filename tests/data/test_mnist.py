import gzip
import hashlib
import logging
import struct
from pathlib import Path

import numpy
import pytest
import torch

from tcn.data import SequentialMNIST, mnist
from tcn.data.fetch import RemoteFile
from tcn.data.loading import SPLITS
from tcn.data.mnist import read_idx, read_images


def idx(array: numpy.ndarray) -> bytes:
    """The official format, before compression."""
    header = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(numpy.uint8).tobytes()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


@pytest.fixture
def small_files(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, numpy.ndarray]:
    """60 training and 12 test images of noise, in the place of the official files."""
    generator = numpy.random.default_rng(0)
    arrays = {
        "train images": generator.integers(0, 256, (60, 28, 28)),
        "train labels": generator.integers(0, 10, 60),
        "test images": generator.integers(0, 256, (12, 28, 28)),
        "test labels": generator.integers(0, 10, 12),
    }
    (data_folder / "mnist").mkdir()
    for name, array in arrays.items():
        path = write(data_folder / mnist.FILES[name].path, idx(array))
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        file = RemoteFile(mnist.FILES[name].path, checksum, ("http://127.0.0.1:9/",))
        monkeypatch.setitem(mnist.FILES, name, file)
    return arrays


def test_values_labels_and_split_of_small_files(small_files):
    data = SequentialMNIST(validation_size=10)
    data.prepare_data()
    data.setup()
    train, validation, test = (data.dataset(split) for split in SPLITS)
    assert train.x.shape == (50, 1, 784)
    assert validation.x.shape == (10, 1, 784)
    assert test.x.dtype == torch.float32
    assert test.y.dtype == torch.int64
    expected = (small_files["test images"].reshape(12, 1, 784) / 255 - 0.1307) / 0.3081
    numpy.testing.assert_allclose(test.x, expected, rtol=1e-5, atol=1e-6)
    assert test.y.tolist() == small_files["test labels"].tolist()
    # The two parts are the 60 images again, each with its label.
    images = ((torch.cat([train.x, validation.x])[:, 0] * 0.3081 + 0.1307) * 255).round()
    labels = torch.cat([train.y, validation.y])
    together = torch.cat([images, labels[:, None]], dim=1)
    original = torch.from_numpy(
        numpy.c_[small_files["train images"].reshape(60, 784), small_files["train labels"]]
    )
    assert torch.equal(together.unique(dim=0), original.float().unique(dim=0))


def test_split_follows_the_seed_and_the_permutation_its_own(small_files):
    def data(**settings: int) -> SequentialMNIST:
        return SequentialMNIST(permuted=True, validation_size=10, **settings)

    one, same, other_split = data(), data(), data(seed=2)
    other_order = data(permutation_seed=2)
    assert one.fingerprint == same.fingerprint
    assert torch.equal(one.permutation, other_split.permutation)
    assert one.permutation_hash == other_split.permutation_hash != other_order.permutation_hash
    assert not torch.equal(one.dataset("train").y, other_split.dataset("train").y)
    assert torch.equal(one.dataset("train").y, other_order.dataset("train").y)
    assert len({one.fingerprint, other_split.fingerprint, other_order.fingerprint}) == 3


def test_permutation_reorders_the_pixels_and_nothing_else(small_files):
    plain = SequentialMNIST(validation_size=10)
    permuted = SequentialMNIST(validation_size=10, permuted=True)
    assert plain.permutation is None
    assert plain.permutation_hash is None
    assert sorted(permuted.permutation.tolist()) == list(range(784))
    for split in SPLITS:
        reordered = plain.dataset(split).x[:, :, permuted.permutation]
        assert torch.equal(permuted.dataset(split).x, reordered)
        assert torch.equal(permuted.dataset(split).y, plain.dataset(split).y)


def test_default_permutation_is_this_one():
    # Computed once with torch 2.14. A change means that results from before and after were got on
    # different tasks.
    expected = "dd90075500fc6a4f01a15fc76caf4c9b55c920d1e4b28fd9bc305dcf7975a72c"
    assert SequentialMNIST(permuted=True).permutation_hash == expected


def test_permutation_is_said_at_setup(small_files, caplog):
    data = SequentialMNIST(validation_size=10, permuted=True)
    with caplog.at_level(logging.INFO):
        data.setup("test")
    assert f"pixel permutation: sha256 {data.permutation_hash}" in caplog.text


def test_checkpoint_of_another_pixel_order_is_refused():
    plain, permuted = SequentialMNIST(), SequentialMNIST(permuted=True)
    other = SequentialMNIST(permuted=True, permutation_seed=2)
    for data in (plain, permuted):
        data.load_state_dict(data.state_dict())
    for data, stored in ((plain, permuted), (permuted, plain), (permuted, other)):
        with pytest.raises(ValueError, match="set permuted and permutation_seed as in training"):
            data.load_state_dict(stored.state_dict())


def test_validation_must_leave_training_images(small_files):
    with pytest.raises(ValueError, match="leave some of the 60 examples for training, got 60"):
        SequentialMNIST(validation_size=60).setup("fit")
    with pytest.raises(ValueError, match="validation_size must be at least 1, got 0"):
        SequentialMNIST(validation_size=0)


def test_idx_file_is_read_back(tmp_path):
    array = numpy.arange(24, dtype=numpy.uint8).reshape(2, 3, 4)
    numpy.testing.assert_array_equal(read_idx(write(tmp_path / "a.gz", idx(array))), array)


GOOD = idx(numpy.zeros((3, 28, 28)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (GOOD[:-1], r"announces shape \(3, 28, 28\), which is 2352 bytes, but 2351 follow"),
        (GOOD + b"x", "2352 bytes, but 2353 follow"),
        (GOOD[:9], "announces 3 axes and ends before their sizes"),
        (GOOD[:2], "not an idx file of unsigned bytes"),
        (b"", "not an idx file of unsigned bytes"),
        (b"\0\0\x0d\x03" + GOOD[4:], "not an idx file of unsigned bytes"),
    ],
    ids=["short", "long", "no sizes", "no header", "empty", "floats"],
)
def test_altered_idx_content_is_refused_by_name_and_reason(tmp_path, content, reason):
    path = write(tmp_path / "images.gz", content)
    with pytest.raises(ValueError, match=reason) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("cut", ["truncated", "not gzip", "altered", "no deflate"])
def test_damaged_gzip_is_refused_by_name_and_reason(tmp_path, cut):
    packed = gzip.compress(idx(numpy.arange(3 * 28 * 28).reshape(3, 28, 28) % 251))
    damaged = {
        "truncated": packed[:-20],
        "not gzip": b"<html>Please log in</html>",
        "altered": packed[:40] + bytes(byte ^ 0xFF for byte in packed[40:44]) + packed[44:],
        # After the ten bytes of the header, a block of the type that deflate does not have.
        "no deflate": packed[:10] + b"\xff" + packed[11:],
    }
    path = tmp_path / "images.gz"
    path.write_bytes(damaged[cut])
    with pytest.raises(ValueError, match="not a whole gzip file") as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("images", "labels", "reason"),
    [
        ((3, 28, 27), [1, 2, 3], "images.gz: expected images of 28x28"),
        ((3, 28, 28), [1, 2], "labels.gz: expected one label for each of the 3 images"),
        ((3, 28, 28), [1, 2, 10], "labels.gz: labels must be 0 to 9, got 10"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, images, labels, reason):
    images_path = write(tmp_path / "images.gz", idx(numpy.zeros(images)))
    labels_path = write(tmp_path / "labels.gz", idx(numpy.array(labels)))
    with pytest.raises(ValueError, match=reason):
        read_images(images_path, labels_path)


@pytest.mark.requires_data("mnist")
def test_official_files():
    data = SequentialMNIST()
    data.prepare_data()
    train, validation, test = (data.dataset(split) for split in SPLITS)
    assert [len(train), len(validation), len(test)] == [55_000, 5_000, 10_000]
    # The first labels of the test set and of the training set, as everybody knows them.
    assert test.y[:5].tolist() == [7, 2, 1, 0, 4]
    _, labels = read_images(
        *(mnist.locate(mnist.FILES[f"train {k}"]) for k in ("images", "labels"))
    )
    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    # 0.1307 and 0.3081 describe all training images, so these are standard up to rounding.
    inputs = torch.cat([train.x, validation.x])
    assert inputs.mean().item() == pytest.approx(0, abs=2e-4)
    assert inputs.std().item() == pytest.approx(1, abs=2e-4)
    # Digit 1 is the most frequent, 6,742 of 60,000; digit 5 the rarest, 5,421 (LeCun's files).
    counts = torch.cat([train.y, validation.y]).bincount()
    assert (counts[1].item(), counts[5].item()) == (6_742, 5_421)
