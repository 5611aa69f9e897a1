"""Nets that version 0.1 wrote load as what they were, though defaults have changed since."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tcn.inference import from_pretrained, save_pretrained
from tcn.layers.convolution import Convolution

FOLDER = Path(__file__).parent / "version_0_1"
CAUSAL_AXES = {"sequence": ("causal",), "image": ("causal",) * 2, "spectrogram": ("same", "causal")}


@pytest.mark.parametrize("name", CAUSAL_AXES)
def test_a_folder_of_0_1_computes_what_it_computed(name: str, tmp_path: Path) -> None:
    # Folder, input and output are those of the code of version 0.1, in which the image was causal
    # along both axes because nothing else had been said.
    assert json.loads((FOLDER / name / "config.json").read_text())["tcn_version"] == "0.1.0"
    expected = load_file(FOLDER / name / "expected.safetensors")
    net = from_pretrained(FOLDER / name)
    torch.testing.assert_close(net(expected["x"]), expected["y"])
    convolutions = [m for m in net.modules() if isinstance(m, Convolution) and any(m.span)]
    assert {convolution.axis_padding for convolution in convolutions} == {CAUSAL_AXES[name]}
    again = from_pretrained(save_pretrained(net, tmp_path))
    torch.testing.assert_close(again(expected["x"]), expected["y"])
