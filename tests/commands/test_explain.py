"""`tcn explain`, as a user runs it: of a run, a folder and a Python file, and what it refuses."""

import re
import weakref
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tcn.audio import save_sound
from tcn.commands import main
from tcn.commands.explain import METHODS
from tcn.commands.subject import data_of, subject_of
from tcn.explain.choice import METHODS as KNOWN
from tcn.explain.sections import _driven
from tcn.forecasting import Forecaster
from tcn.inference import save_pretrained
from tcn.models import TCN, SequenceModel

FOREIGN = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3),
    )

def number():
    return 5

def images():
    return torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(0))
"""
CONFIG = """
trainer: {max_epochs: 1, limit_train_batches: 2, limit_val_batches: 1, accelerator: cpu,
          enable_progress_bar: false, enable_model_summary: false}
model:
  class_path: tcn.training.Classification
  init_args:
    net:
      class_path: tcn.models.LeNet5
      init_args: {in_channels: 1, classes: 3, form: modern, input_size: 32}
data:
  class_path: tcn.vision.ImageFolder
  init_args: {folder: pictures, test: 6, validation_size: 3, color: false, batch_size: 4}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_pretrained(SequenceModel(TCN(1, [4, 4], 3), 2), "net")
    (tmp_path / "foreign.py").write_text(FOREIGN)
    np.save("series.npy", np.random.default_rng(0).normal(size=(10, 1, 40)).astype(np.float32))
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    before = sorted(Path().iterdir())
    with pytest.raises(SystemExit) as ended:
        main(["explain", *arguments])
    assert ended.value.code in (1, 2)
    assert sorted(Path().iterdir()) == before  # nothing is left half-written
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_the_methods_are_those_of_the_library() -> None:
    assert METHODS == KNOWN


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "layer"),
    [
        (["--folder", "net", "--data", "series.npy"], "backbone.levels.1"),
        (["--net", "foreign.py:net", "--data", "foreign.py:images"], "3"),
    ],
)
def test_a_page_shows_every_method(place: Path, net: list[str], layer: str) -> None:
    main(["explain", "a.html", *net, "--layer", layer, "--unit", "0", "2", "--examples", "2"])
    written = Path("a.html").read_text()
    for title in ("strongest inputs", "Occlusion", "Attribution", "Effective field", "synthesis"):
        assert title in written
    assert written.count("<img") == 1 + 2 + 2 + 1 + 1
    assert "tcn explain a.html" in written


@pytest.mark.slow
def test_a_run_brings_its_test_data_and_the_names_of_its_classes(place: Path) -> None:
    for name in ("cat", "dog", "owl"):
        Path("pictures", name).mkdir(parents=True)
        for number in range(6):
            pixels = np.random.default_rng(number).integers(0, 255, (32, 32), dtype=np.uint8)
            Image.fromarray(pixels).save(f"pictures/{name}/{number}.png")
    Path("a.yaml").write_text(CONFIG)
    main(["fit", "--config", "a.yaml", "--trainer.default_root_dir=run"])
    main(["explain", "a.html", "--checkpoint", "run", "--method", "strongest", "attribution",
          "--examples", "3"])  # fmt: skip
    written = Path("a.html").read_text()
    assert "ImageFolder, its test part" in written
    assert "of 6 to which" in written
    assert any(f"input 0: {name}" in written for name in ("cat", "dog", "owl"))
    with pytest.raises(SystemExit):
        main(["explain", "a.html", "--checkpoint", "pictures"])


def test_how_strongly_a_unit_is_driven_is_said() -> None:
    """Of units that no input drives a quotient would mean nothing."""
    assert _driven(6.0, 2.0) == "3 times"
    assert _driven(6.0, -2.0) == "6, data -2"
    assert _driven(6.0, 0.0) == "6, data 0"


def test_one_method_alone(place: Path) -> None:
    main(["explain", "a.html", "--folder", "net", "--data", "series.npy", "--method", "strongest",
          "--layer", "backbone.levels.0", "--unit", "1"])  # fmt: skip
    written = Path("a.html").read_text()
    assert written.count("<img") == 1
    assert "backbone.levels.0, units 1" in written
    assert "Occlusion" not in written


def test_layers_are_listed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "a.html", "--net", "foreign.py:net", "--data", "foreign.py:images",
          "--layer", "?"])  # fmt: skip
    assert capsys.readouterr().out.splitlines()[:3] == ["0  Conv2d", "1  ReLU", "2  MaxPool2d"]
    assert not Path("a.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.txt", "--folder", "net"], "page: 'a.txt' does not end in .html"),
        (["a.html", "--folder", "nett"], "folder: 'nett' is not there"),
        (["a.html", "--folder", "net"], "data: none given; give --data FILE.npy"),
        (["a.html", "--folder", "net", "--data", "s.npy"], "data: 's.npy' is not there"),
        (["a.html", "--folder", "net", "--data", "foreign.py"], "ends in none of .npy, .npz"),
        (["a.html", "--folder", "net", "--data", "series.npy", "--layer", "x"], "none named 'x'"),
        (["a.html", "--folder", "net", "--data", "series.npy", "--layer", "backbone.levels.0",
          "--unit", "9"], "unit: 9 of backbone.levels.0 with 4; give 0 to 3"),
        (["a.html", "--folder", "net", "--data", "foreign.py:images"], "does not fit Sequence"),
        (["a.html", "--net", "foreign.py:nett", "--data", "series.npy"], "no function 'nett'"),
        (["a.html", "--net", "foreign.py:number", "--data", "series.npy"], "returned a int"),
        (["a.html", "--net", "none.py:net", "--data", "series.npy"], "is not FILE.py:NAME"),
        (["a.html", "--net", "foreign.py:net", "--data", "foreign.py:number"], "data: int"),
        (["a.html", "--folder", "net", "--data", "series.npy", "--method", "lime"],
         "invalid choice: 'lime'"),
        (["a.html", "--folder", "net", "--data", "series.npy", "--examples", "0"],
         "examples: 0 is not 1 or more"),
    ],
)  # fmt: skip
def test_what_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert said in refused(capsys, *arguments)


