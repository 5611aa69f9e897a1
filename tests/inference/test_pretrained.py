"""Nets in folders: what comes back is the net, and what has been tampered with does not come."""

import hashlib
import json
import math
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn

from tcn.inference import pretrained
from tcn.inference.pretrained import (
    from_pretrained,
    load_checkpoint,
    push_to_hub,
    save_pretrained,
)
from tcn.layers import ChannelNorm, Dropout, FiLM, GatedBlock, fold_weight_norm, look_ahead
from tcn.models import GRU, LSTM, RNN, TCN, SequenceModel, TokenModel
from tcn.saving.folder import seal
from tcn.saving.schema import first_error

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tcn/inference/config.schema.json").read_text())


def small() -> SequenceModel:
    return SequenceModel(TCN(3, [4, 4], 2), 2, readout="last")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a small net."""
    return save_pretrained(small(), tmp_path / "net")


def same(net: nn.Module, other: nn.Module) -> bool:
    a, b = net.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


# ----------------------------------------------------------------------------- round trips


@pytest.mark.parametrize(
    "build",
    [
        lambda: TCN(3, (4, 5), 2, dilations=[1, 3], dropout=0.1, norm="batch", activation="gelu"),
        lambda: TCN(3, [4], 2, ndim=2, causal=(False, True), dropout=Dropout(0.2, spatial=True)),
        lambda: TCN(
            3,
            [4],
            2,
            block=GatedBlock,
            norm=ChannelNorm,
            modulation=partial(FiLM, condition_channels=3),
        ),
        lambda: TCN(3, [4, 4], 3, lookahead=2),
        lambda: TCN.for_length(30, 3, 3, width=4),
        lambda: SequenceModel(TCN(6, [6], 3), 9, embedding=9, tie_weights=True),
        lambda: TokenModel(TCN(6, [8], 3), 90, cutoffs=[10, 40], division=2.0),
        lambda: SequenceModel(GRU(3, 4, 2, dropout=0.3), 2, readout="attention", zero_head=True),
        lambda: LSTM(3, 4, forget_bias=1.0).double(),
        lambda: RNN(3, 4).to(torch.bfloat16),
        lambda: fold_weight_norm(TCN(3, [4, 4], 2)),
    ],
)
def test_what_comes_back_is_the_net(tmp_path: Path, build: Callable[[], Any]) -> None:
    net = build()
    random_state = torch.get_rng_state()
    other = from_pretrained(save_pretrained(net, tmp_path))
    assert type(other) is type(net)
    assert other.construction == net.construction
    assert same(net, other)
    assert not other.training
    assert torch.equal(torch.get_rng_state(), random_state)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.integers(1, 4),
    st.sampled_from(["none", "weight", "layer", "rms", "batch", "group", "cumulative"]),
    st.sampled_from(["residual", "preactivation", "separable", "gated"]),
    st.sampled_from(["every", "last", "mean", "max", "attention"]),
)
def test_any_net_computes_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory,
    channels: list[int],
    kernel_size: int,
    norm: str,
    block: str,
    readout: str,
) -> None:
    backbone = TCN(2, channels, kernel_size, norm=norm, block=block)
    net = SequenceModel(backbone, 3, readout=readout).eval()
    other = from_pretrained(save_pretrained(net, tmp_path_factory.mktemp("net")))
    x = torch.randn(2, 2, 7)
    assert torch.equal(net(x), other(x))


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    net = SequenceModel(TCN(6, [6], 3), 9, embedding=9, tie_weights=True)
    other: Any = from_pretrained(save_pretrained(net, tmp_path))
    assert other.head.weight is other.embedding.weight
    shapes = [tensor.shape for tensor in load_file(tmp_path / "model.safetensors").values()]
    assert shapes.count(torch.Size([9, 6])) == 1


def test_a_prediction_needs_neither_lightning_nor_the_hub(folder: Path) -> None:
    program = (
        "import sys, torch\n"
        "from tcn.inference.pretrained import from_pretrained\n"
        "from tcn.inference import StreamSession\n"
        f"net = from_pretrained({str(folder)!r})\n"
        "assert net(torch.zeros(1, 3, 5)).shape == (1, 2)\n"
        "assert StreamSession(net).push(torch.zeros(1, 3, 5)) is not None\n"
        "heavy = {'pytorch_lightning', 'lightning', 'jsonargparse', 'huggingface_hub', 'onnx',\n"
        "         'onnxruntime', 'onnxscript', 'pandas', 'torchaudio'}\n"
        "found = sorted(heavy & set(sys.modules))\n"
        "assert not found, found\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


# -------------------------------------------------------------- nets that cannot be saved


class OwnNet(TCN):
    """Built as a TCN, but of another class."""


class OwnConstructor(TCN):
    def __init__(self) -> None:
        super().__init__(3, [4], 2)


def test_what_is_not_plain_data_is_refused_by_name(tmp_path: Path) -> None:
    net = SequenceModel(TCN(3, [4], 2, modulation=lambda channels: FiLM(channels, 3)), 2)
    cure = r"net\.backbone\.modulation: <function .* use a name, .*partial\(FiLM, condition_ch"
    with pytest.raises(ValueError, match=cure):
        save_pretrained(net, tmp_path)
    with pytest.raises(ValueError, match=r"net\.class: .*OwnNet cannot be written"):
        save_pretrained(OwnNet(3, [4], 2), tmp_path)
    with pytest.raises(ValueError, match="net: OwnConstructor does not know how it was built"):
        save_pretrained(OwnConstructor(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_net_changed_since_it_was_built_is_refused(tmp_path: Path) -> None:
    net = small()
    net.head = nn.Linear(4, 7)
    with pytest.raises(
        ValueError, match=r"changed since it was built: head\.bias is .*\(7,\), exp"
    ):
        save_pretrained(net, tmp_path)
    mixed = small()
    mixed.head.double()
    with pytest.raises(ValueError, match=r"parameters of \['float32', 'float64'\]"):
        save_pretrained(mixed, tmp_path)


def gelu_for_relu(net: nn.Module) -> None:
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.GELU())


def more_dropout(net: nn.Module) -> None:
    next(m for m in net.modules() if isinstance(m, Dropout)).probability = 0.5


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda net: look_ahead(net, 2), "it prints .*, lookahead=1.*, built anew .*'causal'"),
        (gelu_for_relu, "it prints .*GELU.*, built anew .*ReLU"),
        (more_dropout, r"it prints .*Dropout\(0\.5, .*, built anew .*Dropout\(0\.1, "),
    ],
)
@pytest.mark.parametrize("folded", [False, True])
def test_a_net_of_the_same_tensors_that_computes_something_else_is_refused(
    tmp_path: Path, edit: Callable[[Any], Any], message: str, folded: bool
) -> None:
    net = TCN(2, [4, 4], 3, norm="weight", dropout=0.1)
    if folded:
        fold_weight_norm(net)
    save_pretrained(net, tmp_path / "before")
    edit(net)
    with pytest.raises(ValueError, match=f"net: it has been changed since it was built: {message}"):
        save_pretrained(net, tmp_path / "after")
    assert not (tmp_path / "after").exists()


def test_the_folder_of_before_survives_a_failure(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = from_pretrained(folder)
    replace = Path.replace

    def refuses_the_config(self: Path, target: Path) -> Path:
        if Path(target).name == "config.json":
            raise OSError("disk full")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuses_the_config)
    with pytest.raises(OSError, match="disk full"):
        save_pretrained(TCN(3, [7], 2), folder)
    assert same(from_pretrained(folder), before)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]


# -------------------------------------------------------------------- folders that are refused


class Canary:
    """As a pickle, it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "it sang")


