"""Checkpoints of training: all of the net or nothing, with the names that `torch.compile` gives."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tcn.inference import load_checkpoint
from tcn.models import TCN, SequenceModel


def small(seed: int = 0) -> SequenceModel:
    torch.manual_seed(seed)
    return SequenceModel(TCN(3, [4, 4], 2), 2, readout="last")


def state(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def write(path: Path, tensors: dict[str, Any]) -> Path:
    torch.save({"state_dict": {f"net.{name}": tensor for name, tensor in tensors.items()}}, path)
    return path


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.update({"head.bias": torch.zeros(3)}), "of another net: .*size mismatch"),
        (lambda t: t.pop("head.bias"), "of another net: .*Missing key"),
        (lambda t: t.update(more=torch.zeros(1)), "of another net: .*Unexpected key"),
        (lambda t: t.update({"head.bias": [1.0, 2.0]}), "head.bias is not a tensor of numbers"),
        (
            lambda t: t.update({"head.bias": torch.zeros(2, device="meta")}),
            "head.bias is not a tensor of numbers",
        ),
        (
            lambda t: t.update({"head.bias": torch.zeros(2).to_sparse()}),
            "head.bias is not a tensor of numbers",
        ),
    ],
)
def test_a_net_that_is_refused_is_what_it_was(
    tmp_path: Path, edit: Callable[[dict[str, Any]], Any], message: str
) -> None:
    # All other tensors fit, and the last one is the one that does not.
    net, tensors = small(), state(small(1))
    before = state(net)
    edit(tensors)
    with pytest.raises(ValueError, match=rf"(?s)a\.ckpt: {message}"):
        load_checkpoint(net, write(tmp_path / "a.ckpt", tensors))
    assert same(state(net), before)


def test_a_record_that_its_checksum_does_not_fit_is_refused(tmp_path: Path) -> None:
    net, path = small(), write(tmp_path / "a.ckpt", state(small(1)))
    before, data = state(net), bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        # Zeros, as biases begin, are found in the padding between records too.
        records = [info for info in archive.infolist() if "/data/" in info.filename]
        record = next(info for info in records if any(archive.read(info)))
        weights = data.find(archive.read(record))
    data[weights] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.ckpt: not a checkpoint .*data/\d"):
        load_checkpoint(net, path)
    assert same(state(net), before)


def test_a_record_that_a_bit_calls_a_folder_is_still_read(tmp_path: Path) -> None:
    # Bit 4 of the attributes; PyTorch alone returns what was in memory.
    trained, net = small(1), small()
    path = write(tmp_path / "a.ckpt", state(trained))
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02")
    while place >= 0:
        data[place + 38] ^= 0x10
        place = data.find(b"PK\x01\x02", place + 1)
    path.write_bytes(data)
    assert same(state(load_checkpoint(net, path)), state(trained))


def test_an_archive_whose_directory_is_gone_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ckpt", state(small(1)))
    path.write_bytes(path.read_bytes().replace(b"PK\x05\x06", b"PK\x05\x07"))
    with pytest.raises(ValueError, match=r"a\.ckpt: not a checkpoint .*File is not a zip file"):
        load_checkpoint(small(), path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {3: torch.zeros(1)}}, "of another net"),
        ({"state_dict": 3}, "no state_dict"),
        ({}, "no state_dict"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=rf"a\.ckpt: {message}"):
        load_checkpoint(small(), tmp_path / "a.ckpt")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.ckpt"):
        with pytest.raises(ValueError, match=rf"{path}: there is no such file; pass a checkpoint"):
            load_checkpoint(small(), path)


def test_a_compiled_net_that_was_trained_is_loaded_plain(tmp_path: Path) -> None:
    trained = small(1)
    path = write(tmp_path / "a.ckpt", torch.compile(trained).state_dict())
    net = small()
    assert load_checkpoint(net, path) is net
    assert same(state(net), state(trained))


def test_a_plain_net_that_was_trained_is_loaded_compiled(tmp_path: Path) -> None:
    trained, net = small(1), small()
    net.backbone = torch.compile(net.backbone)
    load_checkpoint(net, write(tmp_path / "a.ckpt", state(trained)))
    assert same({n.replace("_orig_mod.", ""): t for n, t in state(net).items()}, state(trained))
