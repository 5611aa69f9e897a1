"""Files and folders of nets in half and double precision."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tcn.inference import export, from_pretrained, save_pretrained
from tcn.inference.export import initial_state
from tcn.layers import SequenceModule
from tcn.models import LSTM, TCN, SequenceModel
from tcn.saving.folder import seal

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
ROUNDING = {dtype: torch.finfo(dtype).eps for dtype in DTYPES}
NETS: dict[str, Any] = {"TCN": lambda: TCN(2, [4] * 3, 3), "LSTM": lambda: LSTM(2, 6)}
# What onnxruntime's CPU has no kernels for: no Conv in double, no LSTM in double, no bfloat16.
MISSING = (torch.bfloat16, torch.float64)


def made(name: str, dtype: torch.dtype) -> SequenceModule:
    torch.manual_seed(0)
    net: SequenceModule = NETS[name]()
    return net.to(dtype).eval()


def run(path: Path, x: Tensor, state: dict[str, Tensor]) -> Tensor:
    if path.suffix == ".pt2":
        found = torch.export.load(path).module()(x, *state.values())
        return found if isinstance(found, Tensor) else found[0]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    arrays = {name: tensor.numpy() for name, tensor in {"x": x, **state}.items()}
    return torch.from_numpy(session.run(["y"], arrays)[0])


@pytest.mark.parametrize("suffix", ["onnx", "pt2"])
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])
@pytest.mark.parametrize("dtype", [
    torch.float16, torch.bfloat16, *(
        # Half a minute of exports; the other tests have float32.
        pytest.param(dtype, marks=pytest.mark.slow) for dtype in (torch.float32, torch.float64)
    ),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("name", NETS)
def test_a_file_computes_what_the_net_does_in_its_own_dtype(
    tmp_path: Path, name: str, dtype: torch.dtype, streaming: bool, suffix: str
) -> None:
    net, path = made(name, dtype), tmp_path / f"net.{suffix}"
    if suffix == "onnx" and dtype in MISSING:
        with pytest.raises(
            ValueError, match=rf"net: parameters of {dtype}, .*export net\.float\(\)"
        ):
            export(net, path, streaming=streaming)
        assert not list(tmp_path.iterdir())
        return
    export(net, path, streaming=streaming)
    x = torch.randn(3, 2, 17).to(dtype)
    y = run(path, x, initial_state(net, 3) if streaming else {})
    assert y.dtype == dtype
    expected = copy.deepcopy(net).double()(x.double())
    assert (y.double() - expected).abs().max() < 64 * ROUNDING[dtype] * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_file_of_another_net_is_refused_in_half_precision_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype
) -> None:
    """The tolerance lets roundings through, and not a weight that is three times as large."""
    net, other = made("TCN", dtype), made("TCN", dtype)
    with torch.no_grad():
        next(p for p in other.parameters() if p.any()).mul_(3)  # a bias of zeros stays
    monkeypatch.setattr("tcn.inference.graph.Graph.function", lambda graph: _Whole(other))
    with pytest.raises(RuntimeError, match=r"differs from the net by .*; nothing was written"):
        export(net, tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


class _Whole(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.net(inputs[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_folder_keeps_running_averages_that_half_precision_has_no_place_for(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    net = SequenceModel(TCN(2, [4], 3, norm="batch"), 1).to(dtype)
    net(torch.randn(5, 2, 30).to(dtype) * 1000)
    again = from_pretrained(save_pretrained(net.eval(), tmp_path))
    for name, tensor in net.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
        assert again.state_dict()[name].dtype == tensor.dtype


def test_a_folder_all_in_half_precision_loads(tmp_path: Path) -> None:
    """As version 0.1 wrote it, running averages included."""
    net = TCN(2, [4], 3, norm="batch").half()
    save_pretrained(net, tmp_path)
    weights = tmp_path / "model.safetensors"
    tensors = load_file(weights)
    tensors = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
    save_file(tensors, weights)
    data, config = weights.read_bytes(), json.loads((tmp_path / "config.json").read_text())
    config["weights"] |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (tmp_path / "config.json").write_text(seal(config))
    again = from_pretrained(tmp_path)
    averages = {n: t for n, t in again.state_dict().items() if "running" in n}
    assert averages
    assert all(t.dtype == torch.float32 for t in averages.values())