def test_arrays_pictures_and_sounds_are_read(place: Path) -> None:
    np.savez("a.npz", np.zeros((2, 1, 3), np.uint8))
    x = data_of("a.npz", None)
    assert (x.shape, x.dtype) == ((2, 1, 3), torch.float32)
    Path("pictures").mkdir()
    Image.fromarray(np.full((4, 5), 51, np.uint8)).save("pictures/a.png")
    (picture,) = data_of("pictures", None)
    torch.testing.assert_close(picture, torch.full((1, 3, 4, 5), 0.2))
    Path("sounds").mkdir()
    save_sound("sounds/a.wav", torch.full((1, 100), 0.5), sample_rate=8000)
    (sound,) = data_of("sounds", 8000)
    torch.testing.assert_close(sound, torch.full((1, 1, 100), 0.5))


def test_a_run_knows_the_rate_of_its_sounds(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = SimpleNamespace(
        model=SimpleNamespace(net=TCN(1, [2], 3)), datamodule=SimpleNamespace(sample_rate=8000)
    )
    monkeypatch.setattr("tcn.commands.trained.built_of_run", lambda path: (built, "best.ckpt"))
    Path("sounds").mkdir()
    save_sound("sounds/a.wav", torch.zeros(1, 9), sample_rate=8000)
    given = Namespace(checkpoint="run", data="sounds", sample_rate=None)
    subject = subject_of(given)
    assert subject.sample_rate == 8000
    assert [x.shape for x in subject.data] == [(1, 1, 9)]


@pytest.mark.parametrize("kind", ["pictures", "sounds"])
def test_files_of_a_folder_are_held_one_at_a_time(place: Path, kind: str) -> None:
    """And read again when they are gone through again."""
    Path(kind).mkdir()
    for number in range(5):
        if kind == "pictures":
            Image.fromarray(np.full((4, 5), number, np.uint8)).save(f"{kind}/{number}.png")
        else:
            save_sound(f"{kind}/{number}.wav", torch.full((1, 9), number / 8), sample_rate=8000)
    data = data_of(kind, 8000)
    for _ in range(2):
        alive: list[weakref.ref[torch.Tensor]] = []
        values = []
        for x in data:
            assert sum(each() is not None for each in alive) <= 1  # the one before
            alive.append(weakref.ref(x))
            values.append(round(float(x.mean() * (255 if kind == "pictures" else 8))))
        assert values == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: np.save("b.npy", np.array(["a"])), r"b\.npy holds <U1 of shape \(1,\)"),
        (lambda: np.save("b.npy", np.array([None, {}])), r"b\.npy is not an array of numbers"),
        (lambda: Path("b.npy").write_text("text"), r"b\.npy is not an array of numbers"),
    ],
)
def test_arrays_that_are_none(place: Path, make, said: str) -> None:
    make()
    with pytest.raises(ValueError, match=said):
        data_of("b.npy", None)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_pages_of_forecasters_have_every_target(place: Path, kind: str) -> None:
    """Whatever kind of frame it was trained on, which the explanation is of, too."""
    frames = pytest.importorskip(kind)
    columns = {"unique_id": ["a"] * 40, "ds": list(range(40)), "y": [1.0, 2.0] * 20,
               "z": [3.0, 5.0] * 20}  # fmt: skip
    df = frames.table(columns) if kind == "pyarrow" else frames.DataFrame(columns)
    settings = {"max_steps": 2, "width": 4, "accelerator": "cpu", "target_col": ("y", "z")}
    Forecaster(2, 6, **settings).fit(df).save("forecaster")
    main(["explain", "a.html", "--folder", "forecaster"])
    said = Path("a.html").read_text(encoding="utf-8")
    captions = re.findall("<figcaption>(.*?)</figcaption>", said)
    assert captions == [
        f"{target} of a, {step} of 2 steps ahead" for target in ("y", "z") for step in (1, 2)
    ]


def test_folders_that_hold_nothing_to_see(place: Path) -> None:
    Path("empty").mkdir()
    with pytest.raises(ValueError, match="holds neither pictures nor sounds"):
        data_of("empty", None)
    Path("empty/a.png").write_text("text")
    with pytest.raises(ValueError, match=r"a\.png is not a picture"):
        list(data_of("empty", None))
    Path("empty/a.png").unlink()
    save_sound("empty/a.wav", torch.zeros(1, 9), sample_rate=8000)
    with pytest.raises(ValueError, match="sample_rate: none given"):
        data_of("empty", None)
