"""The direction of imports, read from the source of every file.

    native <- layers <- outputs <- models <- inference
                                   models <- training <- data <- the pipelines <- commands
    saving <- layers, and with it all the others

A wrong arrow is cheap to add and expensive to take back, so it fails here.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
STDLIB = frozenset(sys.stdlib_module_names)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

# What each part of the library may import of the library. "tcn" is the package's own __init__,
# which re-exports the nets: whoever may import models and is not imported by it may use it.
NETS = frozenset({"native", "saving", "layers", "outputs", "models"})
TRAINING = NETS | {"tcn", "training"}
PIPELINE = TRAINING | {
    "inference",
    "data",
    "figures",
}  # data: the one place that downloads
ARROWS: dict[str, frozenset[str]] = {
    "native": frozenset({"native"}),
    "saving": frozenset({"saving"}),
    "layers": frozenset({"native", "saving", "layers"}),
    "models": NETS,
    "outputs": frozenset({"native", "saving", "layers", "outputs"}),
    "inference": NETS | {"inference"},
    "figures": frozenset(),
    "explain": NETS | {"inference", "figures", "explain"},
    "testing": NETS | {"testing"},
    "tcn": NETS | {"inference", "testing"},
    "training": TRAINING,
    "data": TRAINING | {"data"},
    "audio": PIPELINE | {"audio"},
    "forecasting": PIPELINE | {"explain", "forecasting"},
    "vision": PIPELINE | {"vision"},
    "commands": PIPELINE
    | {"tcn", "audio", "explain", "forecasting", "vision", "testing", "commands"},
    "__main__": frozenset({"commands"}),
    "extras": frozenset(),
}
# The stages of forecasting, from the frame on; `tcn.forecasting` itself re-exports what users need.
STAGES = {
    "frames": frozenset({"frames"}),
    "windows": frozenset({"frames", "windows"}),
    "intervals": frozenset({"intervals"}),
    "fitted": frozenset({"frames", "windows", "intervals", "fitted"}),
    "live": frozenset({"frames", "windows", "intervals", "fitted", "live"}),
    "evaluation": frozenset({"frames", "windows", "fitted", "evaluation"}),
    "forecaster": frozenset(
        {"frames", "windows", "intervals", "fitted", "live", "evaluation", "forecaster"}
    ),
    "search_space": frozenset({"forecaster"}),
    "judging": frozenset({"frames", "windows", "evaluation", "forecaster"}),
    "ensemble": frozenset({"forecaster"}),
    "search": frozenset({"search_space", "judging", "ensemble"}),
    "auto": frozenset({"forecaster", "search_space", "judging", "ensemble", "search"}),
    "distributed": frozenset({"frames", "intervals", "fitted", "forecaster", "distributed"}),
}
# Whoever imports what an extra brings says so first, by this one function.
EVERYWHERE = frozenset({"extras"})

# `import tcn` and everything deployable needs torch alone.
TORCH_ALONE = frozenset(
    {"native", "saving", "layers", "outputs", "models", "inference", "testing", "tcn", "figures"}
)
# Beside torch: safetensors, and what an extra brings, which is imported where it is called.
BESIDE_TORCH = dict.fromkeys(("inference", "saving"), frozenset({"safetensors"}))
WHERE_CALLED = {
    "inference": frozenset({"huggingface_hub", "onnx", "onnxruntime", "onnxscript"}),
}
# Heavy packages stop at the pipeline that needs them.
CONFINED = {"torchaudio": "audio", "soundfile": "audio", "pandas": "forecasting", "PIL": "vision"}
OUTSIDE = frozenset({"benchmarks", "tests", "configs"})
GRID = "benchmarks.grid"
# A helper lives beside its user, or under the name of what it does.
SHAPELESS = frozenset({"utils", "util", "common", "core", "helpers", "misc"})
FEWER_LINES = 300
# Older than the rule. Files leave this list and none joins it; there is none of layers or models.
LONGER = frozenset(
    {
        "benchmarks/report/plots.py",
        "tcn/data/language.py",
        "tcn/native/rows.py",
        "tcn/native/stream.py",
        "tcn/testing.py",
    }
)


def module_name(path: Path, root: Path) -> str:
    """Dotted name of the module in `path`, `tcn/layers/__init__.py` being `tcn.layers`."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Imported(NamedTuple):
    """An absolute dotted name, and whether it waits for a function to be called."""

    line: int
    name: str
    waits: bool


