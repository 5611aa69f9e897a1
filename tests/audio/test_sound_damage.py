"""What is wrong with sound files: cut short, damaged, clipped, or no sound at all."""

import os
import re
import struct
import warnings
from pathlib import Path

import numpy
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tcn.audio import load_sound, save_sound

RATE = 8000


def tone(steps: int = 4000, level: float = 0.5) -> Tensor:
    """A tone of 440 Hz."""
    return torch.sin(torch.arange(steps) * (2 * torch.pi * 440 / RATE))[None] * level


def wav(*, data: bytes = b"\0\0" * 8, channels: int = 1, rate: int = RATE, size: int = -1) -> bytes:
    """A WAV file of 16 bits by hand, as the format's description has it."""
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    size = len(data) if size < 0 else size
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body) % 2**32) + body


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_cut_short(name: str, tmp_path: Path) -> None:
    path = save_sound(tmp_path / name, tone(20000), sample_rate=RATE)
    content = path.read_bytes()
    for kept in (len(content) * 3 // 4, len(content) - 6, 30, 0):
        path.write_bytes(content[:kept])
        with pytest.raises(ValueError, match=rf"path: .*{name} (is|cannot|has no)"):
            load_sound(path)


def test_a_stream_of_unknown_length_is_whole(tmp_path: Path) -> None:
    """A program that writes into a pipe announces as many bytes as there can be."""
    path = tmp_path / "a.wav"
    path.write_bytes(wav(data=b"\1\0" * 8, size=0xFFFFFFFF))
    assert load_sound(path).samples.tolist() == [[2**-15] * 8]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"not a sound\n" * 50, "cannot be read as sound"),
        (wav(data=b""), "has no samples; record it anew"),
        (wav(channels=0), "cannot be read as sound"),
        (wav(rate=0), "cannot be read as sound"),
        (wav(size=40), "is cut short: 24 bytes of its sound are missing"),
    ],
    ids=["empty", "text", "no samples", "no channels", "no rate", "cut short"],
)
def test_what_is_no_sound(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"path: .*a\.wav {message}"):
        load_sound(path)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@given(
    wrong=st.lists(st.tuples(st.integers(0, 2999), st.integers(0, 255)), min_size=1, max_size=6),
    header=st.booleans(),
)
@settings(max_examples=60)
def test_damage_is_refused_or_heard(
    name: str, wrong: list[tuple[int, int]], header: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever bytes are wrong: an error that names the file, or sound that is finite."""
    path = tmp_path_factory.mktemp("damage") / name
    content = bytearray(save_sound(path, tone(), sample_rate=RATE).read_bytes())
    for place, byte in wrong:
        content[place % (60 if header else len(content))] = byte
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = load_sound(path).samples
        except ValueError as error:
            assert name in str(error)  # noqa: PT017
        else:
            assert found.numel()
            assert found.abs().max() <= 1


def test_a_length_that_is_a_lie_takes_no_memory(tmp_path: Path) -> None:
    """The number of samples of a FLAC file: 36 bits from byte 21 on, here 51 thousand millions."""
    path = save_sound(tmp_path / "a.flac", tone(), sample_rate=RATE)
    content = bytearray(path.read_bytes())
    content[21] |= 0x0C
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.flac (is cut short|cannot be read as sound)"):
        load_sound(path)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path: .*is a folder; give the path of a sound file"):
        load_sound(tmp_path)
    with pytest.raises(ValueError, match=r"path: .*no\.wav is not there"):
        load_sound(tmp_path / "no.wav")
    (tmp_path / "a.raw").write_bytes(b"\0" * 8)
    with pytest.raises(ValueError, match=r"a\.raw says neither rate nor channels"):
        load_sound(tmp_path / "a.raw")
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(ValueError, match=r"pipe\.wav is not there"):
        load_sound(tmp_path / "pipe.wav")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_none(value: float, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, numpy.array([0.0, value, 0.5]), RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"path: .*a\.wav has 1 samples that are NaN or infinite"):
        load_sound(path, clip=True)
    with pytest.raises(ValueError, match="samples: 1 are NaN or infinite"):
        save_sound(tmp_path / "b.wav", torch.tensor([[0.0, value]]), sample_rate=RATE, clip=True)
    assert os.listdir(tmp_path) == ["a.wav"]


def test_floats_beyond_full_scale(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, numpy.array([0.0, 1.5, -2.0]), RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"clip: .*a\.wav has 2 samples beyond .*, up to 2; give"):
        load_sound(path)
    assert load_sound(path, clip=True).samples.tolist() == [[0.0, 1.0, -1.0]]
    loud = torch.tensor([[0.0, 1.5, -2.0]])
    with pytest.raises(ValueError, match=r"samples: 2 lie beyond .*, up to 2; scale them"):
        save_sound(tmp_path / "b.wav", loud, sample_rate=RATE)
    save_sound(tmp_path / "b.wav", loud, sample_rate=RATE, encoding="float", clip=True)
    assert load_sound(tmp_path / "b.wav").samples.tolist() == [[0.0, 1.0, -1.0]]


def test_a_clipped_recording_is_said(tmp_path: Path) -> None:
    """A tone three times too loud is cut twice a period; one at full scale touches it alone."""
    path = save_sound(tmp_path / "a.wav", tone(level=3.0), sample_rate=RATE, clip=True)
    with pytest.warns(UserWarning, match=r"a\.wav: \d+ times the samples stay at full scale"):
        load_sound(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_sound(save_sound(path, tone(level=1.0), sample_rate=RATE))


def test_a_loud_lossy_file_is_cut_and_said(tmp_path: Path) -> None:
    square = tone(level=9.0).clamp(-1, 1)
    path = save_sound(tmp_path / "a.ogg", square, sample_rate=RATE)
    with pytest.warns(UserWarning, match=r"a\.ogg: ") as said:
        found = load_sound(path).samples
    assert re.search(r"a\.ogg: \d+ decoded samples beyond .* are cut", str(said[0].message))
    assert found.abs().max() == 1
