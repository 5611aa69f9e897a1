"""Exported files, run by onnxruntime or loaded again, beside the net they were written from."""

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tcn.inference.export import export, initial_state
from tcn.inference.state import flatten
from tcn.layers import (
    AddCondition,
    Chain,
    Context,
    Conv1d,
    FiLM,
    Gate,
    GatedBlock,
    MaxPool1d,
    Mean,
    SequenceModule,
    SkipSum,
    State,
)
from tcn.models import GRU, LSTM, RNN, TCN, SequenceModel

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TOLERANCE = 1e-5
NORMS = ("none", "weight", "layer", "rms", "batch", "cumulative", "group")
READOUTS = ("every", "last", "mean", "max", "attention")
BLOCKS = ("residual", "preactivation", "separable", "gated")
Run = Callable[..., list[Tensor]]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def trained(net: nn.Module) -> Any:
    """The net with weights and statistics that are all of a size that shows."""
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point():
                tensor.add_(torch.randn_like(tensor), alpha=0.2)
    return net.eval()


def opened(path: Path) -> Run:
    """The function in a file: tensors by name to a list of tensors."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]

        def run(**inputs: Tensor) -> list[Tensor]:
            arrays = {name: inputs[name].numpy() for name in names}
            return [torch.from_numpy(array) for array in session.run(None, arrays)]

        return run
    module = torch.export.load(path).module()

    def call(**inputs: Tensor) -> list[Tensor]:
        found = module(*inputs.values())
        return [found] if isinstance(found, Tensor) else list(found)

    return call


def whole_difference(net: Any, run: Run, inputs: Callable[[int, int], dict[str, Tensor]]) -> float:
    """The largest difference over batch sizes and lengths that are not the exported ones."""
    return max(
        (run(**given)[0] - net(**given)).abs().max().item()
        for given in (inputs(1, 23), inputs(5, 1), inputs(3, 2))
    )


def stream_difference(
    net: Any, run: Run, inputs: Callable[[int, int], dict[str, Tensor]], state: dict[str, Tensor]
) -> float:
    """The same between a stream of the file and the net over all that has come so far."""
    past: list[dict[str, Tensor]] = []
    outputs: list[Tensor] = []
    worst = 0.0
    for length in (1, 5, 1, 11, 2):
        chunk = inputs(3, length)
        y, *after = run(x=chunk["x"], **state, **without_x(chunk))
        state = dict(zip(state, after, strict=True))
        past.append(chunk)
        outputs.append(y)
        expected = net(**joined(past))
        found = torch.cat(outputs, -1) if expected.dim() > 2 else y
        late = net.latency if expected.dim() > 2 else 0
        found, expected = found[..., late:], expected[..., : found.shape[-1] - late]
        worst = max([worst, *(found - expected).abs().flatten().tolist()])
    return worst


def without_x(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in inputs.items() if name != "x"}


def joined(chunks: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Chunks one after the other; a condition of the whole sequence stays as it is."""
    return {
        name: tensor
        if name == "condition" and tensor.dim() == 2
        else torch.cat([chunk[name] for chunk in chunks], -1)
        for name, tensor in chunks[0].items()
    }


def features(batch: int, length: int) -> dict[str, Tensor]:
    return {"x": torch.randn(batch, 3, length)}


def tokens(batch: int, length: int) -> dict[str, Tensor]:
    return {"x": torch.randint(7, (batch, length))}


def conditioned_per_step(batch: int, length: int) -> dict[str, Tensor]:
    return features(batch, length) | {"condition": torch.randn(batch, 2, length)}


def conditioned(batch: int, length: int) -> dict[str, Tensor]:
    speaker = torch.linspace(-1, 1, 2 * batch).view(batch, 2)
    return features(batch, length) | {"condition": speaker}


def check(net: Any, path: Path, streaming: bool, inputs: Any = features, **examples: Any) -> float:
    """Exports, and compares on this side too; the largest difference."""
    trained(net)
    assert export(net, path, streaming=streaming, **examples) == path
    if streaming:
        found = stream_difference(net, opened(path), inputs, initial_state(net, 3))
    else:
        found = whole_difference(net, opened(path), inputs)
    assert found <= TOLERANCE, found
    return found


