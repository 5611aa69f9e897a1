"""Clips to be continued: which samples are targets, of what, and what windows follow from."""

from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import Tensor
from torch.utils.data import DataLoader

from tcn.audio import SoundClips, mu_law_encode, save_sound
from tcn.audio.sound_clips import ClipDataset, Stretch
from tcn.data.loading import SPLITS, EpochShuffle
from tcn.data.placed import PlacedOrder
from tcn.models import WaveNet
from tcn.training import Batch, Regression

Write = Callable[..., Path]
STEPS = 4000


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """It says where each step is."""
    return save_sound(tmp_path / "a.wav", torch.arange(STEPS).view(1, -1) / 8192, sample_rate=8000)


def clips(sound: Path | list[str], **given) -> SoundClips:
    wanted = {"sample_rate": 8000, "levels": None, "length": 100, "context": 20, "batch_size": 4}
    sounds = [str(each) for each in sound] if isinstance(sound, list) else str(sound)
    return SoundClips(sound=sounds, **wanted | given)


def places(x: Tensor) -> list[int]:
    return (x * 8192).round().long().flatten().tolist()


def test_each_sample_of_the_held_out_end_counts_once(clip: Path) -> None:
    """A tenth each for validation and test: steps 3200 to 3599, and 3600 to the end."""
    data = clips(clip, length=150)
    for loader, expected in (
        (data.val_dataloader(), range(3200, 3600)),
        (data.test_dataloader(), range(3600, 4000)),
    ):
        counted = []
        for batch in loader:
            assert batch.x.shape == batch.y.shape == (batch.x.shape[0], 1, 170)
            known = ~batch.y.isnan()
            assert not known[..., :20].any()
            assert torch.equal(batch.y[known], batch.x[known])
            counted += places(batch.y[known])
        assert counted == list(expected)
    first = next(iter(data.val_dataloader())).x[0, 0]
    assert places(first[:20]) == list(range(3180, 3200))  # heard, and not counted


