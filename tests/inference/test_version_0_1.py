"""What version 0.1 wrote loads as what it was, though defaults and formats have changed since."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tcn.inference import StreamSession, from_pretrained, load_checkpoint, save_pretrained
from tcn.layers.convolution import Convolution
from tcn.models import TCN, SequenceModel

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


def test_a_folder_of_0_1_may_leave_norm_and_initialization_out(tmp_path: Path) -> None:
    # The norm of then is that of now; whatever a net begins with, a folder brings its weights.
    folder = shutil.copytree(FOLDER / "sequence", tmp_path / "folder")
    config = json.loads((folder / "config.json").read_text())
    arguments = config["net"]["arguments"]["backbone"]["arguments"]
    assert (arguments.pop("norm"), arguments.pop("initialization")) == ("weight", "pytorch")
    (folder / "config.json").write_text(json.dumps(config))
    expected = load_file(folder / "expected.safetensors")
    net = from_pretrained(folder)
    torch.testing.assert_close(net(expected["x"]), expected["y"])
    again = from_pretrained(save_pretrained(net, tmp_path / "again"))
    torch.testing.assert_close(again(expected["x"]), expected["y"])


def test_a_session_of_0_1_goes_on(tmp_path: Path) -> None:
    # Two of the three rows had begun, and were five steps old.
    expected = load_file(FOLDER / "stream" / "expected.safetensors")
    net = from_pretrained(FOLDER / "stream")
    session = StreamSession.load(FOLDER / "stream" / "users.session", net)
    assert session.nan == "hold"
    torch.testing.assert_close(session.fork().push(expected["x"]), expected["y"])
    session.save(tmp_path / "again")
    again = StreamSession.load(tmp_path / "again", net)
    torch.testing.assert_close(again.push(expected["x"]), expected["y"])


def test_a_checkpoint_of_0_1_holds_the_trained_net() -> None:
    expected = load_file(FOLDER / "checkpoint" / "expected.safetensors")
    net = SequenceModel(TCN(2, [4], 2), 1, readout="last")
    net = load_checkpoint(net, FOLDER / "checkpoint" / "last.ckpt").eval()
    torch.testing.assert_close(net(expected["x"]), expected["y"])
