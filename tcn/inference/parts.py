"""Nets of which parts run natively: PyTorch's layers, with native programs in place of some.

A net with a stride has no native form as a whole. Its containers go through their children as
:meth:`net.step` does, and each child that has a native form is one call::

    encoder, stride 8     PyTorch
    masks of each frame   one native program of a hundred layers
    decoder, up by 8      PyTorch
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tcn.inference.beginnings import blank_state, check_state
from tcn.inference.compile import check_mode, in_channels_of
from tcn.inference.engines import TorchRows
from tcn.inference.state import clone
from tcn.inference.translation import Declined, behaves_as, translate
from tcn.layers import Add, Chain, Concat, Context, Multiply, SequenceModule, State
from tcn.models import ConvTasNet, SequenceModel
from tcn.native.program import StreamProgram
from tcn.native.rows import StreamRows
from tcn.native.stream import Builder

logger = logging.getLogger(__name__)

CONTAINERS = (Chain, Add, Concat, Multiply, SequenceModel)
"""Whose children are called as children are, so that another module may stand in for one."""

Path = tuple[int, ...]
"""Where a part's state is in that of the net."""


class NativePart(SequenceModule):
    """Stands in for a module: what comes goes through native rows, which keep the state.

    Attributes:
        program: that of the module.
        rows: the streams.
        moving: which rows the next chunk is of; None for all.
    """

    ndim = 1

    def __init__(self, program: StreamProgram) -> None:
        super().__init__()
        self.program = program
        self.rows: StreamRows | None = None
        self.moving: Tensor | None = None

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Pushes a chunk; there may be none yet behind a stride."""
        if self.rows is None:  # it is only asked where its state is
            y = x.new_zeros(x.shape[0], self.program.out_channels, x.shape[-1])
            return y, torch.full((x.shape[0], 1), torch.nan)
        return self.rows.push(x.to(torch.float32).contiguous(), self.moving), ()

    def nothing(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """What ``advance`` returns for a chunk without a step."""
        place: State = () if self.rows is not None else torch.full((x.shape[0], 1), torch.nan)
        return x.new_zeros(x.shape[0], self.program.out_channels, 0), place


class PartlyNative:
    """A net in which native parts stand in for some modules.

    Attributes:
        net: the net.
        parts: of which the programs are.
    """

    def __init__(self, net: SequenceModule, programs: dict[nn.Module, StreamProgram]) -> None:
        self.net = net
        self.programs = programs

    def rows(self, count: int) -> PartlyNativeRows:
        """The state of ``count`` fresh rows."""
        return PartlyNativeRows(self, count)


def compile_parts(net: SequenceModule) -> PartlyNative | None:
    """A net with a stride whose parts run natively, or None where none does.

    Args:
        net: a net that streams, in evaluation mode.
    """
    if net.preserves_length and net.block_size == 1:
        return None
    readers = (getattr(module, "reads_condition", False) for module in net.modules())
    if net.ndim != 1 or net.latency or any(readers) or net.joins_unevenly:
        return None
    try:
        check_mode(net)
    except Declined:
        return None
    programs = dict(_parts(net))
    if not programs:
        return None
    logger.info("native stream: %d parts of %s", len(programs), type(net).__name__)
    return PartlyNative(net, programs)


def _parts(module: nn.Module) -> Iterator[tuple[nn.Module, StreamProgram]]:
    """The largest modules with weights that have a native form, none inside another.

    None is looked for inside a net for images, whose layers may say nothing of their axes.
    """
    if not isinstance(module, SequenceModule) or next(module.parameters(), None) is None:
        return
    if module.ndim != 1:
        return
    program = _program(module)
    if program is not None:
        yield module, program
    elif _is_container(module):
        for child in module.children():
            yield from _parts(child)


def _is_container(module: nn.Module) -> bool:
    """Whether its children are called one time each, as children are."""
    return isinstance(module, ConvTasNet) or any(
        isinstance(module, kind) and behaves_as(module, kind) for kind in CONTAINERS
    )


def _program(module: SequenceModule) -> StreamProgram | None:
    if isinstance(module, SequenceModel):  # whose readout over time is not a sequence
        return None
    builder = Builder()
    try:
        y, states = translate(builder, module, builder.input(in_channels_of(module)))
    except Declined:
        return None
    return builder.build(y, states)


class PartlyNativeRows(TorchRows):
    """Rows of a net whose parts are native; the state is that of the net, as from ``net.step``."""

    def __init__(self, partly: PartlyNative, count: int) -> None:
        stand_ins: list[NativePart] = []
        super().__init__(_with(partly.net, partly.programs, stand_ins), count)
        self.whole = partly.net
        self.parts = self._places(stand_ins)
        for part in self.parts.values():
            part.rows = part.program.rows(count)
        self._torn = False

    def _places(self, parts: list[NativePart]) -> dict[Path, NativePart]:
        """Where the state of each part is, in the order in which a state is written down."""
        x = torch.zeros(1, in_channels_of(self.whole), 1)
        state = blank_state(self.net, x, None)
        paths = [path for path, leaf in _walk(state) if bool(leaf.isnan().any())]
        return dict(zip(paths, parts, strict=True))

    def push(
        self, x: Tensor, rows: Tensor | None = None, condition: Tensor | None = None
    ) -> Tensor:
        """Advances rows; see :class:`TorchRows`.

        Raises:
            RuntimeError: if an earlier push ended half-way, and the rows have not begun anew since.
        """
        if self._torn:
            raise RuntimeError(
                "an earlier push was interrupted half-way, so the state of the rows is not known; "
                "reset() the session, or set a state"
            )
        for part in self.parts.values():
            part.moving = rows
        self._torn = True
        y = super().push(x, rows, condition)
        self._torn = False
        return y

    def get_state(self, rows: Tensor | None = None) -> State:
        """A copy of the state of all rows or of some; see :class:`TorchRows`."""
        state = super().get_state(rows)
        for path, part in self.parts.items():
            assert part.rows is not None
            state = _put(state, path, part.rows.get_state(rows))
        return state

    def set_state(self, state: State, rows: Tensor | None = None) -> None:
        """Replaces the state of all rows or of some; see :class:`TorchRows`."""
        check_state(self.whole, state, rows=self.count if rows is None else len(rows))
        for path, part in self.parts.items():
            assert part.rows is not None
            part.rows.set_state(_at(state, path), rows)
            state = _put(state, path, ())
        self._put(clone(state), rows)
        self._torn = False

    def reset(self) -> None:
        """Forgets everything: no row has begun."""
        super().reset()
        for part in self.parts.values():
            assert part.rows is not None
            part.rows.reset()
        self._torn = False


def _with(
    module: nn.Module, programs: dict[nn.Module, StreamProgram], stand_ins: list[NativePart]
) -> Any:
    """A copy of the containers around the parts; the rest is shared.

    What stands in for a part is added to ``stand_ins``: one for each place, since a module that is
    in several has a state in each.
    """
    if module in programs:
        stand_ins.append(NativePart(programs[module]).eval())
        return stand_ins[-1]
    if not (_is_container(module) and any(inner in programs for inner in module.modules())):
        return module
    other = copy.copy(module)
    other._modules = {
        name: None if child is None else _with(child, programs, stand_ins)
        for name, child in module._modules.items()  # named_children leaves out what comes twice
    }
    return other


def _walk(state: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    if isinstance(state, tuple):
        for number, part in enumerate(state):
            yield from _walk(part, (*path, number))
    else:
        yield path, state


def _at(state: Any, path: Path) -> State:
    for number in path:
        state = state[number]
    return state


def _put(state: Any, path: Path, part: State) -> State:
    """The state with another part at a place."""
    if not path:
        return part
    first, *rest = path
    return (*state[:first], _put(state[first], tuple(rest), part), *state[first + 1 :])
