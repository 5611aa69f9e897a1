"""A long text as batches: rows that are read side by side, cut into windows.

::

    text    a b c d e f g h i j k l m          laid out in two rows, the rest is left out:

    rows    a b c d e f      windows of 4 steps, the last 2 of which count, 2 steps apart:
            g h i j k l
                             x  a b c d     c d e        Every step from the third on counts once,
                             y  - - d e     - - f        with at least 2 steps to its left.

Windows that follow each other without overlap can be handed out as chunks of a stream instead
(``continues``): a net that carries its state along sees everything to the left of each.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tcn.data.loading import SequenceDataset
from tcn.training.batch import Batch
from tcn.training.language_model import Chunk, FirstChunk
from tcn.training.targets import IGNORED


class TokenWindows(SequenceDataset):
    """Windows of parallel rows of tokens; one sequence is one row of one window.

    The sequences are numbered window by window, so that ``rows`` consecutive ones are a window of
    all rows. The last window may be shorter.

    Attributes:
        rows: rows of the text, the sequences of a batch.
    """

    def __init__(
        self, x: Tensor, y: Tensor, *, window: int, stride: int, continues: bool = False
    ) -> None:
        """Cuts rows of tokens into windows.

        Args:
            x: inputs, ``(rows, time)`` integers.
            y: targets, shaped alike; -100 is not counted.
            window: steps of a window.
            stride: steps from one window to the next, at most ``window``. The first ``window -
                stride`` steps of every window are there for the context alone.
            continues: whether each window goes on where the one before ended, as a chunk of a
                stream; else each is read from nothing.

        Raises:
            ValueError: the text is too short for one window with a step that counts, or ``stride``
                is not from 1 to ``window``, or below ``window`` with ``continues``; or, when read,
                chunks of a stream are asked for in parts.
        """
        if not 1 <= stride <= window:
            raise ValueError(f"stride is {stride}: give 1 to {window}, the steps of a window")
        if continues and stride < window:
            raise ValueError(
                f"continues: windows of {window} steps, {stride} apart, overlap and cannot go on "
                f"from each other; use stride={window}"
            )
        self.x, self.y = x, y
        self.rows, self.time = x.shape
        self.window, self.stride = window, stride
        self.context = window - stride
        self.continues = continues
        if self.time <= self.context:
            raise ValueError(
                f"the text has {self.time} steps a row, the first {self.context} of which are "
                "context alone: nothing is left to predict; use fewer rows or shorter windows"
            )

    def __len__(self) -> int:
        return self.rows * -(-(self.time - self.context) // self.stride)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        index = torch.as_tensor(indices)
        if self.continues:
            self._check_whole(indices)
        row = (index % self.rows)[:, None]
        step = torch.arange(self.window) + (index // self.rows * self.stride)[:, None]
        # The last window ends with the text. In a batch with a longer one it is padded; with
        # what does not matter, for no output depends on a later input.
        step = step[:, : min(self.window, self.time - int(step[:, 0].min()))]
        inside = step.clamp(max=self.time - 1)
        x, y = self.x[row, inside].long(), self.y[row, inside].long()
        y = y.masked_fill(step >= self.time, IGNORED)
        y[:, : self.context] = IGNORED
        if not self.continues:
            return Batch(x, y)
        return FirstChunk(x, y) if int(index[0]) < self.rows else Chunk(x, y)

    def tensors(self) -> Iterator[Tensor]:
        """Inputs and targets."""
        yield self.x
        yield self.y

    def _check_whole(self, indices: Sequence[int]) -> None:
        first = indices[0] // self.rows * self.rows
        if list(indices) != list(range(first, first + self.rows)):
            raise ValueError(
                f"sequences {list(indices[:4])} ... are not one window of all {self.rows} rows: "
                "chunks of a stream are read in order and all rows at once; let "
                "tcn.data.loading.batches load them, in one process or in several"
            )


def side_by_side(tokens: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Inputs and next tokens of a text in rows of equal length, ``(rows, time)`` each.

    As in the authors' code: what does not fill the last column is left out, and so is the first
    token of each row as a target.

    Raises:
        ValueError: the text is too short for that many rows.
    """
    length = len(tokens) // rows
    if length < 2:
        raise ValueError(
            f"a text of {len(tokens)} tokens has less than 2 in each of {rows} rows: lower the "
            "batch size"
        )
    table = tokens[: rows * length].view(rows, length)
    return table[:, :-1], table[:, 1:]


def every_token(tokens: Tensor, rows: int, first: int, warm_up: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets that score every token of a text exactly once, ``(rows, time)`` each.

    Every row but the first begins ``warm_up`` tokens (or all there are) before the first one that
    it scores, so that it has a context; a row has -100 where it scores nothing.

    Args:
        tokens: ``(tokens,)``.
        rows: parts of the text to be read side by side.
        first: the token that stands before the first one.
        warm_up: tokens of context at the beginning of a row.
    """
    size = len(tokens)
    share = -(-size // rows)
    inputs = torch.cat((tokens.new_tensor([first]), tokens[:-1]))
    scored = torch.arange(rows)[:, None] * share
    begin = (scored - warm_up).clamp(min=0)
    # The first row has no warm-up and ends early.
    step = begin + torch.arange(int((scored - begin).max()) + share)
    counts = (step >= scored) & (step < scored + share) & (step < size)
    step = step.clamp(max=size - 1)
    return inputs[step], tokens[step].masked_fill(~counts, IGNORED)
