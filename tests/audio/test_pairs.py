"""Dry and wet sound, and mixtures: which stretches are in which part, and what they follow from."""

from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from tcn.audio import Mixtures, SoundPairs, save_sound
from tcn.data.loading import SPLITS, EpochShuffle
from tcn.data.placed import PlacedOrder
from tcn.models import TCN, SequenceModel
from tcn.training import Batch, Regression

Write = Callable[..., Path]
STEPS = 4000


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The dry sound says where a step is, the wet one the same upside down."""
    dry = torch.arange(STEPS).view(1, -1) / 8192
    save_sound(tmp_path / "dry.wav", dry, sample_rate=8000)
    save_sound(tmp_path / "wet.wav", -dry, sample_rate=8000)
    return tmp_path / "dry.wav", tmp_path / "wet.wav"


def pairs(pair: tuple[Path, Path], **settings) -> SoundPairs:
    given = {"sample_rate": 8000, "length": 100, "context": 20, "batch_size": 4} | settings
    return SoundPairs(dry=pair[0], wet=pair[1], **given)


def places(x: torch.Tensor) -> torch.Tensor:
    return (x * 8192).round().long()


def test_stretches_of_the_splits(pair: tuple[Path, Path]) -> None:
    data = pairs(pair)
    assert (data.in_channels, data.out_channels) == (1, 1)
    seen = {split: set() for split in SPLITS}
    for split, loader in zip(
        SPLITS,
        (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()),
        strict=True,
    ):
        for batch in loader:
            assert batch.x.shape[1:] == batch.y.shape[1:] == (1, 120)
            assert batch.y[..., :20].isnan().all()
            assert torch.equal(batch.y[..., 20:], -batch.x[..., 20:])
            seen[split] |= set(places(batch.x).flatten().tolist())
    assert max(seen["train"]) < 3200 <= min(seen["validation"])
    assert max(seen["validation"]) < 3600 <= min(seen["test"])
    assert min(seen["test"]) == 3600


def test_windows_follow_from_seed_and_epoch(pair: tuple[Path, Path]) -> None:
    def starts(number: int, **settings) -> list[int]:
        loader = pairs(pair, **settings).train_dataloader()
        loader.sampler.set_epoch(number)
        return [int(first) for batch in loader for first in places(batch.x[:, 0, 0])]

    first = starts(0)
    torch.manual_seed(9)
    assert starts(0) == first
    assert sorted(starts(1)) != sorted(first)
    assert sorted(starts(0, seed=3)) != sorted(first)
    assert len({start % 100 for start in first}) > 20


def test_folders_of_pairs(tmp_path: Path, write: Write) -> None:
    for side in ("dry", "wet"):
        for name in ("a.wav", "b.wav"):
            write(tmp_path / side / name, 5 if side == "dry" else 7, steps=1500)
    data = SoundPairs(dry=tmp_path / "dry", wet=tmp_path / "wet", sample_rate=8000, length=100)
    assert len(data.pairs) == 2
    assert [len(data.dataset(split)) for split in SPLITS] == [24, 2, 2]
    write(tmp_path / "wet" / "c.wav", 1)
    with pytest.raises(ValueError, match=r"wet: \['c.wav'\] are in one of"):
        SoundPairs(dry=tmp_path / "dry", wet=tmp_path / "wet", sample_rate=8000, length=9).setup()
    with pytest.raises(ValueError, match="one is a folder; give two files or two folders"):
        pairs((tmp_path / "dry", tmp_path / "wet" / "a.wav")).setup()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length must be at least 1"),
        ({"context": -1}, "context must be at least 0"),
        ({"test_share": 0}, "test_share is 0: give a share above 0"),
        ({"test_share": 0.5, "validation_share": 0.5}, "leave nothing for training"),
        ({"sample_rate": 16000}, "dry.wav has 8000 Hz, 16000 wanted; record the pair"),
        ({"length": 600}, "length: 600 with context: 20 is more than the 400 steps for validation"),
    ],
)
def test_pairs_that_are_none(pair: tuple[Path, Path], settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pairs(pair, **settings).setup()


def test_pairs_that_do_not_fit(pair: tuple[Path, Path], write: Write) -> None:
    write(pair[1], 1, steps=3999)
    with pytest.raises(ValueError, match=r"wet: .* has 3999 steps and .* 4000; cut them"):
        pairs(pair).setup()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_net_learns_a_device(pair: tuple[Path, Path]) -> None:
    """Upside down: context is not counted, and the loss falls."""
    net = SequenceModel(TCN(1, [4], 3), 1)
    trainer = pl.Trainer(
        max_epochs=12, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    task = Regression(net, missing="ignore", optimizer=lambda p: torch.optim.Adam(p, 1e-2))
    data = pairs(pair)
    before = trainer.test(task, data, verbose=False)[0]["test_loss"]
    trainer.fit(task, data)
    assert trainer.test(task, data, verbose=False)[0]["test_loss"] < 0.2 * before


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Seven people, whose sounds are tones of their own."""
    for number in range(7):
        for take in range(2):
            tone = torch.sin(torch.arange(500 + 100 * take) * (0.1 * (number + 1)))[None] * 0.4
            path = tmp_path / "people" / f"person{number}" / f"{take}.wav"
            save_sound(path, tone, sample_rate=8000)
    return tmp_path / "people"


