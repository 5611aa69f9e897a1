"""Outputs that depend on each other: all keys of a chord together, not each for itself.

Given the past, 88 independent outputs say how likely each key is, and nothing of which keys sound
together: with C and E flat each likely after a doubtful bar, the chord of both is too. A joint
output takes the keys in order, and each is told of those before it::

    features of the past --+---------+----------+
                           v         v          v
                          p(key 1)  p(key 2 |  p(key 3 |  ...   product: p(chord | past)
                                     key 1)     keys 1, 2)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tcn.layers import SequenceModule
from tcn.layers.running import at_least_float32
from tcn.layers.validation import check_positive, check_probability
from tcn.models.sequence import SequenceModel
from tcn.saving.description import recorded


class NADE(nn.Module):
    """The neural autoregressive distribution estimator: vectors of 0 and 1, value by value.

    The hidden units of value i see the values before it; adding one value at a time to their sums
    gives all conditional probabilities at once::

        hidden_i = sigmoid(c + sum over j < i of value_j * read_j)
        logit_i  = b_i + write_i . hidden_i

    ``b`` and ``c`` are not weights: they come from outside, for every vector its own, and carry all
    that is known of the past. Sources: Larochelle & Murray 2011, section 3; with biases from a
    sequence model Boulanger-Lewandowski et al. 2012, section 4 (RNN-NADE).
    """

    def __init__(self, values: int, hidden: int, *, dropout: float = 0.0) -> None:
        """A distribution over vectors of ``values`` zeros and ones.

        Args:
            values: how many values a vector has.
            hidden: units that carry what the values before say.
            dropout: share of the units dropped in training, the same ones for all values of a
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
    def biases(self) -> int:
        """Numbers that a vector needs from outside: ``b``, then ``c``."""
        return self.values + self.hidden

    def forward(self, biases: Tensor, vectors: Tensor) -> Tensor:
        """The logits of all values, each given the values before it.

        Args:
            biases: ``(n, biases)``.
            vectors: ``(n, values)`` floats 0 or 1.

        Returns:
            ``(n, values)``.
        """
        b, c = biases.split([self.values, self.hidden], dim=1)
        told = vectors.unsqueeze(2) * self.read
        before = told.cumsum(1) - told
        hidden = torch.sigmoid(c.unsqueeze(1) + before) * self._kept(c)
        return b + torch.einsum("nvh,vh->nv", hidden, self.write)

    def log_likelihood(self, biases: Tensor, vectors: Tensor) -> Tensor:
        """``(n,)`` logarithms of the probabilities of ``(n, values)`` whole vectors."""
        logits = at_least_float32(self(biases, vectors.to(biases.dtype)))
        return -functional.binary_cross_entropy_with_logits(
            logits, vectors.to(logits.dtype), reduction="none"
        ).sum(1)

    @torch.no_grad()
    def draw(self, biases: Tensor, thresholds: Tensor) -> Tensor:
        """Vectors value by value: 1 where the probability, given those before, is higher.

        Args:
            biases: ``(n, biases)``.
            thresholds: ``(n, values)`` or broadcast to it; uniform random numbers draw from the
                distribution, 0.5 takes the likelier value each time.

        Returns:
            ``(n, values)`` of 0 and 1.
        """
        b, c = biases.split([self.values, self.hidden], dim=1)
        thresholds = thresholds.expand_as(b)
        vectors, total = torch.zeros_like(b), c
        for value in range(self.values):
            logit = b[:, value] + torch.sigmoid(total) @ self.write[value]
            vectors[:, value] = (logit.sigmoid() > thresholds[:, value]).to(b.dtype)
            total = total + vectors[:, value, None] * self.read[value]
        return vectors

    def _kept(self, c: Tensor) -> Tensor:
        """Which units are not dropped, scaled: ``(n, 1, hidden)``."""
        return functional.dropout(torch.ones_like(c), self.dropout, self.training).unsqueeze(1)

    def extra_repr(self) -> str:
        """The settings."""
        return f"{self.values}, {self.hidden}, dropout={self.dropout}"


class JointModel(SequenceModel):
    """``backbone -> head -> NADE``: at every step a distribution over whole vectors of 0 and 1.

    Maps ``(batch, in_channels, time)`` to ``(batch, biases, time)``, the numbers that decide the
    distribution of a step; :meth:`log_likelihood` and :meth:`sample` read them. To compose, hand
    the sampler to the generator: ``generate(net, prompt, steps, output=net.sample)``.
    """

    @recorded
    def __init__(
        self, backbone: SequenceModule, keys: int, *, hidden: int = 100, dropout: float = 0.0
    ) -> None:
        """Puts a joint output on a backbone.

        Args:
            backbone: a :class:`TCN`, :class:`LSTM`, ... with ``in_channels`` and ``out_channels``.
            keys: values of a vector, such as the 88 keys of a piano.
            hidden: units of the output that carry from key to key.
            dropout: share of these units dropped in training.

        Raises:
            TypeError: if the backbone is not a :class:`tcn.layers.SequenceModule`.
            ValueError: if a size is below 1 or ``dropout`` not in [0, 1).
        """
        nade = NADE(keys, hidden, dropout=dropout)
        super().__init__(backbone, nade.biases)
        self.nade = nade
        self.keys = keys

    def log_likelihood(self, output: Tensor, target: Tensor) -> Tensor:
        """The exact logarithm of the probability of every target.

        Args:
            output: ``(n, biases)`` or ``(batch, biases, time)``, as :meth:`forward` gives it.
            target: ``(n, keys)`` or ``(batch, keys, time)`` floats 0 or 1.

        Returns:
            ``(n,)`` or ``(batch, time)``, in nats.

        Raises:
            ValueError: if the shapes do not fit.
        """
        expected = (output.shape[0], self.keys, *output.shape[2:])
        if output.shape[1] != self.nade.biases or target.shape != expected:
            raise ValueError(
                f"output {tuple(output.shape)} and target {tuple(target.shape)} do not fit: the "
                f"outputs have {self.nade.biases} channels, the targets {self.keys}, for the same "
                "rows and steps"
            )
        rows = output.movedim(1, -1).flatten(end_dim=-2)
        vectors = target.movedim(1, -1).flatten(end_dim=-2)
        found: Tensor = self.nade.log_likelihood(rows, vectors)
        return found.view(output.shape[:1] + output.shape[2:])

    def sample(self, output: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws a vector for every row, key by key.

        Args:
            output: ``(n, biases)``.
            generator: of the random numbers; PyTorch's global one if None.

        Returns:
            ``(n, keys)`` of 0 and 1.
        """
        device = output.device if generator is None else generator.device
        size = (output.shape[0], self.keys)
        uniform = torch.rand(size, generator=generator, dtype=output.dtype, device=device)
        return self.nade.draw(output, uniform.to(output.device))

    def likeliest(self, output: Tensor) -> Tensor:
        """Takes the likelier value of each key given those before it, without a draw.

        Not always the likeliest vector, to find which takes a search.

        Args:
            output: ``(batch, biases, time)``.

        Returns:
            ``(batch, keys, time)`` of 0 and 1.
        """
        rows = output.movedim(1, -1)
        drawn = self.nade.draw(rows.flatten(end_dim=-2), rows.new_full((), 0.5))
        return drawn.view(*rows.shape[:-1], self.keys).movedim(-1, 1)
