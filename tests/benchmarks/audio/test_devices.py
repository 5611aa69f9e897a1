"""Devices that nets are trained on: their formulas by hand."""

import math
from pathlib import Path

import pytest
import torch

from benchmarks.audio.clips import DeviceClips
from benchmarks.audio.devices import DEVICES, compressor, overdrive


def test_a_compressor_by_hand() -> None:
    """Sample by sample, as its docstring has it."""
    torch.manual_seed(0)
    x = torch.randn(2, 400).double() * torch.linspace(0, 0.3, 400)
    kept = math.exp(-1 / (0.02 * 1000))
    for row, found in zip(x.tolist(), compressor(x, 1000).tolist(), strict=True):
        power = 0.0
        for sample, made in zip(row, found, strict=True):
            power = kept * power + (1 - kept) * sample**2
            level = 10 * math.log10(max(power, 1e-10))
            gain = 12 - 0.75 * max(0.0, level + 40)
            assert made == pytest.approx(sample * 10 ** (gain / 20), abs=1e-6)


def test_what_a_compressor_does_in_the_end() -> None:
    """-20 dB in: 15 of the 20 above the threshold are taken, 12 added; -60 dB in: 12 added."""
    for level, gain in ((-20, -3), (-60, 12)):
        x = torch.full((1, 48_000), 10 ** (level / 20))
        found = 20 * math.log10(compressor(x, 48_000)[0, -1].item()) - level
        assert found == pytest.approx(gain, abs=1e-3)


def test_an_overdrive_by_hand() -> None:
    """Sample by sample, as its docstring has it."""
    pytest.importorskip("torchaudio", exc_type=ImportError)
    torch.manual_seed(0)
    x = torch.randn(1, 200) * 0.2
    before, filtered = 0.0, 0.0
    for sample, found in zip(x[0].tolist(), overdrive(x, 48_000)[0].tolist(), strict=True):
        z = 10 * sample + 0.1
        z = -2 / 3 if z < -1 else 2 / 3 if z > 1 else z - z**3 / 3
        filtered, before = z - before + 0.995 * filtered, z
        assert found == pytest.approx(min(1, max(-1, sample / 2 + 0.75 * filtered)), abs=1e-5)


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"length": 100, "context": 10}
    with pytest.raises(ValueError, match=r"device: 'fuzz' is none of amplifier, overdrive"):
        DeviceClips(device="fuzz", **settings)
    monkeypatch.setenv("TCN_DATA_DIR", str(tmp_path))
    for device in DEVICES:
        with pytest.raises(ValueError, match=r"TCN_DATA_DIR: it has no music_clips/\*.ogg"):
            DeviceClips(device=device, **settings).dataset("test")
