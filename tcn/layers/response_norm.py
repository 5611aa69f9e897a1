"""Local response normalization across channels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from tcn.layers.module import Pointwise
from tcn.layers.validation import check_positive
from tcn.saving.description import recorded


class LocalResponseNorm(Pointwise):
    """Divides each value by the size of its neighbors among the channels, itself included.

    ``y[c] = x[c] / (k + alpha * mean(x[c - size // 2], ..., x[c + (size - 1) // 2] squared)) **
    beta`` at every position, channels that do not exist counting as 0: like
    ``torch.nn.LocalResponseNorm``. The paper has the *sum* in place of the mean, so that its
    ``n = 5, alpha = 1e-4, beta = 0.75, k = 2`` is ``size=5, alpha=5e-4, beta=0.75, k=2`` here.

    Source: Krizhevsky et al. 2012 (ImageNet classification with deep convolutional neural
    networks), section 3.3.
    """

    @recorded
    def __init__(
        self, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
    ) -> None:
        """Normalizes sequences and images alike.

        Args:
            size: channels that are neighbors of each, itself included.
            alpha: weight of their mean square.
            beta: exponent.
            k: constant that keeps the divisor from 0.

        Raises:
            ValueError: if ``size`` is below 1.
        """
        super().__init__()
        check_positive("size", [size])
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """``(batch, channels, *sizes)`` to the same."""
        return F.local_response_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The constants of the formula."""
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
