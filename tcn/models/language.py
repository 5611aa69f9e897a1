"""Language models: tokens in, the next token out, over vocabularies small and large.

A step's features cost the backbone, its probabilities the whole vocabulary: in WikiText-103 five
times as much. So the two are apart: features of every step, a score of those that count.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tcn.layers import SequenceModule, State
from tcn.layers.validation import check_positive, check_probability, check_switch
from tcn.models.arguments import check_backbone
from tcn.models.sequence import SequenceModel
from tcn.outputs import AdaptiveSoftmax, Categorical
from tcn.saving.description import recorded


class TokenModel(SequenceModel):
    """``embedding -> backbone -> head``, ``(batch, time)`` to ``(batch, vocabulary, time)``.

    Returns logits, or with ``cutoffs`` the logarithms of probabilities of a
    :class:`tcn.outputs.AdaptiveSoftmax`; tokens must then be numbered by falling frequency.
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
            TypeError: if ``backbone`` is not a :class:`~tcn.layers.SequenceModule`.
            ValueError: if the weights to be tied do not fit, the cutoffs do not rise from 1 to
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
        if cutoffs is not None and tie_weights:
            raise ValueError(
                "tie_weights: True with cutoffs, whose clusters are narrower than the embedding; "
                "choose one of them"
            )
        # A linear layer over a large vocabulary only to be replaced would take seconds to fill.
        outputs = vocabulary if cutoffs is None else 1
        super().__init__(backbone, outputs, embedding=vocabulary, tie_weights=tie_weights)
        self.clusters = None
        assert isinstance(self.head, nn.Linear)
        nn.init.zeros_(self.head.bias)
        if cutoffs is not None:
            del self.head
            self.clusters = AdaptiveSoftmax(
                backbone.out_channels, vocabulary, cutoffs, division=division
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

    @property
    def output(self) -> Categorical:
        """What a step's logits, or logarithms of probabilities, mean."""
        return Categorical(self.out_channels)

    def _embed(self, x: Tensor) -> Tensor:
        return self.embedding_dropout(super()._embed(x))

    def apply_head(self, y: Tensor) -> Tensor:
        """The head alone: features to logits, or to logarithms of probabilities."""
        return super().apply_head(y) if self.clusters is None else self.clusters.logits(y)