def tcn(readout: str = "every", **settings: Any) -> SequenceModel:
    return SequenceModel(TCN(3, [8, 8], 3, **settings), 2, readout=readout)


def wavenet() -> Chain:
    net = Chain(
        Conv1d(3, 4, 1),
        SkipSum([GatedBlock(4, 4, 2, dilation=d, skip_channels=6) for d in (1, 2)]),
        Conv1d(6, 2, 1),
    )
    net.in_channels = 3
    return net


# ------------------------------------------------------------------- every kind of graph


def test_whole_tcn(tmp_path: Path) -> None:
    check(tcn("last"), tmp_path / "net.onnx", False)


def test_streaming_gated_net_with_attention(tmp_path: Path) -> None:
    check(tcn("attention", block="gated"), tmp_path / "net.onnx", True)


def test_whole_gru(tmp_path: Path) -> None:
    check(SequenceModel(GRU(3, 5, 2), 2, readout="mean"), tmp_path / "net.onnx", False)


def test_streaming_lstm(tmp_path: Path) -> None:
    check(SequenceModel(LSTM(3, 5, 2), 2), tmp_path / "net.onnx", True)


def test_look_ahead_in_a_stream(tmp_path: Path) -> None:
    check(TCN(3, [4, 4], 3, lookahead=3), tmp_path / "net.pt2", True)


def test_tokens_as_a_torch_program(tmp_path: Path) -> None:
    net = SequenceModel(TCN(3, [4, 4], 3), 7, readout="max", embedding=7)
    check(net, tmp_path / "net.pt2", False, tokens)


def test_condition_per_step_in_a_stream(tmp_path: Path) -> None:
    net = tcn(modulation=partial(FiLM, condition_channels=2))
    check(net, tmp_path / "net.pt2", True, conditioned_per_step, **example_of(conditioned_per_step))


def test_condition_of_the_sequence(tmp_path: Path) -> None:
    net = tcn(modulation=partial(AddCondition, condition_channels=2))
    check(net, tmp_path / "net.pt2", False, conditioned)


def example_of(inputs: Callable[[int, int], dict[str, Tensor]]) -> dict[str, Tensor]:
    given = inputs(2, 6)
    return {"example": given["x"], **without_x(given)}


def test_recurrent_layers_as_a_torch_program(tmp_path: Path) -> None:
    check(SequenceModel(LSTM(3, 4, 2), 2, readout="last"), tmp_path / "net.pt2", True)


def test_two_axes_with_another_height(tmp_path: Path) -> None:
    net = trained(TCN(3, [4], 3, ndim=2, causal=(False, True)))
    run = opened(export(net, tmp_path / "net.pt2"))
    x = torch.randn(3, 3, 9, 14)
    assert (run(x=x)[0] - net(x)).abs().max() <= TOLERANCE


def test_valid_padding_shortens_every_length(tmp_path: Path) -> None:
    net = trained(Conv1d(3, 4, 5, padding="valid"))
    run = opened(export(net, tmp_path / "net.pt2"))
    x = torch.randn(3, 3, 31)
    assert run(x=x)[0].shape == (3, 4, 27)
    assert (run(x=x)[0] - net(x)).abs().max() <= TOLERANCE


