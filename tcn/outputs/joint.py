"""Values that depend on each other: all keys of a chord together, not each on its own.

Given the past, 88 independent outputs say how likely each key is, but not which keys sound
together: with C and E flat each likely after a doubtful bar, the chord of both is too. A joint
output takes the keys in order, and each is told of those before it::

    features of the past --+---------+----------+
                           v         v          v
                          p(key 1)  p(key 2 |  p(key 3 |  ...   product: p(chord | past)
                                     key 1)     keys 1, 2)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional

from tcn.layers.running import at_least_float32
from tcn.layers.validation import check_positive, check_probability
from tcn.outputs.base import Output, Support
from tcn.outputs.checks import check_binary, random_source
from tcn.saving.description import recorded


class NADE(nn.Module, Output):
    """The neural autoregressive distribution estimator: vectors of 0 and 1, value by value.

    The hidden units of value i see the values before it; adding one value at a time to their sums
    gives all conditional probabilities at once::

        hidden_i = sigmoid(c + sum over j < i of value_j * read_j)
        logit_i  = b_i + write_i . hidden_i

    ``b`` and ``c`` are not weights: they are the raw numbers, different for every vector, and carry
    all that is known of the past. Targets are 0 or 1, ``(batch, values, *axes)``; the loss is the
    negative logarithm of the probability of the whole vector, in nats; the point forecast takes the
    likelier value each time, given those before. Sources: Larochelle & Murray 2011, section 3; with
    biases from a sequence model Boulanger-Lewandowski et al. 2012, section 4 (RNN-NADE).
    """

    name: ClassVar[str] = "nade"
    support: ClassVar[Support] = "binary"

    @recorded
    def __init__(self, values: int, hidden: int = 100, *, dropout: float = 0.0) -> None:
        """A distribution over vectors of ``values`` zeros and ones.

        Args:
            values: how many values a vector has.
            hidden: units that carry what the values before say.
            dropout: share of the units dropped in training, the same for all values of a
                vector.

        Raises:
            ValueError: if a size is below 1 or ``dropout`` not in [0, 1).
        """
        super().__init__()
        check_positive("values", [values])
        check_positive("hidden", [hidden])
        check_probability("dropout", dropout)
        self.values = values
        self.hidden = hidden
        self.dropout = dropout
        self.read = nn.Parameter(torch.empty(values, hidden))
        self.write = nn.Parameter(torch.empty(values, hidden))
        nn.init.normal_(self.read, std=values**-0.5)
        nn.init.normal_(self.write, std=hidden**-0.5)

    @property
    def size(self) -> int:
        """``b``, then ``c``."""
        return self.values + self.hidden

    @property
    def event(self) -> int:
        return self.values

    @property
    def locations(self) -> tuple[int, ...]:
        return ()

    @property
    def intervals(self) -> bool:
        return False

    def forward(self, biases: Tensor, vectors: Tensor) -> Tensor:
        """The logits of all values, each given the values before it.

        Args:
            biases: ``(n, size)``.
            vectors: ``(n, values)`` floats 0 or 1.

        Returns:
            ``(n, values)``.
        """
        b, c = biases.split([self.values, self.hidden], dim=1)
        told = vectors.unsqueeze(2) * self.read
        before = told.cumsum(1) - told
        hidden = torch.sigmoid(c.unsqueeze(1) + before) * self._kept(c)
        return b + torch.einsum("nvh,vh->nv", hidden, self.write)

    def elementwise(self, raw: Tensor, target: Tensor, scale: Tensor | None) -> Tensor:
        vectors = _rows(target)
        biases = _rows(raw).to(self.read.dtype)
        logits = at_least_float32(self(biases, vectors.to(biases.dtype)))
        losses = functional.binary_cross_entropy_with_logits(
            logits, vectors.to(logits.dtype), reduction="none"
        )
        return losses.sum(1).view(raw.shape[0], *raw.shape[2:])

    def check_target(self, target: Tensor) -> None:
        """Refuses what is not between 0 and 1; NaN passes.

        Raises:
            ValueError: a value is below 0 or above 1.
        """
        check_binary(self.name, target)

    def mean(self, raw: Tensor) -> Tensor:
        """The likelier value of each given those before it: not always the likeliest vector."""
        self.check_raw(raw)
        half = torch.full((1,), 0.5, dtype=torch.float64, device=raw.device)
        return self._draw(raw.unsqueeze(0), half)[0]

    def quantile(self, raw: Tensor, q: Tensor | Sequence[float]) -> NoReturn:
        raise TypeError(
            f"output {self.name!r} is of whole vectors, which have no order and so no quantiles; "
            "use sample"
        )

    def sample(self, raw: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws vectors value by value, ``(n, batch, values, *axes)``."""
        self.check_raw(raw)
        check_positive("n", [n])
        # Of half precision one number in 256 is 0, below any probability.
        dtype = torch.promote_types(raw.dtype, torch.float32)
        uniform = torch.rand(
            (n, raw.shape[0], *raw.shape[2:], self.values),
            generator=generator, dtype=dtype, device=random_source(raw, generator),
        )  # fmt: skip
        return self._draw(raw.expand(n, *raw.shape), uniform.to(raw.device).flatten(end_dim=-2))

    @torch.no_grad()
    def _draw(self, raw: Tensor, thresholds: Tensor) -> Tensor:
        """1 where the probability, given the values before, is above a threshold.

        Args:
            raw: ``(n, batch, size, *axes)``.
            thresholds: as many rows of ``values`` numbers, or what is broadcast to them.
        """
        rows = raw.movedim(2, -1).to(self.read.dtype)
        b, c = rows.flatten(end_dim=-2).split([self.values, self.hidden], dim=1)
        thresholds = thresholds.expand_as(b)
        vectors, total = torch.zeros_like(b), c
        for value in range(self.values):
            logit = b[:, value] + torch.sigmoid(total) @ self.write[value]
            likely = at_least_float32(logit).sigmoid() > thresholds[:, value]
            vectors[:, value] = likely.to(b.dtype)
            total = total + vectors[:, value, None] * self.read[value]
        return vectors.view(*rows.shape[:-1], self.values).movedim(-1, 2).to(raw.dtype)

    def _kept(self, c: Tensor) -> Tensor:
        """Which units are not dropped, scaled: ``(n, 1, hidden)``."""
        return functional.dropout(torch.ones_like(c), self.dropout, self.training).unsqueeze(1)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.values}, {self.hidden}, dropout={self.dropout}"


def _rows(tensor: Tensor) -> Tensor:
    """``(batch, channels, *axes)`` to ``(n, channels)``."""
    return tensor.movedim(1, -1).flatten(end_dim=-2)
