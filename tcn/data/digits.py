"""The 8x8 digits that come with scikit-learn, pixel by pixel: no download, seconds to train."""

import torch

from tcn.data.loading import Split, TensorSequences
from tcn.data.pixels import PixelDataModule
from tcn.extras import need

TEST_SIZE = 300
VALIDATION_SIZE = 200


class SequentialDigits(PixelDataModule):
    """Classify an 8x8 image of a digit from its 64 pixels in a row.

    The small sister of sequential MNIST, from ``sklearn.datasets.load_digits`` (a copy of the test
    set of the UCI "Optical Recognition of Handwritten Digits" data: 1,797 images, values 0 to 16).
    ``x`` is ``(batch, 1, 64)``: values divided by 16, then standardized with mean and standard
    deviation of the training split; ``y`` is ``(batch,)`` int64. 1,297 training, 200 validation
    and 300 test images, every digit equally frequent in each as far as it goes.
    """

    def __init__(
        self,
        *,
        batch_size: int = 32,
        seed: int = 1111,
        permuted: bool = False,
        permutation_seed: int = 1111,
    ) -> None:
        """Sets how the images are split, ordered and batched.

        Args:
            batch_size: images per batch.
            seed: decides the split and the training order.
            permuted: whether the pixels come in a random order, the same for every image.
            permutation_seed: decides that order, and nothing else.
        """
        super().__init__(
            pixels=64,
            batch_size=batch_size,
            seed=seed,
            permuted=permuted,
            permutation_seed=permutation_seed,
        )

    def make_dataset(self, split: Split) -> TensorSequences:
        """Split, standardize and order the pixels."""
        # Imported here: scikit-learn takes a second, and the other data do without it.
        need("tcn.data.SequentialDigits", "training", "sklearn")
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        images, labels = load_digits(return_X_y=True)
        everything = range(len(labels))
        rest, test = train_test_split(
            everything, test_size=TEST_SIZE, stratify=labels, random_state=self.seed
        )
        train, validation = train_test_split(
            rest, test_size=VALIDATION_SIZE, stratify=labels[rest], random_state=self.seed
        )
        chosen = {"train": train, "validation": validation, "test": test}[split]
        values = torch.from_numpy(images).float() / 16
        values = (values - values[train].mean()) / values[train].std()
        return TensorSequences(self.sequences(values[chosen]), torch.from_numpy(labels)[chosen])
