"""Sounds apart: the ratio by hand, in whichever order, behind a delay; digits said at once."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics.functional.audio import pit

from tcn.audio import Separation, SpokenDigitMixtures
from tcn.data.loading import SPLITS
from tcn.models import ConvTasNet
from tcn.training import Batch

TIME = 64


def waves(*cycles: int) -> Tensor:
    """Sines with whole numbers of cycles, which are orthogonal to each other; ``(1, n, time)``."""
    angle = torch.arange(TIME) * (2 * math.pi / TIME)
    return torch.stack([torch.sin(angle * each) for each in cycles])[None]


def batch_of(y: Tensor) -> Batch:
    return Batch(y.sum(1, keepdim=True), y, None)


def ratio(task: Separation, output: Tensor, y: Tensor) -> float:
    loss, weight = task.loss(output, batch_of(y))
    assert weight == y.shape[0] * y.shape[1]
    return -loss.item()


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_the_ratio_of_an_orthogonal_error(scale: float) -> None:
    """Errors of a tenth and of a hundredth of the power: 10 and 20 dB, 15 on average."""
    y = waves(1, 2)
    error = waves(5, 7) * torch.tensor([0.1, 0.01]).sqrt()[:, None]
    assert ratio(Separation(nn.Identity()), scale * (y + error), y) == pytest.approx(15, abs=1e-3)


def test_the_order_of_the_sources_is_no_matter() -> None:
    y = waves(1, 2, 3)
    error = 0.1 * waves(5, 7, 9)
    task = Separation(nn.Identity())
    for order in ([0, 1, 2], [2, 0, 1], [1, 0, 2]):
        assert ratio(task, (y + error)[:, order], y) == pytest.approx(20, abs=1e-3)


def test_outputs_that_lag_are_compared_with_what_they_are() -> None:
    net = ConvTasNet(2, filters=4, channels=4, hidden=4, layers=1, stacks=1, causal=True)
    y = torch.randn(2, 2, 200)
    late = torch.cat([torch.randn(2, 2, net.delay), y[..., : -net.delay]], -1)
    task = Separation(net)
    assert task.delay == 15
    assert ratio(task, late, y) > 60
    assert ratio(task, y, y) < 10


class Known(nn.Module):
    """A net that says the same whatever it hears."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.register_buffer("answer", answer)

    def forward(self, x: Tensor) -> Tensor:
        return self.answer


def silent(**settings) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **settings,
    )  # fmt: skip


@pytest.mark.parametrize("second", [1.0, 2.0])
def test_what_is_logged_is_the_gain_over_the_sum(second: float) -> None:
    """Outputs are at 20 dB. A sum of two orthogonal sources is at 0 dB of both; if one is heard
    twice as loud, at 6 dB of that one and at -6 dB of the other."""
    y = waves(1, 2)
    batch = Batch(y[:, :1] + second * y[:, 1:], y)
    task = Separation(Known(y + 0.1 * waves(5, 7)))
    found = silent().validate(task, DataLoader([batch], batch_size=None), verbose=False)[0]
    assert found["val_si_sdr"] == pytest.approx(20, abs=1e-3)
    assert found["val_loss"] == pytest.approx(-20, abs=1e-3)
    assert found["val_improvement"] == pytest.approx(20, abs=1e-3)


def test_targets_that_are_not_the_sources() -> None:
    task = Separation(nn.Identity())
    y = torch.randn(2, 2, 50)
    with pytest.raises(
        ValueError, match=r"y has shape \(2, 1, 50\) and the net gives \(2, 2, 50\)"
    ):
        task.loss(y, Batch(y, y[:, :1], None))
    with pytest.raises(ValueError, match="lengths: sounds of a batch must be equally long"):
        task.loss(y, Batch(y, y, torch.tensor([50, 40])))


