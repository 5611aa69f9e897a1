"""What one image or sound costs a net, in multiplications with an addition."""

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

SIZES: dict[str, tuple[int, ...]] = {
    "MNIST": (1, 28, 28), "FashionMNIST": (1, 28, 28), "BinarizedMNIST": (1, 28, 28),
    "CIFAR10": (3, 32, 32), "FacePatches": (1, 25, 25), "SpokenDigits": (),
    "DeviceClips": (),
}  # fmt: skip
"""Channels, height and width of the training images of a data module, and of those made of it.

Sounds are as long as their config says, ``()``.
"""


def multiply_adds(config: Mapping[str, Any]) -> int | None:
    """Of the forward pass for one image or sound, by the resolved config of a result.

    Fourier transforms are left out.

    None where the size of its images is not known, or a class that it names is not there.

    Where a sequence is read, that of all its steps, also of those that ``readout="last"`` leaves
    out.
    """
    data = config["data"]
    try:
        lineage = _named(data["class_path"]).__mro__
        net = built(config["model"]["init_args"]["net"]).eval()
    except (ImportError, AttributeError):  # moved or deleted since, or of a user's own
        return None
    known = [SIZES[each.__name__] for each in lineage if each.__name__ in SIZES]
    if not known:
        return None
    channels, *sizes = known[0] or (1, data["init_args"]["length"])
    padding = 2 * data["init_args"].get("padding", 0)
    counter = FlopCounterMode(display=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the next line, about devices that are not here
        # oneDNN runs a recurrence as one operation that is not counted.
        without = torch.backends.mkldnn.flags(enabled=False)
        with torch.no_grad(), without, counter:
            net(torch.zeros(1, channels, *(size + padding for size in sizes)))
    return int(counter.get_total_flops()) // 2


def built(said: Any) -> Any:
    """The object that a config names by ``class_path`` and ``init_args``, and those in it."""
    if isinstance(said, list):
        return [built(each) for each in said]
    if not isinstance(said, dict):
        return said
    if "class_path" not in said:
        return {name: built(each) for name, each in said.items()}
    return _named(said["class_path"])(**built(said.get("init_args", {})))


def _named(class_path: str) -> Any:
    module, name = class_path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)
