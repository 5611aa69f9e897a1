"""Spoken digits, yesno and Speech Commands: which recordings are in which part."""

import io
import os
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from tcn.audio import SpeechCommands, SpokenDigits, YesNo, save_sound, speech_commands
from tcn.audio.speech_commands import COMMANDS, V1, WORDS
from tcn.data.archives import unpacked
from tcn.data.fetch import RemoteFile
from tcn.data.loading import SPLITS

Write = Callable[..., Path]


def names(data, split: str) -> set[str]:
    return {clip.path.name for clip in data.dataset(split).clips}


def test_digits_of_the_official_split(tmp_path: Path, write: Write) -> None:
    for digit, speaker, index in [
        (d, s, i) for d in (0, 7) for s in ("ann", "ben") for i in range(9)
    ]:
        write(tmp_path / f"{digit}_{speaker}_{index}.wav", index + 1)
    (tmp_path / "README.md").write_text("no recording")
    data = SpokenDigits(folder=tmp_path, validation_recordings=2, batch_size=4)
    found = {split: names(data, split) for split in SPLITS}
    for split, indices in (("test", range(5)), ("validation", (5, 6)), ("train", (7, 8))):
        assert {int(name[:-4].split("_")[2]) for name in found[split]} == set(indices)
        assert data.dataset(split).labels.bincount().tolist()[::7] == [2 * len(indices)] * 2
    with pytest.raises(ValueError, match=r"folder: .* has no recordings for train, such as 7_jack"):
        SpokenDigits(folder=tmp_path, validation_recordings=4).setup("fit")


def test_a_speaker_who_is_tested_on_alone(tmp_path: Path, write: Write) -> None:
    for speaker, index in [(s, i) for s in ("ann", "ben", "eve") for i in range(12)]:
        write(tmp_path / f"3_{speaker}_{index}.wav", index + 1)
    data = SpokenDigits(folder=tmp_path, unheard="ben")
    assert names(data, "test") == {f"3_ben_{index}.wav" for index in range(12)}
    for split, indices in (("validation", range(5, 10)), ("train", (10, 11))):
        wanted = {f"3_{speaker}_{index}.wav" for speaker in ("ann", "eve") for index in indices}
        assert names(data, split) == wanted
    with pytest.raises(ValueError, match=r"unheard: 'bob' is none of \['ann', 'ben', 'eve'\]"):
        SpokenDigits(folder=tmp_path, unheard="bob").setup("test")
    with pytest.raises(TypeError, match="unheard: 3 is not a name; give one, such as 'theo'"):
        SpokenDigits(folder=tmp_path, unheard=3)


@pytest.mark.requires_data("fsdd")
def test_digits_that_are_real() -> None:
    """300 for test: 10 digits x 6 speakers x 5; no recording is in two parts."""
    data = SpokenDigits(length=8000)
    found = {split: names(data, split) for split in SPLITS}
    assert {split: len(each) for split, each in found.items()} == {
        "train": 2400, "validation": 300, "test": 300,
    }  # fmt: skip
    assert len(set().union(*found.values())) == 3000
    assert data.dataset("test").labels.bincount().tolist() == [30] * 10
    assert next(iter(data.val_dataloader())).x.shape == (32, 1, 8000)


def test_yesno_parts(tmp_path: Path, write: Write) -> None:
    for first in (0, 1):
        for number in range(8):
            bits = "_".join(f"{number:07b}")
            write(tmp_path / f"{first}_{bits}.wav", 1)
    data = YesNo(folder=tmp_path, validation_size=3)
    found = {split: names(data, split) for split in SPLITS}
    assert {split: len(each) for split, each in found.items()} == {
        "train": 5, "validation": 3, "test": 8,
    }  # fmt: skip
    assert all(name.startswith("1") for name in found["test"])
    assert not found["train"] & found["validation"]
    batch = data.dataset("test").__getitems__([0, 1, 2])
    assert batch.y.tolist()[2] == [1, 0, 0, 0, 0, 0, 1, 0]
    with pytest.raises(ValueError, match="validation_size must leave some"):
        YesNo(folder=tmp_path, validation_size=8).setup("fit")
    with pytest.raises(ValueError, match="has no recordings for test, such as 1_1_1"):
        YesNo(folder=tmp_path / "none").setup("test")


@pytest.mark.requires_data("yesno")
def test_yesno_that_is_real() -> None:
    data = YesNo()
    assert [len(data.dataset(split)) for split in SPLITS] == [25, 6, 29]
    assert next(iter(data.test_dataloader())).y.shape == (8, 8)


@pytest.fixture
def commands(tmp_path: Path, write: Write) -> Path:
    """Version 0.02 with four recordings of each word, one of them for validation, one for test."""
    root = tmp_path / "commands"
    for word in WORDS["v0.02"]:
        for speaker in range(4):
            write(root / word / f"{speaker}_nohash_0.wav", 1, steps=9_000, sample_rate=16000)
    for name in ("hum", "rain"):
        noise = torch.rand(1, 20_000) / 2
        save_sound(root / "_background_noise_" / f"{name}.wav", noise, sample_rate=16000)
    write(root / "_background_noise_" / "short.wav", 1, steps=50, sample_rate=16000)
    for name, speaker in (("validation_list.txt", 1), ("testing_list.txt", 2)):
        lines = [f"{word}/{speaker}_nohash_0.wav" for word in WORDS["v0.02"]]
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def test_words_of_the_official_lists(commands: Path) -> None:
    """The numbers of words are those of the paper's tables: 30 and 35."""
    assert len(V1) == 30
    data = SpeechCommands(folder=commands)
    assert data.out_channels == len(WORDS["v0.02"]) == 35
    found = {split: names(data, split) for split in SPLITS}
    assert found == {
        "train": {"0_nohash_0.wav", "3_nohash_0.wav"},
        "validation": {"1_nohash_0.wav"},
        "test": {"2_nohash_0.wav"},
    }
    assert data.dataset("train").labels.bincount().tolist() == [2] * 35
    assert data.dataset("test").clips[0].path.parent.name == "backward"
    assert data.dataset("test").__getitems__([0, 1]).x.shape == (2, 1, 16000)


