"""How far one sound is from another: losses for nets that play what a device would.

Each is called with an output and a target, both ``(batch, channel, time)``, and returns a number
for each row, ``(batch,)``, 0 where both are the same. All but the logarithmic part of
:class:`MultiResolutionSTFT` are relative to the target: a soft passage counts as a loud one does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from tcn.layers.running import at_least_float32
from tcn.layers.validation import check_positive
from tcn.outputs.checks import check_number


class SoundLoss(ABC):
    """What the losses of sound share: a weight in a sum of several, and their checks.

    Attributes:
        weight: by which the task multiplies it.
    """

    def __init__(self, weight: float = 1.0) -> None:
        """Sets the weight.

        Raises:
            TypeError: it is not a number.
            ValueError: it is not above 0, or infinite.
        """
        check_number("weight", weight, above=0)
        self.weight = float(weight)

    @abstractmethod
    def rows(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row, ``(batch,)``, of ``(batch, channel, time)`` floats."""

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each row, ``(batch,)``, in float32 at least.

        Args:
            output: ``(batch, channel, time)``.
            target: as large.

        Raises:
            TypeError: they are not tensors of floats.
            ValueError: they are of different sizes, or too short.
        """
        for name, sound in (("output", output), ("target", target)):
            if not isinstance(sound, Tensor) or not sound.is_floating_point():
                kind = sound.dtype if isinstance(sound, Tensor) else type(sound).__name__
                raise TypeError(f"{name}: {kind}, not a tensor of floats; give samples in [-1, 1]")
        if output.shape != target.shape or output.ndim != 3:
            raise ValueError(
                f"output: {tuple(output.shape)} and target: {tuple(target.shape)}; give two sounds "
                "of one size, (batch, channel, time)"
            )
        if not output[:1].numel() and len(output):
            raise ValueError(
                f"output: no samples in {tuple(output.shape)}; give a channel and a step or more"
            )
        if not len(output):
            return at_least_float32(output).sum((1, 2))
        return self.rows(at_least_float32(output), at_least_float32(target))


class ErrorToSignal(SoundLoss):
    r"""The power of the error over that of the target (ESR).

    .. math:: \sum_t (y_t - \hat y_t)^2 / \sum_t y_t^2

    With a pre-emphasis both go through a first-order high-pass filter, :math:`y_t - c\,y_{t-1}`,
    before: most of a guitar's power is in its low frequencies, and the ear hears the high ones.

    Sources: Wright, Damskägg & Välimäki 2019, "Real-time black-box modelling with recurrent neural
    networks" (DAFx), for ratio and filter; Wright & Välimäki 2020, "Perceptual loss
    function for neural modelling of audio systems" (ICASSP), for filters compared.

    Attributes:
        pre_emphasis: the coefficient; None without a filter.
        quiet: how loud a target is taken to be at least.
    """

    def __init__(
        self, weight: float = 1.0, *, pre_emphasis: float | None = None, quiet: float = 1e-4
    ) -> None:
        """Sets the filter.

        Args:
            weight: in a sum of several losses.
            pre_emphasis: coefficient of the filter, above 0 and up to 1, such as 0.95; None for
                none.
            quiet: root mean square, of full scale, that a target is taken to have at least: -80 dB
                unless given. Softer rows count less than loud ones; 0.01 (-40 dB) suits recordings
                with pauses, in which the net would otherwise learn the noise.

        Raises:
            TypeError: a number is not one.
            ValueError: a number is out of range.
        """
        super().__init__(weight)
        if pre_emphasis is not None:
            check_number("pre_emphasis", pre_emphasis, above=0)
            if pre_emphasis > 1:
                raise ValueError(f"pre_emphasis: {pre_emphasis} is above 1; give such as 0.95")
        check_number("quiet", quiet, above=0)
        self.pre_emphasis, self.quiet = pre_emphasis, float(quiet)

    def rows(self, output: Tensor, target: Tensor) -> Tensor:
        """The ratio of each row; the filter needs two steps."""
        error = output - target
        if self.pre_emphasis is not None:
            if target.shape[-1] < 2:
                raise ValueError("output: one step, and the pre-emphasis needs two; give more")
            error, target = (emphasized(part, self.pre_emphasis) for part in (error, target))
        return _power(error) / _power(target).clamp_min(self.quiet**2)


class DCOffset(SoundLoss):
    r"""The power of the mean of the error over that of the target.

    .. math:: |\frac1N\sum_t (y_t - \hat y_t)|^2 / \frac1N\sum_t y_t^2

    Beside a pre-emphasis, which lets no constant through. Source: Wright, Damskägg & Välimäki 2019
    (see :class:`ErrorToSignal`).

    Attributes:
        quiet: how loud a target is taken to be at least.
    """

    def __init__(self, weight: float = 1.0, *, quiet: float = 1e-4) -> None:
        """Sets what counts as silence.

        Args:
            weight: in a sum of several losses.
            quiet: as in :class:`ErrorToSignal`.

        Raises:
            TypeError: a number is not one.
            ValueError: a number is out of range.
        """
        super().__init__(weight)
        check_number("quiet", quiet, above=0)
        self.quiet = float(quiet)

    def rows(self, output: Tensor, target: Tensor) -> Tensor:
        """The ratio of each row, over the mean of each channel."""
        offset = (output - target).mean(-1).square().mean(1)
        return offset / _power(target).clamp_min(self.quiet**2)


class MultiResolutionSTFT(SoundLoss):
    r"""How far short-time spectra are apart, the mean over windows of several lengths.

    For each length spectral convergence, :math:`\||S| - |\hat S|\|_F / \||S|\|_F`, and the mean of
    :math:`|\log|S| - \log|\hat S||` over all frames and frequencies. Windows are Hann's; nothing is
    padded, so a sound is at least as long as the longest. Phases do not count: add it to another
    loss.

    Sources: Yamamoto, Song & Kim 2020, arXiv:1910.11480, section 2.2 and table 1; Steinmetz & Reiss
    2020, "auraloss" (DMRN+15), for magnitudes that are at least 1e-4 before the logarithm.

    Attributes:
        windows: window length, distance between frames and length of the Fourier transform, in
            samples, of every resolution.
    """

    def __init__(
        self,
        weight: float = 1.0,
        *,
        windows: Sequence[Sequence[int]] = ((600, 120, 1024), (1200, 240, 2048), (240, 50, 512)),
    ) -> None:
        """Sets the resolutions; those of the paper unless given.

        Args:
            weight: in a sum of several losses.
            windows: window length, distance between frames, and length of the Fourier transform,
                at least that of the window, of each resolution, in samples.

        Raises:
            TypeError: a size is not an integer.
            ValueError: a size is out of range, or there are none.
        """
        super().__init__(weight)
        listed = isinstance(windows, Sequence) and all(isinstance(w, Sequence) for w in windows)
        if not listed or not windows or any(len(sizes) != 3 for sizes in windows):
            raise (ValueError if listed else TypeError)(
                f"windows: {windows!r}; give three sizes for each, such as [[600, 120, 1024]]"
            )
        for sizes in windows:
            check_positive("windows", list(sizes))
            if sizes[2] < sizes[0]:
                raise ValueError(
                    f"windows: a window of {sizes[0]} in a transform of {sizes[2]}; make the "
                    "transform as long"
                )
        self.windows = tuple((length, hop, size) for length, hop, size in windows)

    def rows(self, output: Tensor, target: Tensor) -> Tensor:
        """The mean over the resolutions."""
        longest = max(size for *_, size in self.windows)
        if target.shape[-1] < longest:
            raise ValueError(
                f"windows: the longest needs {longest} samples and the sound has "
                f"{target.shape[-1]}; give longer sound, or shorter windows"
            )
        losses = [_spectral(output, target, *sizes) for sizes in self.windows]
        return torch.stack(losses).mean(0)


def emphasized(x: Tensor, coefficient: float) -> Tensor:
    """``x[t] - coefficient * x[t - 1]``, one step shorter than ``(..., time)``."""
    return x[..., 1:] - coefficient * x[..., :-1]


def checked_losses(losses: object) -> tuple[SoundLoss, ...]:
    """The losses, refused if they are none.

    Raises:
        TypeError: it is not a list of ``SoundLoss``.
        ValueError: it is empty.
    """
    if not isinstance(losses, Sequence) or isinstance(losses, str):
        raise TypeError(f"losses: {losses!r} is not a list; write [tcn.audio.ErrorToSignal()]")
    for loss in losses:
        if not isinstance(loss, SoundLoss):
            raise TypeError(
                f"losses: {loss!r} is not a SoundLoss; give one, such as tcn.audio.ErrorToSignal()"
            )
    if not losses:
        raise ValueError("losses: none; give at least one, such as tcn.audio.ErrorToSignal()")
    return tuple(losses)


def _power(x: Tensor) -> Tensor:
    return x.square().mean((1, 2))


def _spectral(output: Tensor, target: Tensor, length: int, hop: int, size: int) -> Tensor:
    """Spectral convergence and logarithmic distance of each row, added."""
    window = torch.hann_window(length, dtype=target.dtype, device=target.device)
    found, wanted = (_magnitudes(part, window, hop, size) for part in (output, target))
    axes = (1, 2, 3)  # a norm has a gradient at 0, and a root has none
    apart = torch.linalg.vector_norm(wanted - found, dim=axes)
    convergence = apart / torch.linalg.vector_norm(wanted, dim=axes)
    return convergence + (wanted.log() - found.log()).abs().mean((1, 2, 3))


def _magnitudes(x: Tensor, window: Tensor, hop: int, size: int) -> Tensor:
    """``(batch, channel, frequency, frame)``, at least 1e-4."""
    frames = torch.stft(
        x.flatten(0, 1),
        size,
        hop,
        len(window),
        window,
        center=False,
        return_complex=True,
    )
    power = torch.view_as_real(frames).square().sum(-1)
    return power.clamp_min(1e-8).sqrt().unflatten(0, x.shape[:2])
