"""Every import is a dependency of the extra that its place belongs to, and the other way round."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tcn.extras import need

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What is imported under another name than it is installed by.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "lightning_fabric": "pytorch-lightning",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# The extra of each place; what is none of these has the core alone.
EXTRAS = {
    "tcn/training": "training",
    "tcn/data": "training",
    "tcn/forecasting": "forecasting",
    "tcn/vision": "images",
    "tcn/explain": "explain",
    "tcn/audio": "audio",
    "tcn/commands/generate.py": "audio",
    "tcn/commands/training.py": "training",
    "tcn/commands/parsing.py": "training",
    "benchmarks": "peers",
}
# Listed, and imported by what is installed rather than by us.
INDIRECT = {
    "tensorboard": "PyTorch's SummaryWriter imports it, for Lightning's TensorBoardLogger",
    "onnx": "torch.onnx.export writes by it",
    "tqdm": "the progress bar of pooch",
    "ray": "a dataset of Ray is handed in",
}
# Whoever hands over a series or a frame of these libraries has them.
HANDED_IN = {"darts", "gluonts", "polars"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def packages(extra: str | None) -> set[str]:
    """What an extra installs, with what the extras in it install; None is the core."""
    listed = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    found = set()
    for requirement in listed:
        name = re.match(r"[\w.-]+", requirement)[0]
        if normal(name) == "tcn":
            inner = re.search(r"\[(.*)\]", requirement)[1].split(",")
            found |= set().union(*map(packages, inner))
        else:
            found.add(normal(name))
    return found


def third_party(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Every package that a file imports when it runs, by the name it is installed under."""
    tree = ast.parse(path.read_text())
    for branch in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
        if ast.unparse(branch.test) == "TYPE_CHECKING":
            branch.body = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        for top in {name.partition(".")[0] for name in names}:
            if top not in sys.stdlib_module_names | {"tcn", "benchmarks"}:
                yield normal(DISTRIBUTIONS.get(top, top)), node


def needed(path: Path) -> set[str]:
    """What a file asks `need` for, each looked up in the extra that the call names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "need":
            if not all(isinstance(argument, ast.Constant) for argument in node.args[1:]):
                continue  # `check_extra` hands on what commands ask for
            extra, *names = (ast.literal_eval(argument) for argument in node.args[1:])
            wanted = {normal(DISTRIBUTIONS.get(name, name)) for name in names}
            listed = HANDED_IN if extra is None else packages(extra)
            assert wanted <= listed, f"{path}: {wanted} in {extra}"
            found |= wanted
    return found


def sources() -> list[Path]:
    return sorted([*ROOT.glob("tcn/**/*.py"), *ROOT.glob("benchmarks/**/*.py")])


def test_every_import_is_a_dependency() -> None:
    wrong = []
    for path in sources():
        where = path.relative_to(ROOT).as_posix()
        extra = next((name for part, name in EXTRAS.items() if where.startswith(part)), None)
        allowed = packages(None) | (packages(extra) if extra else set())
        allowed |= needed(path) if path.name != "extras.py" else set()
        if extra == "peers":
            allowed |= packages("ray")
        for name, node in third_party(path):
            if name not in allowed and where != "tcn/inference/recurrence.py":
                wrong.append(f"{where}:{node.lineno}: {name}")
    assert wrong == []


def test_every_dependency_is_imported() -> None:
    imported = {name for path in sources() for name, _ in third_party(path)}
    extras = [name for name in PROJECT["optional-dependencies"] if name != "dev"]
    for extra in [None, *extras]:
        assert packages(extra) - imported - set(INDIRECT) == set(), extra
    assert packages(None) == {"torch", "numpy", "safetensors"}
    assert not any("<" in line for line in PROJECT["dependencies"])


def test_all_is_every_extra_that_a_user_asks_for() -> None:
    extras = set(PROJECT["optional-dependencies"]) - {"all", "dev", "benchmarks", "peers"}
    assert packages("all") == set().union(*map(packages, extras))


def test_a_missing_package_is_answered_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'a needs the extra \'export\': pip install "tcn\[expo'):
        need("a", "export", "onnx", "onnxruntime")
    need("a", "export", "torch")
    with pytest.raises(ImportError, match=r"a needs absent_package: pip install absent_package$"):
        need("a", None, "torch", "absent_package")
    assert "absent_package" not in sys.modules
    with pytest.raises(ModuleNotFoundError, match=r"\(missing: absent_package\)"):
        need("a", "export", "torch", "absent_package")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("import tcn.training", "tcn.training needs the extra 'training': pip install"),
        ("import tcn.data", "tcn.data needs the extra 'training': pip install"),
        ("import tcn.forecasting", "tcn.forecasting needs the extra 'forecasting': pip install"),
        ("import tcn.vision", "tcn.vision needs the extra 'images': pip install"),
        (
            "from tcn.audio import load_sound; load_sound('a.wav')",
            "tcn.audio.load_sound needs the extra 'audio': pip install",
        ),
        ("import tcn.commands.training", "tcn.commands.training needs the extra 'training'"),
        ("from tcn.commands import main; main(['fit'])", "tcn fit needs the extra 'training'"),
        (
            "from tcn.commands import main; main(['forecast'])",
            "tcn forecast needs the extra 'forecasting'",
        ),
    ],
)
def test_what_is_imported_without_its_extra_says_which(statement: str, message: str) -> None:
    names = ["pytorch_lightning", "pandas", "soundfile"]
    absent = f"import sys; sys.modules.update(dict.fromkeys({names}))\n"
    answer = subprocess.run(
        [sys.executable, "-c", absent + statement], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode
    assert message in answer.stderr
