"""A forecast net whose encoder is a live stream, natively where it can be."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcn.forecasting.fitted.net import Answer, ForecastNet
from tcn.forecasting.fitted.sizes import Sizes
from tcn.forecasting.frames.arrays import Integers, Singles
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.window_scaling import EPSILON, WindowStatistics
from tcn.inference import StreamSession
from tcn.inference.compile import compile_stream

NOWHERE = np.iinfo(np.int64).min // 2
"""A position before that of any row."""


class StreamedNet:
    """Answers like the net; what the encoder has seen of a series is not computed again.

    That holds where the inputs of old steps stay as they are and none of them lies beyond the
    look-back: without a window scaler, for a receptive field within it. Otherwise the native
    program takes the whole look-back from nothing, which for one window is still many times faster
    than the layers one by one. One thread at a time may ask it, as a
    :class:`tcn.forecasting.live.forecaster.LiveForecaster` sees to.

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
        program = compile_stream(encoder) if encoder.causal else None
        self._whole = None if program is None else program.rows(1)
        self._rows = StreamSession(encoder, batch_size=series) if self.carries else None
        # The position up to which the stream has seen each series, and that of its last row.
        self._seen = np.full(series, NOWHERE)
        self._now = np.full(series, NOWHERE)
        scalers = ("identity", "standard", "revin")
        self._alone = not sizes.counts and net.window_scaler.name in scalers
        self._decoder = None if net.decoder is None else KnownFuture(net)

    @property
    def sizes(self) -> Sizes:
        """Of the net."""
        return self.net.sizes

    def restore(self, values: Tensor, statistics: WindowStatistics) -> Tensor:
        """As the net does."""
        return self.net.restore(values, statistics)

    def arrived(self, numbers: Integers, positions: Integers) -> None:
        """Says at which positions, ``(n,)``, the last rows of some series are now."""
        self._now[numbers] = positions

    def __call__(self, batch: WindowBatch) -> Answer:
        """What the output reads."""
        if self._alone and len(batch.target) == 1 and bool(batch.observed.all()):
            return self._answer_alone(batch)
        return self.net.answer(batch, self._encode)

    def _answer_alone(self, batch: WindowBatch) -> Answer:
        """The same for one window, all of it observed.

        So little is computed that most of the time would go to PyTorch's calls: the statistics of
        the window and the skip take a quarter of it in numpy.
        """
        net = self.net
        window = batch.target[0].numpy()
        location, scale = _statistics(net.window_scaler.name, window)
        past = steps = torch.from_numpy(((window - location) / scale)[None])
        if net.window_scaler.name == "revin":
            steps = steps * net.window_scaler.weight + net.window_scaler.bias
        constants = net.constants(batch.static, batch.categories)
        steps = net.inputs(steps, batch.observed, batch.exogenous, constants)
        code = self._encode(steps, batch, constants)
        if self._decoder is None:
            raw = net.decode(code, past, batch, constants)
        else:
            raw = self._decoder(code, batch.future, constants)
            if net.skip_name != "none":
                raw = raw + net.locations * net.skipped(past, batch).unsqueeze(1)
        return Answer(raw, (torch.from_numpy(location[None]), torch.from_numpy(scale[None])))

    def _encode(self, steps: Tensor, batch: WindowBatch, constants: Tensor) -> Tensor:
        if self._rows is not None and self._is_last(batch):
            return self._streamed(self._rows, steps, batch, constants)
        if len(steps) > 1 or self._whole is None:
            return self.net.encode(steps, batch, constants)
        known = min(int(batch.position) + 1, steps.shape[2])
        self._whole.reset()
        condition = constants if self.net.conditioned else None
        return self._whole.push(steps[..., -known:], condition=condition)[..., -1]

    def _is_last(self, batch: WindowBatch) -> bool:
        """Whether these are the last windows of series, each once.

        Forecasts that are fed back come after the last row, and paths that are drawn are many of
        one series: they are not part of the stream.
        """
        series = batch.series.numpy()
        if not (self._now[series] == batch.position.numpy()).all():
            return False
        return len(series) == 1 or len(np.unique(series)) == len(series)

    def _streamed(
        self, rows: StreamSession, steps: Tensor, batch: WindowBatch, constants: Tensor
    ) -> Tensor:
        """Advances the series of the batch by the steps that the stream has not seen."""
        series, position = batch.series.numpy(), batch.position.numpy()
        known = np.minimum(position + 1, steps.shape[2])
        new = position - self._seen[series]
        anew = (new <= 0) | (new > known)
        if anew.any():
            rows.reset(series[anew].tolist())
            new = np.where(anew, known, new)
        parts, order = [], []
        for count in np.unique(new).tolist():
            chosen = np.flatnonzero(new == count)
            whole = len(chosen) == len(series)
            chunk = (steps if whole else steps[chosen])[..., -count:].contiguous()
            condition = None
            if self.net.conditioned:
                condition = constants if whole else constants[chosen]
            parts.append(rows.push(chunk, rows=series[chosen].tolist(), condition=condition))
            self._seen[series[chosen]] = position[chosen]
            order.append(chosen)
        if len(parts) == 1:
            return parts[0]
        return torch.cat(parts)[np.argsort(np.concatenate(order))]


