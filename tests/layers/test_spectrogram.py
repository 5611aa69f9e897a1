"""Mel spectrograms and cepstral coefficients, against torchaudio and in blocks of any length."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchaudio import transforms

from tcn.inference import StreamSession, from_pretrained, save_pretrained
from tcn.layers import MFCC, BatchNorm, Chain, Conv1d, MelSpectrogram
from tcn.testing import check_sequence_module

RATE = 8000
SIZES = {"window_size": 200, "hop": 80, "fft_size": 256}


def noise(steps: int = 4000, rows: int = 2) -> Tensor:
    return torch.rand(rows, 1, steps) - 0.5


def torchaudios(kind: type[nn.Module], x: Tensor, **settings) -> Tensor:
    """Centered frames with zeros around, as many as there are beginnings of hops."""
    common = {"center": True, "pad_mode": "constant", "win_length": 200, "hop_length": 80}
    mel = common | {"n_fft": 256, "n_mels": 32}
    if kind is transforms.MFCC:
        made = kind(RATE, melkwargs=mel, **settings)
    else:
        made = kind(RATE, **mel, **settings)
    return made(x.squeeze(1))[..., : math.ceil(x.shape[-1] / 80)]


@pytest.mark.parametrize("steps", [4000, 4037, 150])
def test_mel_spectrogram_is_that_of_torchaudio(steps: int) -> None:
    x = noise(steps)
    expected = torchaudios(transforms.MelSpectrogram, x)
    found = MelSpectrogram(RATE, 32, **SIZES, padding="same", logarithm=None)(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found = MelSpectrogram(RATE, 32, **SIZES, padding="same")(x)
    torch.testing.assert_close(found, torch.log(expected + 1e-6), rtol=1e-5, atol=1e-5)
    found = MelSpectrogram(RATE, 32, **SIZES, padding="same", logarithm="decibel")(x)
    decibel = transforms.AmplitudeToDB()(expected)
    torch.testing.assert_close(found, decibel, rtol=1e-5, atol=1e-4)  # up to 30 dB


@pytest.mark.parametrize(("lowest", "highest"), [(0.0, None), (50.0, 3800.0)])
def test_filters_are_those_of_torchaudio(lowest: float, highest: float | None) -> None:
    x = noise()
    found = MelSpectrogram(
        RATE, 20, **SIZES, lowest=lowest, highest=highest, padding="same", logarithm=None
    )(x)
    made = transforms.MelSpectrogram(
        RATE, 256, 200, 80, lowest, highest, n_mels=20, pad_mode="constant"
    )
    torch.testing.assert_close(found, made(x.squeeze(1))[..., :50], rtol=1e-5, atol=1e-5)


@given(
    rate=st.sampled_from([8000, 11025, 16000, 44100]),
    window_size=st.integers(2, 80),
    spare=st.integers(0, 40),
    hop=st.integers(1, 90),
    steps=st.integers(1, 200),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_any_sizes_are_those_of_torchaudio(
    rate: int, window_size: int, spare: int, hop: int, steps: int, seed: int
) -> None:
    """Odd and even windows and transforms too, which torchaudio centers differently, and odd rates,
    of which it takes the half rounded down.
    """
    x = torch.rand(1, 1, steps, generator=torch.Generator().manual_seed(seed)) - 0.5
    fft_size = window_size + spare
    sizes = {"window_size": window_size, "hop": hop, "fft_size": fft_size}
    try:
        found = MelSpectrogram(rate, 1, **sizes, padding="same", logarithm=None)(x)
    except ValueError as error:
        assert "have no frequency of the transform" in str(error)  # noqa: PT017
        return
    made = transforms.MelSpectrogram(
        rate, fft_size, window_size, hop, n_mels=1, pad_mode="constant"
    )
    expected = made(x.squeeze(1))[..., : math.ceil(steps / hop)]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_session_takes_the_type_of_the_window() -> None:
    """A spectrogram has no parameters, from which a net's type is read."""
    mels = MelSpectrogram(RATE, 8, **SIZES).double().eval()
    x = noise().double()
    found = StreamSession(mels, batch_size=2).push(x)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, mels(x))


@pytest.mark.parametrize("logarithm", ["natural", "decibel"])
def test_mfcc_is_that_of_torchaudio(logarithm: str) -> None:
    """Of noise, which has no frame 80 decibels below another: there torchaudio would cut."""
    x = noise()
    expected = torchaudios(transforms.MFCC, x, n_mfcc=13, log_mels=logarithm == "natural")
    found = MFCC(RATE, 13, mels=32, **SIZES, padding="same", logarithm=logarithm)(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-4)
    assert (found - expected).norm() / expected.norm() < 1e-6


def test_causal_frames_are_the_same_frames_later() -> None:
    """torchaudio's, of sound that begins half a window later, less the first value, which is 0."""
    x = noise()
    late = nn.functional.pad(x, (100, 0))
    made = transforms.MelSpectrogram(RATE, 256, 200, 80, n_mels=32, pad_mode="constant")
    shifted = nn.functional.pad(x, (99, 0))
    expected = made(shifted.squeeze(1))[..., :50]
    found = MelSpectrogram(RATE, 32, **SIZES, logarithm=None)(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, made(late.squeeze(1))[..., :50], rtol=1e-5, atol=1e-5)


