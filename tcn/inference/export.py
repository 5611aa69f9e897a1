"""A net as one file that other programs run: ONNX, PyTorch's own ``.pt2``, or C.

``.c`` and ``.h`` files hold a stream of one row; see :mod:`tcn.inference.c_file`. The rest of this
page is about the other two.

Two graphs can be written, both for every batch size and length; for a net with two axes, a whole
graph is for every height, a streaming one for that of the example (``height`` in its metadata,
which is null otherwise). Which tensors they take and give::

    whole      x [, condition]                    ->  y
    streaming  x, state_0, ... [, condition]      ->  y, next_state_0, ...

A stream starts from :func:`initial_state`, which the file also holds: under ``initial_state`` in
its metadata, a JSON list with the name, shape, dtype and value (a number, or a nested list where it
is not the same everywhere) of each state tensor of one row. Infinity, which JSON does not know, is
the string ``"inf"`` or ``"-inf"``, there and in ``receptive_field``; ``float`` and numpy read it. A
stream in onnxruntime alone::

    session = onnxruntime.InferenceSession("net.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    state = {
        tensor["name"]: numpy.full([batch, *tensor["shape"]], tensor["value"], tensor["dtype"])
        for tensor in json.loads(metadata["initial_state"])
    }
    while True:
        y, *after = session.run(None, {"x": next_chunk(), **state})
        state = dict(zip(state, after))

Behind a stride or a pool a stream is cut into whole blocks: ``multiple_of`` in the metadata says
of how many steps every chunk must be a multiple (1 without one). A whole graph has such a multiple
only where branches of different rates meet, as in a U-Net. ``shortest`` says how many steps there
must be at least: a ``.pt2`` file of some strided nets takes two blocks and more.

The graph of a net that looks ahead returns each output ``latency`` steps late, and has no mask that
could say where the stream ends: it cannot give its last ``latency`` outputs. Use
:meth:`tcn.inference.StreamSession.finish`, or a whole graph, where they matter.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from tcn.extras import need
from tcn.inference import c_file
from tcn.inference.agreement import Run, compare
from tcn.inference.checks import float_dtype
from tcn.inference.graph import Graph
from tcn.inference.recurrence import onnx_translation
from tcn.layers import SequenceModule
from tcn.layers.compiled import uncompiled
from tcn.layers.validation import check_switch
from tcn.saving.files import replacing

OPSET = 18
"""The ONNX operator set, which every runtime since early 2023 reads."""


def export(
    net: SequenceModule,
    path: str | PathLike[str],
    *,
    streaming: bool = False,
    format: str | None = None,
    example: Tensor | None = None,
    condition: Tensor | None = None,
    lengths: None = None,
) -> Path:
    """Writes a net to a file, and runs that file before calling it done.

    What is written is a copy in evaluation mode on the CPU, its weight norm folded. The file is run
    (by onnxruntime, or loaded again by PyTorch) on other batch sizes and lengths than it was traced
    with, and takes its place at ``path`` only if it computes what the net computes, to the
    precision of its dtype. A ``.pt2`` file may have any dtype. As ONNX, onnxruntime runs float32
    and float16 on a CPU and little else, and what it cannot run is not written.

    Args:
        net: TCN, LSTM, GRU, a :class:`tcn.models.SequenceModel` around one of them, or any other
            :class:`tcn.layers.SequenceModule`.
        path: the file.
        streaming: whether the graph evaluates a chunk and hands its state on, or whole sequences.
            C always streams.
        format: ``"onnx"``, ``"pt2"`` (``torch.export``), ``"c"`` or ``"h"``; the suffix of ``path``
            unless given. To load a ``.pt2`` file of a recurrent net, import
            ``tcn.inference.recurrence`` first.
        example: ``(batch, in_channels, *sizes)`` or tokens, at least 2 long on every axis; random
            unless given. A stream of a net with two axes needs one: its height is that of the file.
        condition: for a net that is conditioned, what goes with the example: ``(batch, channels)``
            for a graph that takes one for the whole sequence or chunk, ``(batch, channels,
            *sizes)`` for one per step. The former unless given.
        lengths: always refused, with what to do instead: a file takes rows of equal length.

    Returns:
        The path of the file.

    Raises:
        ModuleNotFoundError: if a package of the extra ``export`` is missing.
        RuntimeError: if the file computes something else; the message has the largest difference.
            For C also if there is no compiler (``CC``, ``cc``, ``gcc``, ``clang``).
        TypeError: if the net is not a :class:`tcn.layers.SequenceModule`.
        ValueError: if the suffix or format is unknown, the net cannot stream, the example does not
            fit, or the runtime cannot run a net of this dtype.
    """
    check_switch(streaming=streaming)
    if lengths is not None:
        raise ValueError(
            "lengths: a file takes rows of equal length; cut or pad the rows before, or write one "
            "that takes lengths by torch.export.export(net, (x, lengths))"
        )
    path = Path(path)
    name = _format_of(path, format)
    if name in c_file.SUFFIXES:
        if example is not None or condition is not None:
            raise ValueError(
                "example: a C file takes chunks of any length, and its condition by a call; leave "
                "example and condition out"
            )
        return c_file.write(_evaluated(net), path, header=name == "h")
    chosen = FORMATS[name]
    given = [None if tensor is None else tensor.detach().cpu() for tensor in (example, condition)]
    graph = Graph(_evaluated(net), streaming=streaming, example=given[0], condition=given[1])
    with replacing(path) as file, torch.no_grad():
        chosen.write(graph, file)
        compare(graph, chosen.load(file, float_dtype(graph.net)))
    return path


def initial_state(
    net: SequenceModule,
    batch: int = 1,
    *,
    example: Tensor | None = None,
    condition: Tensor | None = None,
) -> dict[str, Tensor]:
    """The state before the first step, by the names that a streaming graph gives its tensors.

    Args:
        net: a net that streams.
        batch: rows of the state.
        example: see :func:`export`; for a net with two axes, it has the height of the stream.
        condition: see :func:`export`; a net that looks ahead remembers that of each step.

    Returns:
        Tensors with the batch on axis 0: zeros, but for the maxima that the readouts ``"max"`` and
        ``"attention"`` keep, which begin at minus infinity.

    Raises:
        TypeError: if the net is not a :class:`tcn.layers.SequenceModule`.
        ValueError: if the net cannot stream, or has two axes and there is no example.
    """
    graph = Graph(_evaluated(net), streaming=True, example=example, condition=condition)
    return graph.initial_state(batch)


def _evaluated(net: SequenceModule) -> SequenceModule:
    """A copy for evaluation on the CPU."""
    net = uncompiled(net)
    if not isinstance(net, SequenceModule):
        raise TypeError(
            f"net: {type(net).__name__} is not a tcn.layers.SequenceModule; make it a subclass, or "
            "export it by torch.onnx.export or torch.export"
        )
    return copy.deepcopy(net).cpu().eval().requires_grad_(False)


# ---------------------------------------------------------------------------- formats


class Format(NamedTuple):
    """How a file is written, and how it is read back."""

    write: Callable[[Graph, Path], None]
    load: Callable[[Path, torch.dtype], Run]


def _write_onnx(graph: Graph, file: Path) -> None:
    need("tcn.inference.export", "export", "onnx", "onnxscript", "onnxruntime")
    if float_dtype(graph.net) == torch.bfloat16:
        raise _not_runnable(torch.bfloat16, "it has no convolution and no product of this type")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what PyTorch's exporter says to other parts of PyTorch
        program = torch.onnx.export(
            graph.function(),
            graph.inputs(),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            external_data=False,
            input_names=graph.input_names,
            output_names=graph.output_names,
            dynamic_shapes=(graph.dynamic_shapes(),),
            custom_translation_table=onnx_translation(),
        )
    assert program is not None
    program.model.metadata_props.update(graph.metadata())
    program.save(file)


def _load_onnx(file: Path, dtype: torch.dtype) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it cannot do it also raises
    with _runnable(dtype):
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        arrays = {name: x.numpy() for name, x in zip(names, inputs, strict=True)}
        with _runnable(dtype):
            return [torch.from_numpy(array) for array in session.run(None, arrays)]

    return run


@contextmanager
def _runnable(dtype: torch.dtype) -> Iterator[None]:
    """Says clearly that onnxruntime has no kernel for a dtype; it has more for float32."""
    try:
        yield
    except Exception as error:
        if dtype == torch.float32 or not type(error).__module__.startswith("onnxruntime"):
            raise
        raise _not_runnable(dtype, str(error).splitlines()[0]) from error


def _not_runnable(dtype: torch.dtype, reason: str) -> ValueError:
    return ValueError(
        f"net: parameters of {dtype}, with which onnxruntime cannot run it on a CPU ({reason}); "
        "nothing was written: export net.float(), or write a .pt2 file"
    )


def _write_pt2(graph: Graph, file: Path) -> None:
    """Writes a program that takes one block, or failing that, two blocks and more.

    Behind a stride a block is one step. PyTorch's exporter treats a size of 1 as a special case,
    for all operators or (asked to be oblivious of sizes) for some, such as a linear layer's.
    """
    from torch._dynamo.exc import UserError  # takes a second to load, as the exporter does

    if graph.net.block_size == 1:
        return _save_pt2(graph, file, oblivious=False)
    for oblivious in (False, True):
        try:
            _save_pt2(graph, file, oblivious=oblivious)
            return compare(graph, _load_pt2(file, float_dtype(graph.net)))
        except (AssertionError, UserError):
            continue
    graph.fewest_blocks = 2
    _save_pt2(graph, file, oblivious=False)


def _save_pt2(graph: Graph, file: Path, *, oblivious: bool) -> None:
    from torch.fx.experimental import _config

    shapes = (graph.dynamic_shapes(),)
    with _config.patch(backed_size_oblivious=oblivious):  # type: ignore[attr-defined]
        program = torch.export.export(
            graph.function(), graph.inputs(), dynamic_shapes=shapes, strict=False
        )
    torch.export.save(program, file, extra_files={"tcn.json": json.dumps(graph.metadata())})


def _load_pt2(file: Path, dtype: torch.dtype) -> Run:
    module = torch.export.load(file).module()

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        found = module(*inputs)
        return [found] if isinstance(found, Tensor) else list(found)

    return run


FORMATS = {"onnx": Format(_write_onnx, _load_onnx), "pt2": Format(_write_pt2, _load_pt2)}
"""What ``format="..."`` and the suffix mean, C aside."""
SUFFIXES = (*FORMATS, *c_file.SUFFIXES)


def _format_of(path: Path, format: str | None) -> str:
    found = path.suffix.removeprefix(".") if format is None else format
    if found not in SUFFIXES:
        what = f"path: the suffix of {str(path)!r}" if format is None else f"format: {format!r}"
        raise ValueError(f"{what} is not one of {', '.join(map(repr, SUFFIXES))}")
    return found
