"""One bit flipped anywhere in any file: refused by name, and nothing but a ValueError."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tcn.forecasting import Forecaster
from tcn.inference import StreamSession, from_pretrained, load_checkpoint, save_pretrained
from tcn.models import TCN, SequenceModel

COUNTS = [100, pytest.param(2000, marks=pytest.mark.slow)]


def net() -> SequenceModel:
    return SequenceModel(TCN(2, [4, 4], 3, norm="batch", lookahead=0), out_channels=3).eval()


def save_session(folder: Path) -> None:
    session = StreamSession(net(), 3, nan="hold", sample_rate=100.0)
    session.push(torch.randn(2, 2, 5), rows=[0, 2])
    session.save(folder / "users")


def save_forecaster(folder: Path) -> None:
    rows = {"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=60), "y": np.arange(60.0)}
    short = Forecaster(h=3, input_size=8, width=3, max_steps=2, intervals="conformal")
    short.fit(pd.DataFrame(rows), val_size=22).save(folder)


KINDS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any]]] = {
    "net": (lambda folder: save_pretrained(net(), folder), from_pretrained),
    "session": (save_session, lambda folder: StreamSession.load(folder / "users", net())),
    "forecaster": (save_forecaster, Forecaster.load),
}


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", COUNTS)
def test_a_bit_flipped_anywhere_is_refused_by_name(kind: str, count: int, tmp_path: Path) -> None:
    save, load = KINDS[kind]
    tmp_path.joinpath("saved").mkdir()
    save(tmp_path / "saved")
    load(tmp_path / "saved")
    files = sorted((tmp_path / "saved").iterdir())
    draw = random.Random(f"{kind} {count}")
    for number in range(count):
        file = files[number % len(files)]
        sound = file.read_bytes()
        bit = draw.randrange(8 * len(sound))
        file.write_bytes(flip(sound, bit))
        with pytest.raises(ValueError, match=str(file)) as refused:
            load(tmp_path / "saved")
        assert type(refused.value) is ValueError, f"bit {bit} of {file.name}"
        file.write_bytes(sound)


def test_a_look_ahead_that_one_bit_made_is_refused(tmp_path: Path) -> None:
    file = save_pretrained(net(), tmp_path) / "config.json"
    text = file.read_text()
    assert text.count('"lookahead": 0') == 1
    file.write_text(text.replace('"lookahead": 0', '"lookahead": 1'))
    with pytest.raises(ValueError, match=r"config\.json: its checksum is not that of its bytes"):
        from_pretrained(tmp_path)


def task_checkpoint(trained: torch.nn.Module, path: Path) -> Path:
    state = {f"net.{name}": tensor for name, tensor in trained.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3, "optimizer_states": [{"lr": 0.1}]}, path)
    return path


def refusal(net: torch.nn.Module, file: Path) -> str | None:
    try:
        load_checkpoint(net, file)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("count", COUNTS)
def test_a_checkpoint_with_a_flipped_bit_gives_no_other_number(count: int, tmp_path: Path) -> None:
    # Dates and fillings of the archive say nothing; a file that loads holds what it held.
    trained, other = net(), net()
    file = task_checkpoint(trained, tmp_path / "best.ckpt")
    sound, refused = file.read_bytes(), 0
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    draw = random.Random(count)
    for _ in range(count):
        bit = draw.randrange(8 * len(sound))
        file.write_bytes(flip(sound, bit))
        expected = trained.state_dict()
        if (error := refusal(other, file)) is not None:
            assert str(file) in error
            expected, refused = before, refused + 1
        found = other.state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected), f"bit {bit}"
        other.load_state_dict(before)
    assert refused > count / 2


def test_a_folder_in_the_place_of_a_session_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"path: {tmp_path} cannot be read: Is a directory"):
        StreamSession.load(tmp_path, net())
