"""Each name of `tcn.audio` needs what it uses, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

import tcn.audio

ROOT = Path(__file__).parents[2]
ABSENT = "import sys; sys.modules.update(dict.fromkeys({names}))\n"
HEAVY = ["pytorch_lightning", "torchmetrics", "soundfile", "torchaudio", "pooch", "scipy"]


def answer(statement: str, names: list[str]) -> subprocess.CompletedProcess[str]:
    program = ABSENT.format(names=names) + statement
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)


def test_what_needs_torch_alone() -> None:
    found = answer(
        "from tcn.audio import MFCC, MelSpectrogram, SpecAugment, load_nam, mu_law_encode\n"
        "import torch\n"
        "print(MelSpectrogram(8000, 8, window_size=64, hop=32)(torch.randn(1, 1, 96)).shape)",
        HEAVY,
    )
    assert found.stdout.strip() == "torch.Size([1, 8, 3])", found.stderr


def test_data_and_files_do_without_torchaudio(tmp_path: Path) -> None:
    """A class folder of two files is read, with torchaudio absent, as an import that fails."""
    found = answer(
        "import torch, tcn.audio\n"
        "for name in ('cat', 'dog'):\n"
        "    for number in range(3):\n"
        f"        path = f'{tmp_path}/{{name}}/{{number}}.wav'\n"
        "        tcn.audio.save_sound(path, torch.zeros(1, 50), sample_rate=8000)\n"
        f"data = tcn.audio.SoundFolder(folder='{tmp_path}', test=1, validation_size=1,"
        " sample_rate=8000)\n"
        "data.setup()\n"
        "print(len(data.dataset('train')), sys.modules['torchaudio'])",
        ["torchaudio"],
    )
    assert found.stdout.strip() == "4 None", found.stderr


def test_what_is_missing_is_said() -> None:
    found = answer("from tcn.audio import SpokenDigits", ["pytorch_lightning"])
    assert "needs the extra 'training'" in found.stderr


def test_every_name_is_there() -> None:
    assert dir(tcn.audio) == sorted(tcn.audio.__all__)
    for name in tcn.audio.__all__:
        assert getattr(tcn.audio, name).__name__ == name
    with pytest.raises(AttributeError, match=r"module 'tcn.audio' has no attribute 'Sounds'"):
        tcn.audio.Sounds  # noqa: B018
