"""`tcn generate`, as a user runs it: from a training run, from a saved folder, under conditions."""

import logging
import sys
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor

from tcn.audio import load_sound, save_sound
from tcn.audio.sound_formats import FORMATS
from tcn.commands import main
from tcn.commands.generate import SUFFIXES, run
from tcn.commands.training import TCNCLI
from tcn.inference import generate, load_checkpoint, save_pretrained
from tcn.models import TCN, WaveNet

CONFIG = """
trainer:
  max_epochs: 1
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
model:
  class_path: tcn.training.Regression
  init_args:
    net:
      class_path: tcn.models.WaveNet
      init_args: {channels: 4, skip_channels: 8, dilations: [1, 2, 4], stacks: 1}
    missing: ignore
data:
  class_path: tcn.audio.SoundClips
  init_args: {sound: a.wav, sample_rate: 8000, length: 100, context: 20}
"""


def small(**settings) -> WaveNet:
    torch.manual_seed(0)
    given = {"channels": 4, "skip_channels": 8, "dilations": (1, 2, 4), "stacks": 1} | settings
    return WaveNet(**given).eval()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_pretrained(small(), "net")
    save_pretrained(small(condition_channels=3), "conditioned")
    return tmp_path


def heard(path: str | Path) -> Tensor:
    """``(channel, time)`` levels of 16 bits, as they are written."""
    return (load_sound(path).samples * 32768).round()


def written(samples: Tensor) -> Tensor:
    return (samples.clamp(-1, 1) * 32768).round().clamp(max=32767)


