"""The net of a forecaster: what the past says, then one answer for every step of the horizon.

::

    target, covariates --> backbone --> its last step --> head --> h steps     + linear skip
            |                 ^                            ^                        ^
       window scaler     static, categories        known future per step     scaled target, hist

The horizon may have any length, whatever the look-back, and a convolutional backbone computes only
what the last step depends on (see :mod:`tcn.layers.grid`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tcn.forecasting.fitted.backbones import takes_condition
from tcn.forecasting.fitted.sizes import Sizes, embedding_channels
from tcn.forecasting.windows.batch import WindowBatch
from tcn.forecasting.windows.window_scaling import WindowScaler, WindowStatistics
from tcn.layers import SequenceModule
from tcn.models import SequenceModel

SKIPS = ("none", "last", "linear")
DECODER_CHANNELS = 8  # what the encoder says of each horizon step, in addition to its known future
DECODER_WIDTH = 32  # hidden channels of the layer that reads the known future
CODE_BOUND = 2.0  # how large each of these may become


class Answer(NamedTuple):
    """What the net says of a batch.

    Attributes:
        raw: ``(batch, outputs, targets, h)``, for the output to read, in the units of the window.
        statistics: location and scale of each window, ``(batch, targets, 1)``.
    """

    raw: Tensor
    statistics: WindowStatistics


class ForecastNet(nn.Module):
    """Window scaler, encoder, head and skip: a :class:`WindowBatch` in, an :class:`Answer` out.

    What stands at steps that are not observed changes nothing, and neither does the amount of
    padding before a series that is shorter than the look-back.
    """

    def __init__(
        self,
        backbone: SequenceModule,
        sizes: Sizes,
        *,
        window_scaler: str = "identity",
        skip: str = "none",
        hist_skip: bool = True,
        code_bound: float | None = CODE_BOUND,
    ) -> None:
        """Puts scaler, head and skip around a backbone.

        Args:
            backbone: a net of ``sizes.channels`` input channels; where there are static
                covariates or categories either one that takes a condition of ``sizes.constants``
                channels, or one with as many more input channels.
            sizes: of inputs and outputs.
            window_scaler: by which each window's target is scaled, and the answer back.
            skip: what is added to the head's location: nothing (``"none"``), the ``"last"`` value,
                or a ``"linear"`` map of the look-back, one for all targets (Zeng et al. 2023,
                arXiv:2205.13504, section 4), and of the look-back of what is known for the past
                alone, one for each target. Without the latter, a rare announcement is learned by
                the backbone alone: the pinball loss pulls with the same force wherever a value
                misses its median, so that in a step the many usual windows drown the few others.
            hist_skip: whether a linear skip reads what is known for the past alone; those of
                version 0.1 did not.
            code_bound: what the encoder tells the layer that reads the known future stays, by a
                hyperbolic tangent, between minus and plus this. A look-back unlike any in training,
                of promotions only, would otherwise be told in numbers that the layer has never
                seen, and its intervals can shrink to a tenth. None: no bound, as in version 0.1.

        Raises:
            TypeError: if the backbone is not a :class:`tcn.layers.SequenceModule`.
            ValueError: if a name is unknown, the backbone has other input channels, or
                ``code_bound`` is not positive.
        """
        super().__init__()
        if code_bound is not None and not 0 < code_bound < math.inf:
            raise ValueError(f"code_bound: {code_bound} must be a positive number, or None")
        if skip not in SKIPS:
            raise ValueError(f"skip: {skip!r} is not one of {', '.join(map(repr, SKIPS))}")
        self.sizes = sizes
        self.skip_name = skip
        self.code_bound = code_bound
        self.window_scaler = WindowScaler(window_scaler, sizes.targets)
        self.embeddings = nn.ModuleList(
            # Row 0 is the value that was never seen, and says nothing.
            nn.Embedding(count + 1, embedding_channels(count), padding_idx=0)
            for count in sizes.categories
        )
        every_step = DECODER_CHANNELS if sizes.future else sizes.outputs * sizes.targets
        # From nothing: the first forecasts are those of the skip, whatever the backbone's weights.
        self.encoder = SequenceModel(
            backbone, sizes.h * every_step, readout="last", zero_head=not sizes.future
        )
        self.conditioned = bool(sizes.constants) and takes_condition(backbone)
        self._check_channels(backbone)
        self.decoder = self._decoder() if sizes.future else None
        self.skip, self.hist_skip = self._skips(hist_skip)
        self.locations: Tensor
        locations = torch.zeros(1, sizes.outputs, 1, 1)
        locations[:, list(sizes.locations)] = 1
        self.register_buffer("locations", locations, persistent=False)

    def _skips(self, hist_skip: bool) -> tuple[nn.Linear | None, nn.Linear | None]:
        """The maps of the look-back of the target and of what is known for the past alone."""
        sizes, of_hist = self.sizes, None
        if self.skip_name != "linear":
            return None, None
        of_target = nn.Linear(sizes.input_size, sizes.h)
        if hist_skip and sizes.hist:
            outputs = sizes.targets * sizes.h
            of_hist = nn.Linear(sizes.hist * sizes.input_size, outputs, bias=False)
        for module in filter(None, (of_target, of_hist)):
            for parameter in module.parameters():
                nn.init.zeros_(parameter)
        return of_target, of_hist

    def _check_channels(self, backbone: SequenceModule) -> None:
        sizes = self.sizes
        appended = 0 if self.conditioned else sizes.constants
        if backbone.in_channels != sizes.channels + appended:
            raise ValueError(
                f"model: a net of in_channels={backbone.in_channels}, but there are "
                f"{sizes.channels + appended} to read: {sizes.targets} of the target"
                f"{', as many that say what is observed' if sizes.masked else ''}, {sizes.past} "
                f"of covariates and {appended} of the series as a whole; build it with "
                f"in_channels={sizes.channels + appended}"
            )

    def _decoder(self) -> nn.Sequential:
        sizes = self.sizes
        last = nn.Conv1d(DECODER_WIDTH, sizes.outputs * sizes.targets, 1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        channels = DECODER_CHANNELS + sizes.future + sizes.constants
        return nn.Sequential(nn.Conv1d(channels, DECODER_WIDTH, 1), nn.GELU(), last)

    @property
    def receptive_field(self) -> int | None:
        """Of the encoder in steps; None where it is unbounded."""
        field = self.encoder.receptive_field
        assert not isinstance(field, tuple)
        return int(field) if math.isfinite(field) else None

    @property
    def coefficients(self) -> int:
        """Numbers that the last layers multiply for a step of the horizon: head, skip, constant."""
        linear = (module for module in (self.skip, self.hist_skip) if module is not None)
        return self.encoder.backbone.out_channels + sum(m.in_features for m in linear) + 1

    def forward(self, batch: WindowBatch) -> Answer:
        """What the output reads for each window of a batch.

        Raises:
            ValueError: if a shape does not fit.
        """
        return self.answer(batch, self.encode)

    def answer(
        self, batch: WindowBatch, encode: Callable[[Tensor, WindowBatch, Tensor], Tensor]
    ) -> Answer:
        """Like :meth:`forward`, with something else in place of :meth:`encode`."""
        scaled, statistics = self.scale(batch.target, batch.observed)
        constants = self.constants(batch.static, batch.categories)
        steps = self.inputs(scaled, batch.observed, batch.exogenous, constants)
        code = encode(steps, batch, constants)
        past = scaled
        if self.window_scaler.name == "revin":
            past = self.to_window(batch.target, statistics) * batch.observed
        return Answer(self.decode(code, past, batch, constants), statistics)

    def scale(self, target: Tensor, observed: Tensor) -> tuple[Tensor, WindowStatistics]:
        """The target ``(batch, targets, input_size)`` as the backbone reads it, 0 where missing."""
        return self.window_scaler.scale(self._read(target), observed)

    def to_window(self, target: Tensor, statistics: WindowStatistics) -> Tensor:
        """A target ``(batch, targets, time)`` in units of its window.

        RevIN's learned factor is not part of them: it could make a density grow forever.
        """
        location, scale = statistics
        return (self._read(target) - location) / scale

    def restore(self, values: Tensor, statistics: WindowStatistics) -> Tensor:
        """Values ``(..., batch, targets, h)`` in units of the window, in those of the batch."""
        location, scale = statistics
        return values if self.sizes.counts else values * scale + location

    def _read(self, target: Tensor) -> Tensor:
        return target.clamp_min(0).log1p() if self.sizes.counts else target

    def constants(self, static: Tensor, categories: Tensor) -> Tensor:
        """What is known of each series as a whole, ``(batch, sizes.constants)``."""
        if not len(self.embeddings):
            return static
        embedded = [
            embedding(categories[:, index]) for index, embedding in enumerate(self.embeddings)
        ]
        return torch.cat([static, *embedded], dim=1)

    def inputs(
        self, scaled: Tensor, observed: Tensor, exogenous: Tensor, constants: Tensor
    ) -> Tensor:
        """What the backbone reads at every step, ``(batch, channels, time)``."""
        parts = [scaled]
        if self.sizes.past:
            parts.append(exogenous)
        if self.sizes.masked:
            parts.append(observed.to(scaled.dtype))
        if self.sizes.constants and not self.conditioned:
            parts.append(constants.unsqueeze(2).expand(-1, -1, scaled.shape[2]))
        return torch.cat(parts, dim=1) if len(parts) > 1 else scaled

    def encode(self, steps: Tensor, batch: WindowBatch, constants: Tensor) -> Tensor:
        """The encoder's ``(batch, ...)`` numbers.

        Args:
            steps: what :meth:`inputs` returned for the batch, padded on the left where a series
                is shorter than the look-back.
            batch: whose positions say how long each series is.
            constants: see :meth:`constants`.
        """
        condition = constants if self.conditioned else None
        time, lengths = steps.shape[2], batch.position + 1
        if bool((lengths >= time).all()):
            return self.encoder(steps, condition=condition)
        before = torch.arange(time, device=steps.device) < (time - lengths)[:, None]
        if not self.encoder.backbone.preserves_length:  # it could not follow a mask
            steps = steps.masked_fill(before.unsqueeze(1), 0)
            return self.encoder(steps, condition=condition)
        # Padding counts as nothing in every layer, as what stands before a sequence does; a model
        # wants it on the right.
        lengths = lengths.clamp(1, time)
        index = torch.arange(time, device=steps.device) + (time - lengths)[:, None]
        steps = steps.gather(2, (index % time).unsqueeze(1).expand_as(steps))
        return self.encoder(steps, lengths=lengths, condition=condition)

    def decode(self, code: Tensor, past: Tensor, batch: WindowBatch, constants: Tensor) -> Tensor:
        """Head and skip: the encoder's ``(batch, ...)`` to ``(batch, outputs, targets, h)``.

        Args:
            code: what the encoder returned.
            past: ``(batch, targets, input_size)`` in units of the window, 0 where missing.
            batch: whose covariates are read.
            constants: see :meth:`constants`.
        """
        raw = self.ahead(code, batch, constants)
        if self.skip_name == "none":
            return raw
        return raw + self.locations * self.skipped(past, batch).unsqueeze(1)

    def ahead(self, code: Tensor, batch: WindowBatch, constants: Tensor) -> Tensor:
        """The head: what :meth:`decode` returns without a skip, read as there."""
        sizes = self.sizes
        if self.decoder is not None:
            steps = constants.unsqueeze(2).expand(-1, -1, sizes.h)
            every_step = code.view(-1, DECODER_CHANNELS, sizes.h)
            if self.code_bound is not None:
                every_step = self.code_bound * torch.tanh(every_step / self.code_bound)
            code = self.decoder(torch.cat([every_step, batch.future, steps], dim=1))
        return code.view(-1, sizes.outputs, sizes.targets, sizes.h)

    def skipped(self, past: Tensor, batch: WindowBatch) -> Tensor:
        """The skip, ``(batch, targets, h)``; of the arguments of :meth:`decode`."""
        sizes = self.sizes
        location = past[..., -1:] if self.skip is None else self.skip(past)
        if self.hist_skip is not None:
            known = (
                torch.arange(-sizes.input_size, 0, device=past.device) >= ~batch.position[:, None]
            )
            hist = torch.where(known[:, None], batch.exogenous[:, : sizes.hist], 0.0).flatten(1)
            location = location + self.hist_skip(hist).view(-1, sizes.targets, sizes.h)
        return location