def with_checksum(folder: Path) -> None:
    """Makes config.json agree with whatever the weights now are, as an attacker would."""
    data = (folder / "model.safetensors").read_bytes()
    change(folder, lambda config: config["weights"].update(size=len(data)))
    digest = hashlib.sha256(data).hexdigest()
    change(folder, lambda config: config["weights"].update(sha256=digest))


def change(folder: Path, edit: Callable[[Any], None]) -> None:
    """Edits config.json, and makes its own checksum agree, as an attacker would."""
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(with_constants(seal, config))


def with_constants(function: Callable[[Any], str], config: Any) -> str:
    """What ``function`` makes of the config, with NaN written as JSON has no word for it."""
    text = json.dumps(config).replace("NaN", '"no number"')
    return function(json.loads(text)).replace('"no number"', "NaN")


def test_the_canary_sings(tmp_path: Path) -> None:
    """Else the two tests below would show nothing."""
    pickle.loads(pickle.dumps(Canary(tmp_path / "song")))
    assert (tmp_path / "song").exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "best.ckpt", "model.pt"])
def test_a_pickle_is_refused_unread(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(Canary(tmp_path / "song")))
    with pytest.raises(ValueError, match=rf"no model\.safetensors; {name} is a pickle.*then save_"):
        from_pretrained(folder)
    assert not (tmp_path / "song").exists()


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
@pytest.mark.parametrize("covered_up", [False, True])
def test_a_pickle_by_another_name_runs_nothing(
    folder: Path, tmp_path: Path, write: Callable[..., None], covered_up: bool
) -> None:
    with (folder / "model.safetensors").open("wb") as file:
        write(Canary(tmp_path / "song"), file)
    if covered_up:
        with_checksum(folder)
    with pytest.raises(ValueError, match=r"model\.safetensors: (\d+ bytes|not a safetensors file)"):
        from_pretrained(folder)
    assert not (tmp_path / "song").exists()