def test_a_tone_is_in_its_band() -> None:
    """By hand: 1000 Hz is 1000 mel (rounded); of 40 bands up to 2146 mel it is number 18."""
    tone = torch.sin(torch.arange(8000) * (2 * math.pi * 1000 / RATE)).view(1, 1, -1)
    mel = MelSpectrogram(RATE, 40, **SIZES | {"fft_size": 1024})(tone)[0, :, 50]
    assert mel.argmax() == round(1000 / (2146 / 41)) - 1


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=8),
    st.integers(2, 60),
    st.integers(1, 90),
    st.booleans(),
)
def test_blocks_of_any_length_are_the_whole(
    blocks: list[int], window: int, hop: int, cepstral: bool
) -> None:
    sizes = {"window_size": window, "hop": hop, "fft_size": 64}
    net = MFCC(RATE, 3, mels=4, **sizes) if cepstral else MelSpectrogram(RATE, 4, **sizes)
    x = noise(sum(blocks))
    state, frames = None, []
    for block in x.split(blocks, dim=-1):
        y, state = net.step(block, state)
        frames.append(y)
    torch.testing.assert_close(torch.cat(frames, -1), net(x), rtol=1e-5, atol=1e-5)
    assert net(x).shape[-1] == math.ceil(sum(blocks) / hop) == net.out_steps(sum(blocks))


NETS = {
    "causal": lambda: MelSpectrogram(RATE, 4, window_size=12, hop=5),
    "hop beyond the window": lambda: MelSpectrogram(RATE, 3, window_size=8, hop=9, fft_size=16),
    "same": lambda: MelSpectrogram(RATE, 4, window_size=12, hop=5, padding="same"),
    "power": lambda: MelSpectrogram(RATE, 4, window_size=12, hop=5, logarithm=None),
    "mfcc": lambda: MFCC(RATE, 3, mels=4, window_size=12, hop=5),
    "before a net": lambda: Chain(
        MelSpectrogram(RATE, 4, window_size=12, hop=2), BatchNorm(4), Conv1d(4, 2, 3)
    ).eval(),
}


@pytest.mark.parametrize("name", NETS)
def test_contract(name: str) -> None:
    check_sequence_module(NETS[name](), noise(40, 3))


def test_saved_and_streamed_as_a_part_of_a_net(tmp_path) -> None:
    net = Chain(
        MFCC(RATE, 5, mels=20, **SIZES),
        Conv1d(5, 3, 2),
    ).eval()
    loaded = from_pretrained(save_pretrained(net, tmp_path / "net"))
    x = noise(800)
    assert torch.equal(loaded(x), net(x))
    session = StreamSession(net, batch_size=2)
    chunks = [session.push(chunk) for chunk in x.split(37, -1)]
    torch.testing.assert_close(torch.cat(chunks, -1), net(x), rtol=1e-5, atol=1e-5)


def test_half_precision_is_computed_in_single() -> None:
    net = MelSpectrogram(RATE, 8, **SIZES)
    x = noise().bfloat16()
    assert torch.equal(net(x), net(x.float()).bfloat16())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mels": 0}, "mels: 0 must be at least 1"),
        ({"window_size": 1}, "window_size: 1; a window has 2"),
        ({"hop": 0}, "hop: 0 must be"),
        ({"fft_size": 100}, "fft_size: 100 does not hold the window of 200"),
        ({"mels": 120}, r"mels: \d+ of 120 bands have no frequency"),
        ({"highest": 5000}, "highest: 5000 Hz do not follow"),
        ({"lowest": -1}, "lowest: -1 and"),
        ({"lowest": 300, "highest": 200}, "lowest: 300 and highest: 200 Hz"),
        ({"logarithm": "db"}, "logarithm: 'db' is not one of None, 'natural', 'decibel'"),
        ({"padding": "valid"}, "padding: 'valid' is not one of 'causal', 'same'"),
    ],
)
def test_settings_that_are_none(arguments: dict, message: str) -> None:
    given = {"sample_rate": RATE, "mels": 20} | SIZES | arguments
    with pytest.raises(ValueError, match=message):
        MelSpectrogram(**given)


def test_errors() -> None:
    with pytest.raises(TypeError, match="lowest: '50' is not a number"):
        MelSpectrogram(RATE, 20, **SIZES, lowest="50")
    with pytest.raises(ValueError, match="coefficients: 21 of 20 mels"):
        MFCC(RATE, 21, mels=20, **SIZES)
    with pytest.raises(ValueError, match="logarithm: None; coefficients"):
        MFCC(RATE, 2, mels=20, **SIZES, logarithm=None)
    net = MelSpectrogram(RATE, 20, **SIZES)
    with pytest.raises(ValueError, match="make one channel"):
        net(torch.randn(1, 2, 400))
    with pytest.raises(ValueError, match="expected 198 remembered steps, got 5"):
        net.step(torch.randn(1, 1, 40), torch.zeros(1, 1, 5))
    with pytest.raises(TypeError, match="a spectrogram with padding='same' on the time axis reads"):
        MelSpectrogram(RATE, 20, **SIZES, padding="same").step(torch.randn(1, 1, 400))
