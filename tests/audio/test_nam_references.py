"""Real captures against the outputs of the modeler's own PyTorch code."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tcn.audio import load_nam, save_nam
from tcn.inference import StreamSession, from_pretrained, save_pretrained
from tcn.models import Capture

pytestmark = pytest.mark.requires_data("nam")

# The name of a reference, the file, the width, and the receptive field that is published
# (TCN notes of the format: A1 4,093 samples, A2 6,347), counted by hand for the tiny ones.
NETS = [
    ("A2.0", "A2", 0.3, 6347),
    ("A2.1", "A2", None, 6347),
    ("BossWN-a2.0", "BossWN-a2", 0.0, 6347),
    ("BossWN-a2.1", "BossWN-a2", 0.5, 6347),
    ("BossWN-nano", "BossWN-nano", None, 4093),
    ("BossWN-standard", "BossWN-standard", None, 4093),
    ("wavenet_a1_standard", "wavenet_a1_standard", None, 4093),
    ("wavenet", "wavenet", None, 1 + 2 * (1 + 2 + 8)),
    ("slimmable_wavenet", "slimmable_wavenet", None, 1 + 2 * 1023),
    ("BossLSTM-1x16", "BossLSTM-1x16", None, float("inf")),
]
FILES = sorted({file for _, file, *_ in NETS} | {"wavenet_a2_max"})


@pytest.fixture(scope="module")
def references(data_dir: Path) -> dict[str, np.ndarray]:
    with np.load(data_dir / "nam" / "reference_outputs.npz") as file:
        return dict(file)


def run(net: Capture, sound: np.ndarray) -> np.ndarray:
    x = torch.tensor(sound, dtype=next(net.parameters()).dtype)
    with torch.no_grad():
        return net(x[None, None])[0, 0].numpy()


@pytest.mark.parametrize(("name", "file", "width", "field"), NETS)
def test_the_outputs_are_those_of_the_modeler(
    name: str,
    file: str,
    width: float | None,
    field: float,
    references: dict[str, np.ndarray],
    data_dir: Path,
) -> None:
    net = load_nam(data_dir / "nam" / f"{file}.nam", width=width)
    expected = references[name]
    one = max(1.0, np.abs(expected).max())
    # Both round to float32 at each step, which costs each of them up to 1e-6 of the peak.
    np.testing.assert_allclose(run(net, references["input"]), expected, rtol=0, atol=2e-6 * one)
    exact = run(net.double(), references["input"])
    rounded = 5e-6 if net.recurs else 1e-6  # a recurrent reference carries its rounding on
    np.testing.assert_allclose(exact, expected, rtol=0, atol=rounded * one)
    assert net.receptive_field == field
    assert net.sample_rate == references["sample_rate"]


def sound_of(references: dict[str, np.ndarray], steps: int) -> Tensor:
    return torch.tensor(references["input"][None, None, :steps])


@pytest.mark.parametrize("file", FILES)
def test_blocks_of_a_stream_equal_the_whole(
    file: str, references: dict[str, np.ndarray], data_dir: Path
) -> None:
    net = load_nam(data_dir / "nam" / f"{file}.nam")
    x = sound_of(references, 1200)
    with torch.no_grad():
        whole = net(x)
    # Both round at each step, and the net of all films amplifies that of its condition.
    rounded = 2e-6 if file == "wavenet_a2_max" else 1e-6
    tolerance = rounded * max(1.0, whole.abs().max().item())
    for size, steps in ((1, 70), (64, 1200), (512, 1200)):
        for initial in ("zeros", "silence"):
            session = StreamSession(net, initial=initial)
            blocks = [session.push(block) for block in x[..., :steps].split(size, -1)]
            torch.testing.assert_close(
                torch.cat(blocks, -1), whole[..., :steps], rtol=0, atol=tolerance
            )


@pytest.mark.parametrize("file", FILES)
def test_a_file_is_written_as_it_was_read(
    file: str, references: dict[str, np.ndarray], data_dir: Path, tmp_path: Path
) -> None:
    source = data_dir / "nam" / f"{file}.nam"
    net, x = load_nam(source), sound_of(references, 400)
    other = load_nam(save_nam(net, tmp_path / "again.nam"))
    assert torch.equal(other(x), net(x))
    assert (other.metadata, other.sample_rate) == (net.metadata, net.sample_rate)
    given, written = json.loads(source.read_bytes()), json.loads(
        (tmp_path / "again.nam").read_bytes()
    )  # fmt: skip
    if given["architecture"] == "SlimmableContainer":
        given = given["config"]["submodels"][-1]["model"]
    float32 = np.array(given["weights"], np.float32)
    np.testing.assert_array_equal(np.array(written["weights"], np.float32), float32)
    assert written["architecture"] == given["architecture"]


@pytest.mark.parametrize("file", ["wavenet_a2_max", "BossLSTM-1x16", "A2"])
def test_a_capture_is_saved_as_any_net(
    file: str, references: dict[str, np.ndarray], data_dir: Path, tmp_path: Path
) -> None:
    net, x = load_nam(data_dir / "nam" / f"{file}.nam"), sound_of(references, 300)
    other = from_pretrained(save_pretrained(net, tmp_path / "net"))
    assert torch.equal(other(x), net(x))
    assert other.metadata == net.metadata


def test_what_is_known_of_the_device_is_kept(data_dir: Path) -> None:
    net = load_nam(data_dir / "nam" / "BossWN-standard.nam")
    assert net.metadata["name"] == "BossSD1"
    assert net.metadata["training"]["validation_esr"] == pytest.approx(0.000281737)
    container = load_nam(data_dir / "nam" / "BossWN-a2.nam", width=0.1)
    assert container.metadata["gear_make"] == "BOSS SD-1 Distortion"  # said by the container
    assert container.metadata["loudness"] == -12.17414665222168  # said by the narrow net