# Every norm and every readout, but not each with each: random nets of all of them are exported in
# tests/layers/test_rates.py.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "readout", "streaming"),
    [
        (norm, READOUTS[i % len(READOUTS)], streaming)
        for (i, norm), streaming in product(enumerate(NORMS), (False, True))
        if (norm, streaming) != ("group", True)
    ],
)
def test_every_norm_and_readout(
    tmp_path: Path, norm: str, readout: str, streaming: bool, record_property: Any
) -> None:
    found = check(tcn(readout, norm=norm), tmp_path / "net.onnx", streaming)
    record_property("difference", found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "readout", "streaming"),
    [
        ((LSTM, GRU, RNN)[i % 3], readout, streaming)
        for (i, readout), streaming in product(enumerate(READOUTS), (False, True))
    ],
)
def test_every_recurrent_net_and_readout(
    tmp_path: Path, net: type, readout: str, streaming: bool, record_property: Any
) -> None:
    found = check(SequenceModel(net(3, 5, 2), 2, readout=readout), tmp_path / "net.onnx", streaming)
    record_property("difference", found)


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("block", BLOCKS)
def test_every_block(tmp_path: Path, block: str, streaming: bool, record_property: Any) -> None:
    found = check(tcn(block=block, norm="layer"), tmp_path / "net.onnx", streaming)
    record_property("difference", found)


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    "net",
    [
        wavenet(),
        TCN(3, [4, 4], 3, lookahead=3),
        SequenceModel(TCN(3, [4, 4], 3), 2).double(),
    ],
    ids=["wavenet", "look-ahead", "float64"],
)
def test_other_nets(tmp_path: Path, net: Any, streaming: bool, record_property: Any) -> None:
    double = next(net.parameters()).dtype == torch.float64

    def inputs(batch: int, length: int) -> dict[str, Tensor]:
        x = features(batch, length)["x"]
        return {"x": x.double() if double else x}

    suffix = "pt2" if double else "onnx"  # onnxruntime has no convolution in float64
    found = check(net, tmp_path / f"net.{suffix}", streaming, inputs)
    record_property("difference", found)


# ------------------------------------------------------------------- what is in the file