def test_a_malicious_checkpoint_runs_nothing(tmp_path: Path) -> None:
    torch.save({"state_dict": {"net.x": Canary(tmp_path / "song")}}, tmp_path / "best.ckpt")
    with pytest.raises(ValueError, match=r"best\.ckpt: not a checkpoint that can be read without"):
        load_checkpoint(small(), tmp_path / "best.ckpt")
    assert not (tmp_path / "song").exists()


def test_a_checkpoint_of_another_net_is_refused(tmp_path: Path) -> None:
    net, other = small(), small()
    state = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.ckpt")
    assert same(load_checkpoint(other, tmp_path / "a.ckpt"), net)
    with pytest.raises(ValueError, match=r"(?s)a\.ckpt: of another net: .*Missing key"):
        load_checkpoint(LSTM(3, 4), tmp_path / "a.ckpt")
    torch.save([1, 2], tmp_path / "b.ckpt")
    with pytest.raises(ValueError, match=r"b\.ckpt: no state_dict"):
        load_checkpoint(net, tmp_path / "b.ckpt")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_file_is_refused(folder: Path, data: st.DataObject) -> None:
    """A cut or a bit flipped anywhere in the weights, and any cut of the config."""
    weights, config = folder / "model.safetensors", folder / "config.json"
    good = {path: path.read_bytes() for path in (weights, config)}
    kind = data.draw(st.sampled_from(["cut", "flip", "cut config"]))
    path = config if kind == "cut config" else weights
    position = data.draw(st.integers(0, len(good[path].strip()) - 1))
    damaged = bytearray(good[path])
    if kind == "flip":
        damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del damaged[position:]
    path.write_bytes(damaged)
    try:
        with pytest.raises(ValueError, match=r"truncated|SHA-256 is not|not JSON"):
            from_pretrained(folder)
    finally:
        path.write_bytes(good[path])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop("head.bias"), r"head\.bias is missing"),
        (lambda t: t.update(more=torch.zeros(1)), "more is not expected"),
        (lambda t: t.update({"head.bias": torch.zeros(3)}), r"head\.bias is .*\(3,\), expected"),
        (
            lambda t: t.update({"head.bias": t["head.bias"].double()}),
            r"head\.bias is torch\.float64 .*32",
        ),
    ],
)
def test_tensors_of_another_net_are_refused_by_name(
    folder: Path, edit: Callable[[Any], None], message: str
) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")
    with_checksum(folder)
    with pytest.raises(ValueError, match=rf"model\.safetensors: {message}"):
        from_pretrained(folder)


