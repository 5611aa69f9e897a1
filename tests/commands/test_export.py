"""`tcn export`, as a user runs it: from a training run, and from a saved folder."""

import sys
from pathlib import Path

import pytest
import torch

from tcn.commands import main
from tcn.commands.export import SUFFIXES, run
from tcn.commands.training import TCNCLI, build
from tcn.inference.export import SUFFIXES as WRITTEN
from tcn.inference.export import initial_state
from tcn.inference.pretrained import load_checkpoint, save_pretrained
from tcn.models import TCN
from tests.training.running import adding_config

pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

CONFIG = f"""
trainer:
  max_epochs: 1
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
{adding_config("out_channels: 1", "length: 10, train_size: 64, validation_size: 20, test_size: 40")}
"""


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Lightning, about tiny epochs
def test_the_net_of_a_training_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tcn"])
    Path("config.yaml").write_text(CONFIG)
    TCNCLI(["fit", "--config", "config.yaml"])
    (checkpoint,) = tmp_path.rglob("best.ckpt")
    # The file that the run wrote, with the options of the run itself.
    flags = [
        "--config",
        "version_0/config.yaml",
        "--ckpt_path",
        str(checkpoint),
        "--output",
        "net.onnx",
    ]
    run("export", flags)
    net = load_checkpoint(build("config.yaml").model.net, checkpoint).eval()
    x = torch.randn(3, 2, 17)
    session = onnxruntime.InferenceSession("net.onnx")
    (y,) = session.run(None, {"x": x.numpy()})
    assert (torch.from_numpy(y) - net(x)).abs().max() <= 1e-5


def test_a_saved_folder_as_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    net = TCN(2, [4, 4], 2).eval()
    monkeypatch.chdir(tmp_path)
    save_pretrained(net, "net")
    monkeypatch.setattr(sys, "argv", ["tcn", "export", "net", "net.onnx", "--streaming"])
    main()
    assert "its outputs are those of the net" in capsys.readouterr().out
    session = onnxruntime.InferenceSession("net.onnx")
    x = torch.randn(3, 2, 1)
    state = {name: tensor.numpy() for name, tensor in initial_state(net, 3).items()}
    y, *_ = session.run(None, {"x": x.numpy(), **state})
    assert (torch.from_numpy(y) - net(x)).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "expected FOLDER and FILE, or --config, --ckpt_path and FILE"),
        (["net.onnx", "--config", "config.yaml"], 2, "expected FOLDER and FILE, or --config"),
        (["net", "net.onnx", "--ckpt_path", "a.ckpt"], 2, "expected FOLDER and FILE, or --config"),
        (["net", "net.onnx", "--config", "a.yaml"], 2, "expected FOLDER and FILE, or --config"),
        (
            ["net", "net.onnx", "--config", "a.yaml", "--ckpt_path", "a.ckpt"],
            2,
            "expected FOLDER and FILE, or --config",
        ),
        (
            ["missing", "net.onnx"],
            1,
            "FOLDER: 'missing' is not a folder; save_pretrained writes one",
        ),
        (["net", "net.tflite"], 1, "the suffix of 'net.tflite' is not one of 'onnx', 'pt2'"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_pretrained(TCN(2, [4], 2), "net")
    with pytest.raises(SystemExit) as stopped:
        run("export", arguments)
    assert stopped.value.code == status
    assert message in capsys.readouterr().err


def test_the_help_of_tcn_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tcn", "--help"])
    main()
    assert "export " in capsys.readouterr().out


def test_suffixes_are_those_of_the_formats() -> None:
    assert SUFFIXES == WRITTEN
