"""Files that are damaged or hostile, and nets that have no place in a file."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tcn.audio import load_nam, nam_file, save_nam
from tcn.layers import Chain, Conv1d
from tcn.models import TCN, Capture, NAMBlock, NAMStack, NAMWaveNet

LAYER = {
    "input_size": 1, "condition_size": 1, "channels": 2, "kernel_size": 2, "dilations": [1, 2],
    "activation": "Tanh", "head_size": 1, "head_bias": True,
}  # fmt: skip
GOOD: dict[str, Any] = {
    "version": "0.5.4",
    "architecture": "WaveNet",
    "config": {"layers": [LAYER], "head": None, "head_scale": 0.02},
    # entry 2; two layers of convolution 8 + 2, mixin 2, residual 4 + 2; head 2 + 1; scale
    "weights": [0.125] * (2 + 2 * (8 + 2 + 2 + 4 + 2) + 3 + 1),
    "sample_rate": 44100,
    "metadata": {"name": "good"},
}


def changed(*keys: Any, to: Any) -> dict[str, Any]:
    """The good file with the entry that the keys lead to replaced."""
    content = copy.deepcopy(GOOD)
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    return content


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name != key}


def layer(**entries: Any) -> dict[str, Any]:
    return changed("config", "layers", 0, to=LAYER | entries)


def container(*models: tuple[float, Any]) -> dict[str, Any]:
    submodels = [{"max_value": limit, "model": model} for limit, model in models]
    return GOOD | {
        "architecture": "SlimmableContainer",
        "config": {"submodels": submodels},
        "weights": [],
    }


def nested(levels: int) -> dict[str, Any]:
    content = GOOD
    for _ in range(levels):
        content = changed("config", "condition_dsp", to=content)
    return content


REFUSED = [
    (changed("version", to="0.4.9"), r"version: '0.4.9' is not one of 0.5.0 to 0.7.0; export"),
    (changed("version", to="0.8.0"), r"version: '0.8.0' is not one of"),
    (changed("version", to="1.0.0"), r"version: '1.0.0' is not one of"),
    (changed("version", to="new"), r"version: 'new' does not match"),
    (changed("version", to=5), r"version: '5' is not string"),
    (changed("architecture", to="Transformer"), r"architecture: 'Transformer' is not one of 'Wav"),
    (changed("config", to=[]), r"config: '\[\]' is not object; correct it"),
    (changed("weights", to={}), r"weights: '\{\}' is not array"),
    (without("version"), r"version is missing; correct it"),
    (without("weights"), r"weights is missing"),
    ([], r"'\[\]' is not object"),
    (changed("sample_rate", to=0), r"sample_rate: 0 must be above 0 Hz; write 48000"),
    (changed("sample_rate", to=10**400), r"sample_rate: 10{39} must be above 0 Hz; write 48000"),
    (changed("metadata", "gain", to="1e999"), r"metadata: a number that is too large; correct it"),
    (changed("architecture", to="x" * 5000), r"architecture: 'x{79}\.\.\. is not one of 'WaveNet'"),
    (changed("sample_rate", to="fast"), r"sample_rate: 'fast' is not"),
    (changed("metadata", to=3), r"metadata: '3' is not"),
    (changed("weights", to=GOOD["weights"][:-1]), r"weights: 41 numbers for a net that takes 42"),
    (changed("weights", to=[*GOOD["weights"], 1]), r"weights: 43 numbers for a net that takes 42"),
    (changed("weights", to=[]), r"the 0 weights there are would be needed; export the file again"),
    (changed("weights", 7, to="0.5"), r"weights\[7\]: '0.5' is not a number that fits in float32"),
    (changed("weights", 7, to=None), r"weights\[7\]: 'None' is not a number"),
    (changed("weights", 7, to=True), r"weights\[7\]: 'True' is not a number"),
    (changed("weights", 7, to=[1.0]), r"weights\[7\]: '\[1.0\]' is not a number"),
    (changed("weights", 7, to=1e39), r"weights\[7\]: '1e\+39' is not a number that fits"),
    (changed("weights", 7, to=10**400), r"weights\[7\]: '10000.*' is not a number that fits"),
    (changed("config", "layers", to=[]), r"layers: no stack of layers"),
    (changed("config", "foo", to=1), r"config\.foo is not known; correct it"),
    (changed("config", "in_channels", to=2), r"config\.in_channels: 2 is not 1"),
    (layer(foo=1), r"config\.layers\[0\]\.foo is not known"),
    (layer(channels="2"), r"config\.layers\[0\]\.channels: '2' is not integer"),
    (layer(channels=10**9), r"config\.layers\[0\]\.channels: 1000000000 is above 65536"),
    (layer(channels=60000), r"config: layers\[0\]: more than the 42 weights there are"),
    (layer(channels=0), r"channels: 0 is below 1"),
    (layer(dilations=[1, 10**9]), r"dilations\[1\]: 1000000000 is above"),
    (layer(dilations=[1, 2**21]), r"config: 2097154.* samples seen; at most 2097152 are read"),
    (layer(dilations=[1] * 2000), r"dilations: 2000 items are more than 1024"),
    (layer(dilations=[]), r"layers\[0\]: blocks: none; a stack needs at least one"),
    (layer(kernel_sizes=[2, 2]), r"kernel_size, kernel_sizes: both are there, or neither; keep"),
    (layer(kernel_size=[2]), r"kernel_size: 1 for 2 dilations; give as many, or one"),
    (layer(activation="Tan"), r"layers\[0\]: 'Tan' is not one of Tanh, .*; write one of these"),
    (layer(activation={"type": "Tanh", "a": 1}), r"'a' is not an entry of Tanh; leave it out"),
    (layer(activation={"type": "Softsign", "alpha": 2}), r"alpha: Softsign is read with alpha 1"),
    (layer(activation={"type": "PReLU", "negative_slopes": [1, 2, 3]}), r"3 slopes for 2 channels"),
    (layer(activation={"type": "LeakyReLU", "negative_slope": "x"}), r"slope: 'x' is not a number"),
    (layer(activation={"type": "Hardtanh", "min_val": 2}), r"min_val: 2 is not below max_val, 1;"),
    (layer(activation={"type": "PReLU", "negative_slope": 10**400}), r"slope: '10{39}' is not a n"),
    (layer(activation={"type": "LeakyReLU", "negative_slope": 1e300}), r"not .* fits in float32"),
    (layer(activation={"type": "LeakyReLU", "negative_slope": [1]}), r"takes a number for each"),
    (layer(gating_mode="both"), r"gating_mode: 'both' is not one of 'none'"),
    (layer(gated=True, gating_mode="none"), r"gated: true beside gating_mode; leave it out"),
    (layer(head1x1={"active": True, "out_channels": 3, "groups": 2}), r"groups: 2 does not divide"),
    (layer(layer1x1_post_film={"active": True}, layer1x1={"active": False}), r"films: 'layer1x1_"),
    (layer(layer1x1={"active": False}, bottleneck=1), r"residual returns 1 channels, expected 2"),
    (changed("config", "condition_dsp", to={}), r"config\.condition_dsp\.version is missing"),
    (changed("config", "condition_dsp", to=GOOD | {"sample_rate": 1}), r"condition_dsp\.sample_r"),
    (changed("config", "condition_dsp", to=container((1.0, GOOD))), r"a container inside a net"),
    (container(), r"config\.submodels: max_value \[\]; sort them, and let the last be 1"),
    (container((1.0, GOOD), (0.5, GOOD)), r"max_value \[1.0, 0.5\]"),
    (container((0.5, GOOD)), r"max_value \[0.5\]"),
    (container((0.5, GOOD), (1.0, GOOD | {"sample_rate": 1})), r"submodels\[1\]\.model\.sample_r"),
    (container((0.5, {}), (1.0, GOOD)), r"submodels\[0\]\.model\.version is missing"),
    (container((1.0, GOOD)) | {"weights": [1]}, r"weights: 1 numbers in a container; leave them"),
    (nested(80), r"lists and objects in each other, more than 128 levels deep"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_a_file_is_refused_with_the_place(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.nam"
    path.write_text(json.dumps(content).replace('"1e999"', "1e999"))
    with pytest.raises(ValueError, match=message) as caught:
        load_nam(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "; " in str(caught.value)  # the cure
    assert len(str(caught.value)) < 600


def test_sizes_may_be_written_with_a_point(tmp_path: Path) -> None:
    """In JSON 2.0 and 2 are the same number."""
    path = tmp_path / "good.nam"
    path.write_text(json.dumps(layer(channels=2.0, kernel_size=2.0, dilations=[1.0, 2.0])))
    net = load_nam(path)
    path.write_text(json.dumps(GOOD))
    assert torch.equal(net(torch.ones(1, 1, 5)), load_nam(path)(torch.ones(1, 1, 5)))


def test_the_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "good.nam"
    path.write_text(json.dumps(GOOD))
    net = load_nam(path)
    assert (net.sample_rate, net.metadata, net.receptive_field) == (44100, {"name": "good"}, 4)
    with pytest.raises(ValueError, match=r"width: 0.5, but .* holds a single net; leave it out"):
        load_nam(path, width=0.5)
    later = changed("version", to="0.7.3")  # a patch adds what may be left out
    path.write_text(json.dumps(later))
    assert torch.equal(load_nam(path)(torch.ones(1, 1, 5)), net(torch.ones(1, 1, 5)))


@pytest.mark.parametrize("text", [
    "", "{", json.dumps(GOOD)[:-30], "[" * 100_000, "\x00", '{"version": NaN}', "nam" * 9,
    json.dumps(GOOD).replace("0.125", "NaN", 1), json.dumps(GOOD).replace("0.02", "Infinity"),
    json.dumps(GOOD).replace("0.02", "-Infinity"), json.dumps(GOOD).replace("0.02", "9" * 5000),
])  # fmt: skip
def test_what_is_not_json_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.nam"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"bad.nam: it is not JSON: .*; download or export"):
        load_nam(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match=r"bad.nam: it is not JSON"):
        load_nam(path)


def test_what_is_no_file_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tmp_path, tmp_path / "absent.nam"):
        with pytest.raises(ValueError, match=r"it cannot be read: .*; give the path of a .nam"):
            load_nam(path)
    path = tmp_path / "large.nam"
    path.write_text(json.dumps(GOOD))
    monkeypatch.setattr(nam_file, "LARGEST_FILE", path.stat().st_size)
    load_nam(path)
    monkeypatch.setattr(nam_file, "LARGEST_FILE", path.stat().st_size - 1)
    with pytest.raises(ValueError, match=r"more than \d+ bytes, which no capture has; give"):
        load_nam(path)


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    whole, path = json.dumps(GOOD), tmp_path / "cut.nam"
    for end in range(0, len(whole), 7):
        path.write_text(whole[:end])
        with pytest.raises(ValueError, match=r"cut.nam: "):
            load_nam(path)


def test_a_width_is_chosen_as_the_player_does(tmp_path: Path) -> None:
    # By the rule of NeuralAmpModelerCore, container.cpp: the first whose max_value is above it.
    nets = [Capture(Conv1d(1, 1, size)) for size in (1, 2, 3)]
    path = save_nam(nets[2], tmp_path / "c.nam", narrower={0.25: nets[0], 0.5: nets[1]})
    widths = {None: 3, 0.0: 1, 0.2: 1, 0.25: 2, 0.4: 2, 0.5: 3, 1.0: 3}
    for width, size in widths.items():
        assert load_nam(path, width=width).receptive_field == size
    with pytest.raises(ValueError, match=r"width: 2 is not between 0 and 1; give one such as 0.5"):
        load_nam(path, width=2)
    assert json.loads(path.read_text())["version"] == "0.7.0"


def block(**parts: Any) -> NAMBlock:
    return NAMBlock(Conv1d(2, 2, 2), Conv1d(1, 2, 1, bias=False), nn.Tanh(), **parts)


def capture(*blocks: NAMBlock) -> Capture:
    stack = NAMStack(Conv1d(1, 2, 1, bias=False), blocks, Conv1d(2, 1, 1))
    return Capture(NAMWaveNet([stack]))


UNWRITABLE = [
    (Capture(TCN(1, [1], 2)), TypeError, r"net: a TCN has no place in a .nam file; give a Capture"),
    (TCN(1, [1], 2), TypeError, r"net: TCN is not a Capture; wrap it: Capture\(net, sample_rate"),
    (Capture(Chain(Conv1d(1, 2, 3), nn.Tanh(), Conv1d(2, 1, 1))), ValueError, r"of kernel 2 and"),
    (Capture(Chain(Conv1d(1, 2, 2), nn.GELU(), Conv1d(2, 1, 1))), ValueError, r"no name for GELU"),
    (Capture(Conv1d(1, 1, 2, dilation=3)), ValueError, r"has no dilation; build it without"),
    (capture(block(), block(residual=Conv1d(2, 2, 1))), ValueError, r"blocks\[1\] has another lay"),
    (capture(block(skip=Conv1d(2, 2, 1, bias=False))), ValueError, r"give all parts the form that"),
    (Capture(Conv1d(1, 1, 2)).double(), ValueError, r"weights of torch.float64, or .* net.float"),
]  # fmt: skip


@pytest.mark.parametrize(("net", "error", "message"), UNWRITABLE)
def test_what_a_file_cannot_hold_is_refused(
    net: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        save_nam(net, tmp_path / "net.nam")
    assert list(tmp_path.iterdir()) == []


def deep(levels: int) -> dict[str, Any]:
    return {"inside": deep(levels - 1)} if levels else {}


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"metadata": "loud"}, TypeError, "metadata: str is not a mapping; give a dict"),
    ({"metadata": deep(128)}, ValueError, "more than 128 levels deep; give flatter ones"),
    ({"metadata": deep(900)}, ValueError, "more than 128 levels deep; give flatter ones"),
    ({"narrower": [1]}, TypeError, "narrower: list is not a mapping; give a dict"),
    ({"narrower": {"half": 1}}, ValueError, r"widths \['half'\] are not all numbers between 0 and"),
    ({"narrower": {0.5: Conv1d(1, 1, 2)}}, TypeError, "net: Conv1d is not a Capture; wrap it"),
    ({"narrower": {i / 99: Capture(Conv1d(1, 1, 2)) for i in range(1, 65)}}, ValueError,
     "narrower: 64 nets; a file has room for 63 beside net"),
])  # fmt: skip
def test_what_cannot_be_said_beside_a_net(
    arguments: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        save_nam(Capture(Conv1d(1, 1, 2)), tmp_path / "net.nam", **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"sample_rate": "48000"}, TypeError, "sample_rate: '48000' is not a number; give Hz, such"),
    ({"sample_rate": 10**400}, ValueError, "sample_rate: 10+ must be above 0 Hz"),
    ({"metadata": {}}, TypeError, "metadata: dict is not a text; give json.dumps of it"),
    ({"metadata": ""}, ValueError, r"metadata: '' is not JSON \(Exp.*\); give json.dumps of"),
    ({"metadata": "[]"}, ValueError, r"metadata: '\[\]' is not a JSON object such as '{}'; give"),
    ({"metadata": '{"a": NaN}'}, ValueError, r"is not JSON \(NaN is not a JSON number\); give"),
])  # fmt: skip
def test_what_a_capture_cannot_be(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Capture(Conv1d(1, 1, 2), **arguments)


def test_a_refused_file_leaves_the_old_one(tmp_path: Path) -> None:
    net = Capture(Conv1d(1, 1, 2))
    path = save_nam(net, tmp_path / "net.nam", metadata={"name": "old"})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"metadata: .*; give texts, finite numbers"):
        save_nam(net, path, metadata={"loudness": math.nan})
    with torch.no_grad():
        net.net.weight[0, 0, 0] = math.inf
    with pytest.raises(ValueError, match=r"net: .* not finite; .* or train again"):
        save_nam(net, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["net.nam"]
    assert load_nam(path).metadata == {"name": "old"}
