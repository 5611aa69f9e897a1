"""Images that are drawn, and nets that are written as C."""

import tempfile
from pathlib import Path

import torch

from benchmarks.speed.case import OURS, Case
from benchmarks.speed.timing import Action
from tcn.inference import StreamSession, export, generate_images
from tcn.inference.c_check import Stream, compiled
from tcn.models import TCN, PixelCNN, SequenceModel

FAST = ("-std=c11", "-O3", "-march=native")


def drawing(features: int = 32, layers: int = 6, batch: int = 16, size: int = 28) -> Case:
    """Binary images drawn side by side, and a pixel of them by the whole net evaluated anew."""
    net = PixelCNN(1, features, layers).eval()
    images = generate_images(net, batch, size, seed=0)

    @torch.inference_mode()
    def anew() -> None:
        net.output.sample(net(images)[..., 0, 0], 1)

    pixels, slow = batch * size**2, "whole net for each pixel"
    actions: dict[str, Action] = {
        OURS: lambda: generate_images(net, batch, size, seed=0),
        "tcn, PyTorch layers": lambda: generate_images(net, batch, size, seed=0, native=False),
        slow: anew,
    }
    return Case(
        "images",
        f"PixelCNN, {layers} layers, {features} features, {batch} images of {size} x {size}",
        actions,
        unit="pixel",
        units=dict.fromkeys(actions, pixels) | {slow: batch},
    )


def written_as_c(*, gated: bool, channels: int = 16, layers: int = 10, steps: int = 64) -> Case:
    """Blocks of a stream by the native session, by a C file, and by PyTorch's layers."""
    block = "gated" if gated else "residual"
    net = SequenceModel(TCN(1, [channels] * layers, 3, block=block), 1).eval()
    x = torch.randn(1, 1, steps)
    with tempfile.TemporaryDirectory() as folder:
        path = export(net, Path(folder) / "net.c")
        stream = Stream(compiled(path, "net", Path(folder), options=FAST), "net", 1)
    session, state = StreamSession(net), net.step(x)[1]
    actions: dict[str, Action] = {
        OURS: lambda: session.push(x),
        "C file": lambda: stream.process(x[0]),
        "tcn, PyTorch layers": torch.inference_mode()(lambda: net.step(x, state)),
    }
    name = f"{layers} {block} blocks of {channels} channels, blocks of {steps} steps"
    return Case("C file", name, actions, units=dict.fromkeys(actions, steps))