def test_training_hears_and_learns_the_beginning_alone(clip: Path) -> None:
    data, seen = clips(clip), set()
    for number in range(30):
        for batch in epoch(data.train_dataloader(), number):
            known = ~batch.y.isnan()
            assert known[..., 20:].all()
            assert torch.equal(batch.y[known], batch.x[known])
            seen |= set(places(batch.y[known]))
    assert max(seen) < 3200
    assert len(seen) > 3150  # 32 windows of 100, anywhere, 30 times


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=3),
    length=st.integers(1, 20),
    context=st.integers(0, 9),
    epoch_number=st.integers(0, 5),
)
def test_windows_lie_within_their_clips(
    lengths: list[int], length: int, context: int, epoch_number: int
) -> None:
    """Clip ``k`` has the values ``100 k + 1, 100 k + 2, ...``; silence is 0."""
    parts = [Stretch(100.0 * k + torch.arange(1.0, n + 1), n // 3) for k, n in enumerate(lengths)]
    data = ClipDataset(parts, length=length, context=context, seed=7)
    order = PlacedOrder(EpochShuffle(len(data), 7))
    order.set_epoch(epoch_number)
    targets = data.__getitems__(range(len(data))).y
    wanted = [100.0 * k + i + 1 for k, n in enumerate(lengths) for i in range(n // 3, n)]
    assert targets[~targets.isnan()].tolist() == wanted
    for row in data.__getitems__(list(order)).x[:, 0]:
        heard = row[row != 0]
        assert len((heard // 100).unique()) == 1
        assert torch.equal(heard.diff(), torch.ones(len(heard) - 1))


def epoch(loader: DataLoader, number: int) -> list[Batch]:
    loader.sampler.set_epoch(number)
    return list(loader)


def test_windows_follow_from_seed_and_epoch(clip: Path) -> None:
    def starts(number: int, **given) -> list[int]:
        loader = clips(clip, **given).train_dataloader()
        return [first for batch in epoch(loader, number) for first in places(batch.x[:, 0, 20])]

    first = starts(0)
    torch.manual_seed(9)
    assert starts(0) == first
    assert sorted(starts(1)) != sorted(first)
    assert sorted(starts(0, seed=3)) != sorted(first)
    assert len({start % 100 for start in first}) > 20


def test_what_is_heard_are_levels_and_seconds(clip: Path) -> None:
    data = clips(clip, levels=256, seconds=0.25)
    (samples,) = data.clips
    assert len(samples) == 2000
    assert len(samples.unique()) <= 128  # none is below 0
    assert torch.equal(mu_law_encode(samples), mu_law_encode(clips(clip).clips[0][:2000]))
    assert data.fingerprint != clips(clip, seconds=0.25).fingerprint


def test_several_files_and_folders(tmp_path: Path, write: Write) -> None:
    write(tmp_path / "some" / "b.wav", 100, steps=1000)
    write(tmp_path / "some" / "a.wav", 200, steps=500)
    write(tmp_path / "c.wav", 300, steps=100)
    data = clips([tmp_path / "some", tmp_path / "c.wav"])
    assert [round(float(each[0]), 1) for each in data.clips] == [0.2, 0.1, 0.3]
    assert [len(data.dataset(split)) for split in SPLITS] == [4 + 8 + 1, 3, 3]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"length": 0}, "length must be at least 1"),
        ({"context": -1}, "context must be at least 0"),
        ({"levels": 1}, "levels must be at least 2"),
        ({"seconds": 0.0}, "seconds: 0.0 is not above 0"),
        ({"seconds": 0.0005}, "a recording of 4 steps leaves none for test; leave it out"),
        ({"test_share": 0}, "test_share is 0: give a share above 0"),
        ({"sample_rate": 16000}, "has 8000 Hz, 16000 wanted; give resampled=True"),
    ],
)
def test_clips_that_are_none(clip: Path, given: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clips(clip, **given).setup()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seconds": "a"}, "seconds: 'a' is not a number"),
        ({"seconds": True}, "seconds: True is not a number"),
    ],
)
def test_seconds_that_are_no_number(clip: Path, given: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        clips(clip, **given)


@pytest.mark.parametrize("sound", [5, None, [5]])
def test_a_sound_is_a_path(sound: object) -> None:
    with pytest.raises(TypeError, match=r"sound: (5|None) is not a path; give a folder"):
        SoundClips(sound=sound, sample_rate=8000)


def test_sounds_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty is empty; put sound files in"):
        clips(tmp_path / "empty").setup()
    with pytest.raises(ValueError, match="trumpett is not there; give the path of a sound file"):
        clips(Path("trumpett")).setup()
    with pytest.raises(ValueError, match="sound: no file is named"):
        clips([])


@pytest.mark.requires_data("music_clips")
def test_the_trumpet_is_that_of_librosa() -> None:
    """Its documentation says 5.3 s; 16 kHz of them."""
    data = SoundClips(sound="trumpet", sample_rate=16000, resampled=True, mixed=True)
    assert len(data.clips[0]) == 85334
    assert float(data.clips[0][60_000:].abs().max()) < 0.001  # silence from 3.75 s on


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_averaged_weights_are_validated_and_left(tmp_path: Path) -> None:
    """Lightning's callback with decay 0: the average is the net; with 1, it is the first one."""
    wave = torch.sin(torch.arange(2000) * 0.2)[None] * 0.5
    path = save_sound(tmp_path / "a.wav", wave, sample_rate=8000)
    moved = {}
    for decay in (0.0, 1.0):
        torch.manual_seed(0)
        net = WaveNet(channels=4, skip_channels=4, dilations=(1, 2), stacks=1)
        before = net.backbone.first.weight.clone()
        trainer = pl.Trainer(
            max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, accelerator="cpu",
            callbacks=EMAWeightAveraging(decay=decay),
        )  # fmt: skip
        trainer.fit(Regression(net, missing="ignore"), clips(path))
        moved[decay] = not torch.allclose(before, net.backbone.first.weight, atol=3e-3)
    assert moved == {0.0: True, 1.0: False}
