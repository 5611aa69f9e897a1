"""A net that plays a captured device, such as an amplifier: mono in, mono out, from silence."""

from __future__ import annotations

import json
import math
from numbers import Real
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcn.layers import Context, SequenceModule, State
from tcn.layers.containers import Composite
from tcn.layers.context import silence
from tcn.layers.passing import advance
from tcn.layers.reach import Composed, InSeries
from tcn.layers.validation import as_float
from tcn.models.arguments import check_backbone
from tcn.models.recurrent import LSTM
from tcn.saving.description import recorded
from tcn.saving.schema import parse


class Capture(Composite):
    """A mono net that has heard silence before the first sample, and what is known of it.

    Other nets of this library pad each *layer* with zeros. Here it is the *input* that is zero
    before the first sample, as far back as the net looks: ``net(x)`` is what a device does that has
    been on for a while, and the first samples do not pop. So it is in :meth:`step` and in a
    ``StreamSession``: ``initial="zeros"`` and ``"silence"`` are the same. Padding (``lengths``,
    ``mask``) counts as silence too. A recurrent net skips padding and begins in its own state.

    Attributes:
        net: what computes.
        sample_rate: in Hz.
        begins_in_silence: whether a stream begins with the state that silence leaves behind; a
            session computes that state once.
        silent_steps: zeros before the first sample; 0 for a recurrent net.
    """

    @recorded
    def __init__(
        self, net: SequenceModule, *, sample_rate: float = 48000.0, metadata: str = "{}"
    ) -> None:
        """Wraps a net.

        Args:
            net: causal, with one channel in and one out.
            sample_rate: of the sound that it takes, in Hz.
            metadata: a JSON object, of what is known of the device and the capture.

        Raises:
            TypeError: if ``net`` is not a sequence module, ``sample_rate`` not a number or
                ``metadata`` not a text.
            ValueError: if it is not mono, not causal or changes the rate, ``sample_rate`` is not
                above 0, or ``metadata`` is not a JSON object.
        """
        super().__init__()
        self.net = net = check_backbone(net)
        if (net.in_channels, net.out_channels) != (1, 1):
            raise ValueError(
                f"net: {net.in_channels} channels in and {net.out_channels} out; a capture is "
                "mono, give a net with one of each"
            )
        if net.latency or any(axis.right > 0 for axis in net.reach) or not net.preserves_length:
            raise ValueError("net: it looks ahead or changes the rate; build it causal")
        self.sample_rate = _checked_rate(sample_rate)
        self.in_channels = self.out_channels = 1
        field = net.receptive_field
        self.recurs = field == math.inf
        self.begins_in_silence = not self.recurs
        self.silent_steps = 0 if self.recurs else int(field) - 1  # type: ignore[arg-type]
        self._metadata = _checked_metadata(metadata)

    @property
    def metadata(self) -> dict[str, Any]:
        """What is known of the device and the capture; a new copy each time."""
        return json.loads(self._metadata)

    @property
    def geometry(self) -> Composed:
        """That of the net."""
        return InSeries([self.net])

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Runs over the chunk; before the first one over silence."""
        if not self.recurs:
            x, context = silence(x, context.mask), context._replace(mask=None)
        before = self.silent_steps if state is None else 0
        y, after = advance(self.net, F.pad(x, (before, 0)) if before else x, state, context)
        assert after is not None
        return y[..., before:], after


def _checked_rate(sample_rate: object) -> float:
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, Real):
        raise TypeError(f"sample_rate: {sample_rate!r} is not a number; give Hz, such as 48000")
    if not 0 < as_float(sample_rate) < math.inf:
        said = str(sample_rate)[:40]
        raise ValueError(f"sample_rate: {said} must be above 0 Hz, such as 48000")
    return float(sample_rate)


def _checked_metadata(metadata: object) -> str:
    if not isinstance(metadata, str):
        raise TypeError(f"metadata: {type(metadata).__name__} is not a text; give json.dumps of it")
    try:
        known = parse(metadata)
    except ValueError as error:
        reason = str(error).partition("\n")[0][:80]
        raise ValueError(
            f"metadata: {metadata[:40]!r} is not JSON ({reason}); give json.dumps of a dict"
        ) from error
    if not isinstance(known, dict):
        raise ValueError(
            f"metadata: {metadata[:40]!r} is not a JSON object such as '{{}}'; give json.dumps of "
            "a dict"
        )
    return metadata


class StartedLSTM(LSTM):
    """An LSTM whose first state is a parameter, as in the files of Neural Amp Modeler.

    Attributes:
        start_hidden: ``(layers, hidden)``, the output before the first step.
        start_cell: ``(layers, hidden)``, the memory before the first step.
    """

    @recorded
    def __init__(self, in_channels: int, hidden: int, layers: int = 1) -> None:
        """Builds the net; it starts with zeros until it is trained or loaded.

        Args:
            in_channels: channels of the input.
            hidden: width of every layer.
            layers: layers on top of each other.

        Raises:
            ValueError: if a size is below 1.
        """
        super().__init__(in_channels, hidden, layers)
        self.start_hidden = nn.Parameter(torch.zeros(layers, hidden))
        self.start_cell = nn.Parameter(torch.zeros(layers, hidden))

    def _initial_state(self, x: Tensor) -> tuple[Tensor, ...]:
        start = self.start_hidden, self.start_cell
        return tuple(part.to(x.dtype).expand(x.shape[0], *part.shape) for part in start)
