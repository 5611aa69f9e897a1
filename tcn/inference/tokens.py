"""Draws of tokens, and of the levels of sound.

Both are drawn by the Gumbel-max trick: the largest of ``logits + temperature * noise``, with Gumbel
noise, is distributed as ``softmax(logits / temperature)``. At temperature 0 it is the largest
logit, without a special case.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tcn.layers.running import at_least_float32
from tcn.outputs import MuLaw, mu_law_decode
from tcn.outputs.classes import OfClasses

# Noise is drawn for this many steps at a time, whatever the number of steps asked for: a longer
# generation from the same seed begins with the shorter one.
BLOCK = 64


class Tokens:
    """Draws tokens; the noise of a step depends on the generator alone.

    Attributes:
        values: ``(vocabulary,)``, the input that each token is; None if tokens are the input.
    """

    values: Tensor | None = None

    def __init__(
        self,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        generator: torch.Generator,
        output: OfClasses | MuLaw,
    ) -> None:
        self.output = output
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.generator = generator
        self._noise = torch.empty(0)

    def __call__(self, raw: Tensor, _: torch.Generator) -> Tensor:
        """``(batch, out_channels)`` raw numbers to ``(batch,)`` tokens."""
        logits = self.logits(raw)
        return (self._likely(logits) + self.noise(1, logits)[0]).argmax(1)

    def logits(self, raw: Tensor) -> Tensor:
        """``(batch, vocabulary)``, to which noise is added."""
        assert isinstance(self.output, OfClasses)
        # Of half precision, sums of logit and noise would often be equal.
        return at_least_float32(self.output.logits(raw))

    def noise(self, most: int, logits: Tensor) -> Tensor:
        """The noise of the next steps, at least one and at most ``most``.

        Returns:
            ``(steps, batch, vocabulary)``, for logits like these.
        """
        if not len(self._noise):
            self._noise = self._draw(logits)
        noise, self._noise = self._noise[:most], self._noise[most:]
        return noise

    def keeps_all(self, logits: Tensor) -> bool:
        """Whether every token may be drawn."""
        top_k = self.top_k is None or self.top_k >= logits.shape[1]
        top_p = self.top_p is None or self.top_p >= 1 or self.temperature == 0
        return top_k and top_p

    def _draw(self, logits: Tensor) -> Tensor:
        """Gumbel noise for a block of steps."""
        noise = torch.empty(
            (BLOCK, *logits.shape), dtype=logits.dtype, device=self.generator.device
        )
        # An exponential number that rounds to 0 would be an infinite noise.
        noise.exponential_(generator=self.generator).clamp_min_(torch.finfo(logits.dtype).tiny)
        # From its end: the order is arbitrary, but has to stay for a seed to keep its samples.
        return noise.log_().mul_(-self.temperature).flip(0).to(logits.device)

    def _likely(self, logits: Tensor) -> Tensor:
        """The logits, minus infinity for the tokens that are not to be drawn."""
        if self.keeps_all(logits):
            return logits
        if self.top_k is not None and self.top_k < logits.shape[1]:
            logits = logits.masked_fill(~_largest(logits, self.top_k), -torch.inf)
        if self.top_p is not None and self.top_p < 1 and self.temperature > 0:
            ordered, order = logits.sort(dim=1, descending=True, stable=True)
            probability = (ordered / self.temperature).softmax(1)
            # What the tokens before already have: the first is always kept.
            enough = probability.cumsum(1) - probability >= self.top_p
            excluded = torch.zeros_like(enough).scatter(1, order, enough)
            logits = logits.masked_fill(excluded, -torch.inf)
        return logits


class Levels(Tokens):
    """Draws levels of mu-law sound, with the random numbers of :meth:`MuLaw.sample`."""

    values: Tensor

    def __init__(
        self,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        generator: torch.Generator,
        output: MuLaw,
    ) -> None:
        super().__init__(temperature, top_k, top_p, generator, output)
        self.values = mu_law_decode(torch.arange(output.levels), output.levels)

    def logits(self, raw: Tensor) -> Tensor:
        """Raw numbers as they are, in float64 as the noise is."""
        return raw.double()

    def _draw(self, logits: Tensor) -> Tensor:
        noise = torch.empty((BLOCK, *logits.shape), dtype=torch.float64)
        noise = noise.to(self.generator.device).uniform_(generator=self.generator)
        noise.clamp_min_(torch.finfo(torch.float64).tiny).log_().neg_().log_()
        return noise.mul_(-self.temperature).to(logits.device)


def _largest(logits: Tensor, count: int) -> Tensor:
    """``(batch, vocabulary)`` bool: the ``count`` largest; of equals the first, like argmax."""
    least = logits.topk(count, dim=1).values[:, -1:]
    above, equal = logits > least, logits == least
    return above | (equal & (equal.cumsum(1) <= count - above.sum(1, keepdim=True)))
