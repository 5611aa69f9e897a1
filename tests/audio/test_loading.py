"""What the data modules of sound share: windows, padding, changes, order."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from tcn.audio import Gain, SoundDataModule, Speed
from tcn.audio.clips import Clip, windowed
from tcn.audio.loading import Labeled
from tcn.data.loading import EpochShuffle
from tcn.data.placed import PlacedOrder
from tcn.data.whole_order import WholeOrder
from tcn.training import Batch
from tcn.training.processes import share


class Numbers(SoundDataModule):
    """Recording ``i`` of 20 is ``30 + 10 i`` steps long."""

    sample_rate, out_channels, class_names = 8000, 2, ("even", "odd")

    def __init__(self, folder: Path, **settings) -> None:
        super().__init__(**{"batch_size": 8} | settings)
        self.folder = folder

    def labeled(self, split: str) -> Labeled:
        clips = [Clip(self.folder / f"{number}.wav") for number in range(20)]
        return Labeled(clips, torch.arange(20) % 2)


@pytest.fixture
def numbers(tmp_path: Path, write: Callable[..., Path]) -> Callable[..., Numbers]:
    for number in range(20):
        write(tmp_path / f"{number}.wav", number + 1, steps=30 + 10 * number)
    return lambda **settings: Numbers(tmp_path, **settings)


def epoch(loader: DataLoader, number: int) -> list[Batch]:
    loader.sampler.set_epoch(number)
    return list(loader)


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a.x, b.x) and torch.equal(a.y, b.y) for a, b in zip(first, second, strict=True)
    )


def test_sounds_keep_their_lengths(numbers: Callable[..., Numbers]) -> None:
    batch = next(iter(numbers(batch_size=3).test_dataloader()))
    assert batch.x.shape == (3, 1, 50)
    assert batch.lengths.tolist() == [30, 40, 50]
    assert batch.y.tolist() == [0, 1, 0]
    for row, (value, length) in enumerate([(0.001, 30), (0.002, 40), (0.003, 50)]):
        torch.testing.assert_close(
            batch.x[row, 0, :length], torch.full((length,), value), atol=2e-5, rtol=0
        )
        assert not batch.x[row, 0, length:].any()


def test_windows_lie_in_the_middle_and_anywhere_in_training(
    numbers: Callable[..., Numbers],
) -> None:
    data = numbers(length=100)
    batch = data.dataset("test").__getitems__([0, 19])
    assert batch.x.shape == (2, 1, 100)
    assert batch.lengths is None
    assert batch.x[0, 0].nonzero().flatten().tolist() == list(range(35, 65))
    assert batch.x[1].all()
    starts = set()
    for number in range(8):
        for train in epoch(data.train_dataloader(), number):
            heard = (train.x[:, 0] != 0).sum(-1)
            starts |= {int(row.nonzero()[0]) for row in train.x[heard == 30, 0]}
    assert len(starts) > 4
    assert max(starts) <= 70


def test_windows_by_hand() -> None:
    long, short = torch.arange(1.0, 6), torch.arange(1.0, 3)
    places = torch.tensor([0.0, 1.0])
    assert windowed([long, long], 3, places).tolist() == [[[1, 2, 3]], [[3, 4, 5]]]
    assert windowed([short, short], 3, places).tolist() == [[[1, 2, 0]], [[0, 1, 2]]]


@pytest.mark.parametrize("settings", [{"length": 80}, {"length": 80, "in_memory": False}, {}])
def test_seed_and_epoch_decide(numbers: Callable[..., Numbers], settings: dict) -> None:
    settings = settings | {"augmentation": [Speed(), Gain()]}
    first, second = (epoch(numbers(**settings).train_dataloader(), number) for number in (0, 1))
    torch.manual_seed(5)  # the global generator has no say
    again = numbers(**settings).train_dataloader()
    assert same(epoch(again, 1), second)
    assert same(epoch(again, 0), first)
    assert not same(first, second)
    assert not same(epoch(numbers(**settings, seed=2).train_dataloader(), 0), first)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_make_the_same_batches(numbers: Callable[..., Numbers], workers: int) -> None:
    """Workers that live for several epochs are told the epoch by the indices they get."""
    data = numbers(length=80, augmentation=[Speed(), Gain()], in_memory=False)
    dataset, order = data.dataset("train"), PlacedOrder(EpochShuffle(20, data.seed))
    loader = DataLoader(
        dataset, batch_size=8, sampler=order, collate_fn=as_it_is, num_workers=workers,
        persistent_workers=True,
    )  # fmt: skip
    one = data.train_dataloader()
    for number in (0, 1):
        assert same(epoch(loader, number), epoch(one, number))


def as_it_is(batch: Batch) -> Batch:
    return batch


def test_processes_share_the_same_batches(numbers: Callable[..., Numbers]) -> None:
    """Each process makes the whole batch and takes its rows, as ``tcn.data.loading`` has it."""
    data = numbers(length=80, augmentation=[Speed(), Gain()])
    whole = epoch(data.train_dataloader(), 1)
    order = WholeOrder(PlacedOrder(EpochShuffle(20, data.seed)), 20)
    loader = DataLoader(data.dataset("train"), batch_size=8, sampler=order, collate_fn=as_it_is)
    parts = [[share(b, index=i, count=2) for b in epoch(loader, 1)] for i in range(2)]
    for batch, first, second in zip(whole, *parts, strict=True):
        together = torch.cat([first.x, second.x])
        assert sorted(together.sum((1, 2)).tolist()) == sorted(batch.x.sum((1, 2)).tolist())


def test_fingerprint_is_of_what_is_heard(numbers: Callable[..., Numbers]) -> None:
    assert numbers().fingerprint == numbers(in_memory=False, length=9, seed=3).fingerprint


def test_all_that_is_wrong_is_told_at_once(
    numbers: Callable[..., Numbers], tmp_path: Path, write: Callable[..., Path]
) -> None:
    write(tmp_path / "3.wav", 1, sample_rate=16000)
    write(tmp_path / "7.wav", 1, channels=2)
    (tmp_path / "11.wav").write_text("not a sound")
    with pytest.raises(ValueError, match="folder: 3 of 20 files cannot be used") as told:
        numbers().setup("fit")
    for said in (r"3.wav has 16000 Hz, 8000 wanted", r"7.wav has 2, 1 wanted", r"11.wav cannot be"):
        assert said in str(told.value)
    lazy = numbers(in_memory=False).dataset("train")
    with pytest.raises(ValueError, match=r"11\.wav cannot be read as sound"):
        lazy.__getitems__([11])


def test_clipped_recordings_are_counted(
    numbers: Callable[..., Numbers], tmp_path: Path, write: Callable[..., Path]
) -> None:
    for number in (2, 5):
        write(tmp_path / f"{number}.wav", 1000)
    with pytest.warns(UserWarning, match="2 of 20 recordings stay at full scale") as told:
        numbers().dataset("test")
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbers(in_memory=False).dataset("test")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"length": 0}, ValueError, "length must be at least 1"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"augmentation": Gain()}, TypeError, "is not a list; write"),
        ({"augmentation": ["gain"]}, TypeError, r"'gain' is not a SoundAugmentation; give one"),
        ({"in_memory": "no"}, TypeError, "in_memory: 'no' is not True or False"),
    ],
)
def test_settings_that_are_none(
    numbers: Callable[..., Numbers], settings: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        numbers(**settings)
