"""The WaveNet that a .nam file describes, with weights of its own until they are filled in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from tcn.audio import nam_file
from tcn.audio.nam_activations import activation
from tcn.audio.nam_file import SAMPLE_RATE, Model
from tcn.layers import Chain, Conv1d, SequenceModule
from tcn.models import NAMBlock, NAMFiLM, NAMStack, NAMWaveNet, PairedActivation
from tcn.models.nam_block import PLACES


class Budget:
    """Makes convolutions as long as there are weights for them: a file cannot ask for more."""

    def __init__(self, weights: int) -> None:
        self.weights = self.left = weights

    def take(self, count: int) -> None:
        """Sets weights aside.

        Raises:
            ValueError: if there are no more.
        """
        self.left -= count
        if self.left < 0:
            raise ValueError(
                f"more than the {self.weights} weights there are would be needed; export the file "
                "again"
            )

    def convolution(
        self, given: int, made: int, kernel: int = 1, *, dilation: int = 1, groups: int = 1,
        bias: bool = True,
    ) -> Conv1d:  # fmt: skip
        """A causal convolution."""
        check_groups(groups, given, made)
        self.take(given * made * kernel // groups + made * bias)
        return Conv1d(given, made, kernel, dilation=dilation, groups=groups, bias=bias)


def check_groups(groups: int, *widths: int) -> None:
    """Refuses groups that cannot be of equal size."""
    for width in widths:
        if width % groups:
            raise ValueError(
                f"groups: {groups} does not divide {width} channels; write a number that does"
            )


def wavenet(model: Model, net_of: Callable[[Model], SequenceModule]) -> NAMWaveNet:
    """The net of a model.

    Args:
        model: of the architecture ``WaveNet``.
        net_of: makes the net of the condition, if there is one.

    Raises:
        ValueError: if parts do not fit each other.
    """
    budget, config = Budget(len(model.weights)), model.config
    stacks = []
    for index, described in enumerate(config["layers"]):
        try:
            stacks.append(_stack(described, budget))
        except ValueError as error:
            raise ValueError(f"layers[{index}]: {error}") from error
    if not stacks or not len(model.weights):
        raise ValueError("layers: no stack of layers, or no weights; export the file again")
    last = stacks[-1].head.out_channels
    head = None if config.get("head") is None else _head(config["head"], last, budget)
    return NAMWaveNet(
        stacks,
        scale=float(model.weights[-1]),
        head=head,
        condition=_condition(model, net_of),
    )


def _condition(model: Model, net_of: Callable[[Model], SequenceModule]) -> SequenceModule | None:
    described = model.config.get("condition_dsp")
    if described is None:
        return None
    inner = nam_file.model(described, f"{model.place}config.condition_dsp.")
    if (inner.sample_rate or SAMPLE_RATE) != (model.sample_rate or SAMPLE_RATE):
        raise inner.refuse("sample_rate", f"{inner.sample_rate}", "write that of the whole net")
    return net_of(inner)


def _head(described: dict[str, Any], channels: int, budget: Budget) -> Chain:
    """Activation and convolution, as often as there are kernels."""
    if described.get("in_channels") not in (None, channels):
        raise ValueError(f"head.in_channels: {described['in_channels']}; write {channels}")
    kernels = described["kernel_sizes"]
    if not kernels:
        raise ValueError("head.kernel_sizes: none; give at least one")
    widths = [channels, *[described["channels"]] * (len(kernels) - 1), described["out_channels"]]
    parts: list[nn.Module] = []
    for kernel, given, made in zip(kernels, widths, widths[1:], strict=False):
        parts += [
            activation(described["activation"], given),
            budget.convolution(given, made, kernel),
        ]
    return Chain(*parts)


def _stack(described: dict[str, Any], budget: Budget) -> NAMStack:
    channels, layers = described["channels"], len(described["dilations"])
    inner = described.get("bottleneck", channels)
    skip = described.get("head1x1") or {"active": False}
    entry = budget.convolution(described["input_size"], channels, bias=False)
    columns = (
        _kernels(described),
        described["dilations"],
        _per_layer(described, "activation", layers),
        *_gating(described, layers),
    )
    blocks = [_block(described, budget, *each) for each in zip(*columns, strict=True)]
    width = skip.get("out_channels", channels) if skip["active"] else inner
    head = _stack_head(described)
    return NAMStack(
        entry,
        blocks,
        budget.convolution(
            width,
            head["out_channels"],
            head["kernel_size"],
            bias=head["bias"],
            dilation=head.get("head_dilation", 1),
        ),
    )


def _block(
    described: dict[str, Any],
    budget: Budget,
    kernel: int,
    dilation: int,
    primary: Any,
    gating: str,
    secondary: Any,
) -> NAMBlock:
    channels, condition = described["channels"], described["condition_size"]
    inner = described.get("bottleneck", channels)
    act = activation(primary, inner)
    if gating != "none":
        act = PairedActivation(act, activation(secondary or "Sigmoid", inner), gating)
    wide = inner if gating == "none" else 2 * inner
    mixing, groups = described.get("groups_input_mixin", 1), described.get("groups_input", 1)
    residual = described.get("layer1x1") or {"active": True}
    skip = described.get("head1x1") or {"active": False}
    skips = skip.get("out_channels", channels)
    return NAMBlock(
        budget.convolution(channels, wide, kernel, dilation=dilation, groups=groups),
        budget.convolution(condition, wide, groups=mixing, bias=False),
        act,
        residual=budget.convolution(inner, channels, groups=residual.get("groups", 1))
        if residual["active"]
        else None,
        skip=budget.convolution(inner, skips, groups=skip.get("groups", 1))
        if skip["active"]
        else None,
        films=_films(described, budget, wide=wide, skips=skips if skip["active"] else inner),
    )


def _films(
    described: dict[str, Any], budget: Budget, *, wide: int, skips: int
) -> list[tuple[str, NAMFiLM]]:
    channels, condition = described["channels"], described["condition_size"]
    widths = dict.fromkeys(PLACES, wide) | {
        "conv_pre": channels,
        "input_mixin_pre": condition,
        "activation_post": described.get("bottleneck", channels),
        "layer1x1_post": channels,
        "head1x1_post": skips,
    }
    films = []
    for place in PLACES:
        film = described.get(f"{place}_film")
        if not film or not film.get("active", True):
            continue
        shift, groups = film.get("shift", True), film.get("groups", 1)
        made = widths[place] * (2 if shift else 1)
        check_groups(groups, condition, made)
        budget.take(condition * made // groups + made)
        films.append((place, NAMFiLM(widths[place], condition, shift=shift, groups=groups)))
    return films


def _stack_head(described: dict[str, Any]) -> dict[str, Any]:
    """The head of a stack, of old files too."""
    if described.get("head") is not None:
        return described["head"]
    if "head_size" not in described or "head_bias" not in described:
        raise ValueError("head: missing, and so is head_size or head_bias; write one of the two")
    return {
        "out_channels": described["head_size"],
        "kernel_size": 1,
        "bias": described["head_bias"],
    }


def _kernels(described: dict[str, Any]) -> list[int]:
    if ("kernel_size" in described) == ("kernel_sizes" in described):
        raise ValueError("kernel_size, kernel_sizes: both are there, or neither; keep one of them")
    name = "kernel_size" if "kernel_size" in described else "kernel_sizes"
    return _per_layer(described, name, len(described["dilations"]))


def _gating(described: dict[str, Any], layers: int) -> tuple[list[str], list[Any]]:
    """The gating of every layer, and the activation of its second half."""
    if "gating_mode" not in described:
        return ["gated" if described.get("gated") else "none"] * layers, [None] * layers
    if described.get("gated"):
        raise ValueError("gated: true beside gating_mode; leave it out")
    second = described.get("secondary_activation")
    if not second:
        return _per_layer(described, "gating_mode", layers), [None] * layers
    return (
        _per_layer(described, "gating_mode", layers),
        _per_layer(described, "secondary_activation", layers),
    )


def _per_layer(described: dict[str, Any], name: str, layers: int) -> list[Any]:
    """An entry for every layer: one for all, or a list."""
    value = described[name]
    if not isinstance(value, list):
        return [value] * layers
    if len(value) != layers:
        raise ValueError(f"{name}: {len(value)} for {layers} dilations; give as many, or one")
    return value
