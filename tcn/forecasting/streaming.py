"""A forecast net whose encoder is a live stream: one window at a time, natively where it can be."""

from __future__ import annotations

import math

from torch import Tensor

from tcn.forecasting.net import Answer, ForecastNet, Sizes
from tcn.forecasting.window_scaling import WindowStatistics
from tcn.forecasting.windows import WindowBatch
from tcn.inference import StreamSession


class StreamedNet:
    """Answers as the net does; what the encoder has seen of a series is not computed again.

    That holds where the inputs of old steps stay as they are and none of them lies beyond the
    look-back: without a window scaler, for a receptive field within it. Otherwise the whole
    look-back is pushed through an empty session, which for one window is still many times faster
    than the layers one by one.

    Attributes:
        net: in evaluation mode, on the CPU; as it was when this was built.
        carries: whether the encoder's state is carried from step to step.
    """

    def __init__(self, net: ForecastNet, series: int) -> None:
        """Prepares a stream for each of ``series`` series."""
        encoder, sizes = net.encoder, net.sizes
        within = net.receptive_field is not None and net.receptive_field <= sizes.input_size
        self.net = net
        self.carries = encoder.causal and within and net.window_scaler.name == "identity"
        self._whole = StreamSession(encoder) if encoder.causal else None
        self._rows = StreamSession(encoder, batch_size=series) if self.carries else None
        self._seen: dict[int, int] = {}
        self._now: dict[int, int] = {}

    @property
    def sizes(self) -> Sizes:
        """Of the net."""
        return self.net.sizes

    def restore(self, values: Tensor, statistics: WindowStatistics) -> Tensor:
        """As the net does."""
        return self.net.restore(values, statistics)

    def arrived(self, number: int, position: int) -> None:
        """Says that the last row of a series is now at this position."""
        self._now[number] = position

    def __call__(self, batch: WindowBatch) -> Answer:
        """What the output reads."""
        return self.net.answer(batch, self._encode)

    def _encode(self, steps: Tensor, batch: WindowBatch, constants: Tensor) -> Tensor:
        if self._whole is None or len(steps) > 1:
            return self.net.encode(steps, batch, constants)
        condition = constants if self.net.conditioned else None
        number, position = int(batch.series[0]), int(batch.position[0])
        known = min(position + 1, steps.shape[2])
        # Forecasts that are fed back lie behind the last row, and are no part of the stream.
        if self._rows is None or position != self._now.get(number):
            self._whole.reset()
            return self._whole.push(steps[..., -known:].contiguous(), condition=condition)
        new = position - self._seen.get(number, -math.inf)
        if not 0 < new <= known:
            self._rows.reset([number])
        new = int(new) if 0 < new <= known else known
        self._seen[number] = position
        chunk = steps[..., -new:].contiguous()
        return self._rows.push(chunk, rows=[number], condition=condition)
