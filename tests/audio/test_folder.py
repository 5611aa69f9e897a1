"""Recordings of one's own: folders and tables."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tcn.audio import SoundFolder, SoundTable, save_sound
from tcn.data.loading import SPLITS

Write = Callable[..., Path]


@pytest.fixture
def sounds(tmp_path: Path, write: Write) -> Path:
    """Six cats and four dogs, whose values say which."""
    root = tmp_path / "sounds"
    for number in range(6):
        write(root / "cat" / f"{number}.wav", 10 + number)
    for number in range(4):
        write(root / "dog" / "deep" / f"{number}.flac", 30 + number)
    (root / "notes.txt").write_text("beside the folders")
    (root / "cat" / ".hidden").write_text("left out")
    return root


def folder(sounds: Path, **settings) -> SoundFolder:
    given = {"test": 2, "validation_size": 3, "sample_rate": 8000} | settings
    return SoundFolder(folder=sounds, **given)


def values(data, split: str) -> set[int]:
    return {round(sound[0].item() * 1000) for sound in data.dataset(split).sounds}


def test_classes_and_splits(sounds: Path) -> None:
    data = folder(sounds)
    assert (data.class_names, data.out_channels, data.in_channels) == (("cat", "dog"), 2, 1)
    found = {split: values(data, split) for split in SPLITS}
    assert {split: len(each) for split, each in found.items()} == {
        "train": 5, "validation": 3, "test": 2,
    }  # fmt: skip
    assert set().union(*found.values()) == {*range(10, 16), *range(30, 34)}
    for split in SPLITS:
        dataset = data.dataset(split)
        for sound, label in zip(dataset.sounds, dataset.labels.tolist(), strict=True):
            assert (sound[0] > 0.02) == label
    assert values(folder(sounds, seed=5), "test") != found["test"]


def test_a_test_folder(sounds: Path, tmp_path: Path, write: Write) -> None:
    write(tmp_path / "test" / "cat" / "a.wav", 50)
    with pytest.raises(ValueError, match=r"test: .* has 1 class folders"):
        folder(sounds, test=tmp_path / "test").dataset("test")
    write(tmp_path / "test" / "dog" / "a.wav", 51)
    data = folder(sounds, test=tmp_path / "test")
    assert values(data, "test") == {50, 51}
    assert len(data.dataset("train")) == 7
    write(tmp_path / "test" / "cow" / "a.wav", 51)
    with pytest.raises(ValueError, match=r"test: the classes of .* \['cow'\] are in one"):
        folder(sounds, test=tmp_path / "test").dataset("test")


def test_conversions_are_asked_for(sounds: Path) -> None:
    stereo = torch.stack([torch.full((200,), 0.5), torch.full((200,), -0.25)])
    save_sound(sounds / "cat" / "stereo.wav", stereo, sample_rate=16000)
    with pytest.raises(ValueError, match=r"1 of \d files cannot be used(.|\n)*stereo.wav has 2, 1"):
        folder(sounds, test=1, validation_size=1).setup()
    with pytest.raises(ValueError, match=r"stereo.wav has 16000 Hz, 8000 wanted; give resampled"):
        folder(sounds, mixed=True, test=1, validation_size=1).setup()
    data = folder(sounds, mixed=True, resampled=True)
    found = [sound for split in SPLITS for sound in data.dataset(split).sounds]
    mixed = next(sound for sound in found if sound[50] > 0.1)
    assert mixed.shape == (100,)
    assert mixed[50] == pytest.approx(0.125, abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"test": 10}, ValueError, "test: 10 of the 10 recordings of .* leave none"),
        ({"validation_size": 8}, ValueError, "validation_size must leave some"),
        ({"sample_rate": 0}, ValueError, "sample_rate: 0 is not between"),
        ({"folder": 3}, TypeError, "folder: 3 is not a path"),
        ({"folder": "nowhere"}, ValueError, "folder: nowhere is not a folder"),
        ({"mixed": 1}, TypeError, "mixed: 1 is not True or False"),
    ],
)
def test_errors(sounds: Path, settings: dict, error: type[Exception], message: str) -> None:
    given = {"folder": sounds, "test": 2, "validation_size": 3, "sample_rate": 8000} | settings
    with pytest.raises(error, match=message):
        SoundFolder(**given).setup()
    with pytest.raises(ValueError, match="is the folder of the training recordings"):
        folder(sounds, test=sounds)
    (sounds / "cow").mkdir()
    with pytest.raises(ValueError, match=r"class folders \['cow'\] of .* are empty"):
        folder(sounds)


def test_a_table(sounds: Path, tmp_path: Path) -> None:
    lines = ["label,path,split,note", "tap,sounds/cat/0.wav,train,", "tap,sounds/cat/1.wav,test,x"]
    lines += ["kettle,sounds/cat/2.wav,train,", "kettle,sounds/cat/3.wav,validation,"]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(lines))
    data = SoundTable(table=table, sample_rate=8000)
    assert data.class_names == ("kettle", "tap")
    assert [values(data, split) for split in SPLITS] == [{10, 12}, {13}, {11}]
    assert data.dataset("train").labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na,b", r"has no column \['split'\] in its first line, 'path,label'; it"),
        ("path,label,split\na,b,dev", "line 2 of .* has 'a', 'b', 'dev'; give a path"),
        ("path,label,split\na,b", "line 2 of .* has 'a', 'b', None"),
        ("path,label,split\na,,test", "line 2 of .* has 'a', ''"),
        ("path;label;split\na;b;test", "in its first line, 'path;label;split'; .*with commas betw"),
        ("path,label,split\na,b,test\na,c,train", "names .* twice"),
        ("path,label,split\nx/a,b,test\ny/../x/a,b,train", "names .* twice"),
        ("path,label,split\na,b,test\nc,d,train", r"no recordings for \['validation'\]"),
        ("path,label,split\na,b,test\nc,b,train\nd,b,validation", "has one label, 'b'"),
        ("", "has no column"),
        (None, "cannot be read"),
    ],
)
def test_tables_that_are_none(text: str | None, message: str, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    if text is not None:
        table.write_text(text)
    with pytest.raises(ValueError, match=message):
        SoundTable(table=table, sample_rate=8000)