class KnownFuture:
    """What :meth:`ForecastNet.ahead` answers to one window, for a net with a known future."""

    def __init__(self, net: ForecastNet) -> None:
        """Takes the weights as they are."""
        assert net.decoder is not None
        first, _, last = net.decoder
        self._bound, sizes = net.code_bound, net.sizes
        self._shape = (1, sizes.outputs, sizes.targets, sizes.h)
        self._first, self._last = _matrix(first), _matrix(last)

    def __call__(self, code: Tensor, future: Tensor, constants: Tensor) -> Tensor:
        """``code`` ``(1, ...)``, ``future`` ``(1, channels, h)``, ``constants`` ``(1, ...)``."""
        steps: Singles = code.detach().numpy().reshape(-1, self._shape[-1])
        if self._bound is not None:
            steps = np.float32(self._bound) * np.tanh(steps / np.float32(self._bound))
        parts = [steps, future[0].numpy()]
        if constants.shape[1]:
            known = constants[0].detach().numpy()[:, None]
            parts.append(np.repeat(known, self._shape[-1], axis=1))
        weight, bias = self._first
        hidden = torch.from_numpy(weight @ np.concatenate(parts) + bias)
        weight, bias = self._last
        return torch.from_numpy((weight @ F.gelu(hidden).numpy() + bias).reshape(self._shape))


def _matrix(layer: nn.Module) -> tuple[Singles, Singles]:
    """Weight ``(out, in)`` and bias ``(out, 1)`` of a convolution of one tap."""
    assert isinstance(layer, nn.Conv1d)
    assert layer.bias is not None
    return layer.weight.detach()[..., 0].numpy(), layer.bias.detach()[:, None].numpy()


def _statistics(
    name: str, window: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> tuple[np.ndarray, np.ndarray]:
    """Location and scale ``(K, 1)`` of a window ``(K, L)``, as :class:`WindowScaler` has them."""
    shape = (len(window), 1)
    if name == "identity":
        return np.zeros(shape, np.float32), np.ones(shape, np.float32)
    values = window.astype(np.float64)  # squares of float32 numbers do not overflow there
    size = values.shape[-1]
    location = np.add.reduce(values, -1, keepdims=True) / size
    deviation = values - location
    spread = np.sqrt(np.add.reduce(deviation * deviation, -1, keepdims=True) / size + EPSILON)
    low = np.minimum.reduce(window, -1, keepdims=True)
    constant = low == np.maximum.reduce(window, -1, keepdims=True)
    if constant.any():
        location, spread = np.where(constant, low, location), np.where(constant, 1.0, spread)
    return location.astype(np.float32), spread.astype(np.float32)
