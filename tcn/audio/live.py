"""Sound as it comes: blocks of any length through a net, and how long each takes.

heard        |--- block ---|--- block ---|
computed                   |==|          |==|       computing, a part of the block's own time
latency      |-------------->|                      of the block's first sample
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy
import torch
from torch import Tensor

from tcn.audio.resampling import check_sample_rate
from tcn.audio.sound import Sound
from tcn.inference import StreamSession
from tcn.layers import SequenceModule
from tcn.layers.validation import check_positive, check_switch


class Timing(NamedTuple):
    """How long the blocks of a stream took.

    Attributes:
        blocks: how many there were.
        seconds: of sound.
        latency: in milliseconds, the median over the blocks: from a block's first sample to its
            output, which is the block itself, the computing and what the net looks ahead.
        longest_latency: that of the slowest block.
        real_time_factor: seconds of computing for a second of sound; below 1 the net keeps up.
    """

    blocks: int
    seconds: float
    latency: float
    longest_latency: float
    real_time_factor: float

    def __str__(self) -> str:
        return (
            f"{self.blocks} blocks, {self.seconds:.2f} s of sound: latency {self.latency:.2f} ms "
            f"(longest {self.longest_latency:.2f} ms), real-time factor {self.real_time_factor:.4f}"
        )


class Live:
    """A net that hears sound block by block, as from a microphone.

    ::

        live = Live(net, sample_rate=48000)
        for y in live.play(as_if_live(load_sound("guitar.wav"), block=64)):
            ...                         # (channel, time): what the net makes of the block
        print(live.timing())

    Attributes:
        session: the stream, of one row.
        sample_rate: in Hz.
    """

    def __init__(
        self, net: SequenceModule, *, sample_rate: int, native: bool | None = None
    ) -> None:
        """Begins a stream.

        Args:
            net: any net that streams, in evaluation mode.
            sample_rate: in Hz.
            native: see :class:`tcn.inference.StreamSession`.

        Raises:
            TypeError: the net cannot stream.
            ValueError: it is in training mode, or the rate is not possible.
        """
        check_sample_rate("sample_rate", sample_rate)
        self.session = StreamSession(net, sample_rate=sample_rate, native=native)
        self.sample_rate = sample_rate
        self._steps: list[int] = []
        self._seconds: list[float] = []

    def hear(self, block: Tensor | numpy.ndarray) -> Tensor:
        """The net's outputs for a block, which continues those before.

        Args:
            block: ``(time,)`` of mono sound, or ``(channel, time)``; at least one sample.

        Returns:
            ``(channel, time)``, or ``(channel,)`` of a net that reads out over time.

        Raises:
            TypeError: the block does not hold floats.
            ValueError: the block does not fit the net, or holds NaN or infinity.
        """
        start = time.perf_counter()
        sound = torch.as_tensor(block)
        if not sound.is_floating_point():
            raise TypeError(
                f"block: {sound.dtype}, not floats in [-1, 1]; of 16 bits, divide it by 32768"
            )
        sound = sound.unsqueeze(0) if sound.dim() == 1 else sound
        y = self.session.push(sound.unsqueeze(0).float())[0]
        self._seconds.append(time.perf_counter() - start)
        self._steps.append(sound.shape[-1])
        return y

    def play(self, source: Iterable[Tensor | numpy.ndarray]) -> Iterator[Tensor]:
        """The outputs for all blocks of a source, each as soon as it is there."""
        for block in source:
            yield self.hear(block)

    def timing(self) -> Timing:
        """How long the blocks so far took.

        Raises:
            ValueError: there was none.
        """
        return timing_of(
            self._steps, self._seconds, sample_rate=self.sample_rate, ahead=self.session.latency
        )


def timing_of(
    steps: list[int], seconds: list[float], *, sample_rate: int, ahead: int = 0
) -> Timing:
    """What blocks of so many samples, computed in so many seconds each, amount to.

    Args:
        steps: samples of each block.
        seconds: of computing.
        sample_rate: in Hz.
        ahead: samples that the net looks ahead.

    Raises:
        ValueError: there is no block.
    """
    if not steps:
        raise ValueError("blocks: none was heard; call hear(block) or play(source) first")
    latency = [
        1000 * ((count + ahead) / sample_rate + took)
        for count, took in zip(steps, seconds, strict=True)
    ]
    sound = sum(steps) / sample_rate
    return Timing(len(steps), sound, statistics.median(latency), max(latency), sum(seconds) / sound)


def as_if_live(sound: Sound, *, block: int, paced: bool = True) -> Iterator[Tensor]:
    """The blocks of a recording, each when a microphone would have it whole.

    Args:
        sound: what :func:`tcn.audio.load_sound` returns.
        block: samples of each; the last may have fewer.
        paced: whether it waits; otherwise blocks come at once.

    Yields:
        ``(channel, time)``.

    Raises:
        TypeError: ``block`` is not an integer, or ``sound`` is not a :class:`Sound`.
        ValueError: ``block`` is below 1.
    """
    if not isinstance(sound, Sound):
        raise TypeError(
            f"sound: {type(sound).__name__} is not a Sound; give Sound(samples, sample_rate)"
        )
    check_positive("block", [block])
    check_switch(paced=paced)
    return _blocks(sound, block, paced=paced)


def _blocks(sound: Sound, block: int, *, paced: bool) -> Iterator[Tensor]:
    start, heard = time.perf_counter(), 0
    parts = sound.samples.split(block, dim=-1) if sound.samples.numel() else ()
    for part in parts:
        heard += part.shape[-1]
        wait = start + heard / sound.sample_rate - time.perf_counter()
        if paced and wait > 0:
            time.sleep(wait)
        yield part
