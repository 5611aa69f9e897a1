"""What the models ask of their arguments."""

from __future__ import annotations

from torch import nn

from tcn.layers import SequenceModule
from tcn.layers.compiled import uncompiled
from tcn.layers.validation import check_positive, is_integer
from tcn.outputs import Output
from tcn.outputs import output as output_of


def head_of(
    out_channels: int | None, head: int | str | Output | None, targets: int | None
) -> tuple[int, Output | None]:
    """How many numbers a head returns, and what they mean if that is said.

    Raises:
        TypeError: ``head`` is neither a number, a name nor an output.
        ValueError: not one of ``out_channels`` and ``head`` is given, a number is below 1, or
            ``targets`` does not go with the head.
    """
    if (out_channels is None) == (head is None):
        raise ValueError(
            f"head: {head!r} with out_channels={out_channels}; give one of them: what the outputs "
            "mean, or how many numbers there are"
        )
    if targets is not None:
        check_positive("targets", [targets])
    if head is not None and not is_integer(head):
        return _meant(output_of(head, "head"), targets)  # type: ignore[arg-type]  # no integer
    name, size = ("out_channels", out_channels) if head is None else ("head", head)
    check_positive(name, [size])  # type: ignore[list-item]  # checked here
    if targets is not None:
        raise ValueError(
            f"targets: {targets} with {size} numbers that mean nothing yet; name what they mean, "
            "such as head='normal', or leave targets out"
        )
    return int(size), None  # type: ignore[arg-type]


def _meant(output: Output, targets: int | None) -> tuple[int, Output]:
    if targets is not None and isinstance(output, nn.Module):
        raise ValueError(
            f"targets: {targets} with output {output.name!r}, whose weights are for one target; "
            "leave targets out"
        )
    return output.size * (targets or 1), output


def check_backbone(backbone: SequenceModule) -> SequenceModule:
    """The net inside ``torch.compile``; refuses anything that is not a sequence module."""
    backbone = uncompiled(backbone)
    if not isinstance(backbone, SequenceModule):
        raise TypeError(
            f"backbone: {type(backbone).__name__} is not a tcn.layers.SequenceModule; use TCN, "
            "LSTM, GRU, RNN or a subclass with in_channels and out_channels"
        )
    for name in ("in_channels", "out_channels"):
        if not hasattr(backbone, name):
            raise ValueError(
                f"backbone: {type(backbone).__name__} has no {name}, and its parts do not say it; "
                f"set backbone.{name} to the number"
            )
    return backbone
