"""Sound as mel spectrograms and cepstral coefficients, in streams too."""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor

from tcn.layers.context import Context, silence
from tcn.layers.running import at_least_float32
from tcn.layers.state import State
from tcn.layers.taps import Taps, pad
from tcn.layers.validation import (
    as_float,
    check_input,
    check_positive,
    check_state,
    wrong_state,
)
from tcn.saving.description import recorded

PADDINGS = ("causal", "same")
LOGARITHMS = (None, "natural", "decibel")


class MelSpectrogram(Taps):
    """The power of sound in bands of the mel scale, ``(batch, 1, time)`` to frames.

    Each frame is a Hann window, the squared size of its Fourier transform, and sums of that under
    triangles of the HTK mel scale: torchaudio's ``MelSpectrogram`` with its defaults. With
    ``padding="causal"`` frame ``j`` ends at step ``j * hop``, and blocks of any length give the
    frames of the whole. With ``"same"`` it is centered there, as torchaudio's with zeros around
    (``pad_mode="constant"``), which has one more frame where ``hop`` divides the length.

    Source: Davis & Mermelstein 1980, section II; Young et al., The HTK Book, section 5.4.

    Attributes:
        window: ``(window_size - 1,)``, without the first value, which is 0.
        filters: ``(fft_size // 2 + 1, mels)``.
    """

    ndim = 1
    in_channels = 1
    kind = "a spectrogram"
    window: Tensor
    filters: Tensor

    @recorded
    def __init__(
        self,
        sample_rate: int,
        mels: int,
        *,
        window_size: int,
        hop: int,
        fft_size: int | None = None,
        lowest: float = 0.0,
        highest: float | None = None,
        logarithm: str | None = "natural",
        padding: str = "causal",
    ) -> None:
        """Builds window and filters.

        Args:
            sample_rate: of the sound, in Hz.
            mels: bands.
            window_size: steps of a window, at least 2.
            hop: steps between frames.
            fft_size: steps of the Fourier transform, zeros put to the window; the smallest power of
                two that holds it unless given.
            lowest: where the first band begins, in Hz.
            highest: where the last band ends, in Hz; half of ``sample_rate`` unless given, rounded
                down as by torchaudio.
            logarithm: ``"natural"``, of power + 1e-6; ``"decibel"``, 10 log10 of at least 1e-10;
                or None for the power itself.
            padding: ``"causal"`` or ``"same"``.

        Raises:
            TypeError: if a size is not an integer.
            ValueError: if a size is not positive, a frequency is out of range, a band has no
                frequency of the transform in it, or a name is unknown.
        """
        super().__init__()
        sizes = {"sample_rate": sample_rate, "mels": mels, "window_size": window_size, "hop": hop}
        for name, size in sizes.items():
            check_positive(name, [size])
        if window_size < 2:
            raise ValueError(f"window_size: {window_size}; a window has 2 or more steps")
        fft_size = 1 << (window_size - 1).bit_length() if fft_size is None else fft_size
        check_positive("fft_size", [fft_size])
        if fft_size < window_size:
            raise ValueError(f"fft_size: {fft_size} does not hold the window of {window_size}")
        if logarithm not in LOGARITHMS:
            known = ", ".join(map(repr, LOGARITHMS))
            raise ValueError(f"logarithm: {logarithm!r} is not one of {known}")
        highest = sample_rate // 2 if highest is None else highest
        _check_band(lowest, highest, sample_rate)
        self.place(window_size - 1, hop, 1, padding, PADDINGS)
        self.fft_size = fft_size
        self.logarithm = logarithm
        self.out_channels = mels
        self.register_buffer("window", torch.hann_window(window_size)[1:])
        filters = mel_filters(sample_rate, fft_size, mels, lowest, highest)
        self.register_buffer("filters", filters.to(self.window.device))

    def zeros_around(self, axis: int) -> tuple[int, int]:
        """Of a window of an odd size in an even transform the odd zero is on the left.

        torchaudio puts the window into the middle of the transform, and that over the step.
        """
        left, right = super().zeros_around(axis)
        odd = self.axis_padding[0] == "same" and self.kernel_size[0] % 2 == 0
        return (right, left) if odd and self.fft_size % 2 == 0 else (left, right)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """The frames that are due; the state is the last steps."""
        check_input(self, x, self.in_channels, self.ndim)
        x = silence(x, context.mask)
        if self.streaming_obstacle or (state is None and not context.streaming):
            return self._frames(pad(x, [self.zeros_around(0)])), ()
        past = self.context_size
        given = x
        if state is None:
            x = pad(x, [(past, 0)])
        else:
            x = torch.cat([self._checked(state, x), x], dim=-1)
        used = self.used(x.shape[-1])
        if used is None:
            return self.nothing(given[..., :0], x, context)[0], x
        return self._frames(x[..., past - self.span[-1] :]), x[..., used:]

    def _checked(self, state: State, x: Tensor) -> Tensor:
        state = check_state(self, state, (x.shape[0], self.in_channels), x)
        if not -self.stride[-1] < state.shape[-1] - self.context_size <= 0:
            raise wrong_state(
                self, f"{self.context_size} remembered steps", f"{state.shape[-1]} of them"
            )
        return state

    def _frames(self, x: Tensor) -> Tensor:
        """Every window in ``(batch, 1, time)``, as ``(batch, mels, frames)``."""
        windows = at_least_float32(x.squeeze(1)).unfold(-1, self.kernel_size[0], self.stride[0])
        spectrum = torch.fft.rfft(windows * self.window.to(windows), n=self.fft_size)
        power = spectrum.real.square() + spectrum.imag.square()
        return self._of_mels(power @ self.filters.to(windows)).transpose(1, 2).to(x.dtype)

    def _of_mels(self, power: Tensor) -> Tensor:
        """What is made of power, ``(batch, frames, mels)``."""
        if self.logarithm == "natural":
            return torch.log(power + 1e-6)
        if self.logarithm == "decibel":
            return 10 * torch.log10(power.clamp_min(1e-10))
        return power

    def extra_repr(self) -> str:
        """The settings."""
        return (
            f"mels={len(self.filters.T)}, window_size={self.kernel_size[0] + 1}, "
            f"hop={self.stride[0]}, fft_size={self.fft_size}, logarithm={self.logarithm!r}, "
            f"padding={self.axis_padding[0]!r}"
        )


