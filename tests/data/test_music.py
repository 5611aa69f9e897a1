import hashlib
from pathlib import Path

import numpy
import pytest
import scipy.io
import torch

from tcn.data import PolyphonicMusic, music
from tcn.data.fetch import RemoteFile
from tcn.data.loading import SPLITS
from tcn.data.music import PianoRolls, read_piano_rolls

FRAMES = {"traindata": [5, 9, 2, 7, 7, 3], "validdata": [4], "testdata": [6, 8]}


def cells(pieces: list[numpy.ndarray]) -> numpy.ndarray:
    """A 1 x N cell array, as MATLAB writes them."""
    array = numpy.empty((1, len(pieces)), dtype=object)
    for index, piece in enumerate(pieces):
        array[0, index] = piece
    return array


def rolls(seed: int = 0) -> dict[str, list[numpy.ndarray]]:
    generator = numpy.random.default_rng(seed)
    return {
        field: [generator.integers(0, 2, (count, 88), dtype=numpy.uint8) for count in counts]
        for field, counts in FRAMES.items()
    }


def save(path: Path, content: dict[str, list[numpy.ndarray]]) -> Path:
    # An open file: given a name, SciPy would append ".mat" to one that does not end so.
    with path.open("wb") as stream:
        scipy.io.savemat(stream, {field: cells(pieces) for field, pieces in content.items()})
    return path


@pytest.fixture
def small_file(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[numpy.ndarray]]:
    """A few pieces of noise in the place of the JSB chorales."""
    content = rolls()
    (data_folder / "poly_music").mkdir()
    path = save(data_folder / music.FILES["jsb"].path, content)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    file = RemoteFile(music.FILES["jsb"].path, checksum, ("http://127.0.0.1:9/",))
    monkeypatch.setitem(music.FILES, "jsb", file)
    return content


def test_next_frame_is_the_target(small_file):
    data = PolyphonicMusic()
    data.prepare_data()
    data.setup("test")
    for index, batch in enumerate(data.test_dataloader()):
        piece = torch.from_numpy(small_file["testdata"][index]).float().T
        assert torch.equal(batch.x[0], piece[:, :-1])
        assert torch.equal(batch.y[0], piece[:, 1:])
        assert batch.x.dtype == batch.y.dtype == torch.float32
        assert batch.lengths.tolist() == [piece.shape[1] - 1]
        assert batch.lengths.dtype == torch.int64
    assert index == 1
    assert (data.in_channels, data.out_channels) == (88, 88)


def test_pieces_of_a_batch_are_padded_with_zeros_on_the_right(small_file):
    pieces = PolyphonicMusic().dataset("train")
    batch = pieces.__getitems__([1, 2, 0])
    assert batch.x.shape == batch.y.shape == (3, 88, 8)
    assert batch.lengths.tolist() == [8, 1, 4]
    for row, index in enumerate((1, 2, 0)):
        alone, steps = pieces[index], batch.lengths[row]
        assert torch.equal(batch.x[row, :, :steps], alone.x[0])
        assert torch.equal(batch.y[row, :, :steps], alone.y[0])
        assert batch.x[row, :, steps:].count_nonzero() == 0
        assert batch.y[row, :, steps:].count_nonzero() == 0


def test_training_order_follows_seed_and_epoch(small_file):
    def order(seed: int, epoch: int) -> list[float]:
        loader = PolyphonicMusic(seed=seed).train_dataloader()
        loader.sampler.set_epoch(epoch)
        return [batch.x.sum().item() for batch in loader]

    assert order(1, 0) == order(1, 0)
    assert sorted(order(1, 0)) == sorted(order(1, 1)) == sorted(order(2, 0))
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_fingerprint_sees_every_split(small_file, tmp_path):
    before = PolyphonicMusic().fingerprint
    assert before == PolyphonicMusic(seed=2, batch_size=3).fingerprint
    content = rolls()
    content["testdata"][1][0, 0] ^= 1
    altered = PolyphonicMusic()
    path = save(tmp_path / "altered", content)
    for split in SPLITS:
        altered._datasets[split] = PianoRolls(read_piano_rolls(path, split))
    assert altered.fingerprint != before


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match="name must be one of jsb, nottingham, muse, piano, got"):
        PolyphonicMusic(name="x")


def test_missing_field_is_refused_by_name(tmp_path):
    content = rolls()
    content["validation"] = content.pop("validdata")
    path = save(tmp_path / "music.mat", content)
    assert len(read_piano_rolls(path, "train")) == 6
    with pytest.raises(
        ValueError, match=r"music\.mat: expected the field validdata, found traindata, testdata, va"
    ):
        read_piano_rolls(path, "validation")


def test_field_that_is_no_cell_array_is_refused(tmp_path):
    path = tmp_path / "music.mat"
    scipy.io.savemat(path, {"testdata": numpy.zeros((4, 88))})
    with pytest.raises(ValueError, match="testdata must be a cell array of pieces, got float64"):
        read_piano_rolls(path, "test")


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (numpy.zeros((5, 87)), r"must be at least 2 frames x 88 keys, got \(5, 87\)"),
        (numpy.zeros((1, 88)), r"must be at least 2 frames x 88 keys, got \(1, 88\)"),
        (numpy.full((5, 88), 2), "must hold only zeros and ones"),
        (numpy.full((5, 88), numpy.nan), "must hold only zeros and ones"),
    ],
)
def test_piece_that_is_no_piano_roll_is_refused_by_its_number(tmp_path, piece, reason):
    content = rolls()
    content["testdata"][1] = piece
    path = save(tmp_path / "music.mat", content)
    with pytest.raises(ValueError, match=f"piece 1 of testdata {reason}"):
        read_piano_rolls(path, "test")


@pytest.mark.parametrize("kind", ["truncated", "other", "empty"])
def test_damaged_file_is_refused_by_name(tmp_path, kind):
    path = save(tmp_path / "music.mat", rolls())
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[:-300], "other": b"<html>" * 100, "empty": b""}[kind])
    with pytest.raises(ValueError, match=r"music\.mat: not a whole MATLAB file"):
        read_piano_rolls(path, "train")


def test_absent_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_piano_rolls(tmp_path / "absent.mat", "train")


# Pieces and frames per split: the counts of the published files.
PUBLISHED = {
    "jsb": [(229, 13_807), (76, 4_602), (77, 4_725)],
    "nottingham": [(694, 176_561), (173, 45_513), (170, 44_463)],
}


@pytest.mark.requires_data("poly_music")
@pytest.mark.parametrize("name", PUBLISHED)
def test_official_files(name):
    data = PolyphonicMusic(name=name)
    data.prepare_data()
    parts = [data.dataset(split) for split in SPLITS]
    assert [
        (len(part), sum(piece.shape[1] for piece in part.pieces)) for part in parts
    ] == PUBLISHED[name]
    loader = data.test_dataloader()
    steps = sum(int(batch.lengths.sum()) for batch in loader)
    # A piece of T frames gives T - 1 predictions.
    pieces, frames = PUBLISHED[name][2]
    assert steps == frames - pieces
