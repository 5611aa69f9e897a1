"""What the data modules of images share, on images made here."""

import logging

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from tcn.data.loading import SPLITS, EpochShuffle
from tcn.data.placed import PlacedOrder
from tcn.data.whole_order import WholeOrder
from tcn.training import Batch
from tcn.training.processes import share
from tcn.vision import HorizontalFlip, ImageDataModule, Mixup, RandomCrop
from tcn.vision.images import Normalization


class Noise(ImageDataModule):
    """40 training and 8 test images of noise; the test images are brighter."""

    in_channels, out_channels = 3, 4
    class_names = ("a", "b", "c", "d")

    def read(self, part: str) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(len(part))
        count, low = (40, 0) if part == "train" else (8, 100)
        images = torch.randint(low, 256, (count, 3, 8, 6), generator=generator, dtype=torch.uint8)
        return images, torch.arange(count) % 4


CHANGES = (RandomCrop(2), HorizontalFlip(), Mixup())


def noise(**settings) -> Noise:
    return Noise(**{"batch_size": 16, "validation_size": 10, **settings})


def epoch(loader: DataLoader, number: int) -> list[Batch]:
    loader.sampler.set_epoch(number)
    return list(loader)


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.x, b.x) and torch.equal(a.y, b.y) for a, b in zip(first, second, strict=True)
    )


def test_a_net_of_pixels_puts_out_their_channels() -> None:
    assert noise().out_channels == 4
    assert noise(targets="levels").out_channels == 3


def test_values_are_normalized_with_the_training_split_alone() -> None:
    data = noise()
    train, validation, test = (data.dataset(split) for split in SPLITS)
    assert (len(train), len(validation), len(test)) == (30, 10, 8)
    # NumPy's mean and deviation of the same bytes.
    pixels = train.images.numpy() / 255
    expected = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3))
    for found, wanted in zip(data.normalization, expected, strict=True):
        torch.testing.assert_close(found, torch.from_numpy(wanted).float())
    x = train.__getitems__(range(30)).x
    torch.testing.assert_close(x.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)
    assert test.__getitems__(range(8)).x.mean() > 0.5  # brighter, and not made to look alike
    assert validation.normalization is train.normalization
    images = data.read("train")[0]
    parts = torch.cat([train.images, validation.images])
    assert torch.equal(parts.unique(dim=0), images.unique(dim=0))


def test_a_channel_of_one_value_becomes_zero() -> None:
    images = torch.full((2, 1, 3, 3), 200, dtype=torch.uint8)
    assert torch.equal(Normalization.of(images)(images).round(decimals=6), torch.zeros(2, 1, 3, 3))


def test_padding_is_black_and_changes_no_normalization() -> None:
    plain, padded = noise(), noise(padding=2)
    x, wide = (data.dataset("test").__getitems__([0, 1]).x for data in (plain, padded))
    assert wide.shape == (2, 3, 12, 10)
    assert torch.equal(wide[:, :, 2:-2, 2:-2], x)
    black = -plain.normalization.mean / plain.normalization.deviation
    torch.testing.assert_close(wide[0, :, 0, 0], black)


def test_normalization_is_said_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    data = noise()
    with caplog.at_level(logging.INFO):
        data.setup("fit")
    assert "normalized with the training images: mean [0." in caplog.text
    data.load_state_dict(data.state_dict())
    other = noise(seed=2)
    with pytest.raises(ValueError, match="set seed and validation_size as in training"):
        other.load_state_dict(data.state_dict())


def test_changes_depend_on_seed_and_epoch_alone() -> None:
    loader = noise(augmentation=CHANGES).train_dataloader()
    first, second = epoch(loader, 0), epoch(loader, 1)
    torch.manual_seed(5)  # the global generator has no say
    again = noise(augmentation=CHANGES).train_dataloader()
    assert same(epoch(again, 1), second)
    assert same(epoch(again, 0), first)
    assert not same(first, second)
    assert not same(epoch(noise(augmentation=CHANGES, seed=2).train_dataloader(), 0), first)
    plain = epoch(noise().train_dataloader(), 0)
    assert [len(batch.y) for batch in plain] == [len(batch.y) for batch in first] == [16, 14]
    assert first[0].y.shape == (16, 4)


