"""Which training examples are set aside for validation, where a data set has no part for it."""

import torch
from torch import Tensor

from tcn.data.loading import Split, derived_generator


def chosen_for(split: Split, available: int, validation_size: int, *key: int | str) -> Tensor:
    """The training examples of ``split``, ``"train"`` or ``"validation"``, in a random order.

    Args:
        split: which of the two.
        available: training examples there are.
        validation_size: how many of them are for validation.
        key: what decides which ones, such as ``(seed, "mnist split")``.

    Returns:
        int64 indices.

    Raises:
        ValueError: nothing is left for training.
    """
    if validation_size >= available:
        raise ValueError(
            f"validation_size must leave some of the {available} examples for training, "
            f"got {validation_size}"
        )
    shuffled = torch.randperm(available, generator=derived_generator(*key))
    return shuffled[:validation_size] if split == "validation" else shuffled[validation_size:]
