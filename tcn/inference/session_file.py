"""The file of a stream: safetensors with its settings in the header.

tensors     "state.0.1"  the state of the rows that have begun, by its place in the tree
"record.*"   what the session knows of each row
"initial.*"  the state that rows begin with, if one was handed in
header      settings, forms of the states, parameters: see :mod:`tcn.saving.tensors`
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tcn.inference.nan_policy import RowRecord
from tcn.inference.state import Skeleton, from_tensors, skeleton, to_tensors
from tcn.layers import State
from tcn.saving import tensors as tensors_file
from tcn.saving.tensors import Kind, damaged

_SIZES = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 2**31}}
_SETTINGS: dict[str, Any] = {
    "batch_size": {"type": "integer", "minimum": 1, "maximum": 2**31},
    "initial": {"enum": ["zeros", "silence", "first", "carried"]},
    "nan": {"enum": ["raise", "hold", "skip"]},
    "sample_rate": {"type": ["number", "null"], "maximum": 1e300},
    "sizes": _SIZES,
}
_TREE = {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/$defs/tree"}}]}


def _all_of(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties),
        "additionalProperties": False,
    }  # fmt: skip


SCHEMA: dict[str, Any] = {
    **_all_of({
        "settings": _all_of(_SETTINGS),
        "skeletons": _all_of({name: {"$ref": "#/$defs/tree"} for name in ("state", "initial")}),
        "parameters": {"type": "object", "additionalProperties": _SIZES},
    }),
    "$defs": {"tree": _TREE},
}  # fmt: skip
"""The schema of the content, in the part of JSON schema that :mod:`tcn.saving.schema` knows."""

KIND = Kind("tcn stream", "1", "StreamSession.save", SCHEMA)


class Saved(NamedTuple):
    """What a session is, apart from its net.

    Attributes:
        settings: ``batch_size``, ``nan`` and ``sample_rate``, as the session was built with.
        sizes: between row and time, of the chunk that came last.
        initial: what rows begin with: a name, or the state that was handed in.
        state: of the rows that have begun; None if none has.
        record: what the session knows of each row.
    """

    settings: dict[str, Any]
    sizes: tuple[int, ...]
    initial: str | State
    state: State | None
    record: RowRecord


def write(path: Path, net: nn.Module, saved: Saved) -> None:
    """Writes the file, or leaves what stood at ``path`` as it was.

    Args:
        path: where to.
        net: the net; the names and shapes of its parameters are kept.
        saved: the session.
    """
    name = saved.initial if isinstance(saved.initial, str) else "carried"
    settings = {**saved.settings, "initial": name, "sizes": saved.sizes}
    states: dict[str, State] = {
        "state": () if saved.state is None else saved.state,
        "initial": () if isinstance(saved.initial, str) else saved.initial,
    }
    record: dict[str, Tensor | None] = vars(saved.record)
    skeletons = {name: skeleton(state) for name, state in states.items()}
    content = {"settings": settings, "skeletons": skeletons, "parameters": parameter_shapes(net)}
    parts: dict[str, Mapping[str, Tensor | None]] = {
        **{name: to_tensors(state) for name, state in states.items()},
        "record": record,
    }
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, named in parts.items()
        for name, tensor in named.items()
        if tensor is not None
    }
    tensors_file.write(path, KIND, content, tensors)


def read(path: Path, net: nn.Module) -> Saved:
    """The session of a file, its tensors on the device of the net.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not such a file, is of another version or net, or was changed after it
            was written.
    """
    content, tensors = tensors_file.read(path, KIND)
    check_same_net(f"path: {path}", content["parameters"], net)
    device = next((p.device for p in net.parameters()), None)
    with damaged(path):
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        states = {
            name: from_tensors(_part(tensors, name), _tuples(tree))
            for name, tree in content["skeletons"].items()
        }
        record = _part(tensors, "record")
        _check_record(content["settings"], states, record)
    return _saved(content["settings"], states, RowRecord(**record))


def _saved(settings: dict[str, Any], states: dict[str, State], record: RowRecord) -> Saved:
    initial, sizes = settings.pop("initial"), settings.pop("sizes")
    return Saved(
        settings,
        tuple(sizes),
        states["initial"] if initial == "carried" else initial,
        states["state"] if record.begun.any() else None,
        record,
    )


def _check_record(
    settings: dict[str, Any], states: dict[str, State], record: dict[str, Tensor]
) -> None:
    """Refuses tensors with more or fewer rows than the settings say, before any row is made."""
    rows = settings["batch_size"]
    for name, dtype in (("begun", torch.bool), ("replaced", torch.int64)):
        tensor = record[name]
        if tensor.shape != (rows,) or tensor.dtype != dtype:
            raise ValueError(f"{name}: {tensor.dtype} {tuple(tensor.shape)} for {rows} rows")
    if unknown := sorted(record.keys() - {"begun", "replaced", "last"}):
        raise ValueError(f"record: {unknown} are not known")
    if len(record.get("last", record["begun"])) != rows:
        raise ValueError(f"last: {len(record['last'])} rows, expected {rows}")
    begun = int(record["begun"].sum())
    counts = {"state": begun, "initial": rows}
    for name, count in counts.items():
        for place, tensor in to_tensors(states[name]).items():
            if tensor.dim() < 1 or len(tensor) != count:
                raise ValueError(f"{name}: {place!r} is not of {count} rows")


def parameter_shapes(net: nn.Module) -> dict[str, list[int]]:
    """Names and shapes of the parameters, the same whether or not weight norm is folded."""
    return {
        name.removesuffix("_v"): list(parameter.shape)
        for name, parameter in net.named_parameters()
        if not name.endswith("weight_g")
    }


def check_same_net(what: str, stored: dict[str, list[int]], net: nn.Module) -> None:
    """Refuses a net whose parameters differ from those stored; their values may differ.

    Raises:
        ValueError: naming the first parameter that differs.
    """
    own = parameter_shapes(net)
    for name in [*own, *stored]:
        if own.get(name) != stored.get(name):
            raise ValueError(
                f"{what} belongs to another net: parameter {name!r} has shape "
                f"{stored.get(name, 'none')} there and {own.get(name, 'none')} in this "
                f"{type(net).__name__}"
            )


def _part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of one part of a file, under their own names."""
    prefix = f"{part}."
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _tuples(tree: Any) -> Skeleton:
    """A skeleton as it was before JSON made lists of its tuples."""
    return tree if tree is None else tuple(_tuples(part) for part in tree)