def mixtures(people: Path, **settings) -> Mixtures:
    given = {"sample_rate": 8000, "length": 400, "size": 20, "evaluation_size": 6} | settings
    return Mixtures(folder=people, **given)


def epoch(loader: DataLoader, number: int) -> list[Batch]:
    loader.sampler.set_epoch(number)
    return list(loader)


def test_mixtures_are_sums(people: Path) -> None:
    data = mixtures(people)
    assert (data.in_channels, data.out_channels) == (1, 2)
    batch = next(iter(data.test_dataloader()))
    assert (batch.x.shape, batch.y.shape) == ((6, 1, 400), (6, 2, 400))
    torch.testing.assert_close(batch.x, batch.y.sum(1, keepdim=True))
    power = 10 * torch.log10(batch.y.square().mean(-1))
    assert (power + 26).abs().max() <= 2.5 + 1e-3
    assert (power[:, 0] - power[:, 1]).abs().max() > 0.5


def test_people_are_heard_in_one_split_alone(people: Path) -> None:
    data = mixtures(people)
    groups = [data.groups(split) for split in SPLITS]
    assert [len(each) for each in groups] == [3, 2, 2]
    assert len(set().union(*groups)) == 7


def test_mixtures_follow_from_seed_and_epoch(people: Path) -> None:
    first, second = (epoch(mixtures(people).train_dataloader(), number) for number in (0, 1))
    torch.manual_seed(5)
    again = epoch(mixtures(people).train_dataloader(), 0)
    assert all(torch.equal(a.y, b.y) for a, b in zip(first, again, strict=True))
    sums = [
        sorted(row.sum().item() for batch in each for row in batch.x) for each in (first, second)
    ]
    assert sums[0] != sums[1]
    validation = [next(iter(mixtures(people).val_dataloader())).y for _ in range(2)]
    assert torch.equal(*validation)
    assert mixtures(people).fingerprint == mixtures(people).fingerprint
    assert mixtures(people).fingerprint != mixtures(people, seed=2).fingerprint


def test_workers_make_the_same_mixtures(people: Path) -> None:
    data = mixtures(people)
    order = PlacedOrder(EpochShuffle(20, data.seed))
    loader = DataLoader(
        data.dataset("train"), batch_size=8, sampler=order, collate_fn=as_it_is, num_workers=2
    )
    found, wanted = epoch(loader, 1), epoch(data.train_dataloader(), 1)
    assert all(torch.equal(a.y, b.y) for a, b in zip(found, wanted, strict=True))


def as_it_is(batch: Batch) -> Batch:
    return batch


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sources": 1}, "sources must be at least 2"),
        ({"sources": 3}, "7 groups; 3 sources in each of three splits need 9"),
        ({"decibel": 0}, "decibel: 0 is not a finite number above 0"),
        ({"size": 0}, "size must be at least 1"),
    ],
)
def test_mixtures_that_are_none(people: Path, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixtures(people, **settings)