class MFCC(MelSpectrogram):
    """Mel-frequency cepstral coefficients: the cosine transform of a mel spectrogram's logarithm.

    torchaudio's ``MFCC``, with ``log_mels=True`` for ``"natural"``; of its decibels, which are cut
    80 below the loudest frame of the whole sound, before they are cut.

    Source: Davis & Mermelstein 1980, section II, equation 1.
    """

    cosines: Tensor

    @recorded
    def __init__(
        self,
        sample_rate: int,
        coefficients: int,
        *,
        mels: int,
        window_size: int,
        hop: int,
        fft_size: int | None = None,
        logarithm: str = "natural",
        padding: str = "causal",
    ) -> None:
        """Builds window, filters and cosines.

        Args:
            sample_rate: of the sound, in Hz.
            coefficients: how many, at most ``mels``.
            mels: bands, from 0 Hz to half of ``sample_rate``.
            window_size: steps of a window, at least 2.
            hop: steps between frames.
            fft_size: as in :class:`MelSpectrogram`.
            logarithm: ``"natural"`` or ``"decibel"``.
            padding: ``"causal"`` or ``"same"``.

        Raises:
            TypeError: if a size is not an integer.
            ValueError: as :class:`MelSpectrogram`, or if there are more coefficients than bands.
        """
        if logarithm is None:
            raise ValueError("logarithm: None; coefficients are of 'natural' or 'decibel' ones")
        super().__init__(
            sample_rate, mels, window_size=window_size, hop=hop, fft_size=fft_size,
            logarithm=logarithm, padding=padding,
        )  # fmt: skip
        check_positive("coefficients", [coefficients])
        if coefficients > mels:
            raise ValueError(f"coefficients: {coefficients} of {mels} mels; give at most as many")
        self.out_channels = coefficients
        cosines = cosine_transform(mels, coefficients)
        self.register_buffer("cosines", cosines.to(self.window.device))

    def _of_mels(self, power: Tensor) -> Tensor:
        return super()._of_mels(power) @ self.cosines.to(power)


def mel_filters(
    sample_rate: int, fft_size: int, mels: int, lowest: float, highest: float
) -> Tensor:
    """Triangles over the frequencies of a transform, ``(fft_size // 2 + 1, mels)``.

    Each rises from the middle of the one before and falls to the middle of the one behind; their
    middles are evenly spaced in mel, ``2595 log10(1 + Hz / 700)``.

    Raises:
        ValueError: if a triangle lies between two frequencies of the transform.
    """
    ends = [2595 * math.log10(1 + hertz / 700) for hertz in (lowest, highest)]
    # In float32 as torchaudio: narrow triangles differ in the fifth digit otherwise.
    middles = torch.linspace(ends[0], ends[1], mels + 2, dtype=torch.float32, device="cpu")
    corners = 700 * (10 ** (middles / 2595.0) - 1)
    bins = fft_size // 2 + 1
    hertz = torch.linspace(0, sample_rate // 2, bins, dtype=torch.float32, device="cpu")
    width = corners.diff()
    rising = (hertz[:, None] - corners[:-2]) / width[:-1]
    falling = (corners[2:] - hertz[:, None]) / width[1:]
    filters = torch.minimum(rising, falling).clamp_min(0)
    if empty := int((filters.amax(0) == 0).sum()):
        raise ValueError(
            f"mels: {empty} of {mels} bands have no frequency of the transform of {fft_size} steps "
            "in them; give fewer mels or a larger fft_size"
        )
    return filters.to(torch.get_default_dtype())


def cosine_transform(size: int, kept: int) -> Tensor:
    """The first columns of the orthogonal DCT-II, ``(size, kept)``."""
    steps = torch.arange(size, dtype=torch.float64, device="cpu") + 0.5
    waves = torch.cos(math.pi / size * steps[:, None] * torch.arange(kept, device="cpu"))
    waves[:, 0] /= math.sqrt(2)
    return (waves * math.sqrt(2 / size)).to(torch.get_default_dtype())


def _check_band(lowest: object, highest: object, sample_rate: int) -> None:
    for name, value in (("lowest", lowest), ("highest", highest)):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name}: {value!r} is not a number; give Hz")
    low, high = as_float(lowest), as_float(highest)  # type: ignore[arg-type]
    if not 0 <= low < high <= sample_rate / 2:
        raise ValueError(
            f"lowest: {low:g} and highest: {high:g} Hz do not follow each other between 0 and half "
            f"of {sample_rate}"
        )
