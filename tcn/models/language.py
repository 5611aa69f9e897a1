"""Language models: tokens in, the next token out, over vocabularies small and large.

A step's features cost the backbone, its probabilities the whole vocabulary: in WikiText-103 five
times as much. So the two are apart: features of every step, a score of those that count.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from tcn.layers import SequenceModule, State
from tcn.layers.running import at_least_float32
from tcn.layers.validation import check_positive, check_probability, check_switch
from tcn.models.sequence import SequenceModel, check_backbone
from tcn.saving.description import recorded


class TokenScorer(Protocol):
    """What turns rows, features or logits, into probabilities of tokens."""

    def log_likelihood(self, rows: Tensor, target: Tensor) -> Tensor:
        """``(n,)`` logarithms of the probabilities of ``(n,)`` tokens, rows ``(n, channels)``."""

    def score(self, rows: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and ``(n,)`` bool: whether the token was the likeliest."""

    def probabilities(self, output: Tensor) -> Tensor:
        """``(batch, channels, *sizes)`` to ``(batch, vocabulary, *sizes)``."""


class _Logits:
    """Scores logits, one for each token of the vocabulary."""

    def log_likelihood(self, rows: Tensor, target: Tensor) -> Tensor:
        return -functional.cross_entropy(at_least_float32(rows), target, reduction="none")

    def score(self, rows: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return self.log_likelihood(rows, target), rows.argmax(1) == target

    def probabilities(self, output: Tensor) -> Tensor:
        return output.softmax(dim=1)


LOGITS: TokenScorer = _Logits()


class TokenModel(SequenceModel):
    """``embedding -> backbone -> head``, ``(batch, time)`` to ``(batch, vocabulary, time)``.

    Returns logits, or with ``cutoffs`` logarithms of probabilities. Adaptive softmax (Grave et al.
    2017, arXiv:1609.04309) gives the most frequent tokens a layer of their own and the others
    smaller ones, of which only those that a target lies in are computed in training; tokens must
    be numbered by falling frequency.
    """

    @recorded
    def __init__(
        self,
        backbone: SequenceModule,
        vocabulary: int,
        *,
        tie_weights: bool = False,
        cutoffs: Sequence[int] | None = None,
        division: float = 4.0,
        embedding_deviation: float = 0.01,
        embedding_dropout: float = 0.0,
    ) -> None:
        """Puts embedding and head around a backbone.

        Args:
            backbone: a :class:`TCN`, :class:`LSTM`, ... with ``in_channels`` and ``out_channels``.
            vocabulary: number of tokens.
            tie_weights: whether the head's weight is the embedding's (Press & Wolf 2017).
            cutoffs: numbers of the tokens with which the clusters of an adaptive softmax begin; an
                ordinary softmax if None.
            division: how much narrower each cluster is than the one before.
            embedding_deviation: standard deviation of the embedding's initial weights. PyTorch's
                own, 1, makes the first logits of tied weights far too large.
            embedding_dropout: share of the embedded values dropped in training.

        Raises:
            TypeError: if ``backbone`` is no :class:`~tcn.layers.SequenceModule`.
            ValueError: if weights are to be tied that do not fit, the cutoffs do not rise from 1 to
                below the vocabulary, or a number is out of range.
        """
        backbone = check_backbone(backbone)
        check_switch(tie_weights=tie_weights)
        check_positive("vocabulary", [vocabulary])
        check_probability("embedding_dropout", embedding_dropout)
        if embedding_deviation < 0:
            raise ValueError(
                f"embedding_deviation: {embedding_deviation} is below 0; give a standard deviation"
            )
        if cutoffs is not None:
            _check_clusters(cutoffs, vocabulary, division, backbone.out_channels)
            if tie_weights:
                raise ValueError(
                    "tie_weights: True with cutoffs, whose clusters are narrower than the "
                    "embedding; choose one of them"
                )
        # A linear layer over a large vocabulary only to be replaced would take seconds to fill.
        outputs = vocabulary if cutoffs is None else 1
        super().__init__(backbone, outputs, embedding=vocabulary, tie_weights=tie_weights)
        self.clusters = None
        nn.init.zeros_(self.head.bias)
        if cutoffs is not None:
            del self.head
            self.clusters = nn.AdaptiveLogSoftmaxWithLoss(
                backbone.out_channels, vocabulary, list(cutoffs), div_value=division
            )
        self.out_channels = vocabulary
        assert self.embedding is not None
        nn.init.normal_(self.embedding.weight, std=embedding_deviation)
        self.embedding_dropout = nn.Dropout(embedding_dropout)

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What the head reads: ``(batch, time)`` tokens to ``(batch, channels, time)``."""
        return self.backbone(self._embed(x), lengths=lengths)

    def step_features(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The features of the next chunk of a stream, and the state after it."""
        return self.backbone.step(self._embed(x), state)

    def log_likelihood(self, rows: Tensor, target: Tensor) -> Tensor:
        """Scores tokens without computing the probabilities of all others where it can be helped.

        Args:
            rows: ``(n, channels)`` features.
            target: ``(n,)`` tokens.

        Returns:
            ``(n,)`` logarithms of their probabilities.
        """
        if self.clusters is not None:
            return _precisely(self.clusters, rows, target).output
        return LOGITS.log_likelihood(self.head(rows), target)

    def score(self, rows: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`log_likelihood`, and ``(n,)`` bool: whether the token was the likeliest."""
        if self.clusters is not None:
            likeliest = _precisely(self.clusters.predict, rows)
            return self.log_likelihood(rows, target), likeliest == target
        return LOGITS.score(self.head(rows), target)

    def probabilities(self, output: Tensor) -> Tensor:
        """Features ``(batch, channels, time)`` to ``(batch, vocabulary, time)``."""
        return self._apply_head(output).softmax(dim=1)

    def _embed(self, x: Tensor) -> Tensor:
        return self.embedding_dropout(super()._embed(x))

    def _apply_head(self, y: Tensor) -> Tensor:
        if self.clusters is None:
            return super()._apply_head(y)
        rows = y.movedim(1, -1)
        every = _precisely(self.clusters.log_prob, rows.flatten(end_dim=-2))
        return every.unflatten(0, rows.shape[:-1]).movedim(-1, 1)


def _precisely(function: Callable[..., Any], rows: Tensor, *others: Tensor) -> Any:
    """Calls it without autocast: PyTorch's adaptive softmax cannot add up two precisions."""
    device = rows.device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return function(rows, *others)
    with torch.autocast(device, enabled=False):
        return function(rows.float(), *others)


def _check_clusters(
    cutoffs: Sequence[int], vocabulary: int, division: float, channels: int
) -> None:
    edges = [0, *cutoffs, vocabulary]
    if not cutoffs or any(low >= high for low, high in itertools.pairwise(edges)):
        raise ValueError(
            f"cutoffs: {list(cutoffs)} do not rise from 1 to below vocabulary={vocabulary}; give "
            "the numbers of the tokens with which the clusters begin, or None for one softmax"
        )
    if division < 1:
        raise ValueError(f"division: {division} is below 1; clusters cannot widen, give 1 or more")
    if channels < division ** len(cutoffs):
        raise ValueError(
            f"cutoffs: {len(cutoffs)} clusters of {channels} channels, narrowed by {division} "
            "each, leave none for the last; give fewer cutoffs or a smaller division"
        )
