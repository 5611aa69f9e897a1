"""Losses of sound: by hand, by symmetries, and on pure tones whose spectra are known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn.audio import DCOffset, ErrorToSignal, MultiResolutionSTFT, SoundLoss
from tcn.audio.losses import emphasized

LOSSES = [
    ErrorToSignal(),
    ErrorToSignal(pre_emphasis=0.85),
    DCOffset(),
    MultiResolutionSTFT(windows=[[16, 4, 16], [30, 7, 32]]),
]


def sound(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows).unsqueeze(1)


def test_error_to_signal_by_hand() -> None:
    target, output = sound([1, -2, 2.0], [4, 0, 3.0]), sound([1, -1, 0.0], [4, 0, 3.0])
    # (0 + 1 + 4) / (1 + 4 + 4); the second row is right.
    torch.testing.assert_close(ErrorToSignal()(output, target), torch.tensor([5 / 9, 0.0]))


def test_a_quiet_target_by_hand() -> None:
    """Root mean square 0.1 of the target is below 0.2, so the error is over 0.2^2."""
    target, output = sound([0.1, -0.1], [0.5, 0.5]), sound([0.2, -0.2], [0.5, 0.6])
    for loss, expected in (
        (ErrorToSignal(quiet=0.2), [0.01 / 0.04, 0.005 / 0.25]),
        (ErrorToSignal(), [0.01 / 0.01, 0.005 / 0.25]),
        (DCOffset(quiet=0.2), [0.0, 0.05**2 / 0.25]),
    ):
        torch.testing.assert_close(loss(output, target), torch.tensor(expected))


def test_pre_emphasis_by_hand() -> None:
    torch.testing.assert_close(
        emphasized(sound([1, -2, 2.0]), 0.5)[0, 0], torch.tensor([-2.5, 3.0])
    )
    # errors 0, -1, 2 -> -1, 2.5; targets -> -2.5, 3
    found = ErrorToSignal(pre_emphasis=0.5)(sound([1, -1, 0.0]), sound([1, -2, 2.0]))
    torch.testing.assert_close(found, torch.tensor([(1 + 6.25) / (6.25 + 9)]))
    high, low = torch.cos(torch.arange(4000.0) * 3.0), torch.cos(torch.arange(4000.0) * 0.05)
    # |1 - c e^-iw|^2 = 1 + c^2 - 2 c cos w, the power response of the filter
    for tone, angle in ((high, 3.0), (low, 0.05)):
        power = emphasized(tone, 0.85).square().mean() / tone.square().mean()
        assert power == pytest.approx(1 + 0.85**2 - 1.7 * math.cos(angle), rel=0.01)


def test_dc_offset_by_hand() -> None:
    # mean errors 1 and 0; power of the targets (1 + 1 + 4 + 4) / 4 and 4
    found = DCOffset()(
        sound([2, 0, 3, -1.0], [3, 1, 2, 2.0]), sound([1, -1, 2, -2.0], [2, 2, 2, 2.0])
    )
    torch.testing.assert_close(found, torch.tensor([1 / 2.5, 0.0]))


def test_spectra_of_a_softer_sound() -> None:
    """Half as loud: convergence is a half, the logarithms log 2 apart; the sign is free."""
    torch.manual_seed(0)
    target = torch.randn(3, 2, 400)
    loss = MultiResolutionSTFT(windows=[[64, 16, 64]])
    torch.testing.assert_close(
        loss(0.5 * target, target), torch.full((3,), 0.5 + math.log(2)), atol=1e-4, rtol=0
    )
    assert loss(-target, target).max() < 1e-6
    assert loss(target, target).max() < 1e-6
    # Each row by its own norm: how loud the others are does not matter.
    louder = target * torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1)
    torch.testing.assert_close(
        loss(0.5 * louder, louder), loss(0.5 * target, target), atol=1e-4, rtol=0
    )


def test_a_resolution_by_hand() -> None:
    """A Fourier transform of a frame written out: frames of 4, hops of 2, a window of 4."""
    torch.manual_seed(1)
    target, output = torch.randn(1, 1, 7), torch.randn(1, 1, 7)
    window = [math.sin(math.pi * t / 4) ** 2 for t in range(4)]

    def magnitudes(x: list[float]) -> list[float]:
        found = []
        for start in (0, 2):
            for k in range(3):
                parts = [window[t] * x[start + t] for t in range(4)]
                real = sum(p * math.cos(2 * math.pi * k * t / 4) for t, p in enumerate(parts))
                imaginary = sum(p * math.sin(2 * math.pi * k * t / 4) for t, p in enumerate(parts))
                found.append(max(math.hypot(real, imaginary), 1e-4))
        return found

    wanted, made = (magnitudes(x[0, 0].tolist()) for x in (target, output))
    apart = math.sqrt(sum((w - m) ** 2 for w, m in zip(wanted, made, strict=True)))
    convergence = apart / math.sqrt(sum(w * w for w in wanted))
    logs = sum(abs(math.log(w / m)) for w, m in zip(wanted, made, strict=True)) / 6
    found = MultiResolutionSTFT(windows=[[4, 2, 4]])(output, target)
    assert found.item() == pytest.approx(convergence + logs, rel=1e-4)


@settings(deadline=None, max_examples=15)
@given(
    which=st.sampled_from(range(len(LOSSES))),
    rows=st.integers(1, 3),
    channels=st.integers(1, 2),
    steps=st.integers(40, 90),
    louder=st.sampled_from([0.25, 4.0]),
)
def test_what_holds_of_each(
    which: int, rows: int, channels: int, steps: int, louder: float
) -> None:
    loss = LOSSES[which]
    generator = torch.Generator().manual_seed(steps)
    target = torch.randn(rows, channels, steps, generator=generator)
    output = torch.randn(rows, channels, steps, generator=generator, requires_grad=True)
    found = loss(output, target)
    assert found.shape == (rows,)
    assert (found > 0).all()
    # Every row by itself, upside down, and louder, as far as no magnitude is at its floor.
    alone = torch.cat([loss(output[i : i + 1], target[i : i + 1]) for i in range(rows)])
    torch.testing.assert_close(found, alone)
    torch.testing.assert_close(found, loss(-output, -target))
    torch.testing.assert_close(found, loss(louder * output, louder * target), rtol=2e-3, atol=1e-4)
    found.sum().backward()
    assert output.grad.isfinite().all()
    assert output.grad.abs().max() > 0


def test_silence_and_what_is_right_have_gradients() -> None:
    for loss in LOSSES:
        for target in (torch.zeros(1, 1, 60), torch.randn(1, 1, 60)):
            output = target.clone().requires_grad_()
            loss(output, target).sum().backward()
            assert output.grad.isfinite().all(), loss


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match=r"weight: 0 is not a finite number above 0"):
        ErrorToSignal(0)
    with pytest.raises(TypeError, match=r"weight: 'much' is not a number"):
        DCOffset("much")
    with pytest.raises(ValueError, match=r"quiet: 0 is not a finite number above 0"):
        DCOffset(quiet=0)
    with pytest.raises(ValueError, match=r"pre_emphasis: 1.5 is above 1; give such as 0.95"):
        ErrorToSignal(pre_emphasis=1.5)
    with pytest.raises(ValueError, match=r"windows: \[\[8, 2\]\]; give three sizes"):
        MultiResolutionSTFT(windows=[[8, 2]])
    with pytest.raises(ValueError, match=r"windows: a window of 9 in a transform of 8"):
        MultiResolutionSTFT(windows=[[9, 2, 8]])
    with pytest.raises(ValueError, match=r"windows: the longest needs 2048 samples .* has 90"):
        MultiResolutionSTFT()(torch.zeros(1, 1, 90), torch.zeros(1, 1, 90))
    with pytest.raises(ValueError, match=r"output: \(1, 5\) and target: \(1, 5\); give two sounds"):
        ErrorToSignal()(torch.zeros(1, 5), torch.zeros(1, 5))
    with pytest.raises(TypeError, match=r"windows: \[600\]; give three sizes"):
        MultiResolutionSTFT(windows=[600])
    with pytest.raises(ValueError, match=r"output: one step, and the pre-emphasis needs two"):
        ErrorToSignal(pre_emphasis=0.9)(torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
    for loss in LOSSES:
        with pytest.raises(TypeError, match=r"target: torch.int64, not a tensor of floats"):
            loss(torch.zeros(1, 1, 60), torch.zeros(1, 1, 60).long())
        with pytest.raises(TypeError, match=r"output: list, not a tensor of floats"):
            loss([0.0], torch.zeros(1, 1, 60))
        for shape in ((2, 0, 60), (2, 1, 0)):
            with pytest.raises(ValueError, match=r"output: no samples in \(2, "):
                loss(torch.zeros(shape), torch.zeros(shape))
        assert loss(torch.zeros(0, 1, 60), torch.zeros(0, 1, 60)).shape == (0,)
    assert isinstance(LOSSES[0], SoundLoss)


def test_what_is_the_same_is_at_0() -> None:
    for loss in LOSSES:
        for sound in (torch.zeros(2, 1, 60), torch.randn(2, 1, 60)):
            assert loss(sound, sound).tolist() == [0, 0], loss
