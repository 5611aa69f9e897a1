"""What a .nam file says of a WaveNet, and the version that is needed to say it."""

from __future__ import annotations

from typing import Any

from torch import nn

from tcn.audio.nam_activations import described
from tcn.layers import Conv1d
from tcn.models import NAMBlock, NAMStack, NAMWaveNet, PairedActivation
from tcn.models.nam_block import PLACES

_OLD_ACTIVATIONS = ("Tanh", "Hardtanh", "Fasttanh", "ReLU", "Sigmoid")
"""Known to every program that reads version 0.5.0."""
_OLD_ENTRIES = {
    "input_size", "condition_size", "channels", "kernel_size", "dilations", "activation", "gated",
    "head_size", "head_bias",
}  # fmt: skip


def wavenet_config(net: NAMWaveNet) -> dict[str, Any]:
    """The entry ``config``, but for the net of the condition.

    Raises:
        ValueError: if a file has no place for something in the net.
    """
    return {
        "layers": [_stack(stack, f"stacks[{i}]") for i, stack in enumerate(net.stacks)],
        "head": None if net.head is None else _head(net.head),
        "head_scale": net.scale,
    }


def wavenet_version(config: dict[str, Any]) -> str:
    """The oldest version that a config needs; one with a net of the condition needs 0.6.0."""
    stacks = config["layers"]
    if config["head"] is not None or any("kernel_sizes" in s or "head" in s for s in stacks):
        return "0.7.0"
    plain = all(s.keys() <= _OLD_ENTRIES and s["activation"] in _OLD_ACTIVATIONS for s in stacks)
    return "0.5.4" if plain else "0.6.0"


def _stack(stack: NAMStack, where: str) -> dict[str, Any]:
    blocks: list[NAMBlock] = list(stack.blocks)
    first, head = blocks[0], stack.head
    shared = _one_of([_shared(block) for block in blocks], where)
    kernels = [block.convolution.kernel_size[0] for block in blocks]
    config: dict[str, Any] = {
        "input_size": stack.entry.in_channels,
        "condition_size": first.condition_channels,
        "channels": first.channels,
        "dilations": [block.convolution.dilation[0] for block in blocks],
    }
    if len(set(kernels)) == 1:
        config["kernel_size"] = kernels[0]
    else:
        config["kernel_sizes"] = kernels
    if head.kernel_size == (1,):
        config |= {"head_size": head.out_channels, "head_bias": head.bias is not None}
    else:
        config["head"] = _stack_head(head)
    return config | _activations(blocks) | shared


def _stack_head(head: Conv1d) -> dict[str, Any]:
    config = {
        "out_channels": head.out_channels,
        "kernel_size": head.kernel_size[0],
        "bias": head.bias is not None,
    }
    return config if head.dilation == (1,) else config | {"head_dilation": head.dilation[0]}


def _activations(blocks: list[NAMBlock]) -> dict[str, Any]:
    """Activations and gates, one for all layers where they are the same."""
    primary, gating, second = [], [], []
    for block in blocks:
        act = block.activation
        paired = isinstance(act, PairedActivation)
        primary.append(described(act.primary if paired else act))  # type: ignore[arg-type]
        gating.append(str(act.pairing) if paired else "none")
        second.append(described(act.secondary) if paired else None)  # type: ignore[arg-type]
    config: dict[str, Any] = {"activation": _once(primary)}
    if set(gating) == {"none"} or (
        set(gating) == {"gated"} and set(map(str, second)) == {"Sigmoid"}
    ):
        return config | {"gated": gating[0] == "gated"}
    return config | {"gating_mode": _once(gating), "secondary_activation": _once(second)}


def _once(values: list[Any]) -> Any:
    """The value itself if all are the same, otherwise the list."""
    return values[0] if all(value == values[0] for value in values) else values


def _shared(block: NAMBlock) -> dict[str, Any]:
    """What a file says once for all layers of a stack, as far as it is not what goes unsaid."""
    config: dict[str, Any] = {}
    if block.bottleneck != block.channels:
        config["bottleneck"] = block.bottleneck
    for name, part in (("groups_input", block.convolution), ("groups_input_mixin", block.mixin)):
        if part.groups != 1:
            config[name] = part.groups
    if block.residual is None or block.residual.groups != 1:
        groups = 1 if block.residual is None else block.residual.groups
        config["layer1x1"] = {"active": block.residual is not None, "groups": groups}
    if block.skip is not None:
        config["head1x1"] = {
            "active": True,
            "out_channels": block.skip.out_channels,
            "groups": block.skip.groups,
        }
    for place in PLACES:
        if place in block.films:
            film: Any = block.films[place]
            config[f"{place}_film"] = {
                "active": True,
                "shift": film.shift,
                "groups": film.projection.groups,
            }
    return config


def _one_of(configs: list[dict[str, Any]], where: str) -> dict[str, Any]:
    for index, config in enumerate(configs):
        if config != configs[0]:
            name = next(
                key for key in config | configs[0] if config.get(key) != configs[0].get(key)
            )
            raise ValueError(
                f"net: {where}.blocks[{index}] has another {name} than the first block; a .nam "
                "file has one for all blocks of a stack: put it into a stack of its own"
            )
    return configs[0]


def _head(head: nn.Module) -> dict[str, Any]:
    """An output head: activation and convolution, repeated."""
    parts = list(head.children())
    acts: list[nn.Module] = parts[::2]
    convolutions: list[Any] = parts[1::2]
    if not parts or len(parts) % 2 or not all(isinstance(c, Conv1d) for c in convolutions):
        raise ValueError(
            "net: its head is not a Chain of activation and convolution, repeated; a .nam file "
            "has no other: build it so"
        )
    texts = [described(act) for act in acts]
    widths = {c.out_channels for c in convolutions[:-1]}
    odd = any(c.groups != 1 or c.dilation != (1,) or c.bias is None for c in convolutions)
    if _once(texts) != texts[0] or len(widths) > 1 or odd:
        raise ValueError(
            "net: its head has activations or widths of several kinds, groups, a dilation or no "
            "bias; a .nam file has one activation and one width inside: build it so"
        )
    last: Any = convolutions[-1]
    return {
        "channels": widths.pop() if widths else last.in_channels,
        "activation": texts[0],
        "out_channels": last.out_channels,
        "kernel_sizes": [c.kernel_size[0] for c in convolutions],
    }
