"""Every configuration of sound builds, has the size it names, and takes a step."""

import functools
import itertools
import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from benchmarks.audio.clips import UNHEARD
from tcn.audio import save_sound
from tcn.commands.training import TCNCLI, build

ROOT = Path(__file__).parents[2] / "configs" / "audio"
CONFIGS = {str(path.relative_to(ROOT).with_suffix("")): path for path in ROOT.glob("*/*.yaml")}
SILENT = ["trainer.logger=false", "trainer.enable_checkpointing=false"]
SILENT += ["trainer.enable_progress_bar=false", "trainer.enable_model_summary=false"]

# Of the WaveNet by hand: the first layer 2 * 24 + 24; 20 blocks of 2 * 24 * 48 + 48 for the gate,
# 24 * 64 + 64 for the skip and 24 * 24 + 24 for the sum; 64 * 64 + 64 and 64 * 256 + 256 behind.
# BC-ResNet-1 has 9,232 for 12 classes (9.2k in its paper's table 3): 66 fewer for 10, and the
# batch norm of 40 features, 80.
# A2 nets have 12,146 and 1,871 weights in a file, the scale among them.
PARAMETERS = {
    "amplifier/a2": 12_145,
    "amplifier/a2_lite": 1_870,
    "clip/wavenet": 72 + 20 * (2_352 + 1_600 + 600) + 4_160 + 16_640,
    "compressor/a2_gated": 5_889,
    "overdrive/a2_lite": 1_870,
    "spoken_digits/tcn": 161_050,
    "spoken_digits/tcn_streaming": 93_930,
    "spoken_digits/lstm": 93_282,  # as many as the TCN that streams, within one unit of width
    "spoken_digits/gru": 93_245,
    "spoken_digits/tcn_small": 8_482,  # below 10,000
    "spoken_digits/bc_resnet": 9_232 - 66 + 80,
    "spoken_digit_mixtures/conv_tasnet": 335_385,
    "spoken_digit_mixtures_unheard/conv_tasnet": 335_385,
}
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
PARAMETERS |= {f"spoken_digits_unheard/{speaker}": 161_050 for speaker in SPEAKERS}


@functools.cache
def built(name: str) -> TCNCLI:
    """To be looked at, not trained."""
    return build(CONFIGS[name], SILENT)


