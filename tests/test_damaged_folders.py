"""Saved folders, damaged at random: loading ends in an error that names them, or in what works."""

import hashlib
import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tcn.forecasting import Forecaster
from tcn.inference import from_pretrained, save_pretrained
from tcn.models import LSTM, TCN, SequenceModel
from tcn.saving.folder import seal

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.5, 1e308, 1e-308, "",
    "x", "tcn.models.TCN", "float16", [], [1], [[]], [0, -1], {}, {"": 1}, {"x": None}, "\ud800",
)  # fmt: skip


# ------------------------------------------------------------------------------- damages


def flipped(file: Path, draw: random.Random) -> None:
    data = bytearray(file.read_bytes())
    for _ in range(draw.randint(1, 4)):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    file.write_bytes(data)


def cut(file: Path, draw: random.Random) -> None:
    file.write_bytes(file.read_bytes()[: draw.randrange(file.stat().st_size)])


def filled(file: Path, draw: random.Random) -> None:
    data = file.read_bytes()
    at = draw.randrange(len(data))
    file.write_bytes(data[:at] + draw.randbytes(draw.randint(1, 50)) + data[at:])


def gone(file: Path, draw: random.Random) -> None:
    file.unlink()
    if draw.random() < 0.5:
        file.mkdir()


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container of a tree with every key of it."""
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    return [(tree, key) for key in keys] + [place for key in keys for place in places(tree[key])]


def rewritten(file: Path, draw: random.Random) -> None:
    """One or two values of the JSON beside the tensors, of any type, gone or moved."""
    settings = next(file.parent.glob("*.json"))
    tree = json.loads(settings.read_bytes())
    for _ in range(draw.randint(1, 2)):
        found = places(tree)
        container, key = draw.choice(found)
        other, another = draw.choice(found)
        way = draw.randrange(6)
        if way == 0:
            del container[key]
        elif way == 1 and isinstance(container, dict):
            container[draw.choice([*map(str, VALUES[:5]), "x"])] = deepcopy(draw.choice(VALUES))
        elif way == 2:
            container[key] = json.loads(json.dumps(other[another]))
        else:
            container[key] = deepcopy(draw.choice(VALUES))
    if isinstance(tree, dict):
        settings.write_text(seal(tree) if draw.random() < 0.9 else json.dumps(tree))


def resealed(file: Path, draw: random.Random) -> None:
    """Damages the tensors, and writes their new checksum into the JSON."""
    tensors, settings = (next(file.parent.glob(f"*.{kind}")) for kind in ("safetensors", "json"))
    draw.choice([flipped, flipped_in_head, cut, filled])(tensors, draw)
    tree = json.loads(settings.read_bytes())
    data = tensors.read_bytes()
    entry = tree["weights" if "weights" in tree else "arrays"]
    entry |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    settings.write_text(seal(tree), encoding="utf-8")


def flipped_in_head(file: Path, draw: random.Random) -> None:
    """Where names, types, shapes and places of the tensors are."""
    data = bytearray(file.read_bytes())
    data[draw.randrange(min(len(data), 8 + data[0] + 256 * data[1]))] ^= 1 << draw.randrange(8)
    file.write_bytes(data)


DAMAGES: list[Callable[[Path, random.Random], None]] = [
    flipped, cut, filled, gone, rewritten, rewritten, rewritten, rewritten, resealed, resealed,
]  # fmt: skip


# -------------------------------------------------------------------------------- folders


def run_net(folder: Path) -> None:
    net = from_pretrained(folder)
    with torch.no_grad():
        net(torch.zeros(2, net.in_channels, 2 * net.multiple_of))


def run_forecaster(folder: Path) -> None:
    Forecaster.load(folder).predict()


def save_tcn(folder: Path) -> None:
    net = TCN(2, [4, 4], 3, dropout=0.1, block="gated", lookahead=2)
    save_pretrained(SequenceModel(net, out_channels=3, readout="last"), folder)


def save_lstm(folder: Path) -> None:
    save_pretrained(SequenceModel(LSTM(2, 5), out_channels=3), folder)


def save_forecaster(folder: Path) -> None:
    rows = {"unique_id": "a", "ds": pd.date_range("2024-01-01", periods=60), "y": np.arange(60.0)}
    short = Forecaster(h=3, input_size=8, width=3, max_steps=2, intervals="conformal")
    short.fit(pd.DataFrame(rows), val_size=22).save(folder)


FOLDERS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None], int]] = {
    "tcn": (save_tcn, run_net, 300),
    "lstm": (save_lstm, run_net, 300),
    "forecaster": (save_forecaster, run_forecaster, 300),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_damaged_folder_is_refused_by_name_or_works(kind: str, tmp_path: Path) -> None:
    save, run, count = FOLDERS[kind]
    sound, seen, began = tmp_path / "sound", Counter[str](), time.process_time()
    save(sound)
    run(sound)
    for number in range(count):
        draw = random.Random(f"{kind} {number}")
        folder = tmp_path / f"damaged {number}"
        shutil.copytree(sound, folder)
        damage = draw.choice(DAMAGES)
        damage(draw.choice(sorted(folder.iterdir())), draw)
        outcome = "works"
        try:
            run(folder)
        except (ValueError, FileNotFoundError) as error:
            outcome = "refused" if str(folder) in str(error) else f"{number}: {error}"
        seen[f"{damage.__name__} {outcome}"] += 1
        shutil.rmtree(folder)
    print(f"{count} folders in {time.process_time() - began:.0f} s: {dict(sorted(seen.items()))}")
    named = {f"{damage.__name__} {how}" for damage in DAMAGES for how in ("works", "refused")}
    assert set(seen) <= named, "errors that do not name the folder"
    assert seen["rewritten works"]
    assert seen["resealed refused"]
