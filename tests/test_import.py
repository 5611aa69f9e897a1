"""`import tcn` needs torch alone, and costs little beside it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Dependencies of training, data and plots: none of them has a part in running a net.
KEPT_OUT = [
    "jsonargparse",
    "lightning",
    "huggingface_hub",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pandas",
    "pooch",
    "pytorch_lightning",
    "scipy",
    "sklearn",
    "soundfile",
    "tensorboard",
    "torchaudio",
    "torchmetrics",
]

PROBE = """
import json, sys, time
start = time.perf_counter()
import torch
torch_ready = time.perf_counter()
before = set(sys.modules)
{statement}
ready = time.perf_counter()
print(json.dumps({{
    "torch": torch_ready - start,
    "tcn": ready - torch_ready,
    "loaded": sorted({{name.partition(".")[0] for name in set(sys.modules) - before}}),
}}))
"""


def probe(statement: str) -> dict:
    """Seconds for torch, seconds for `statement` on top, and the packages it loaded on top."""
    answer = subprocess.run(
        [sys.executable, "-c", PROBE.format(statement=statement)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return json.loads(answer.stdout)


@pytest.mark.parametrize(
    "package", ["tcn", "tcn.layers", "tcn.models", "tcn.inference", "tcn.audio"]
)
def test_import_needs_torch_alone(package: str) -> None:
    loaded = set(probe(f"import {package}")["loaded"])
    assert "tcn" in loaded
    assert sorted(loaded.intersection(KEPT_OUT)) == []


def test_probe_sees_what_an_import_loads() -> None:
    # Guards the test above: a probe that saw nothing would let everything pass.
    assert "scipy" in probe("import scipy")["loaded"]


def test_import_leaves_the_compiler_of_torch_alone() -> None:
    # torch._dynamo takes a second; some of torch's own decorators load it.
    code = (
        "import sys, torch; before = set(sys.modules); import tcn; tcn.models; "
        "print(set(sys.modules) - before)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "tcn.models" in answer.stdout
    assert "torch._dynamo" not in answer.stdout


def test_import_itself_loads_nothing() -> None:
    code = (
        "import sys, tcn; assert 'torch' not in sys.modules; assert 'models' in dir(tcn)\n"
        "assert tcn.models.TCN and tcn.receptive_field and tcn.layers.Chain\n"
        "from tcn import *; assert ReceptiveField is tcn.ReceptiveField\n"
        "tcn.inference_"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    expected = "AttributeError: module 'tcn' has no attribute 'inference_'; import tcn.inference_"
    assert expected in answer.stderr
