"""Random changes of sounds: what they do, by hand, and that their generator alone decides."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tcn.audio import BackgroundNoise, Gain, Noise, SoundAugmentation, Speed, TimeShift, save_sound
from tcn.training import Batch


def batch(size: int = 200, time: int = 400, *, lengths: Tensor | None = None) -> Batch:
    x = torch.rand(size, 1, time, generator=torch.Generator().manual_seed(0)) - 0.5
    if lengths is not None:
        x = x.masked_fill(torch.arange(time) >= lengths.view(-1, 1, 1), 0)
    return Batch(x, torch.arange(size), lengths)


def changed(change: SoundAugmentation, given: Batch, seed: int = 1) -> Batch:
    return change(given, torch.Generator().manual_seed(seed))


CHANGES = [TimeShift(20), Gain(), Speed(), Noise()]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_the_generator_decides_alone(change: SoundAugmentation) -> None:
    given, before = batch(), batch().x
    torch.manual_seed(3)
    first = changed(change, given)
    torch.manual_seed(4)
    assert torch.equal(changed(change, given).x, first.x)
    assert not torch.equal(changed(change, given, seed=2).x, first.x)
    assert torch.equal(given.x, before)
    assert first.x.shape == given.x.shape
    assert torch.equal(first.y, given.y)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_padding_is_not_heard(change: SoundAugmentation) -> None:
    """What a row of 100 steps becomes does not depend on how far it is padded."""
    lengths = torch.full((50,), 100)
    short, long = batch(50, 100, lengths=lengths), batch(50, 100, lengths=lengths)
    long = long._replace(x=torch.nn.functional.pad(long.x, (0, 300)))
    if isinstance(change, Noise):
        power = [
            ((changed(change, each).x - each.x)[..., :100]).square().mean()
            for each in (short, long)
        ]
        assert power[0] == pytest.approx(power[1].item(), rel=0.1)
        return
    near, far = changed(change, short), changed(change, long)
    steps = min(near.x.shape[-1], far.x.shape[-1])
    assert torch.equal(near.x[..., :steps], far.x[..., :steps])
    assert torch.equal(near.lengths, far.lengths)


def test_shifts_by_hand() -> None:
    """Every shift from 2 to the left to 2 to the right happens, with silence behind it."""
    x = torch.tensor([1.0, 2, 3, 4, 5]).expand(100, 1, 5)
    found = changed(TimeShift(2), Batch(x, torch.zeros(100))).x[:, 0].tolist()
    assert {tuple(row) for row in found} == {
        (3, 4, 5, 0, 0), (2, 3, 4, 5, 0), (1, 2, 3, 4, 5), (0, 1, 2, 3, 4), (0, 0, 1, 2, 3),
    }  # fmt: skip


def test_gains_are_spread_over_decibels() -> None:
    given = batch()
    ratio = 20 * torch.log10((changed(Gain(6), given).x / given.x)[:, 0, 0])
    assert -6 <= ratio.min() < -5
    assert 5 < ratio.max() <= 6


def test_speed_moves_a_tone() -> None:
    """A tone of 50 periods a window has 50 times the speed; counted by its crossings of zero."""
    tone = torch.sin(torch.arange(4000) * (2 * math.pi * 50 / 4000)).expand(50, 1, 4000)
    found = changed(Speed(0.2), Batch(tone, torch.zeros(50))).x[:, 0, :2000]
    crossings = ((found[:, 1:] > 0) != (found[:, :-1] > 0)).sum(-1) / 50  # 1 at the speed itself
    assert 0.75 < crossings.min() < 0.85
    assert 1.15 < crossings.max() < 1.25
    straight = torch.arange(4000).float().expand(50, 1, 4000)
    lines = changed(Speed(0.2), Batch(straight, torch.zeros(50))).x[:, 0, :3000]
    slopes = lines[:, 1]
    torch.testing.assert_close(lines, torch.arange(3000) * slopes[:, None], rtol=1e-4, atol=1e-2)


def test_a_slower_sound_that_is_padded_is_longer() -> None:
    lengths = torch.tensor([400, 200] * 50)
    found = changed(Speed(0.25), batch(100, 400, lengths=lengths))
    ratio = lengths / found.lengths
    assert ratio.min() > 0.74
    assert ratio.max() < 1.26
    assert found.x.shape[-1] == found.lengths.max() > 400
    for row, length in zip(found.x[:, 0], found.lengths, strict=True):
        assert not row[length:].any()
        assert row[:length].any()


def test_noise_is_as_loud_as_said() -> None:
    given = batch(400, 4000)
    noise = changed(Noise(10, 20, probability=0.5), given).x - given.x
    loud = noise.square().mean((1, 2)) > 0
    assert 0.4 < loud.float().mean() < 0.6
    ratio = 10 * torch.log10(given.x.square().mean((1, 2)) / noise.square().mean((1, 2)))[loud]
    assert 9.8 < ratio.min() < 11
    assert 19 < ratio.max() < 20.2
    silence = Batch(torch.zeros(2, 1, 50), torch.zeros(2))
    assert torch.equal(changed(Noise(), silence).x, silence.x)


def test_background_noise_is_of_the_recordings(tmp_path: Path) -> None:
    """Two recordings, a high and a low tone, one of them shorter than the sounds."""
    for name, frequency, steps in (("high", 1.0, 5000), ("low", 0.1, 300)):
        tone = torch.sin(torch.arange(steps) * frequency)[None] * 0.2
        save_sound(tmp_path / f"{name}.wav", tone, sample_rate=8000)
    (tmp_path / "README.md").write_text("no sound")
    given = batch(300, 4000)
    change = BackgroundNoise(tmp_path, sample_rate=8000, lowest=5, highest=15, probability=0.5)
    found = changed(change, given)
    assert torch.equal(changed(change, given).x, found.x)
    noise = (found.x - given.x)[:, 0]
    loud = noise.square().mean(1) > 0
    assert 0.4 < loud.float().mean() < 0.6
    power = given.x[:, 0].square().mean(1)[loud]
    ratio = 10 * torch.log10(power / noise[loud].square().mean(1))
    assert 4.5 < ratio.min() < 6.5
    assert 13.5 < ratio.max() < 15.5
    crossings = ((noise[loud][:, 1:] > 0) != (noise[loud][:, :-1] > 0)).float().mean(1) * math.pi
    assert crossings.round(decimals=1).unique().tolist() == pytest.approx([0.1, 1.0], abs=0.03)
    with pytest.raises(ValueError, match=r"folder: .* has no files that end in \.wav"):
        BackgroundNoise(tmp_path / "none", sample_rate=8000)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: TimeShift(0), ValueError, "steps: 0 must be at least 1"),
        (lambda: Gain("6"), TypeError, "decibel: '6' is not a number"),
        (lambda: Gain(0), ValueError, "decibel: 0 is not a finite number above 0"),
        (lambda: Speed(0.6), ValueError, r"share: 0\.6 is not above 0 and at most 0\.5"),
        (lambda: Noise(20, 10), ValueError, "lowest: 20 is above highest: 10"),
        (lambda: Noise(math.nan, 10), ValueError, "lowest: nan is not a finite"),
        (lambda: Noise(probability=2), ValueError, "probability is 2"),
    ],
)
def test_errors(make, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
