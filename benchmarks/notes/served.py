"""Nets for images of one size that are asked about images of another."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.notes.nets import StagedNet
from tcn.layers import Chain, Dense, Flatten, Mean, PyramidPool
from tcn.models import dense_to_conv

WAYS = ("global", "pyramid", "sliding", "resizing")


class ServedNet(nn.Module):
    """Stages of convolutions without padding, and one of four ways to take any size.

    ==========  ===================================================================================
    global      the mean over all positions, then a dense layer (Lin et al. 2014, arXiv:1312.4400,
                section 3.2)
    pyramid     the largest values of the whole and of its quarters, then a dense layer (He et al.
                2014, arXiv:1406.4729, section 2.2)
    sliding     a dense layer over all positions of an image of ``size``; slid over a larger one,
                the mean of its answers (Sermanet et al. 2014, arXiv:1312.6229, section 3.5)
    resizing    the same dense layer; a larger image is made small first
    ==========  ===================================================================================

    ``(batch, in_channels, height, width)`` to ``(batch, classes)``.
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        channels: Sequence[int],
        *,
        way: str,
        size: int,
    ) -> None:
        """Builds the net.

        Args:
            in_channels: channels of the images.
            classes: numbers that are returned.
            channels: width of every stage.
            way: one of ``WAYS``.
            size: height and width of the images in training.

        Raises:
            ValueError: ``way`` is unknown.
        """
        super().__init__()
        if way not in WAYS:
            raise ValueError(f"way: {way!r} is none of {', '.join(WAYS)}")
        stages = StagedNet(in_channels, channels, padding="valid")
        left = [stages.out_steps(size, axis) for axis in (-2, -1)]
        ends: dict[str, tuple[Any, int]] = {
            "global": (Mean(), 1),
            "pyramid": (PyramidPool((1, 2)), 5),
        }
        end, parts = ends.get(way, (Flatten(channels[-1], left), left[0] * left[1]))
        self.net = Chain(stages=stages, end=end, dense=Dense(parts * channels[-1], classes))
        self.way, self.size = way, size

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        if self.way == "resizing" and x.shape[-1] != self.size:
            x = F.interpolate(x, self.size, mode="bilinear", antialias=True)
        if self.way == "sliding" and x.shape[-1] != self.size:
            return dense_to_conv(self.net)(x).mean((2, 3))
        return self.net(x)
