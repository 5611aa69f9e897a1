"""Faces, and patches of photos that are none: a hundred small images of each."""

import torch
from torch import Tensor
from typing_extensions import override

from tcn.vision.loading import ImageDataModule, Part

TEST = 30
"""Patches of each class in the test, drawn once whatever the seed."""


class FacePatches(ImageDataModule):
    """scikit-image's part of Labeled Faces in the Wild: gray patches of 25 x 25.

    ``x`` is ``(batch, 1, 25, 25)``, ``y`` is ``(batch,)``, 1 for a face. The first 100 patches are
    faces, in the middle of the patch, the others parts of photos without one (Huang et al. 2007,
    University of Massachusetts, technical report 07-49). They come with the package.
    """

    in_channels = 1
    out_channels = 2
    class_names = ("other", "face")

    @override
    def read(self, part: Part) -> tuple[Tensor, Tensor]:
        from skimage.data import lfw_subset

        images = torch.from_numpy(lfw_subset()).mul(255).round().byte().unsqueeze(1)
        labels = (torch.arange(len(images)) < 100).long()
        order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
        chosen = order[:TEST] if part == "test" else order[TEST:]
        chosen = torch.cat([chosen, chosen + 100])
        return images[chosen], labels[chosen]
