"""The questions of the notes: nets that differ in one thing, sparsity, moved digits, the page."""

import math

import pytest
import torch
import yaml

from benchmarks.__main__ import main
from benchmarks.grid.runs import CONFIGS
from benchmarks.grid.store import Store
from benchmarks.images.cost import built
from benchmarks.images.page import write_page
from benchmarks.images.runs import NOTES, known_models, known_tasks
from benchmarks.notes.faces import FacePatches
from benchmarks.notes.moved import moved
from benchmarks.notes.nets import REDUCTIONS, StagedNet
from benchmarks.notes.questions import QUESTIONS
from benchmarks.notes.served import WAYS, ServedNet
from benchmarks.notes.sizes import surrounded
from benchmarks.notes.sparsity import sparsity
from tcn.models import SequenceModel


def test_every_question_has_configs() -> None:
    assert set(QUESTIONS) == set(known_tasks(NOTES))
    assert all(len(known_models(name, NOTES)) > 1 for name in QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS)
def test_nets_of_a_question_are_of_one_size(question: str) -> None:
    """Within a tenth of their mean, as the page says, and as the first line of each file says."""
    sizes, rest = [], []
    for model in known_models(question, NOTES):
        text = (CONFIGS / NOTES / question / f"{model}.yaml").read_text()
        config = yaml.safe_load(text)
        net = built(config["model"]["init_args"]["net"])
        sizes.append(sum(parameter.numel() for parameter in net.parameters()))
        assert f" {sizes[-1]:,} parameters." in text.splitlines()[0]
        del config["model"]["init_args"]["net"], config["trainer"]["default_root_dir"]
        rest.append(config if question != "locality" else config["model"])
    assert max(sizes) < 1.2 * min(sizes)
    assert all(each == rest[0] for each in rest)  # nothing else differs


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_sizes_halve(reduction: str) -> None:
    net = StagedNet(1, [2, 3, 4], reduction=reduction, layers=2)
    assert net(torch.randn(2, 1, 16, 8)).shape == (
        2,
        4,
        *((16, 8) if reduction == "none" else (2, 1)),
    )


def test_reach_by_hand() -> None:
    """Two taps of 3 a stage at distances 1, 2, 4; behind pools of 2: 3, then 2 x 2 + 1 more."""
    dilated = StagedNet(1, [2] * 3, reduction="none", dilated=True, ndim=1, causal=True)
    assert dilated.receptive_field == 1 + 2 * (1 + 2 + 4)
    pooled = StagedNet(1, [2] * 3, reduction="max", ndim=1, causal=True)
    assert pooled.receptive_field == 1 + (2 + 1) * (1 + 2 + 4)


def test_the_first_layer_alone_is_local() -> None:
    net = StagedNet(1, [3, 4], local_sizes=(6, 6))
    assert sum(p.numel() for p in net.parameters()) == 36 * 3 * 9 + 2 * 3 + 4 * 27 + 2 * 4
    assert SequenceModel(net, 10, readout="mean")(torch.randn(2, 1, 6, 6)).shape == (2, 10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reduction": "mean"}, "reduction: 'mean' is none of none, max, average, stride"),
        ({"padding": "causal"}, "padding: 'causal' is none of same, valid"),
        ({"shortcuts": True}, "shortcuts: True with layers=1 and padding='same'; .* has layers=2"),
    ],
)
def test_what_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StagedNet(1, [2], **settings)


def test_sparsity_by_hand() -> None:
    """Hoyer's: 0 where all are alike, 1 where one alone is not 0; (1, 1, 0, 0) lies between."""
    maps = torch.tensor([[1.0, 1, 1, 1], [0, 0, 5, 0], [1, 1, 0, 0], [0, 0, 0, 0]]).view(2, 2, 2, 2)
    total, count = sparsity(maps)
    assert count == 3
    assert total == pytest.approx(0 + 1 + (2 - math.sqrt(2)) / (2 - 1))


def test_moved_digits_are_whole_and_elsewhere() -> None:
    images = torch.zeros(40, 1, 9, 9, dtype=torch.uint8)
    images[:, :, 4, 4] = torch.arange(1, 41, dtype=torch.uint8)[:, None]
    result = moved(images, 3, torch.Generator().manual_seed(0))
    assert torch.equal(result.flatten(1).sum(1), images.flatten(1).sum(1))
    places = {divmod(int(image.argmax()), 9) for image in result}
    assert len(places) > 15
    assert all(1 <= row <= 7 and 1 <= column <= 7 for row, column in places)


def test_digits_in_larger_images_are_whole() -> None:
    images = torch.randint(256, (5, 1, 4, 4), dtype=torch.uint8)
    result = surrounded(images, 9, torch.Generator().manual_seed(0))
    assert result.shape == (5, 1, 9, 9)
    assert torch.equal(result.flatten(1).long().sum(1), images.flatten(1).long().sum(1))


def test_ways_to_take_larger_images() -> None:
    """Sliding by hand: the mean over windows 4 apart; resizing: the net of the smaller image."""
    torch.manual_seed(0)
    nets = {way: ServedNet(1, 3, [2, 3], way=way, size=14).eval() for way in WAYS}
    x = torch.randn(2, 1, 22, 22)
    assert all(net(x).shape == net(x[..., :14, :14]).shape == (2, 3) for net in nets.values())
    whole = nets["sliding"].net(x[..., :14, :14])
    torch.testing.assert_close(nets["sliding"](x[..., :14, :14]), whole)
    places = [(row, column) for row in (0, 4, 8) for column in (0, 4, 8)]
    windows = [nets["sliding"].net(x[..., r : r + 14, c : c + 14]) for r, c in places]
    torch.testing.assert_close(nets["sliding"](x), torch.stack(windows).mean(0))
    small = torch.nn.functional.interpolate(x, 14, mode="bilinear", antialias=True)
    torch.testing.assert_close(nets["resizing"](x), nets["resizing"].net(small))
    with pytest.raises(ValueError, match="way: 'crop' is none of global, pyramid"):
        ServedNet(1, 3, [2], way="crop", size=12)


def test_faces_are_shared_out_evenly() -> None:
    faces = FacePatches(validation_size=40)
    parts = [faces.read("train"), faces.read("test")]
    assert [images.shape for images, _ in parts] == [(140, 1, 25, 25), (60, 1, 25, 25)]
    assert [int(labels.sum()) for _, labels in parts] == [70, 30]
    every = torch.cat([images for images, _ in parts]).flatten(1)
    assert len(every.unique(dim=0)) == 200


@pytest.mark.slow
@pytest.mark.requires_data("mnist")
def test_a_question_is_run(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both pools for three batches, then the page."""
    command = ["notes", "--tasks", "pooling", "--seeds", "0", "--results", str(tmp_path)]
    command += ["--workers", "1", "--threads", "1", "--override", "trainer.max_epochs=1"]
    command += ["trainer.limit_train_batches=3", "trainer.limit_test_batches=3"]
    assert main(command) == 0
    page = (tmp_path / "notes" / "report.md").read_text()
    assert QUESTIONS["pooling"].title in page
    assert "| max † |" in page
    assert "| average † |" in page
    (result, _) = Store(tmp_path).results(tasks="notes/*")
    assert 0 < result.test["test_sparsity"] < 1
    assert write_page(Store(tmp_path), NOTES)[0].name == "report.md"
