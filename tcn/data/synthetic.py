"""The two synthetic stress tests of Bai et al. 2018, arXiv:1803.01271, section 4.

Both are generated as in the authors' code (github.com/locuslab/TCN, ``adding_problem/utils.py``
and ``copy_memory/utils.py``), with one difference: there the generator is never seeded and there
is no validation set; here every split has its own random stream, derived from ``seed``.
"""

import torch
from torch import Tensor

from tcn.data.loading import (
    SequenceDataModule,
    Split,
    TensorSequences,
    check_at_least,
    derived_generator,
)

COPIED_SYMBOLS = 10
"""How many symbols the copying memory task asks to remember."""

MARKER = 9
"""The value that asks for the answer; the symbols are 1 to 8, and 0 is silence."""


class AddingProblem(SequenceDataModule):
    """Add the two marked values of a sequence of random numbers.

    ``x`` is ``(batch, 2, length)``: channel 0 holds uniform numbers from [0, 1), channel 1 is zero
    but for ones at two different random steps. ``y`` is ``(batch, 1)``: the sum of the two marked
    numbers. Always answering 1 has a mean squared error of 1/6, the variance of the sum of two
    uniform numbers (0.1767 in the paper is a misprint).
    """

    in_channels = 2
    out_channels = 1

    def __init__(
        self,
        *,
        length: int = 600,
        train_size: int = 50_000,
        validation_size: int = 1_000,
        test_size: int = 1_000,
        batch_size: int = 32,
        seed: int = 1111,
    ) -> None:
        """Sets how many sequences there are, and how long they are.

        Args:
            length: steps of a sequence, at least 2.
            train_size: training sequences.
            validation_size: validation sequences.
            test_size: test sequences.
            batch_size: sequences per batch.
            seed: decides the sequences and the training order.

        Raises:
            ValueError: a number is too small.
        """
        super().__init__(batch_size=batch_size, seed=seed)
        check_at_least("length", length, 2)
        self.length = length
        self.sizes = _checked_sizes(train_size, validation_size, test_size)

    def make_dataset(self, split: Split) -> TensorSequences:
        """Generate one split."""
        size, length = self.sizes[split], self.length
        generator = derived_generator(self.seed, "adding", split)
        positions = _two_distinct(size, length, generator)
        x = torch.zeros(size, 2, length)
        x[:, 0].uniform_(generator=generator)
        x[:, 1].scatter_(1, positions, 1.0)
        y = x[:, 0].gather(1, positions).sum(dim=1, keepdim=True)
        return TensorSequences(x, y)


class CopyingMemory(SequenceDataModule):
    """Repeat ten symbols after a long silence.

    ::

        x   s s s s s s s s s s  0 0 ... 0  9 9 9 9 9 9 9 9 9 9 9    s: a symbol, 1 to 8
            10 symbols           length-1   11 markers
        y   0 0 0 0 0 0 0 0 0 0  0 0 ...  0 s s s s s s s s s s
            length + 10 zeros               the same 10 symbols

    ``x`` is ``(batch, 1, length + 20)``, the raw values as floats; ``y`` is
    ``(batch, length + 20)`` int64 with 10 classes. Knowing everything but the symbols costs
    ``10 ln 8 / (length + 20)`` nats a step and is right at 99 % of the steps of a long sequence:
    look at the last ten.
    """

    in_channels = 1
    out_channels = 10

    def __init__(
        self,
        *,
        length: int = 1_000,
        train_size: int = 10_000,
        validation_size: int = 1_000,
        test_size: int = 1_000,
        batch_size: int = 32,
        seed: int = 1111,
    ) -> None:
        """Sets how many sequences there are, and how long they are.

        Args:
            length: steps between the last symbol and the first answer, counting the first marker;
                at least 1.
            train_size: training sequences.
            validation_size: validation sequences.
            test_size: test sequences.
            batch_size: sequences per batch.
            seed: decides the sequences and the training order.

        Raises:
            ValueError: a number is too small.
        """
        super().__init__(batch_size=batch_size, seed=seed)
        check_at_least("length", length, 1)
        self.length = length
        self.sizes = _checked_sizes(train_size, validation_size, test_size)

    def make_dataset(self, split: Split) -> TensorSequences:
        """Generate one split."""
        size, steps = self.sizes[split], self.length + 2 * COPIED_SYMBOLS
        generator = derived_generator(self.seed, "copying", split)
        symbols = torch.randint(1, MARKER, (size, COPIED_SYMBOLS), generator=generator)
        x = torch.zeros(size, 1, steps)
        x[:, 0, :COPIED_SYMBOLS] = symbols.to(x.dtype)
        x[:, 0, -COPIED_SYMBOLS - 1 :] = MARKER
        y = torch.zeros(size, steps, dtype=torch.int64)
        y[:, -COPIED_SYMBOLS:] = symbols
        return TensorSequences(x, y)


def _checked_sizes(train_size: int, validation_size: int, test_size: int) -> dict[Split, int]:
    check_at_least("train_size", train_size, 1)
    check_at_least("validation_size", validation_size, 1)
    check_at_least("test_size", test_size, 1)
    return {"train": train_size, "validation": validation_size, "test": test_size}


def _two_distinct(size: int, length: int, generator: torch.Generator) -> Tensor:
    """``(size, 2)`` int64: two different steps per row, every pair equally likely."""
    first = torch.randint(0, length, (size,), generator=generator)
    # The second is drawn from the other length - 1 steps: those from `first` on move up by one.
    second = torch.randint(0, length - 1, (size,), generator=generator)
    second += second >= first
    return torch.stack((first, second), dim=1)
