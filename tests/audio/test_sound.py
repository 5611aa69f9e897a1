"""Sound files, read and written: every format, rate and number of channels."""

import os
import resource
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tcn.audio import load_sound, save_sound

RATE = 8000


def sine(frequency: float, steps: int) -> Tensor:
    """In float64: in float32 the phase of a late step has few digits left."""
    return torch.sin(torch.arange(steps, dtype=torch.float64) * (2 * torch.pi * frequency))


def tone(steps: int = 4000, channels: int = 1, level: float = 0.5) -> Tensor:
    """A tone of 440 Hz, each channel half as loud as the one before."""
    wave = (sine(440 / RATE, steps) * level).float()
    return torch.stack([wave / 2**channel for channel in range(channels)])


def wav(data: bytes, *, channels: int) -> bytes:
    """A WAV file of 16 bits by hand, as the format's description has it."""
    form = struct.pack("<HHIIHH", 1, channels, RATE, RATE * 2 * channels, 2 * channels, 16)
    size = struct.pack("<I", len(data))
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + size + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("name", "encoding", "subtype", "error"),
    [
        ("a.wav", "8", "PCM_U8", 2**-8),
        ("a.wav", None, "PCM_16", 2**-16),
        ("a.wav", "24", "PCM_24", 2**-24),
        ("a.wav", "32", "PCM_32", 2**-31),
        ("a.wav", "float", "FLOAT", 0),
        ("a.flac", "8", "PCM_S8", 2**-8),
        ("a.flac", None, "PCM_16", 2**-16),
        ("a.flac", "24", "PCM_24", 2**-24),
        ("a.ogg", None, "VORBIS", 0.06),
        ("a.mp3", None, "MPEG_LAYER_III", 0.06),
    ],
)
def test_formats(
    name: str, encoding: str | None, subtype: str, error: float, tmp_path: Path
) -> None:
    """Within half a level; soundfile's own reader says which encoding it is."""
    samples = tone(channels=2)
    path = save_sound(tmp_path / name, samples, sample_rate=RATE, encoding=encoding)
    assert soundfile.info(path).subtype == subtype
    found, rate = load_sound(path)
    assert rate == RATE
    assert found.dtype == torch.float32
    assert found.shape == samples.shape
    assert (found - samples).abs().max() <= error * 1.001
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("bits", [8, 16, 24])
def test_levels_come_back_as_they_were(bits: int, tmp_path: Path) -> None:
    """Every value of 8 bits, and the ends and the middle of the others, without a change."""
    half = 2 ** (bits - 1)
    levels = [-half, 1 - half, -1, 0, 1, half // 2 + 1, half - 2, half - 1]
    levels = list(range(-half, half)) if bits == 8 else levels
    samples = torch.tensor([levels]) / half
    path = save_sound(tmp_path / "a.wav", samples, sample_rate=RATE, encoding=str(bits))
    assert torch.equal(load_sound(path).samples, samples)


def test_bytes_by_hand(tmp_path: Path) -> None:
    """A 16-bit file is the integers in the order of time, channel by channel."""
    samples = torch.tensor([[0.5, -1.0], [1.0, 2**-15]])
    path = save_sound(tmp_path / "a.wav", samples, sample_rate=RATE)
    expected = struct.pack("<4h", 16384, 32767, -32768, 1)
    assert path.read_bytes() == wav(expected, channels=2)
    path.write_bytes(wav(struct.pack("<4h", 16384, 0, -32768, 1), channels=2))
    assert load_sound(path).samples.tolist() == [[0.5, -1.0], [0.0, 2**-15]]


@given(
    steps=st.integers(1, 300),
    channels=st.integers(1, 4),
    rate=st.sampled_from([1, 8000, 11025, 44100, 192000]),
    encoding=st.sampled_from(["16", "24"]),
    name=st.sampled_from(["a.wav", "a.flac"]),
    seed=st.integers(0, 9),
)
def test_any_shape_and_rate(
    tmp_path_factory: pytest.TempPathFactory, steps: int, channels: int, rate: int,
    encoding: str, name: str, seed: int,
) -> None:  # fmt: skip
    samples = torch.rand(channels, steps, generator=torch.Generator().manual_seed(seed)) * 1.9 - 0.9
    samples = samples.clamp(max=0.9)
    path = tmp_path_factory.mktemp("sound") / name
    found = load_sound(save_sound(path, samples, sample_rate=rate, encoding=encoding))
    assert found.sample_rate == rate
    torch.testing.assert_close(found.samples, samples, atol=2**-16, rtol=0)


def test_channels_are_mixed_when_asked(tmp_path: Path) -> None:
    path = save_sound(tmp_path / "a.wav", tone(channels=2), sample_rate=RATE)
    with pytest.raises(ValueError, match=r"channels: .*a\.wav has 2, 1 wanted; give mixed=True"):
        load_sound(path, channels=1)
    with pytest.raises(ValueError, match=r"channels: .*a\.wav has 2, 3 wanted; leave channels out"):
        load_sound(path, channels=3)
    with pytest.raises(ValueError, match="channels: 2 with mixed=True"):
        load_sound(path, channels=2, mixed=True)
    both = load_sound(path, channels=2).samples
    assert torch.equal(load_sound(path, channels=1, mixed=True).samples, both.mean(0, keepdim=True))


def test_a_rate_is_changed_when_asked(tmp_path: Path) -> None:
    """A tone at 16 kHz is the same tone at 8 kHz, sampled there."""
    fast = sine(440 / 16000, 8000)[None].float() * 0.5
    path = save_sound(tmp_path / "a.wav", fast, sample_rate=16000, encoding="float")
    with pytest.raises(ValueError, match=r"a\.wav has 16000 Hz, 8000 wanted; give resampled=True"):
        load_sound(path, sample_rate=8000)
    assert torch.equal(load_sound(path, sample_rate=16000).samples, fast)
    found, rate = load_sound(path, sample_rate=8000, resampled=True)
    assert (rate, found.shape) == (8000, (1, 4000))
    middle = slice(200, -200)  # the ends have silence on one side
    torch.testing.assert_close(found[:, middle], tone()[:, middle], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": "a.aac"}, ValueError, "path: .*a.aac ends in none of .wav, .flac"),
        ({"encoding": "12"}, ValueError, "encoding: '12' for WAV is not one of '8', '16'"),
        ({"path": "a.mp3", "encoding": "16"}, ValueError, "'16' for MP3, which has one"),
        ({"sample_rate": 8000.0}, TypeError, "sample_rate: 8000.0 is not an integer"),
        ({"sample_rate": 0}, ValueError, "sample_rate: 0 is not between 1"),
        ({"path": "a.mp3", "sample_rate": 7999}, ValueError, "cannot be written with 7999 Hz"),
        ({"path": "a.flac", "samples": tone(9, 9)}, ValueError, "8000 Hz and 9 channels"),
        ({"samples": tone().numpy()}, TypeError, "samples: ndarray is not a tensor"),
        ({"samples": tone().short()}, TypeError, "torch.int16 are not floats"),
        ({"samples": tone()[0]}, ValueError, r"samples: shape \(4000,\) is not \(channel, time\)"),
        ({"samples": tone()[:, :0]}, ValueError, r"samples: shape \(1, 0\)"),
        ({"samples": tone()[:0]}, ValueError, r"samples: shape \(0, 4000\)"),
        ({"path": "."}, ValueError, "ends in none of"),
        ({"path": "folder.wav"}, ValueError, "path: .*folder.wav is a folder"),
    ],
)
def test_what_cannot_be_written(
    arguments: dict, error: type[Exception], message: str, tmp_path: Path
) -> None:
    """Whatever is refused, the file that is there stays as it was."""
    (tmp_path / "folder.wav").mkdir()
    given = {"path": "a.wav", "samples": tone(), "sample_rate": RATE} | arguments
    path = tmp_path / given.pop("path")
    before = None
    if path.suffix and not path.is_dir():
        path.write_bytes(b"before")
        before = b"before"
    with pytest.raises(error, match=message):
        save_sound(path, **given)
    assert before is None or path.read_bytes() == before
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".writing")]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """soundfile for files; torchaudio for another rate alone, and what it is missed for."""
    path = save_sound(tmp_path / "a.wav", tone(), sample_rate=RATE)
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    assert load_sound(path, sample_rate=RATE).samples.shape == (1, 4000)
    with pytest.raises(ImportError, match=r"tcn.audio.resample needs the extra 'audio'"):
        load_sound(path, sample_rate=4000, resampled=True)
    monkeypatch.setitem(sys.modules, "soundfile", None)
    calls: list[Callable[[], object]] = [
        lambda: load_sound(path),
        lambda: save_sound(path, tone(), sample_rate=RATE),
    ]
    for call in calls:
        with pytest.raises(ImportError, match=r"needs the extra 'audio'.*missing: soundfile"):
            call()