def backbone(**arguments: Any) -> Callable[[Any], None]:
    return lambda config: config["net"]["arguments"]["backbone"]["arguments"].update(arguments)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.pop("weights"), "weights is missing"),
        (lambda c: c.update(run="me"), "run is not known"),
        (lambda c: c.update(format_version=3), r"format_version: 3 is not one of 1, 2; .* a later"),
        (lambda c: c.update(format_version=True), r"format_version: True is not one of 1, 2"),
        (lambda c: c.update(format_version=1), "checksum is not known in version 1"),
        (lambda c: c.update(dtype="int8"), "dtype: 'int8' is not one of 'float16', "),
        (lambda c: c["weights"].update(file="../../x"), r"weights\.file: '\.\./\.\./x' is not 'm"),
        (lambda c: c["weights"].update(size=True), r"weights\.size: 'True' is not integer"),
        (lambda c: c["weights"].update(sha256="0"), r"weights\.sha256: '0' does not match"),
        (
            lambda c: c["net"].update({"class": "os.system"}),
            "'os.system' is not a class of this ver",
        ),
        (lambda c: c["net"].update({"class": "Dropout", "arguments": {}}), "bias is not expected"),
        (lambda c: c["net"]["arguments"].update(readout="best"), "readout: 'best' is not one of"),
        (lambda c: c["net"]["arguments"].update(color=1), "unexpected keyword argument 'color'"),
        (lambda c: c["net"]["arguments"].pop("backbone"), "missing 1 required .* 'backbone'"),
        (lambda c: c["net"]["arguments"].update(out_channels=5), r"head\.bias is .* expected"),
        (lambda c: c["net"]["arguments"].update(out_channels={"a": 1}), "class is missing"),
        (backbone(channels=[2**31 - 1] * 2), r"config\.json: net\.backbone: TCN cannot be built: "),
        (backbone(channels=[10**9], kernel_size=10**9), r"net\.backbone: TCN cannot be built: "),
        (
            backbone(kernel_size=10**18),
            r"backbone\.arguments\.kernel_size: 1000000000000000000 is ab",
        ),
        (
            backbone(kernel_size=-(10**30)),
            r"arguments\.kernel_size: -1000000+ is below -2147483648",
        ),
        (backbone(channels=[2**62]), r"arguments\.channels\[0\]: 4611686018427387904 is above"),
        (backbone(channels=[1] * 100_000), r"channels: 100000 items are more than 1024"),
        (backbone(dropout=math.nan), r"config\.json: not JSON: NaN is not a JSON number"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_by_name(
    folder: Path, edit: Callable[[Any], None], message: str
) -> None:
    change(folder, edit)
    start = time.process_time()
    with pytest.raises(ValueError, match=message) as refused:
        from_pretrained(folder)
    assert "\n" not in str(refused.value)
    assert time.process_time() - start < 5


def test_nesting_without_end_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"net": ' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(ValueError, match=r"config\.json: not JSON"):
        from_pretrained(folder)


@pytest.mark.parametrize("levels", [130, 600, 1024])
def test_a_config_of_many_levels_is_refused_in_no_time(folder: Path, levels: int) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["checksum"]
    config |= {"format_version": 1, "net": "here"}  # version 1 has no checksum to be made up
    nested = (
        '{"class": "Chain", "arguments": {"inner": ' * (levels // 2) + "1" + "}}" * (levels // 2)
    )
    (folder / "config.json").write_text(json.dumps(config).replace('"here"', nested))
    start = time.process_time()
    reason = "the file: lists and objects in each other, more than 128|not JSON: maximum recursion"
    with pytest.raises(ValueError, match=rf"config\.json: ({reason})"):
        from_pretrained(folder)
    assert time.process_time() - start < 1


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no config\.json; expected a folder that save_pretrain"):
        from_pretrained(tmp_path)


# ----------------------------------------------------------------------------- the schema

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from([2**31, -(2**33)])
    | st.floats(-2, 2)
    | st.sampled_from("ab"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.just([1] * 1025)
        | st.dictionaries(
            st.sampled_from(["class", "arguments", "partial", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    net = TCN(1, [1], 1, dilations=[2**31])
    with pytest.raises(ValueError, match=r"net: it cannot .*dilations\[0\]: 2147483648 is above"):
        save_pretrained(net, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@settings(max_examples=300, deadline=None)
@given(
    part=st.sampled_from(["", "net", "net.class", "net.arguments", "weights", "dtype", "folded"]),
    value=JSON,
)
def test_our_check_agrees_with_jsonschema(part: str, value: Any) -> None:
    config: Any = {
        "format": "tcn",
        "format_version": 1,
        "tcn_version": "1",
        "net": {"class": "TCN", "arguments": {"channels": [1, 2], "norm": {"class": "RMSNorm"}}},
        "dtype": "float32",
        "folded": False,
        "weights": {"file": "model.safetensors", "size": 3, "sha256": "0" * 64},
    }
    assert first_error(config, SCHEMA) is None
    *path, last = ["all", *part.split(".")] if part else ["all"]
    holder = everything = {"all": config}
    for key in path:
        holder = holder[key]
    holder[last] = value
    valid = jsonschema.Draft202012Validator(SCHEMA).is_valid(everything["all"])
    assert (first_error(everything["all"], SCHEMA) is None) == valid


# ---------------------------------------------------------------------------------- the hub


def test_a_repository_that_cannot_be_had_is_refused_with_the_reason(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    message = "source: 'someone/net' is not a folder here, and could not be loaded from the hub: "
    with pytest.raises(ValueError, match=message):
        from_pretrained("someone/net", cache_dir=tmp_path, local_files_only=True)


def test_a_repository_of_the_cache_is_read_at_its_revision(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    repository = tmp_path / "cache" / "models--someone--net"
    (repository / "snapshots").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "tuned").write_text("a" * 40)
    folder.rename(repository / "snapshots" / ("a" * 40))
    net = from_pretrained(
        "someone/net", revision="tuned", cache_dir=tmp_path / "cache", local_files_only=True
    )
    assert isinstance(net, SequenceModel)
    with pytest.raises(ValueError, match="could not be loaded"):
        from_pretrained(
            "someone/net", revision="other", cache_dir=tmp_path / "cache", local_files_only=True
        )


def test_what_is_neither_folder_nor_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="source: '' is neither a folder nor the name of a repos"):
        from_pretrained("")
    file = tmp_path / "model.safetensors"
    file.touch()
    with pytest.raises(ValueError, match=r"source: .*safetensors' is a file; pass the folder that"):
        from_pretrained(file)
    with pytest.raises(ValueError, match="is neither a folder nor the name of a repository"):
        from_pretrained(tmp_path / "missing")


def test_without_the_hub_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"needs the extra 'hub': pip install "):
        from_pretrained("someone/net")
    with pytest.raises(ImportError, match=r"needs the extra 'hub': pip install "):
        push_to_hub(small(), "someone/net")


def test_what_is_pushed_is_what_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub itself is not at hand: a folder stands in for it, behind its client's two calls."""
    hub = pytest.importorskip("huggingface_hub")

    def create_repo(self: Any, repo_id: str, **settings: Any) -> Any:
        assert settings == {"private": True, "exist_ok": True}
        return hub.RepoUrl(f"https://huggingface.co/{repo_id}")

    def upload_folder(self: Any, *, repo_id: str, folder_path: str, **settings: Any) -> Any:
        assert (repo_id, settings["revision"]) == ("someone/net", "draft")
        Path(folder_path).rename(tmp_path / "hub")
        Path(folder_path).mkdir()
        return type("Commit", (), {"commit_url": "the commit"})

    monkeypatch.setattr(hub.HfApi, "create_repo", create_repo)
    monkeypatch.setattr(hub.HfApi, "upload_folder", upload_folder)
    net = small()
    found = push_to_hub(net, "someone/net", private=True, revision="draft")
    assert found == "the commit"
    assert same(from_pretrained(tmp_path / "hub"), net)


def test_the_names_of_the_files_are_those_of_the_hub() -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    assert constants.CONFIG_NAME == pretrained.CONFIG
    assert constants.SAFETENSORS_SINGLE_FILE == pretrained.WEIGHTS
