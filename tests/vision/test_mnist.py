"""MNIST and Fashion-MNIST as images, and the digits of black and white."""

import hashlib

import numpy
import pytest
import torch

from tcn.data import mnist
from tcn.data.loading import SPLITS
from tcn.vision import MNIST, BinarizedMNIST, FashionMNIST
from tcn.vision.binarized import HASHES, binarized, draw


def test_images_and_labels_of_small_files(small_mnist: dict[str, numpy.ndarray]) -> None:
    data = MNIST(validation_size=10, batch_size=5, padding=2)
    data.prepare_data()
    data.setup()
    assert [len(data.dataset(split)) for split in SPLITS] == [50, 10, 12]
    batch = next(iter(data.test_dataloader()))
    assert batch.x.shape == (5, 1, 32, 32)
    assert (batch.x.dtype, batch.y.dtype) == (torch.float32, torch.int64)
    assert batch.y.tolist() == small_mnist["test labels"][:5].tolist()
    mean, deviation = data.normalization
    expected = (small_mnist["test images"][:5] / 255 - mean.item()) / deviation.item()
    numpy.testing.assert_allclose(batch.x[:, 0, 2:-2, 2:-2], expected, rtol=1e-4, atol=1e-5)
    assert (data.in_channels, data.out_channels, len(data.class_names)) == (1, 10, 10)
    assert MNIST(targets="levels").out_channels == 1


def test_clothes_have_files_of_their_own() -> None:
    """The same names as the digits', in another folder and with other checksums."""
    assert FashionMNIST.files.keys() == MNIST.files.keys()
    for name, file in FashionMNIST.files.items():
        assert file.path == MNIST.files[name].path.replace("mnist/", "fashion_mnist/")
        assert file.sha256 != MNIST.files[name].sha256
    assert FashionMNIST.class_names[9] == "ankle boot"  # Xiao et al. 2017, table 2


def test_draws_follow_the_gray_values() -> None:
    """Black is never drawn and white always; in between the share of ones is the value / 255."""
    images = numpy.repeat(numpy.array([0, 51, 204, 255], numpy.uint8), 20_000).reshape(4, -1)
    bits = draw(images, 1)
    assert not bits[0].any()
    assert bits[3].all()
    # The standard deviation of a share is 0.0028.
    assert bits[1].mean() == pytest.approx(51 / 255, abs=0.015)
    assert bits[2].mean() == pytest.approx(204 / 255, abs=0.015)
    assert numpy.array_equal(draw(images, 1), bits)
    assert not numpy.array_equal(draw(images, 2), bits)


def test_bits_that_are_others_are_refused(small_mnist: dict[str, numpy.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"binarized test images: sha256 .*, expected 91c10765"):
        BinarizedMNIST().setup("test")


@pytest.mark.requires_data("mnist")
def test_official_digits_are_drawn_as_always() -> None:
    """Of the test set; ones are as frequent as the mean gray value."""
    images = mnist.read_idx(mnist.locate(mnist.FILES["test images"]))
    bits = binarized(images, "test")
    found = hashlib.sha256(numpy.packbits(bits.numpy()).tobytes()).hexdigest()
    assert found == HASHES["test"]
    assert bits.double().mean().item() == pytest.approx(images.mean() / 255, abs=1e-3)


@pytest.mark.slow
@pytest.mark.requires_data("mnist")
def test_splits_of_the_binarized_digits() -> None:
    data = BinarizedMNIST(batch_size=4)
    data.setup()
    assert [len(data.dataset(split)) for split in SPLITS] == [50_000, 10_000, 10_000]
    batch = next(iter(data.val_dataloader()))
    assert batch.x.shape == (4, 1, 28, 28)
    assert batch.x is not None
    assert torch.equal(batch.x, batch.y)
    assert batch.x.unique().tolist() == [0.0, 1.0]