def strict_json(text: str) -> Any:
    """As readers other than Python's take it, which know neither NaN nor infinity."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in {text}")

    return json.loads(text, parse_constant=refuse)


def test_a_stream_of_two_axes_has_the_height_of_its_example(tmp_path: Path) -> None:
    net = trained(TCN(3, [4], 3, ndim=2, causal=(False, True)))
    path = tmp_path / "net.onnx"
    with pytest.raises(ValueError, match="example: None, but a stream of TCN has the height of"):
        export(net, path, streaming=True)
    example = torch.randn(2, 3, 7, 9)
    export(net, path, streaming=True, example=example)
    session = onnxruntime.InferenceSession(path)
    metadata = session.get_modelmeta().custom_metadata_map
    assert strict_json(metadata["height"]) == 7
    assert [value.shape[2] for value in session.get_inputs()][:1] == [7]
    parts = strict_json(metadata["initial_state"])
    state = {p["name"]: np.full([3, *p["shape"]], p["value"], p["dtype"]) for p in parts}
    tensors = initial_state(net, 3, example=example)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        name: array.shape for name, array in state.items()
    }
    x = torch.randn(3, 3, 7, 9)
    outputs = []
    for chunk in x.split([4, 1, 4], dim=-1):
        y, *after = session.run(None, {"x": chunk.numpy(), **state})
        state = dict(zip(state, after, strict=True))
        outputs.append(torch.from_numpy(y))
    assert (torch.cat(outputs, -1) - net(x)).abs().max() <= TOLERANCE


def test_a_stream_in_onnxruntime_needs_nothing_but_the_file(tmp_path: Path) -> None:
    net = trained(tcn("max", norm="cumulative"))
    export(net, tmp_path / "net.onnx", streaming=True)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert strict_json(metadata["streaming"]) is True
    assert strict_json(metadata["receptive_field"]) == "inf"
    assert strict_json(metadata["latency"]) == 0
    assert strict_json(metadata["height"]) is None
    assert metadata["tcn_version"]
    state = {
        part["name"]: np.full([2, *part["shape"]], part["value"], part["dtype"])
        for part in strict_json(metadata["initial_state"])
    }
    assert [value.name for value in session.get_inputs()] == ["x", *state]
    assert [value.name for value in session.get_outputs()] == ["y", *(f"next_{n}" for n in state)]
    x = torch.randn(2, 3, 9)
    for chunk in x.split([4, 1, 4], dim=-1):
        y, *after = session.run(None, {"x": chunk.numpy(), **state})
        state = dict(zip(state, after, strict=True))
    assert (torch.from_numpy(y) - net(x)).abs().max() <= TOLERANCE


def test_the_initial_state_of_a_look_ahead_holds_a_condition_of_each_step() -> None:
    net = trained(TCN(3, [4, 4], 3, lookahead=3, modulation=partial(FiLM, condition_channels=2)))
    x, condition = torch.randn(2, 3, 9), torch.randn(2, 2, 9)
    expected = flatten(net.step(x, condition=condition)[1])
    found = initial_state(net, 2, condition=condition)
    assert [tensor.shape for tensor in found.values()] == [tensor.shape for tensor in expected]
    assert [t.shape for t in initial_state(net, 2).values()] != [t.shape for t in expected]


def test_the_initial_state_is_neutral() -> None:
    for readout in READOUTS:
        net = trained(tcn(readout, norm="cumulative"))
        state = initial_state(net, 4)
        values = torch.cat([tensor.flatten().double() for tensor in state.values()])
        unlike_zero = values[values != 0]
        assert len(unlike_zero) == {"max": 4 * 8, "attention": 4}.get(readout, 0)
        assert bool((unlike_zero == -torch.inf).all())


def test_a_net_in_training_is_exported_as_it_evaluates_and_left_as_it_was(tmp_path: Path) -> None:
    net = tcn(dropout=0.5, norm="weight").train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    run = opened(export(net, tmp_path / "net.pt2"))
    assert net.training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    x = torch.randn(3, 3, 9)
    assert (run(x=x)[0] - net.eval()(x)).abs().max() <= TOLERANCE


# ------------------------------------------------------------------------------ refusals


class Counting(SequenceModule):
    """Computes something else at every call, which no graph does."""

    in_channels = 3

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        self.calls += 1
        return x * self.calls, ()


@pytest.mark.parametrize("streaming", [False, True])
def test_a_file_that_differs_takes_nobodys_place(tmp_path: Path, streaming: bool) -> None:
    path = tmp_path / "net.pt2"
    path.write_text("the file of before")
    with pytest.raises(
        RuntimeError, match=r"differs from the net by [0-9.]+ .*nothing was written"
    ):
        export(Counting(), path, streaming=streaming)
    assert path.read_text() == "the file of before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_net_that_cannot_stream_says_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="group norm takes statistics over the whole sequence"):
        export(tcn(norm="group"), tmp_path / "net.onnx", streaming=True)
    strided = Conv1d(3, 4, 3, stride=2, padding="valid")
    with pytest.raises(ValueError, match="padding='valid' on the time axis returns fewer steps"):
        export(strided, tmp_path / "net.onnx", streaming=True)
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"path: the suffix of .*net\.tflite' is not one of 'onnx', "
    ):
        export(tcn(), tmp_path / "net.tflite")
    with pytest.raises(ValueError, match=r"format: 'tflite' is not one of 'onnx', 'pt2'"):
        export(tcn(), tmp_path / "net.onnx", format="tflite")


def test_without_onnxruntime_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'"tcn\[export\]" \(missing: onnxruntime\)'):
        export(tcn(), tmp_path / "net.onnx")


def test_what_is_no_net_or_no_example_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"net: Linear is not a tcn\.layers\.SequenceModule"):
        export(nn.Linear(2, 2), tmp_path / "net.onnx")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"example: shape \(1, 3, 8\)"):
        export(tcn(), tmp_path / "net.onnx", example=torch.randn(1, 3, 8))
    with pytest.raises(ValueError, match="example: None, and Chain has no in_channels"):
        export(Chain(Gate()), tmp_path / "net.onnx")


def test_a_strided_stream_says_of_what_its_chunks_are_multiples(tmp_path: Path) -> None:
    net = Chain(Conv1d(3, 4, 5, stride=2), MaxPool1d(3, stride=3), Mean()).eval()
    path = export(net, tmp_path / "net.onnx", streaming=True)
    metadata = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert metadata["multiple_of"] == metadata["shortest"] == "6"
    whole = export(net, tmp_path / "whole.onnx")
    metadata = onnxruntime.InferenceSession(whole).get_modelmeta().custom_metadata_map
    assert metadata["multiple_of"] == "1"


def test_a_recurrent_layer_without_counterpart_is_refused(tmp_path: Path) -> None:
    net = LSTM(3, 4)
    net.recurrence = nn.LSTM(3, 4, batch_first=True, bias=False)
    with pytest.raises(ValueError, match=r"LSTM\(3, 4, bias=False, batch_first=True\) cannot be"):
        export(net, tmp_path / "net.onnx")


def test_lengths_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lengths: a file takes rows of equal length; cut or pad"):
        export(tcn(), tmp_path / "net.pt2", lengths=torch.tensor([3]))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
