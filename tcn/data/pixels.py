"""Images read pixel by pixel: what the data modules of digits and of MNIST share."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from tcn.data.loading import SequenceDataModule, derived_generator
from tcn.layers.validation import check_switch


class PixelDataModule(SequenceDataModule):
    """Images as sequences of pixels, row by row from the top left, or in one fixed random order.

    The order is written into checkpoints. Loading one that was trained with another order is an
    error: the net would silently be at chance.

    Attributes:
        permutation: ``(pixels,)`` int64, the step-th pixel to show; None when not permuted.
    """

    in_channels = 1
    out_channels = 10

    def __init__(
        self, *, pixels: int, batch_size: int, seed: int, permuted: bool, permutation_seed: int
    ) -> None:
        """Sets how images are split and batched, and how their pixels are ordered.

        Args:
            pixels: pixels of an image.
            batch_size: images per batch.
            seed: decides the split and the training order.
            permuted: whether the pixels come in a random order, the same for every image.
            permutation_seed: decides that order, and nothing else.
        """
        super().__init__(batch_size=batch_size, seed=seed)
        check_switch(permuted=permuted)
        self.permutation: Tensor | None = None
        if permuted:
            generator = derived_generator(permutation_seed, "pixel permutation")
            self.permutation = torch.randperm(pixels, generator=generator)

    @property
    def permutation_hash(self) -> str | None:
        """sha256 of the pixel order; None when not permuted."""
        if self.permutation is None:
            return None
        return hashlib.sha256(self.permutation.numpy().data).hexdigest()

    def setup(self, stage: str | None = None) -> None:
        """Make the splits of a stage and say which pixel order they have."""
        super().setup(stage)
        if self.permutation is not None:
            rank_zero_info(f"pixel permutation: sha256 {self.permutation_hash}")

    def state_dict(self) -> dict[str, Any]:
        """The pixel order, for the checkpoint."""
        return {"permutation": self.permutation}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Compare the pixel order with the one in a checkpoint.

        Raises:
            ValueError: they differ.
        """
        stored: Tensor | None = state_dict["permutation"]
        if stored is None and self.permutation is None:
            return
        if stored is None or self.permutation is None or not torch.equal(stored, self.permutation):
            raise ValueError(
                f"the checkpoint was trained on {_in_words(stored)}, this data has "
                f"{_in_words(self.permutation)}: set permuted and permutation_seed as in training"
            )

    def sequences(self, images: Tensor) -> Tensor:
        """``(size, pixels)`` or ``(size, height, width)`` to ``(size, 1, pixels)`` in order."""
        rows = images.flatten(start_dim=1)
        if self.permutation is not None:
            rows = rows[:, self.permutation]
        return rows.unsqueeze(1)


def _in_words(permutation: Tensor | None) -> str:
    if permutation is None:
        return "unpermuted pixels"
    return f"permuted pixels starting with {permutation[:4].tolist()}"
