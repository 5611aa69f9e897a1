"""A net as a function of a flat list of tensors, which is all that exported files know.

whole      x [, condition]                    ->  y
streaming  x, state_0, ... [, condition]      ->  y, next_state_0, ...
"""

from __future__ import annotations

import copy
import json
import math
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tcn.inference.beginnings import blank_state
from tcn.inference.recurrence import exportable_recurrence
from tcn.inference.state import Skeleton, flatten, names, skeleton, unflatten
from tcn.layers import SequenceModule, State, fold_weight_norm


class Graph:
    """What is fixed and what varies about the inputs of a net, and inputs to try it with.

    Attributes:
        net: the net, in evaluation mode.
        streaming: whether the function takes a chunk and its state or whole sequences.
        multiple_of: steps of which every sequence or chunk must be a multiple. A stream is cut into
            whole blocks, so that its state has one size (:attr:`SequenceModule.block_size`).
        fewest_blocks: the shortest chunk of a stream, in blocks.
        example: ``(batch, in_channels, *sizes)``, or tokens.
        condition: what goes with the example; None if the net is not conditioned.
    """

    def __init__(
        self,
        net: SequenceModule,
        *,
        streaming: bool,
        example: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> None:
        """Examples that are not given are made.

        Raises:
            ValueError: if the net cannot stream, or an example is too small or cannot be made.
        """
        if streaming:
            _check_streams(net)
        self.net = net
        self.multiple_of = net.block_size if streaming else net.multiple_of
        self.fewest_blocks = 1
        self.streaming = streaming
        if streaming and net.ndim > 1 and example is None:
            raise ValueError(
                f"example: None, but a stream of {type(net).__name__} has the height of its "
                "example; pass a tensor (batch, channels, height, time)"
            )
        self.example = _example(net, self.several) if example is None else example
        self.condition = _condition(net, self.example) if condition is None else condition
        if min(self.example.shape[0], *self.sizes) < 2:
            raise ValueError(
                f"example: shape {tuple(self.example.shape)}; a graph for every size is traced "
                "with at least 2 rows and 2 steps"
            )

    def function(self) -> nn.Module:
        """The function, of a copy of the net that PyTorch's exporter can follow."""
        net = copy.deepcopy(self.net)
        exportable_recurrence(fold_weight_norm(net))
        conditioned = self.condition is not None
        if not self.streaming:
            return _Whole(net, conditioned)
        state = blank_state(self.net, self.example, self.condition)
        return _Step(net, conditioned, skeleton(state))

    @property
    def input_names(self) -> list[str]:
        """In the order of the function's arguments."""
        return ["x", *self.initial_state(1), *([] if self.condition is None else ["condition"])]

    @property
    def output_names(self) -> list[str]:
        """In the order of the function's results."""
        return ["y", *(f"next_{name}" for name in self.initial_state(1))]

    @property
    def shortest(self) -> int:
        """The shortest sequence that the function takes."""
        body: SequenceModule = getattr(self.net, "backbone", self.net)
        if self.streaming or body.preserves_length:
            return self.multiple_of * self.fewest_blocks
        steps = self.multiple_of
        while body.out_steps(steps) < 2:  # PyTorch's exporter treats a size of 1 as a special case
            steps += self.multiple_of
        return steps

    @property
    def several(self) -> int:
        """A longer one, with more than one step behind every stride."""
        return self.shortest + 6 * self.net.block_size

    def samples(self, batch: int, sizes: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """A random input of other sizes than the example's, and a condition to go with it."""
        generator = torch.Generator().manual_seed(1000 * batch + sum(sizes))
        condition = self.condition
        if condition is not None:
            local = sizes if condition.dim() > 2 else ()
            condition = _random(condition, (batch, condition.shape[1], *local), generator)
        if self.example.is_floating_point():
            x = _random(self.example, (batch, self.example.shape[1], *sizes), generator)
        else:
            x = torch.randint(_vocabulary(self.net), (batch, *sizes), generator=generator)
        return x, condition

    def initial_state(self, batch: int) -> dict[str, Tensor]:
        """The state before the first step; {} if not streaming."""
        if not self.streaming:
            return {}
        state = blank_state(self.net, *self.samples(batch, (*self.sizes[:-1], 1)))
        return dict(zip(_state_names(state), flatten(state), strict=True))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the example: ``(time,)`` or ``(height, time)``."""
        return tuple(self.example.shape[-self.net.ndim :])

    def inputs(self) -> tuple[Tensor, ...]:
        """The arguments for the example, at the start of a stream."""
        condition = () if self.condition is None else (self.condition,)
        return (self.example, *self.initial_state(len(self.example)).values(), *condition)

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...]:
        """Which axes of each argument vary, as ``torch.export`` wants it."""
        dim = torch.export.Dim
        batch = {0: dim("batch", min=1)}
        sizes = {self.example.dim() - 1: self._time()}
        if self.net.ndim > 1 and not self.streaming:  # the initial state of a stream has one height
            sizes[self.example.dim() - 2] = dim("height", min=1)
        shapes: list[dict[int, Any]] = [batch | sizes]
        shapes += [batch for _ in self.initial_state(1)]
        if self.condition is not None:
            shapes.append(batch | (sizes if self.condition.dim() > 2 else {}))
        return tuple(shapes)

    def _time(self) -> Any:
        """Any number of steps, or of blocks."""
        dim, multiple = torch.export.Dim, self.multiple_of
        if multiple == 1:
            return dim("time", min=self.shortest)
        return multiple * dim("blocks", min=self.shortest // multiple)

    def metadata(self) -> dict[str, str]:
        """What a reader of the file wants to know about the net."""
        initial = [
            {
                "name": name,
                "shape": list(tensor.shape[1:]),
                "dtype": str(tensor.dtype).removeprefix("torch."),
                "value": _constant(tensor[0]),
            }
            for name, tensor in self.initial_state(1).items()
        ]
        fixed = self.sizes[:-1] if self.streaming else ()
        return {
            # The parent package is always loaded; to import it by name would point backwards.
            "tcn_version": sys.modules[__name__.split(".")[0]].__version__,
            "streaming": json.dumps(self.streaming),
            "receptive_field": _to_json(self.net.receptive_field),
            "latency": json.dumps(self.net.latency),
            "multiple_of": json.dumps(self.multiple_of),
            "shortest": json.dumps(self.shortest),
            "initial_state": _to_json(initial),
            "height": json.dumps(fixed[0] if fixed else None),
        }


class _Whole(nn.Module):
    """Whole sequences."""

    def __init__(self, net: SequenceModule, conditioned: bool) -> None:
        super().__init__()
        self.net = net
        self.conditioned = conditioned

    def forward(self, *inputs: Tensor) -> Tensor:
        """``x [, condition]`` to ``y``."""
        x, *condition = inputs
        return self.net(x, condition=condition[0]) if self.conditioned else self.net(x)


class _Step(nn.Module):
    """A chunk of a stream."""

    def __init__(self, net: SequenceModule, conditioned: bool, state: Skeleton) -> None:
        super().__init__()
        self.net = net
        self.conditioned = conditioned
        self.skeleton = state

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """``x, state_0, ... [, condition]`` to ``y, next_state_0, ...``."""
        x, *state = inputs
        condition = state.pop() if self.conditioned else None
        y, after = self.net.step(x, unflatten(state, self.skeleton), condition=condition)
        return (y, *flatten(after))


def _state_names(state: State) -> list[str]:
    """Such as ``state_0_1_0``, by the place of each tensor in the net's nested state."""
    return ["_".join(["state", *name.split(".")]) for name in names(state)]


def _check_streams(net: SequenceModule) -> None:
    obstacles = net.streaming_obstacles()
    if obstacles:
        raise ValueError(
            f"streaming: True, but {type(net).__name__} cannot be exported as a stream: "
            f"{'; '.join(obstacles)}. Use streaming=False, or build the net without it"
        )


def _example(net: SequenceModule, length: int) -> Tensor:
    """Two random rows."""
    if getattr(net, "embedding", None) is not None:
        return torch.randint(_vocabulary(net), (2, length))
    if not hasattr(net, "in_channels"):
        raise ValueError(
            f"example: None, and {type(net).__name__} has no in_channels to make one from; pass a "
            "tensor (batch, channels, *sizes)"
        )
    sizes = [5] * (net.ndim - 1) + [length]
    return torch.randn(2, net.in_channels, *sizes, dtype=_dtype(net))


def _condition(net: SequenceModule, example: Tensor) -> Tensor | None:
    """One random condition per row, if the net is conditioned."""
    readers = [m for m in net.modules() if getattr(m, "reads_condition", False)]
    if not readers:
        return None
    channels = getattr(readers[0], "condition_channels", None)
    if channels is None:
        raise ValueError(
            f"condition: None, and {type(readers[0]).__name__} has no condition_channels to make "
            "one from; pass a tensor (batch, channels) or (batch, channels, *sizes)"
        )
    return torch.randn(len(example), channels, dtype=_dtype(net))


def _vocabulary(net: SequenceModule) -> int:
    embedding: Any = net.embedding
    return embedding.num_embeddings


def _dtype(net: nn.Module) -> torch.dtype:
    return next((parameter.dtype for parameter in net.parameters()), torch.float32)


def _random(like: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator).to(like.dtype)


def _to_json(value: Any) -> str:
    """Infinite numbers, which JSON does not know, as the strings ``"inf"`` and ``"-inf"``."""
    return json.dumps(_spelled(value), allow_nan=False)


def _spelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(item) for item in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _constant(tensor: Tensor) -> Any:
    """The value of a tensor: one number if it is the same everywhere."""
    values = tensor.flatten()
    if not len(values):
        return 0
    return values[0].item() if bool((values == values[0]).all()) else tensor.tolist()