def test_every_batch_of_every_epoch_is_changed_anew() -> None:
    """All images are alike, so that their order is not what makes the difference."""
    data = noise(augmentation=[HorizontalFlip()], validation_size=8)
    data.dataset("train").images[:] = torch.arange(6, dtype=torch.uint8)
    first, second = epoch(data.train_dataloader(), 0)
    later, _ = epoch(data.train_dataloader(), 1)
    assert len(first.x) == len(second.x) == 16
    assert not torch.equal(first.x, second.x)
    assert not torch.equal(first.x, later.x)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_make_the_same_batches(workers: int) -> None:
    """Workers that live for several epochs are told the epoch by the indices they get."""
    data = noise(augmentation=CHANGES)
    dataset, order = data.dataset("train"), PlacedOrder(EpochShuffle(30, data.seed))
    loader = DataLoader(
        dataset,
        batch_size=16,
        sampler=order,
        collate_fn=as_it_is,
        num_workers=workers,
        persistent_workers=True,
    )
    one = data.train_dataloader()
    for number in (0, 1):
        assert same(epoch(loader, number), epoch(one, number))


def as_it_is(batch: Batch) -> Batch:
    return batch


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_the_same_batches(count: int) -> None:
    """Each process makes the whole batch and takes its rows, as ``tcn.data.loading`` has it."""
    data = noise(augmentation=CHANGES)
    whole = epoch(data.train_dataloader(), 1)
    order = WholeOrder(PlacedOrder(EpochShuffle(30, data.seed)), 30)
    loader = DataLoader(data.dataset("train"), batch_size=16, sampler=order, collate_fn=as_it_is)
    shares = [
        [share(batch, index=index, count=count) for batch in epoch(loader, 1)]
        for index in range(count)
    ]
    joined = [
        Batch(torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts]))
        for parts in zip(*shares, strict=True)
    ]
    assert same(joined, whole)


def test_validation_and_test_are_left_alone() -> None:
    plain, changed = noise(), noise(augmentation=CHANGES)
    for loader in ("val_dataloader", "test_dataloader"):
        assert same(list(getattr(plain, loader)()), list(getattr(changed, loader)()))


def test_pixels_as_targets() -> None:
    """Levels 0 and 255 are -1 and 1."""
    levels, values = noise(targets="levels"), noise(targets="values")
    x, y, _ = levels.dataset("test").__getitems__([0, 3])
    assert y.dtype == torch.int64
    torch.testing.assert_close((x + 1) * 127.5, y.float())
    assert torch.equal(y, levels.read("test")[0][[0, 3]].long())
    batch = values.dataset("test").__getitems__([0, 3])
    assert torch.equal(batch.x, x)
    assert torch.equal(batch.y, x)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"targets": "pixels"}, ValueError, "targets: 'pixels' is not one of 'class', 'values'"),
        ({"augmentation": HorizontalFlip()}, TypeError, "augmentation: .* is not a list; write"),
        ({"augmentation": [len]}, TypeError, "is not an Augmentation; give one, such as"),
        (
            {"augmentation": CHANGES, "targets": "values"},
            ValueError,
            "targets: 'values' with augmentation, which changes x alone",
        ),
        ({"padding": -1}, ValueError, "padding must be at least 0, got -1"),
        ({"validation_size": 0}, ValueError, "validation_size must be at least 1, got 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, error, message: str) -> None:
    with pytest.raises(error, match=message):
        noise(**settings)


def test_validation_must_leave_training_images() -> None:
    with pytest.raises(ValueError, match="leave some of the 40 examples for training, got 40"):
        noise(validation_size=40).setup("fit")
