"""Nets with random weights against neural-amp-modeler itself; nam_nets/make.py made them by it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tcn.audio import load_nam, save_nam
from tcn.inference import StreamSession

FOLDER = Path(__file__).parent / "nam_nets"
NETS = [path.stem for path in sorted(FOLDER.glob("*.nam"))]
TOLERANCE = 1e-6
"""Of the peak: both round to float32 at each step."""


def content(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.nam").read_text())


def reference(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The input and the output, ``(1, 1, time)``."""
    version = content(name)["metadata"]["package"]
    with np.load(FOLDER / f"{version}.npz") as file:
        x, y = (torch.from_numpy(file[each])[None, None] for each in ("input", name))
    return x, y


def test_what_there_is() -> None:
    """Every net of the script, each architecture and the second's parts among them."""
    assert len(NETS) == 18
    assert {content(name)["architecture"] for name in NETS} == {
        "ConvNet", "LSTM", "Linear", "WaveNet"
    }  # fmt: skip
    assert {content(name)["metadata"]["package"] for name in NETS} == {"0.12.2", "0.13.0"}
    layers = json.dumps([content(name)["config"].get("layers") for name in NETS])
    for part in ('"gated"', '"blended"', '"active": true', '"shift": false', '"groups": 2'):
        assert part in layers
    assert "condition_dsp" in content("condition")["config"]


@pytest.mark.parametrize("name", NETS)
def test_outputs_are_those_of_the_package(name: str) -> None:
    net, (x, expected) = load_nam(FOLDER / f"{name}.nam"), reference(name)
    with torch.no_grad():
        found = net(x)
    peak = expected.abs().max().item()
    assert peak > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE * max(peak, 1e-2))
    with torch.no_grad():
        exact = net.double()(x.double()).float()
    torch.testing.assert_close(exact, expected, rtol=0, atol=TOLERANCE * max(peak, 1e-2))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("block", [1, 64, 512])
def test_blocks_are_the_whole(name: str, block: int) -> None:
    net, (x, expected) = load_nam(FOLDER / f"{name}.nam"), reference(name)
    session = StreamSession(net)
    found = torch.cat([session.push(part) for part in x.split(block, -1)], -1)
    peak = expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=2 * TOLERANCE * max(peak, 1e-2))
    with torch.no_grad():
        whole = net(x)
    torch.testing.assert_close(found, whole, rtol=0, atol=TOLERANCE * max(peak, 1e-2))


@pytest.mark.parametrize("name", NETS)
def test_a_file_is_written_as_it_was_read(name: str, tmp_path: Path) -> None:
    net, (x, _) = load_nam(FOLDER / f"{name}.nam"), reference(name)
    again = load_nam(save_nam(net, tmp_path / "again.nam"))
    with torch.no_grad():
        assert torch.equal(again(x), net(x))
    written = np.array(json.loads((tmp_path / "again.nam").read_text())["weights"], np.float32)
    np.testing.assert_array_equal(written, np.array(content(name)["weights"], np.float32))
