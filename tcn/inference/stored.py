"""The file of a stream: safetensors with its settings in the header, and proof that it is whole.

    tensors     "state.0.1"  the state of the rows that have begun, by its place in the tree
                "record.*"   what the session knows of each row
                "initial.*"  the state that rows begin with, if one was handed in
    metadata    format, version, content (JSON: settings, forms of the states, parameters), checksum

safetensors itself checks neither the values nor whose they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tcn.inference.state import Skeleton, from_tensors, skeleton, to_tensors
from tcn.layers import State
from tcn.saving.files import replacing
from tcn.saving.schema import first_error

FORMAT = "tcn stream"
VERSION = "1"

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
"""Of the content, in the part of JSON schema that :mod:`tcn.saving.schema` knows."""

_DAMAGE = (
    SafetensorError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError,
    RuntimeError, RecursionError, MemoryError,
)  # fmt: skip
"""What reading a damaged file may end in."""


def write(
    path: Path,
    net: nn.Module,
    settings: dict[str, Any],
    states: dict[str, State],
    record: dict[str, Tensor | None],
) -> None:
    """Writes the file, or leaves what stood at ``path`` as it was.

    Args:
        path: where to.
        net: the net; the names and shapes of its parameters are kept.
        settings: what JSON can hold.
        states: by name.
        record: tensors by name; those that are None are left out.
    """
    skeletons = {name: skeleton(state) for name, state in states.items()}
    text = json.dumps({
        "settings": settings, "skeletons": skeletons, "parameters": parameter_shapes(net)
    })  # fmt: skip
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
    metadata = {"format": FORMAT, "version": VERSION, "content": text}
    metadata["checksum"] = _checksum(text, safetensors.torch.save(tensors))
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, metadata))


def read(path: Path, net: nn.Module) -> tuple[dict[str, Any], dict[str, State], dict[str, Tensor]]:
    """Settings, states and record of a file, the tensors on the device of the net.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is not one of these files, of another version, not as it was written, or
            of another net.
    """
    content, tensors = _verified(path, path.read_bytes())
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
    return content["settings"], states, record


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Within it what is wrong with the content of a file becomes a ValueError naming the file."""
    try:
        yield
    except _DAMAGE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"path: {path} is cut off or damaged: {reason}; use another copy"
        ) from error


def _verified(path: Path, data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with damaged(path):
        tensors = safetensors.torch.load(data)
        metadata = _header(data).get("__metadata__", {})
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"path: {path} holds no stream (its format is {metadata.get('format')!r}); pass a file "
            "that StreamSession.save wrote"
        )
    if metadata.get("version") != VERSION:
        raise ValueError(
            f"path: {path} is of version {metadata.get('version')!r}, this library reads "
            f"{VERSION!r}; use the version of the library that wrote it"
        )
    text = metadata.get("content", "")
    if metadata.get("checksum") != _checksum(text, data):
        raise ValueError(
            f"path: {path} is damaged: its checksum does not fit its content; use another copy"
        )
    with damaged(path):
        content = json.loads(text)
        if (reason := first_error(content, SCHEMA)) is not None:
            raise ValueError(reason)
    return content, tensors


def _check_record(
    settings: dict[str, Any], states: dict[str, State], record: dict[str, Tensor]
) -> None:
    """Refuses what is not of as many rows as the settings say, before any is made."""
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
    """Refuses a net whose parameters are others than those stored; their values may differ.

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


def _header(data: bytes) -> dict[str, Any]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])


def _checksum(content: str, data: bytes) -> str:
    """Of the content, and of every name, type, shape and value in a safetensors file."""
    length = int.from_bytes(data[:8], "little")
    header = {name: entry for name, entry in _header(data).items() if name != "__metadata__"}
    digest = hashlib.sha256(json.dumps([content, header], sort_keys=True).encode())
    digest.update(data[8 + length :])
    return digest.hexdigest()


def _part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of one part of a file, under their own names."""
    prefix = f"{part}."
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _tuples(tree: Any) -> Skeleton:
    """A skeleton as it was before JSON made lists of its tuples."""
    return tree if tree is None else tuple(_tuples(part) for part in tree)
