"""The figure of a sound: a tone lies at its frequency, a tenth of a wave 20 dB lower."""

import pytest
import torch

from tcn.audio import plot_sound
from tcn.audio.plots import FLOOR, decibel

pytest.importorskip("matplotlib")


def test_a_tone_lies_at_its_frequency() -> None:
    """1000 Hz at 8000 Hz, in windows of 32 ms, that is 256 samples: line 1000 / 8000 * 256 = 32."""
    wave = torch.sin(torch.arange(4000) * 2 * torch.pi / 8) * 0.5
    picture = decibel(wave, 8000)
    assert picture.shape == (129, 4000 // 64 + 1)
    assert picture[:, 5:-5].argmax(0).unique().tolist() == [32]
    assert picture.max() == 0
    assert picture.min() == FLOOR
    assert (decibel(torch.zeros(400), 8000) == FLOOR).all()


def test_a_tenth_of_a_wave_is_20_decibel_below() -> None:
    wave = torch.sin(torch.arange(4000) * 2 * torch.pi / 8)
    wave[2000:] /= 10
    loudest = decibel(wave, 8000).amax(0)
    torch.testing.assert_close(loudest[50] - loudest[12], torch.tensor(-20.0), atol=0.01, rtol=0)


def test_the_figure(tmp_path) -> None:
    figure = plot_sound(torch.rand(2, 3000) - 0.5, sample_rate=8000, title="noise")
    figure.savefig(tmp_path / "a.png")
    above, below = figure.axes[:2]
    assert above.get_title(loc="left") == "noise"
    assert below.get_xlim() == (0, 0.375)
    assert below.get_ylim() == (0, 4)
    with pytest.raises(ValueError, match=r"samples: shape \(10,\) is not"):
        plot_sound(torch.zeros(10), sample_rate=8000)