def test_torchaudio_for_another_torch_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails when it is imported, with an OSError about a library of CUDA."""
    package = tmp_path / "torchaudio"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError('libc10_cuda.so: no such file')")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    path = save_sound(tmp_path / "a.wav", tone(), sample_rate=RATE)
    message = r"cannot be imported beside this torch \(libc10.*below 2.15.*resample the files"
    with pytest.raises(ImportError, match=message):
        load_sound(path, sample_rate=4000, resampled=True)


@pytest.mark.requires_data("music_clips", "fsdd", "yesno")
def test_real_files(data_dir: Path) -> None:
    """Compared with what soundfile reads."""
    for name in (
        "music_clips/198-209-0000.ogg",
        "music_clips/sorohanro_-_solo-trumpet-06.hq.ogg",
        "fsdd/recordings/0_george_0.wav",
        "yesno/waves_yesno/0_1_0_0_0_1_1_0.wav",
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = load_sound(data_dir / name)
        expected, rate = soundfile.read(data_dir / name, dtype="float32", always_2d=True)
        assert found.sample_rate == rate
        assert numpy.array_equal(found.samples.numpy(), expected.T.clip(-1, 1))


def test_a_full_disk_is_called_one(tmp_path: Path) -> None:
    """The system refuses more than 1000 bytes; what was there stays."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match=r"a.wav cannot be written .* is the disk full\?"):
            save_sound(path, torch.zeros(1, 9000), sample_rate=8000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"before"