def imported(path: Path, root: Path) -> Iterator[Imported]:
    """Everything `path` imports, at any depth of the code."""
    package = list(path.relative_to(root).parent.parts)
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    functions = [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]
    inside = {node for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Imported(node.lineno, alias.name, node in inside)
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1] if node.level else []
            base = [*parent, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                yield Imported(node.lineno, ".".join([*base, alias.name]), node in inside)


def part_of(name: str) -> str:
    """The part of the library a dotted name belongs to: `tcn.data.music` is "data".

    A name the library's __init__ re-exports (`tcn.TCN`) and `tcn` itself are "tcn".
    """
    second = name.split(".")[1] if "." in name else "tcn"
    return second if second in ARROWS else "tcn"


def wrong_stage(module: str, target: str) -> str | None:
    """Why a stage of forecasting must not import another one, or None where it may."""
    if not module.startswith("tcn.forecasting.") or not target.startswith("tcn.forecasting"):
        return None
    stage, other = module.split(".")[2], [*target.split("."), ""][2]
    if stage not in STAGES:
        return f"give {stage} its arrows in STAGES"
    return None if other in STAGES[stage] else f"{stage} must not import {other or 'the whole'}"


def wrong_import(module: str, target: str, *, waits: bool) -> str | None:
    """Why `module` must not import `target`, or None where it may."""
    top = target.split(".")[0]
    if module.split(".")[0] != "tcn":
        floor = ".".join(target.split(".")[:2])
        if module.startswith("benchmarks.grid") and top == "benchmarks" and floor != GRID:
            return "the grid knows nothing of what is asked of it"
        return "benchmarks never import tests" if top == "tests" else None
    part = part_of(module)
    if top in OUTSIDE:
        return f"tcn never imports {top}"
    if top == "tcn":
        if part_of(target) not in ARROWS[part] | EVERYWHERE:
            return f"{part} must not import {part_of(target)}"
        return wrong_stage(module, target)
    if top in WHERE_CALLED.get(part, ()):
        return None if waits else f"{top} is imported where it is called"
    if part in TORCH_ALONE and top not in STDLIB | {"torch"} | BESIDE_TORCH.get(part, set()):
        return f"{part} needs torch alone"
    if CONFINED.get(top, part) != part:
        return f"{top} stops at tcn/{CONFINED[top]}"
    return None


def violations(root: Path) -> list[str]:
    """Every wrong arrow, unplaced module and shapeless name under root's tcn/ and benchmarks/."""
    found = []
    for path in sorted([*root.glob("tcn/**/*.py"), *root.glob("benchmarks/**/*.py")]):
        where = path.relative_to(root)
        module = module_name(path, root)
        found += [f"{where}: no name of its own: {n}" for n in module.split(".") if n in SHAPELESS]
        if module.startswith("tcn.") and module.split(".")[1] not in ARROWS:
            found.append(f"{where}: give {module} its arrows in ARROWS")
        for line, target, waits in imported(path, root):
            if reason := wrong_import(module, target, waits=waits):
                found.append(f"{where}:{line}: imports {target}: {reason}")
    return found


def test_no_stage_of_forecasting_comes_before_one_that_it_imports() -> None:
    order = [*STAGES]
    for stage, others in STAGES.items():
        assert all(order.index(other) <= order.index(stage) for other in others), stage


def circle(root: Path, package: str) -> list[str]:
    """Files of a package that import each other in a circle, for types alone or not."""
    paths = root.glob(f"{package.replace('.', '/')}/**/*.py")
    files = {module_name(path, root): path for path in paths}
    ahead = {
        module: {
            name.rsplit(".", cut)[0]
            for _, name, _ in imported(path, root)
            for cut in (0, 1)
            if name.rsplit(".", cut)[0] in files
        }
        for module, path in files.items()
        if path.name != "__init__.py"
    }
    while ends := [module for module, others in ahead.items() if not others & ahead.keys()]:
        for module in ends:
            del ahead[module]
    return sorted(ahead)


def test_no_files_of_forecasting_go_round_in_a_circle(tmp_path: Path) -> None:
    assert circle(ROOT, "tcn.forecasting") == []
    plant(
        tmp_path,
        {
            "tcn/a/one.py": "from tcn.a import two\n",
            "tcn/a/two.py": "from tcn.a.three import Three\n",
            "tcn/a/three.py": "if TYPE_CHECKING:\n    from tcn.a.one import One\n",
            "tcn/a/four.py": "import tcn.a.five\n",
            "tcn/a/five.py": "",
        },
    )
    assert circle(tmp_path, "tcn.a") == ["tcn.a.one", "tcn.a.three", "tcn.a.two"]


def test_every_arrow_points_the_right_way() -> None:
    assert list(ROOT.glob("tcn/**/*.py")), f"no source found under {ROOT}"
    assert violations(ROOT) == []


def too_long(root: Path, longer: frozenset[str]) -> list[str]:
    """Every file of `FEWER_LINES` or more beside `longer`, and those of `longer` that are not."""
    paths = [*root.glob("tcn/**/*.py"), *root.glob("benchmarks/**/*.py")]
    lengths = {
        path.relative_to(root).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in paths
    }
    found = {name for name, lines in lengths.items() if lines >= FEWER_LINES}
    told = [f"{name}: {lengths[name]} lines; split it by subject" for name in found - longer]
    return sorted(told + [f"{name}: take it off the list LONGER" for name in longer - found])


def test_files_are_short_enough_to_read() -> None:
    assert too_long(ROOT, LONGER) == []
    assert not [name for name in LONGER if name.startswith(("tcn/layers/", "tcn/models/"))]


def described_by_class(root: Path) -> list[str]:
    """Every class whose docstring describes the arguments of its own __init__."""
    found = []
    for path in sorted(root.glob("tcn/**/*.py")):
        where = path.relative_to(root).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                methods = {part.name for part in node.body if isinstance(part, FUNCTIONS[:2])}
                if "__init__" in methods and "Args:" in (ast.get_docstring(node) or ""):
                    found.append(f"{where}: {node.name}")
    return found


def test_arguments_are_described_where_they_are_taken(tmp_path: Path) -> None:
    assert described_by_class(ROOT) == []
    described = '    """A.\n\n    Args:\n        a: one.\n    """\n'
    taking = "    def __init__(self, a):\n        self.a = a\n"
    plant(
        tmp_path,
        {"tcn/a.py": f"class A:\n{described}{taking}", "tcn/b.py": f"class B:\n{described}"},
    )
    assert described_by_class(tmp_path) == ["tcn/a.py: A"]


def plant(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_a_tree_with_right_arrows_passes(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "tcn/__init__.py": "from .models import TCN\nfrom tcn import layers\n",
            "tcn/layers/__init__.py": "from .convolution import Convolution\n",
            "tcn/layers/convolution.py": "import math\nimport torch.nn.functional as F\n",
            "tcn/layers/deep/inner.py": "from ..convolution import C\nfrom ... import layers\n",
            "tcn/saving/files.py": "import safetensors\nfrom tcn.saving import schema\n",
            "tcn/inference/b.py": "from tcn.saving.files import replacing\n",
            "tcn/layers/a.py": "from tcn.saving.description import recorded\n",
            "tcn/models/tcn.py": "from collections import abc\nfrom ..layers import Convolution\n",
            "tcn/training/task.py": "import pytorch_lightning as pl\nfrom tcn import TCN\n",
            "tcn/inference/a.py": "import safetensors.torch\ndef f():\n    import onnx.helper\n",
            "tcn/data/digits.py": "import sklearn.datasets\nfrom tcn.training.batch import Batch\n",
            "tcn/audio/features.py": "import torchaudio\nfrom tcn.inference import stream\n",
            "tcn/forecasting/windows/a.py": "import pandas as pd\nfrom tcn import data\n",
            "tcn/forecasting/fitted/a.py": "from tcn.forecasting.windows.a import A\n",
            "tcn/forecasting/__init__.py": "from tcn.forecasting.fitted.a import A\n",
            "tcn/__main__.py": "from tcn.commands import main\n",
            "tcn/commands/fit.py": "import tcn.audio\nfrom tcn import data, training\n",
            "benchmarks/report.py": "import pandas\nfrom tcn.commands.training import build\n",
            "benchmarks/grid/a.py": "from benchmarks.grid.b import c\n",
        },
    )
    assert violations(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "line", "reason"),
    [
        ("tcn/layers/a.py", "from tcn.models import TCN", "layers must not import models"),
        ("tcn/layers/a.py", "from ..models import TCN", "layers must not import models"),
        ("tcn/layers/a.py", "from .. import models", "layers must not import models"),
        ("tcn/layers/deep/a.py", "from ...training.task import Task", "must not import training"),
        ("tcn/layers/a.py", "from tcn import TCN", "layers must not import tcn"),
        ("tcn/layers/a.py", "import numpy as np", "layers needs torch alone"),
        ("tcn/layers/__init__.py", "from ..models import TCN", "layers must not import models"),
        ("tcn/saving/a.py", "from tcn.layers import Dropout", "saving must not import layers"),
        ("tcn/saving/a.py", "from tcn import inference", "saving must not import inference"),
        ("tcn/saving/a.py", "import tcn", "saving must not import tcn"),
        ("tcn/native/a.py", "from tcn.saving import files", "native must not import saving"),
        ("tcn/models/a.py", "def f():\n    import tcn.training", "models must not import training"),
        ("tcn/models/a.py", "from tcn.inference import stream", "models must not import inference"),
        ("tcn/outputs/a.py", "from tcn.models import TCN", "outputs must not import models"),
        ("tcn/layers/a.py", "from tcn.outputs import Normal", "layers must not import outputs"),
        ("tcn/outputs/a.py", "import scipy", "outputs needs torch alone"),
        ("tcn/figures.py", "from tcn.layers import Chain", "figures must not import layers"),
        ("tcn/models/a.py", "import pytorch_lightning", "models needs torch alone"),
        ("tcn/inference/a.py", "import lightning", "inference needs torch alone"),
        ("tcn/inference/a.py", "import onnxruntime", "onnxruntime is imported where it is called"),
        ("tcn/models/a.py", "import safetensors", "models needs torch alone"),
        ("tcn/__init__.py", "from .training import Task", "tcn must not import training"),
        ("tcn/__init__.py", "import scipy.io", "tcn needs torch alone"),
        (
            "tcn/training/a.py",
            "from tcn.data import AddingProblem",
            "training must not import data",
        ),
        ("tcn/training/a.py", "from tcn import commands", "training must not import commands"),
        ("tcn/data/a.py", "import tcn.commands.fit", "data must not import commands"),
        ("tcn/data/a.py", "import pandas", "pandas stops at tcn/forecasting"),
        ("tcn/data/a.py", "from torchaudio import transforms", "torchaudio stops at tcn/audio"),
        ("tcn/audio/a.py", "from tcn import forecasting", "audio must not import forecasting"),
        (
            "tcn/forecasting/frames/a.py",
            "from ...vision.task import T",
            "forecasting must not import vision",
        ),
        (
            "tcn/forecasting/frames/a.py",
            "from tcn.forecasting.windows import windows",
            "frames must not import windows",
        ),
        (
            "tcn/forecasting/live/a.py",
            "from ..evaluation.metrics import evaluate",
            "live must not import evaluation",
        ),
        (
            "tcn/forecasting/fitted/a.py",
            "from tcn.forecasting import Forecaster",
            "fitted must not import Forecaster",
        ),
        ("tcn/forecasting/a.py", "import tcn.forecasting.frames", "give a its arrows in STAGES"),
        ("tcn/vision/a.py", "import tcn.audio.features", "vision must not import audio"),
        ("tcn/commands/a.py", "from benchmarks import report", "tcn never imports benchmarks"),
        ("tcn/commands/a.py", "import tests.conftest", "tcn never imports tests"),
        ("tcn/commands/a.py", "import configs", "tcn never imports configs"),
        ("benchmarks/a.py", "from tests import conftest", "benchmarks never import tests"),
        ("benchmarks/grid/a.py", "from benchmarks.report import plots", "the grid knows nothing"),
        ("tcn/gadgets/a.py", "", "give tcn.gadgets.a its arrows"),
        ("tcn/layers/utils/a.py", "", "no name of its own: utils"),
        ("benchmarks/common.py", "", "no name of its own: common"),
    ],
)
def test_a_planted_wrong_arrow_is_caught(tmp_path: Path, file: str, line: str, reason: str) -> None:
    plant(tmp_path, {file: f"{line}\n"})
    found = violations(tmp_path)
    assert len(found) == 1, found
    assert found[0].startswith(file)
    assert reason in found[0]


def test_a_long_file_is_caught_and_a_mended_one_leaves_the_list(tmp_path: Path) -> None:
    plant(tmp_path, {"tcn/layers/a.py": "\n" * 299, "benchmarks/b.py": "\n" * 299})
    assert too_long(tmp_path, frozenset()) == []
    plant(tmp_path, {"tcn/layers/a.py": "\n" * 300, "benchmarks/b.py": "\n" * 300})
    assert too_long(tmp_path, frozenset({"benchmarks/b.py", "tcn/data/c.py"})) == [
        "tcn/data/c.py: take it off the list LONGER",
        "tcn/layers/a.py: 300 lines; split it by subject",
    ]