def test_which_configurations_there_are() -> None:
    assert set(CONFIGS) == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_size(name: str) -> None:
    """As its first line says, and as published."""
    count = sum(parameter.numel() for parameter in built(name).model.parameters())
    stated = re.search(r"([\d,]+) parameters\.$", CONFIGS[name].read_text().splitlines()[0])
    assert int(stated[1].replace(",", "")) == count == PARAMETERS[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_number_has_a_source(name: str) -> None:
    given = re.compile(r"^\s*(in_channels|default_root_dir|class_path):")
    for line in CONFIGS[name].read_text().splitlines():
        if re.search(r":\s*(\[?\d)", line.split("#")[0]) and not given.match(line):
            assert "  # " in line, line
    config = yaml.safe_load(CONFIGS[name].read_text())
    assert config["trainer"]["default_root_dir"] == f"runs/audio/{name}"


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_only_the_speaker_is_another(speaker: str) -> None:
    """Every other number is that of the net that is tested on speakers it has heard."""
    given = yaml.safe_load(CONFIGS[f"spoken_digits_unheard/{speaker}"].read_text())
    heard = yaml.safe_load(CONFIGS["spoken_digits/tcn"].read_text())
    assert given["data"]["init_args"].pop("unheard") == speaker
    del given["trainer"]["default_root_dir"], heard["trainer"]["default_root_dir"]
    assert given == heard


def test_only_the_speakers_of_the_test_are_others() -> None:
    """Every other number is that of the net whose test is of speakers it has heard."""
    names = ("spoken_digit_mixtures_unheard/conv_tasnet", "spoken_digit_mixtures/conv_tasnet")
    given, heard = (yaml.safe_load(CONFIGS[name].read_text()) for name in names)
    assert given["data"]["init_args"].pop("test_unheard") is True
    del given["trainer"]["default_root_dir"], heard["trainer"]["default_root_dir"]
    assert given == heard


def test_what_streams_and_what_does_not() -> None:
    """Outside of training, where a batch norm measures."""
    assert built("spoken_digits/tcn_streaming").model.net.eval().causal
    assert not built("spoken_digits/tcn").model.net.eval().streams


DEVICES = [name for name in PARAMETERS if "a2" in name]


@pytest.mark.requires_data("nam")
@pytest.mark.parametrize("name", DEVICES)
def test_a_device_config_takes_a_step(
    name: str, tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips of two seconds, through the device itself; the net has heard enough in each window."""
    pytest.importorskip("torchaudio", exc_type=ImportError)
    torch.manual_seed(0)
    (tmp_path / "music_clips").mkdir()
    (tmp_path / "nam").symlink_to(data_dir / "nam")
    for clip in ("one", UNHEARD):
        samples = 0.2 * torch.randn(1, 100_000).clamp(-1, 1)
        save_sound(tmp_path / "music_clips" / f"{clip}.ogg", samples, sample_rate=48_000)
    monkeypatch.setenv("TCN_DATA_DIR", str(tmp_path))
    limits = ["trainer.fast_dev_run=true", "trainer.accelerator=cpu"]
    limits += ["data.init_args.length=2100", "data.init_args.batch_size=2"]
    cli = build(CONFIGS[name], [*SILENT, *limits])
    net, data = cli.model.net, cli.datamodule
    assert net.receptive_field == data.context + 1
    assert [len(pair.dry[0]) for pair in data.parts("test")] == [10_000, 100_000]
    assert [len(data.parts(split)) for split in ("train", "validation")] == [1, 1]
    cli.trainer.fit(cli.model, data)
    (results,) = cli.trainer.test(cli.model, data, verbose=False)
    assert {"test_esr", "test_loss"} == set(results)
    assert all(math.isfinite(value) for value in results.values())


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in PARAMETERS
        if name not in DEVICES and ("digits_unheard" not in name or "theo" in name)
    ],
)
def test_takes_a_step(name: str, tmp_path: Path, write: Callable[..., Path]) -> None:
    """A training, a validation and a test batch; data and net agree on their channels."""
    speakers = ["ann"]
    if "mixtures" in name:
        speakers += ["ben", "theo", "yweweler"]  # the last two are unheard
    elif "unheard" in name:
        speakers.append(name.split("/")[1])
    for speaker in speakers:
        for digit, index in itertools.product(range(10), range(11)):
            write(tmp_path / f"{digit}_{speaker}_{index}.wav", 10 * index, steps=3000)
    limits = ["trainer.fast_dev_run=true", "trainer.accelerator=cpu", "data.init_args.batch_size=8"]
    where = f"data.init_args.folder={tmp_path}"
    if name.startswith("clip/"):
        where = f"data.init_args.sound={tmp_path / '1_ann_9.wav'}"
    cli = build(CONFIGS[name], [*SILENT, *limits, where])
    task, data, trainer = cli.model, cli.datamodule, cli.trainer
    channels = getattr(task.net, "targets", None) or task.net.out_channels
    assert (task.net.in_channels, channels) == (data.in_channels, data.out_channels)
    before = {key: value.clone() for key, value in task.net.state_dict().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few batches
        trainer.fit(task, data)
        results = trainer.test(task, data, verbose=False)[0]
    metric = "mse" if "clip" in name else "improvement" if "mixtures" in name else "accuracy"
    assert {f"test_{metric}", "test_loss"} <= set(results)
    assert all(math.isfinite(value) for value in results.values())
    assert any(not torch.equal(before[key], value) for key, value in task.net.state_dict().items())
