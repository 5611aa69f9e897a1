"""Bits by counting, by hand; flatness of what is known; a run that is measured."""

import json
import math
from pathlib import Path

import pytest
import torch

from benchmarks.studies.clip import counted_bits, flatness, measure, net_bits, order_0, order_1
from tcn.audio import SoundClips, save_sound
from tcn.commands.training import TCNCLI
from tcn.models import WaveNet
from tests.commands.test_generate import CONFIG


def test_counting_by_hand() -> None:
    """Of 0 0 1 0 with one more of each of two: 4 and 2 in six. After 0: one 0 and one 1."""
    train = torch.tensor([0, 0, 1, 0])
    assert order_0(train, 2).tolist() == pytest.approx([4 / 6, 2 / 6])
    table = order_1(train, 2, weight=3.0)
    assert table[0].tolist() == pytest.approx([(1 + 3 * 4 / 6) / 5, (1 + 3 * 2 / 6) / 5])
    assert table[1].tolist() == pytest.approx([(1 + 3 * 4 / 6) / 4, (3 * 2 / 6) / 4])


def test_a_square_wave_takes_one_bit_and_none(tmp_path: Path) -> None:
    """Two levels, as often each, and each is followed by the other."""
    wave = torch.tensor([0.5, -0.5]).repeat(5000)[None]
    path = save_sound(tmp_path / "a.wav", wave, sample_rate=8000)
    data = SoundClips(sound=str(path), sample_rate=8000)
    for bits in counted_bits(data).values():
        assert bits["order 0"] == pytest.approx(1, abs=0.05)  # 254 more levels were added
        assert bits["order 1"] == pytest.approx(0, abs=0.01)


def test_a_net_that_knows_nothing_takes_8_bits(tmp_path: Path) -> None:
    path = save_sound(tmp_path / "a.wav", torch.rand(1, 900) - 0.5, sample_rate=8000)
    data = SoundClips(sound=str(path), sample_rate=8000, length=40, context=7)
    net = WaveNet(channels=2, skip_channels=2, dilations=(1,), stacks=1).eval()
    torch.nn.init.zeros_(net.head.weight)
    torch.nn.init.zeros_(net.head.bias)
    assert net_bits(net, data, "test") == pytest.approx(8)


def test_flatness_of_silence_noise_and_a_tone() -> None:
    """e^-gamma = 0.5615 of white noise: geometric by arithmetic mean of exponential numbers."""
    assert flatness(torch.zeros(8000)) == pytest.approx(1)
    noise = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    assert flatness(noise) == pytest.approx(math.exp(-0.5772), abs=0.005)
    assert flatness(torch.sin(torch.arange(8000) * 0.3)) < 1e-3


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_a_run_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tcn"])
    save_sound("a.wav", torch.rand(1, 2000) - 0.5, sample_rate=8000)
    Path("config.yaml").write_text(CONFIG)
    TCNCLI(["fit", "--config", "config.yaml", "--trainer.default_root_dir=run"])
    found = measure(Path("run"), Path("clip.json"), seconds=0.05)
    kept = json.loads(Path("clip.json").read_text())
    assert kept["bits_per_sample"] == found["bits_per_sample"]
    assert set(found["bits_per_sample"]["test"]) == {"order 0", "order 1", "WaveNet"}
    assert Path("clip_1.0.png").exists()
    assert "bits per sample, validation: order 0" in capsys.readouterr().out
