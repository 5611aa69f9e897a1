"""A backbone between an embedding and a head: the whole model of a sequence task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tcn.layers import Context, Dropout, Reach, SequenceModule, State
from tcn.layers.containers import Composite
from tcn.layers.grid import Grid
from tcn.layers.hooks import watched
from tcn.layers.passing import advance, after, grids, needs, on_grid
from tcn.layers.reach import Composed, InSeries
from tcn.layers.readout import readout_of
from tcn.layers.validation import check_input, check_positive, check_switch, wrong_state
from tcn.models.arguments import check_backbone, head_of
from tcn.outputs import Output
from tcn.saving.description import recorded


class SequenceModel(Composite):
    """``embedding -> backbone -> readout -> linear head``, the same around any backbone.

    With ``readout="last"`` the backbone computes only the positions that the last step depends on
    (see :mod:`tcn.layers.grid`); the result is that of the whole sequence.
    """

    @recorded
    def __init__(
        self,
        backbone: SequenceModule,
        out_channels: int | None = None,
        *,
        head: int | str | Output | None = None,
        targets: int | None = None,
        readout: str = "every",
        embedding: int | None = None,
        tie_weights: bool = False,
        zero_head: bool = False,
    ) -> None:
        """Puts embedding, readout and head around a backbone.

        Args:
            backbone: a :class:`TCN`, :class:`LSTM`, ... with ``in_channels`` and ``out_channels``.
            out_channels: numbers that the head returns, if the net does not say what they mean;
                otherwise give ``head``.
            head: what the head's numbers mean, an output of :mod:`tcn.outputs` or the name of one,
                which also says how many there are. A number means ``out_channels``.
            targets: channels of the target, each with numbers of its own: the head returns
                ``output.size * targets``. None: the target has no axis of channels.
            readout: ``"every"`` step, the ``"last"`` one, the ``"mean"``, ``"max"`` or
                ``"attention"`` over time.
            embedding: size of the vocabulary if the input is tokens; they are embedded in
                ``backbone.in_channels`` dimensions.
            tie_weights: whether the head's weight is the embedding's (Press & Wolf 2017).
            zero_head: whether the head's weight begins at zero, so that none of the backbone's
                random signal reaches the first outputs (Zhang et al. 2019, Fixup, section 3).

        Raises:
            TypeError: if the backbone is not a :class:`tcn.layers.SequenceModule`.
            ValueError: if a name is unknown, the weights to be tied do not fit, or not exactly
                one of ``out_channels`` and ``head`` is given.
        """
        super().__init__()
        backbone = check_backbone(backbone)
        check_switch(tie_weights=tie_weights, zero_head=zero_head)
        out_channels, self.meaning = head_of(out_channels, head, targets)
        self.targets = targets
        self.backbone = backbone
        self.ndim = backbone.ndim
        self.readout_name = readout
        self.readout = readout_of(readout, backbone.out_channels)
        self.head = self._head(out_channels)
        self.in_channels = backbone.in_channels
        self.out_channels = out_channels
        self.embedding = None
        if embedding is not None:
            check_positive("embedding", [embedding])
            self.embedding = nn.Embedding(embedding, backbone.in_channels)
        if tie_weights:
            self._tie_weights()
        if zero_head:
            if tie_weights:
                raise ValueError(
                    "zero_head: True with tie_weights=True would make the embedding zero too; "
                    "choose one of them"
                )
            nn.init.zeros_(self._linear("zero_head").weight)

    @property
    def output(self) -> Output | None:
        """What the head's numbers mean; None if the net does not say."""
        return self.meaning

    def raw(self, y: Tensor) -> Tensor:
        """The head's numbers as ``net.output`` reads them.

        Args:
            y: what :meth:`forward` returned, ``(batch, out_channels, *sizes)``.

        Returns:
            ``(batch, size, targets, *sizes)``, or as it is if the target has no axis of channels.

        Raises:
            ValueError: if ``y`` has other channels than the net returns.
        """
        if y.dim() < 2 or y.shape[1] != self.out_channels:
            raise ValueError(
                f"y: shape {tuple(y.shape)}; expected what the net returns, (batch, "
                f"{self.out_channels}, *sizes)"
            )
        return y if self.targets is None else y.unflatten(1, (-1, self.targets))

    def _head(self, out_channels: int) -> nn.Module:
        channels = self.backbone.out_channels
        if self.meaning is None or self.targets is not None:
            return nn.Linear(channels, out_channels)
        return self.meaning.layer(channels)

    def _tie_weights(self) -> None:
        if self.embedding is None:
            raise ValueError(
                "tie_weights: True, but there is no embedding; set embedding to the vocabulary size"
            )
        head = self._linear("tie_weights")
        if self.embedding.weight.shape != head.weight.shape:
            tokens = self.embedding.num_embeddings
            size = "out_channels" if self.meaning is None else "the classes of the head"
            raise ValueError(
                f"tie_weights: the embedding's weight {tuple(self.embedding.weight.shape)} and the "
                f"head's {tuple(head.weight.shape)} differ; the backbone must return as many "
                f"channels as it takes, and {size} be {tokens}, the vocabulary size"
            )
        head.weight = self.embedding.weight

    def _linear(self, asked: str) -> nn.Linear:
        if isinstance(self.head, nn.Linear):
            return self.head
        assert self.meaning is not None
        raise ValueError(
            f"{asked}: True, but output {self.meaning.name!r} brings its own last layer; leave "
            f"{asked} out"
        )

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        condition: Tensor | None = None,
        mask: Tensor | None = None,
        *,
        context: Context | None = None,
    ) -> Tensor:
        """Evaluates whole sequences.

        Args:
            x: ``(batch, in_channels, *sizes)``, or ``(batch, time)`` int64 tokens if embedded.
            lengths: ``(batch,)`` integers, valid steps of each row; the rest is padding.
            condition: ``(batch, channels)`` or ``(batch, channels, *sizes)``.
            mask: ``(batch, *sizes)`` bool, for padding that is not on the right.
            context: what a container hands on to its parts, in place of the three above.

        Returns:
            ``(batch, out_channels, *sizes)`` with readout ``"every"``, else ``(batch,
            out_channels)``.

        Raises:
            ValueError: if a shape, a length or a token does not fit.
        """
        if context is not None:
            return self._read(self._embed(x), None, context)[0]
        x, context = self._enter(self._embed(x), lengths, condition, mask, streaming=False)
        if self._reads_last_step_only and mask is None:
            if not watched(self.backbone, self.readout):
                return self.head(self._last_step(x, lengths, context))
            if any(isinstance(m, Dropout) and m.training for m in self.backbone.modules()):
                x, context = self._as_if_unwatched(x, lengths, context)
        return self._read(x, None, context)[0]

    def step(
        self,
        x: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
        condition: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """The next chunk of a stream; a readout over time is that of everything so far."""
        return super().step(self._embed(x), state, lengths, condition, mask)

    def advance(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        """Backbone, readout and head over a chunk of embedded inputs."""
        return self._read(x, state, context)

    def _read(self, x: Tensor, state: State | None, context: Context) -> tuple[Tensor, State]:
        if state is not None and not (isinstance(state, tuple) and len(state) == 2):
            raise wrong_state(self, "a pair of states", type(state).__name__)
        past, read = (None, None) if state is None else state
        behind = after(self.backbone, context, past)
        y, past = advance(self.backbone, x, past, context)
        y, read = advance(self.readout, y, read, behind)
        return self.apply_head(y), (past, read)

    def apply_head(self, y: Tensor) -> Tensor:
        """The head alone: ``(batch, channels, *sizes)`` or rows, its numbers for the channels."""
        return self.head(y.movedim(1, -1)).movedim(-1, 1) if y.dim() > 2 else self.head(y)

    @property
    def _reads_last_step_only(self) -> bool:
        # An exported graph serves every length, and which positions are needed depends on it.
        if self.readout_name != "last" or torch.compiler.is_exporting():
            return False
        return self.backbone.preserves_length

    def _last_step(self, x: Tensor, lengths: Tensor | None, context: Context) -> Tensor:
        """The backbone's last valid step, ``(batch, channels)``, computing nothing else."""
        if lengths is not None:
            x, context = _align_right(x, lengths, context)
        want = Grid.last(x.shape[2:])
        have = needs(self.backbone, want)
        part = have.take(x, Grid.whole(want.sizes))
        last = on_grid(self.backbone, part, have, want, context).flatten(1)
        return (
            last if lengths is None else last.masked_fill((lengths == 0).to(x.device)[:, None], 0)
        )

    def _as_if_unwatched(
        self, x: Tensor, lengths: Tensor | None, context: Context
    ) -> tuple[Tensor, Context]:
        """Every step is computed, but what is dropped is that of the last step alone."""
        if lengths is not None:
            x, context = _align_right(x, lengths, context)
        return x, context._replace(grids=dict(grids(self.backbone, Grid.last(x.shape[2:]))))

    def _embed(self, x: Tensor) -> Tensor:
        if self.embedding is None:
            check_input(self, x, self.in_channels, self.ndim)
            return x
        if x.dim() != 2 or x.is_floating_point():
            raise ValueError(
                f"x: {x.dtype} of shape {tuple(x.shape)}; an embedded input is (batch, time) int64 "
                "tokens"
            )
        size = self.embedding.num_embeddings
        if x.numel() and not torch.compiler.is_compiling() and not 0 <= x.min() <= x.max() < size:
            raise ValueError(
                f"x: tokens from {int(x.min())} to {int(x.max())} for a vocabulary of {size}; "
                f"tokens lie between 0 and {size - 1}"
            )
        return self.embedding(x).transpose(1, 2)

    @property
    def latency(self) -> int:
        """That of the backbone."""
        return self.backbone.latency

    @property
    def geometry(self) -> Composed:
        """That of the backbone; the head sees one step."""
        return InSeries([self.backbone])

    @property
    def streaming_obstacle(self) -> str | None:
        """No latency of its own: a readout of what is late is late too."""
        return None

    def context_after(self, context: Context, state: State | None) -> Context:
        """As behind the backbone."""
        return after(self.backbone, context, None if state is None else state[0])

    @property
    def reach(self) -> tuple[Reach, ...]:
        """That of the backbone, and everything if the readout looks over time."""
        return super().reach if self.readout_name in ("every", "last") else self.readout.reach


def _align_right(x: Tensor, lengths: Tensor, context: Context) -> tuple[Tensor, Context]:
    """Shifts every row to the right until its last valid step is the last of all.

    The padding, now on the left, stays masked: to a causal net it is the zeros that stand before
    every sequence anyway.
    """
    time = x.shape[-1]
    shift = (time - lengths.to(x.device)).clamp(max=time - 1)
    index = (torch.arange(time, device=x.device) - shift[:, None]) % time

    def align(tensor: Tensor) -> Tensor:
        rows = index.view(index.shape[0], *[1] * (tensor.dim() - 2), time)
        return tensor.gather(-1, rows.expand(*tensor.shape[:-1], time))

    mask, condition = context.mask, context.condition
    assert mask is not None
    if condition is not None and condition.dim() > 2:
        condition = align(condition)
    return align(x), Context(align(mask), condition)