@pytest.fixture
def said(tmp_path: Path, write: Callable[..., Path]) -> Path:
    for digit in (3, 7):
        for number, speaker in enumerate(("ann", "ben", "eve", "theo", "yweweler")):
            for index in range(12):
                write(tmp_path / f"{digit}_{speaker}_{index}.wav", 100 * number + index + 1, 300)
    return tmp_path


@pytest.mark.parametrize("test_unheard", [False, True])
def test_who_and_what_is_heard_in_which_part(said: Path, test_unheard: bool) -> None:
    data = SpokenDigitMixtures(folder=said, test_unheard=test_unheard, length=400)
    for split, recordings in zip(SPLITS, (range(10, 12), range(5, 10), range(5)), strict=True):
        names = [clip.path.stem.split("_") for group in data.clips(split) for clip in group]
        unheard = split == "test" and test_unheard
        wanted = {"theo", "yweweler"} if unheard else {"ann", "ben", "eve"}
        assert {name[1] for name in names} == wanted
        assert {int(name[2]) for name in names} == set(recordings)
        for group in data.clips(split):
            assert len({clip.path.stem.split("_")[1] for clip in group}) == 1


def test_a_net_trains_on_digits_said_at_once(said: Path) -> None:
    data = SpokenDigitMixtures(folder=said, length=320, size=8, evaluation_size=3, batch_size=4)
    net = ConvTasNet(2, filters=4, channels=4, hidden=4, layers=1, stacks=1)
    trainer = silent(max_epochs=1)
    task = Separation(net)
    trainer.fit(task, data)
    found = trainer.test(task, data, verbose=False)[0]
    assert set(found) == {"test_loss", "test_si_sdr", "test_improvement"}
    assert found["test_si_sdr"] == -found["test_loss"]


def test_a_net_is_evaluated_before_it_trains(said: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In inference mode, whose tensors a training cannot use, as the first in a process."""
    monkeypatch.setattr(pit, "_ps_dict", {})
    data = SpokenDigitMixtures(folder=said, length=320, size=8, evaluation_size=3, batch_size=4)
    task = Separation(ConvTasNet(2, filters=4, channels=4, hidden=4, layers=1, stacks=1))
    trainer = silent(max_epochs=1)
    before = trainer.validate(task, data, verbose=False)[0]["val_si_sdr"]
    trainer.fit(task, data)
    assert trainer.validate(task, data, verbose=False)[0]["val_si_sdr"] != before


def test_too_few_speakers(said: Path) -> None:
    with pytest.raises(
        ValueError, match=r"recordings of 3 speakers for train, \['ann', 'ben', 'eve"
    ):
        SpokenDigitMixtures(folder=said, sources=4).setup("fit")
    data = SpokenDigitMixtures(folder=said, unheard=["theo"], test_unheard=True)
    with pytest.raises(ValueError, match=r"1 speakers for test who are unheard, \['theo'\]"):
        data.setup("test")
    with pytest.raises(TypeError, match=r"unheard: 'theo' is one name; give a list, \['theo'\]"):
        SpokenDigitMixtures(folder=said, unheard="theo")
    with pytest.raises(ValueError, match="sources must be at least 2"):
        SpokenDigitMixtures(folder=said, sources=1)


def test_a_causal_net_learns_from_sounds_of_any_length() -> None:
    """It returns whole frames of 4 steps: what is beyond the sound has no target."""
    sizes = {"filters": 4, "channels": 3, "hidden": 5, "layers": 1, "stacks": 1}
    net = ConvTasNet(kernel_size=8, causal=True, **sizes)
    task = Separation(net)
    x, y = torch.randn(2, 1, 101), torch.randn(2, 2, 101)
    assert net(x).shape == (2, 2, 104)
    loss, weight = task.loss(net(x), Batch(x, y))
    expected, _ = task.loss(net(x)[..., :101], Batch(x, y))
    assert (float(loss), weight) == (float(expected), 4)
    assert task.loss(net(x[:0]), Batch(x[:0], y[:0]))[1] == 0  # of a process without a share