def test_twelve_classes(commands: Path) -> None:
    data = SpeechCommands(folder=commands, twelve=True, others=0.5)
    assert data.class_names == (*COMMANDS, "_silence_", "_unknown_")
    counts = data.dataset("train").labels.bincount().tolist()
    assert counts == [2] * 10 + [10, 10]
    dataset = data.dataset("train")
    silent = [clip for clip in dataset.clips if clip.path.parent.name == "_background_noise_"]
    assert [clip.steps for clip in silent] == [16000] * 10
    assert {clip.path.stem for clip in silent} == {"hum", "rain"}
    assert dataset.sound(20).shape == (16000,)
    unknown = {clip.path.parent.name for clip in dataset.clips[30:]}
    assert not unknown & set(COMMANDS)
    same, other = (
        SpeechCommands(folder=commands, twelve=True, others=0.5, seed=seed) for seed in (1111, 2)
    )
    assert same.dataset("train").clips == dataset.clips
    assert other.dataset("train").clips != dataset.clips


@pytest.mark.requires_data("speech_commands")
def test_official_test_set_of_twelve_classes(data_dir: Path, commands: Path) -> None:
    """A part of it, 30 recordings a class."""
    place = data_dir / "speech_commands" / "test_set_v0.02_30per_class"
    data = SpeechCommands(folder=commands, twelve=True, test_folder=place)
    assert data.dataset("test").labels.bincount().tolist() == [30] * 12
    assert next(iter(data.test_dataloader())).x.shape == (128, 1, 16000)
    with pytest.raises(ValueError, match=r"test_folder: .* has not the 35 classes"):
        SpeechCommands(folder=commands, test_folder=place).setup("test")


def test_what_is_missing_is_named(commands: Path) -> None:
    with pytest.raises(ValueError, match=r"version: 'v3' is not one of 'v0\.01', 'v0\.02'"):
        SpeechCommands(version="v3")
    with pytest.raises(TypeError, match="twelve: 'yes' is not True or False"):
        SpeechCommands(twelve="yes")
    (commands / "bed" / "2_nohash_0.wav").unlink()
    with pytest.raises(ValueError, match=r"1 recordings of testing_list.txt are not in .*bed/2_no"):
        SpeechCommands(folder=commands).setup("test")
    (commands / "testing_list.txt").unlink()
    with pytest.raises(ValueError, match=r"testing_list.txt is not there; give the folder of the"):
        SpeechCommands(folder=commands).setup("fit")
    SpeechCommands(folder=commands)  # nothing is read before it is needed


def test_an_archive_is_unpacked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    """From the data folder into the cache, whole or not at all; never out of it."""
    data, cache = tmp_path / "data", tmp_path / "cache"
    monkeypatch.setenv("TCN_DATA_DIR", str(data))
    monkeypatch.setenv("TCN_CACHE_DIR", str(cache))
    recording = write(tmp_path / "0_ann_0.wav", 1)

    def packed(name: str) -> RemoteFile:
        path = data / "fsdd" / "files.tar.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:gz") as tarred:
            member = tarfile.TarInfo(name)
            member.size = recording.stat().st_size
            tarred.addfile(member, io.BytesIO(recording.read_bytes()))
        checksum = sha256(path.read_bytes()).hexdigest()
        return RemoteFile("fsdd/files.tar.gz", checksum, ("http://127.0.0.1:9/",))

    with pytest.raises(ValueError, match="not a whole archive"):
        unpacked(packed("../../outside.wav"), "fsdd/recordings")
    assert not list(tmp_path.rglob("outside.wav"))
    assert os.listdir(cache / "fsdd") == []
    place = unpacked(packed("x/recordings/0_ann_0.wav"), "fsdd/recordings")
    assert place == cache / "fsdd" / "recordings"
    (data / "fsdd" / "files.tar.gz").unlink()
    assert unpacked(packed("y/0_ann_1.wav"), "fsdd/recordings") == place
    assert [path.name for path in place.rglob("*.wav")] == ["0_ann_0.wav"]
    own = data / "fsdd" / "recordings"
    own.mkdir()
    assert unpacked(packed("y/0_ann_1.wav"), "fsdd/recordings") == own


def test_checksums_are_those_of_torchaudio() -> None:
    from torchaudio.datasets import speechcommands, yesno

    from tcn.audio.yesno import ARCHIVE

    for file in speech_commands.ARCHIVES.values():
        assert speechcommands._CHECKSUMS[file.addresses[0]] == file.sha256
    release = yesno._RELEASE_CONFIGS["release1"]
    assert (release["url"], release["checksum"]) == (ARCHIVE.addresses[0], ARCHIVE.sha256)
