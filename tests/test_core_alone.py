"""A wheel of the library, beside torch, numpy and safetensors alone: nothing else is there."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
CORE = ("torch", "numpy", "safetensors")

USE = """
import importlib.util, sys
absent = ["pytorch_lightning", "torchmetrics", "jsonargparse", "pandas", "scipy", "onnx", "yaml"]
assert not [name for name in absent if importlib.util.find_spec(name)]

import torch, tcn
assert tcn.__file__.startswith(sys.prefix), tcn.__file__
from tcn.inference import StreamSession, export, from_pretrained, generate, save_pretrained
from tcn.models import TCN, SequenceModel
from tcn.native.library import library
from tcn.testing import check_sequence_module

assert library() is not None, "the kernels are not in the wheel"
torch.manual_seed(0)
net = SequenceModel(TCN(1, [8, 8], 3), 1)
optimizer = torch.optim.Adam(net.parameters(), 1e-2)
x = torch.randn(8, 1, 40)
losses = []
for step in range(60):
    loss = (net(x) - x.roll(2, -1))[..., 2:].square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
assert losses[-1] < 0.3 * losses[0], losses

net.eval()
session = StreamSession(net, batch_size=8)
with torch.no_grad():
    chunks = torch.cat([session.push(chunk) for chunk in x.split(7, -1)], -1)
    torch.testing.assert_close(chunks, net(x))
save_pretrained(net, "net")
assert torch.equal(from_pretrained("net")(x), net(x))
export(net, "net.pt2")
words = SequenceModel(TCN(4, [8], 3), 6, embedding=6).eval()
assert generate(words, prompt=torch.tensor([[1, 2]]), steps=3).shape[-1] >= 3
check_sequence_module(TCN(2, [4], 3), compile_backend=None, export=False)
assert tcn.receptive_field(TCN(2, [4], 3)).size == 5

for name, extra in {"training": 0, "data": "training", "forecasting": 0}.items():
    extra = extra or name
    try:
        importlib.import_module(f"tcn.{name}")
    except ImportError as error:
        assert str(error).startswith(f"tcn.{name} needs the extra '{extra}': pip install"), error
    else:
        raise AssertionError(name)
try:
    export(net, "net.onnx")
except ImportError as error:
    assert "needs the extra 'export'" in str(error), error
print("all of it worked")
"""


def build(tmp_path: Path) -> Path:
    """The wheel, from the source distribution, as an installer builds it."""
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", "setup.py", "pyproject.toml",
         "README.md", "LICENSE", "MANIFEST.in", "tcn"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, tracked):
        if (ROOT / name).exists():
            (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / "source" / name)
    hook = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"
    call = [sys.executable, "-c", hook.format("sdist"), tmp_path / "dist"]
    subprocess.run(call, cwd=tmp_path / "source", check=True, capture_output=True)
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    call[2] = hook.format("wheel")
    subprocess.run(call, cwd=source, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    return wheel


def with_what_they_need(names: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        found.add(name)
        requirements = map(Requirement, importlib.metadata.requires(name) or [])
        waiting += [
            r.name for r in requirements if not r.marker or r.marker.evaluate({"extra": ""})
        ]
    return found


def environment(folder: Path, wheel: Path) -> Path:
    """The interpreter of an environment with links to the core's packages, and the wheel."""
    venv.create(folder, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in with_what_they_need(CORE):
        distribution = importlib.metadata.distribution(name)
        for first in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
            if not (packages / first).exists():
                (packages / first).symlink_to(distribution.locate_file(first))
    with zipfile.ZipFile(wheel) as file:
        file.extractall(packages)
    return folder / "bin" / "python"


@pytest.mark.slow
def test_the_core_works_alone(tmp_path: Path) -> None:
    wheel = build(tmp_path)
    metadata = zipfile.ZipFile(wheel).read(
        next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("METADATA"))
    )
    required = re.findall(r"^Requires-Dist: ([\w.-]+)[^;\n]*$", metadata.decode(), flags=re.M)
    assert sorted(required) == sorted(CORE)
    python = environment(tmp_path / "environment", wheel)
    inside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *arguments], cwd=tmp_path, env=inside, capture_output=True, text=True
        )

    used = run("-c", USE)
    assert used.returncode == 0, used.stderr
    assert used.stdout.split("\n")[-2] == "all of it worked"
    assert "forecast" in run("-m", "tcn", "--help").stdout
    refused = run("-m", "tcn", "fit")
    assert refused.returncode == 2
    assert "tcn fit needs the extra 'training': pip install \"tcn[training]\"" in refused.stderr
    exported = run("-m", "tcn", "export", "net", "again.pt2")
    assert "its outputs are those of the net" in exported.stdout, exported.stderr
