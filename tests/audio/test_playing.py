"""Sound through a capture: as a whole, in blocks, and from file to file."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn.audio import load_sound, play, save_nam, save_sound
from tcn.audio.playing import load_capture
from tcn.commands import main
from tcn.inference import save_pretrained
from tcn.layers import Conv1d
from tcn.models import TCN, Capture, nam_a2

RATE = 8000


def echo(gain: float = 0.5, sample_rate: float = RATE) -> Capture:
    """``y[t] = gain * x[t - 1]``."""
    net = Conv1d(1, 1, 2, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[[gain, 0.0]]]))
    return Capture(net, sample_rate=sample_rate).eval()


@settings(deadline=None, max_examples=10)
@given(
    channels=st.integers(1, 3),
    steps=st.integers(1, 300),
    block=st.integers(1, 97),
    gated=st.booleans(),
)
def test_any_blocks_are_the_whole(channels: int, steps: int, block: int, gated: bool) -> None:
    torch.manual_seed(7)
    net = Capture(nam_a2(2, gated=gated)).eval()
    x = torch.randn(channels, steps, generator=torch.Generator().manual_seed(steps))
    with torch.no_grad():
        whole = net(x.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(play(net, x, block=block), whole, rtol=0, atol=1e-6)


def command(
    folder: Path, *options: str, model: str = "echo.nam", source: str = "in.wav"
) -> list[str]:
    paths = ["--model", str(folder / model), "--in", str(folder / source)]
    return ["play", *paths, "--out", str(folder / "out.wav"), *options]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_nam(echo(), tmp_path / "echo.nam")
    samples = torch.arange(600).view(2, 300) / 1024
    save_sound(tmp_path / "in.wav", samples, sample_rate=RATE)
    return tmp_path


def test_a_file_is_played(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(command(folder))
    expected = torch.nn.functional.pad(torch.arange(600).view(2, 300) / 2048, (1, 0))[:, :-1]
    wet, rate = load_sound(folder / "out.wav")
    torch.testing.assert_close(wet, expected, rtol=0, atol=1e-6)
    assert rate == RATE
    said = capsys.readouterr().out
    assert "in.wav: 2 channels at 8,000 Hz, 0.04 s -> " in said
    assert "out.wav: 2 channels at 8,000 Hz, 0.04 s, " in said
    main(command(folder, "--mix", "--gain", "6.0206", "--encoding", "float"))
    mixed, _ = load_sound(folder / "out.wav")
    torch.testing.assert_close(mixed, 2 * expected.mean(0, keepdim=True), rtol=0, atol=1e-5)


def test_a_saved_folder_is_played(folder: Path) -> None:
    save_pretrained(echo(0.25), folder / "saved")
    main(command(folder, model="saved"))
    assert load_sound(folder / "out.wav").samples[0, 2] == pytest.approx(0.25 / 1024, abs=2e-5)


def test_another_rate_is_converted_when_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_nam(echo(sample_rate=16_000), folder / "echo.nam")
    assert "has 8000 Hz, 16000 wanted; give --resample to" in refused(command(folder), capsys)
    pytest.importorskip("torchaudio", exc_type=ImportError)
    main(command(folder, "--resample"))
    assert load_sound(folder / "out.wav").samples.shape == (2, 600)
    said = capsys.readouterr().out
    assert "2 channels at 8,000 Hz" in said
    assert "2 channels at 16,000 Hz" in said


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said, in one line; no file is written."""
    out = Path(arguments[arguments.index("--out") + 1])
    before = out.read_bytes() if out.is_file() else None
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code != 0
    said = capsys.readouterr().err
    assert said.startswith("tcn play: ")
    assert said.count("\n") == 1
    assert (out.read_bytes() if out.is_file() else None) == before
    return said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: save_nam(echo(4.0), f / "echo.nam"), "would reach 2.336 of full scale; play it "
         "softer by 7.4 decibels or more, or cut it there (--clip)"),
        (lambda f: save_sound(f / "in.wav", torch.zeros(1, 9), sample_rate=RATE, encoding="float")
         .write_bytes((f / "in.wav").read_bytes()[:-4] + b"\0\0\0@"),
         "1 samples beyond [-1, 1], up to 2; give --clip"),
        (lambda f: (f / "echo.nam").unlink(), "--model: "),
        (lambda f: (f / "echo.nam").write_text("{}"), "echo.nam"),
        (lambda f: (f / "in.wav").unlink(), "--in: "),
        (lambda f: (f / "in.wav").write_bytes(b"no sound"), "in.wav"),
        (lambda f: (f / "in.wav").write_bytes((f / "in.wav").read_bytes()[:200]), "in.wav"),
    ],
)  # fmt: skip
def test_errors_in_one_line(
    folder: Path,
    change: Callable[[Path], object],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "out.wav").write_bytes(b"what was there")
    change(folder)
    assert message in refused(command(folder), capsys)


def test_wrong_options(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for change, message in (
        ([*command(folder)[:-1], str(folder / "out.aiff")], "ends in none of .wav, .flac"),
        ([*command(folder)[:-1], str(folder / "no" / "out.wav")], "is not there; make it first"),
        ([*command(folder)[:-1], str(folder / "in.wav")], "is the file that goes in"),
        (command(folder, "--encoding", "7"), "encoding"),
        (command(folder, "--gain", "9999"), "gain: 9999.0 decibels; give a number from -200 to"),
        (command(folder, "--gain", "nan"), "gain: nan decibels; give a number from -200 to 200"),
        (command(folder, "--gain=-inf"), "gain: -inf decibels; give a number from -200 to 200"),
        (command(folder, "--width", "0.5"), "width: 0.5, but "),
    ):
        assert message in refused(change, capsys)


def test_what_goes_in_is_cut_when_asked_for(folder: Path) -> None:
    """A float of 2 (0x40000000) is heard as 1, and the echo halves it."""
    path = save_sound(folder / "in.wav", torch.zeros(1, 9), sample_rate=RATE, encoding="float")
    data = path.read_bytes()
    path.write_bytes(data[:-8] + b"\0\0\0@" + data[-4:])
    main(command(folder, "--clip"))
    assert load_sound(folder / "out.wav").samples.tolist() == [[0.0] * 8 + [0.5]]


def test_what_is_no_capture(folder: Path) -> None:
    with pytest.raises(TypeError, match=r"net: TCN is not a Capture; wrap it"):
        play(TCN(1, [2], 2).eval(), torch.zeros(1, 3))
    save_pretrained(TCN(1, [2], 2).eval(), folder / "net")
    with pytest.raises(TypeError, match=r"model: .*net holds a TCN, not a Capture"):
        load_capture(folder / "net")
    with pytest.raises(ValueError, match=r"samples: shape \(3,\) is not \(channel, time\)"):
        play(echo(), torch.zeros(3))