def expected(net: WaveNet, steps: int, seed: int, count: int = 1, **given) -> Tensor:
    begin = torch.zeros(count, net.in_channels, 1)
    return generate(net.ahead(), begin, steps, seed=seed, output=net.output, **given)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_the_best_weights_of_the_latest_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its sample rate is that of its data; a run, a version and a checkpoint say the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tcn"])
    wave = torch.sin(torch.arange(2000) * 0.2)[None] * 0.5
    save_sound("a.wav", wave, sample_rate=8000)
    Path("config.yaml").write_text(CONFIG)
    for _ in range(2):
        TCNCLI(["fit", "--config", "config.yaml", "--trainer.default_root_dir=run"])
    best = tmp_path / "run" / "version_1" / "checkpoints" / "best.ckpt"
    places = {"run": "run", "version": "run/version_1", "checkpoint": str(best)}
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for name, place in places.items():
        run("generate", [f"{name}.wav", "--checkpoint", place, "--seconds", "0.03", "--seed", "4"])
    net = load_checkpoint(small(), best).eval()
    for name in places:
        assert load_sound(f"{name}.wav").sample_rate == 8000
        assert torch.equal(heard(f"{name}.wav"), written(expected(net, 240, 4)[0]))
        assert Path(f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert "240 samples in " in capsys.readouterr().out
    assert [logger.level for logger in loggers] == levels  # what is quiet meanwhile speaks again


def test_several_sounds_of_a_saved_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["--checkpoint=net", "--seconds=0.1", "--sample_rate=2000", "--count=3", "--seed=1"]
    monkeypatch.setattr(sys, "argv", ["tcn", "generate", "sounds/a.flac", *arguments])
    main()
    rows = written(expected(small(), 200, 1, count=3))
    for number in range(3):
        assert torch.equal(heard(f"sounds/a-{number + 1}.flac"), rows[number])
    assert len(list((folder / "sounds").iterdir())) == 6  # three pictures, and nothing half-made


def test_temperature(folder: Path) -> None:
    """At 0 the likeliest levels, whatever the seed."""
    arguments = ["--checkpoint=net", "--seconds=0.1", "--sample_rate=1000", "--temperature=0"]
    for seed in "12":
        run("generate", [f"{seed}.wav", *arguments, f"--seed={seed}"])
    assert torch.equal(heard("1.wav"), heard("2.wav"))
    assert torch.equal(heard("1.wav"), written(expected(small(), 100, 5, temperature=0.0)[0]))


@pytest.mark.parametrize("what", ["label", "whole", "each"])
def test_conditions(folder: Path, what: str) -> None:
    net = small(condition_channels=3)
    condition = torch.tensor([[0.0, 1.0, 0.0]])
    arguments = ["--label=1"]
    if what == "whole":
        Path("condition.csv").write_text("0\n1\n0\n")
        arguments = ["--condition=condition.csv"]
    if what == "each":
        each = torch.randn(3, 50)
        numpy.save("condition.npy", each.numpy())
        condition = torch.cat([each[:, :1], each], -1)[None]
        arguments = ["--condition=condition.npy"]
    given = ["--checkpoint=conditioned", "--seconds=0.05", "--sample_rate=1000", *arguments]
    run("generate", ["a.wav", *given])
    assert torch.equal(heard("a.wav"), written(expected(net, 50, 0, condition=condition)[0]))


def test_a_label_for_each_sound(folder: Path) -> None:
    given = ["--checkpoint=conditioned", "--seconds=0.05", "--sample_rate=1000", "--count=2"]
    run("generate", ["a.wav", *given, "--label", "2", "0"])
    condition = torch.tensor([[0.0, 0, 1], [1, 0, 0]])
    rows = written(expected(small(condition_channels=3), 50, 0, count=2, condition=condition))
    assert torch.equal(heard("a-1.wav"), rows[0])
    assert torch.equal(heard("a-2.wav"), rows[1])


def test_weights_of_16_bits(folder: Path) -> None:
    given = ["--checkpoint=net", "--seconds=0.05", "--sample_rate=1000", "--bfloat16"]
    run("generate", ["a.wav", *given])
    net = small()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(weight.bfloat16())
    assert torch.equal(heard("a.wav"), written(expected(net, 50, 0)[0]))


REFUSED = {
    "suffix": ({"file": "a.midi"}, "FILE: the suffix of 'a.midi' is not one of .wav"),
    "place": ({"checkpoint": "absent"}, "checkpoint: 'absent' is not there; give the folder"),
    "empty": ({"checkpoint": "empty"}, "checkpoint: empty has no config.yaml at empty/config.yaml"),
    "tcn": ({"checkpoint": "tcn"}, "tcn holds a TCN, which does not say what sample comes next"),
    "seconds": ({"seconds": "0"}, "seconds: 0.0 is not above 0"),
    "count": ({"count": "0"}, "count: 0 is not 1 or more"),
    "rate": ({"sample_rate": None}, "sample_rate: None; give --sample_rate, in Hz"),
    "high rate": (
        {"sample_rate": "99999999"}, "sample_rate: 99999999 is above 10000000; give Hz"
    ),
    "rate of MP3": (
        {"file": "a.mp3", "sample_rate": "1234", "seconds": "1e9"}, "cannot be written with 1234 Hz"
    ),
    "folder": (
        {"file": "taken.wav", "seconds": "1e9"}, "FILE: 'taken.wav' is a folder; give the path"
    ),
    "temperature": ({"temperature": "-1"}, "temperature: -1.0 must be at least 0"),
    "no condition": ({"label": "0"}, "this net takes none; leave --label and --condition out"),
    "condition": ({"checkpoint": "conditioned"}, "takes one of 3 channels; give --label, from 0"),
    "label": ({"checkpoint": "conditioned", "label": "3"}, "label: 3 is not from 0 to 2"),
    "file": ({"condition": "absent.npy"}, "condition: 'absent.npy' is not a file"),
    "shape": (
        {"checkpoint": "conditioned", "condition": "four.csv"},
        "four.csv has shape (4,); expected (3,), or (3, 100), one for each sample",
    ),
    "text": (
        {"checkpoint": "conditioned", "condition": "text.csv"}, "text.csv cannot be read as numbers"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_call_says_what_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    save_pretrained(TCN(2, [4], 2).eval(), "tcn")
    Path("empty").mkdir()
    Path("taken.wav").mkdir()
    Path("four.csv").write_text("1\n2\n3\n4\n")
    Path("text.csv").write_text("loud\n")
    changed, message = REFUSED[name]
    given = {"file": "a.wav", "checkpoint": "net", "seconds": "0.1", "sample_rate": "1000"}
    given |= changed
    file = given.pop("file")
    options = [f"--{key}={value}" for key, value in given.items() if value is not None]
    with pytest.raises(SystemExit) as stopped:
        run("generate", [file, *options])
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert not list(folder.glob("a.*"))


def test_what_cannot_be_drawn_leaves_what_was_there(folder: Path) -> None:
    """A picture that cannot be written: the sound of before stays."""
    Path("a.wav").write_bytes(b"before")
    Path("a.png").mkdir()
    with pytest.raises(SystemExit):
        run("generate", ["a.wav", "--checkpoint=net", "--seconds=0.1", "--sample_rate=1000"])
    assert Path("a.wav").read_bytes() == b"before"
    assert sorted(each.name for each in folder.glob(".*")) == []


def test_suffixes_are_those_of_the_formats() -> None:
    assert tuple(FORMATS) == SUFFIXES
