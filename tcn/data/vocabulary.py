"""Between tokens, words or characters, and the numbers that nets know them by."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy
import torch
from torch import Tensor

UNKNOWN = "<unk>"
"""The word that stands for every word not in a vocabulary."""


class Vocabulary:
    """Numbered tokens.

    A token that is not among them counts as ``<unk>`` if the vocabulary holds that, and is refused
    otherwise.

    Attributes:
        tokens: the tokens in the order of their numbers.
    """

    def __init__(
        self, tokens: Iterable[str], *, respell: Callable[[str], str] | None = None
    ) -> None:
        """Numbers tokens.

        Args:
            tokens: the tokens, all different, in the order of their numbers.
            respell: called with a token that is not among them, returns how it is spelled here; the
                answer is looked up instead.

        Raises:
            ValueError: there is no token, or one comes twice.
        """
        self.tokens = tuple(tokens)
        if not self.tokens:
            raise ValueError("tokens: none given; a vocabulary needs at least one")
        self._numbers = _Numbers(self.tokens, respell)

    @classmethod
    def of(cls, text: Iterable[str]) -> "Vocabulary":
        """The tokens of a text, the most frequent first, among equally frequent ones the earlier.

        Adaptive softmax needs this order.
        """
        return cls(token for token, _ in Counter(text).most_common())

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._numbers.known

    def number(self, token: str) -> int:
        """The number of one token.

        Raises:
            ValueError: the token is unknown, and there is no ``<unk>``.
        """
        return self._numbers[token]

    def encode(self, text: Iterable[str]) -> Tensor:
        """The numbers of a text's tokens, ``(tokens,)`` int32: half the memory of int64.

        Raises:
            ValueError: a token is unknown, and there is no ``<unk>``.
        """
        numbers = map(self._numbers.__getitem__, text)
        return torch.from_numpy(numpy.fromiter(numbers, dtype=numpy.int32))

    def decode(self, numbers: Sequence[int] | Tensor) -> list[str]:
        """The tokens behind some numbers."""
        return [self.tokens[int(number)] for number in numbers]


class _Numbers(dict[str, int]):
    """From token to number; looks unknown tokens up once and then knows them."""

    def __init__(self, tokens: Sequence[str], respell: Callable[[str], str] | None) -> None:
        super().__init__((token, number) for number, token in enumerate(tokens))
        if len(self) != len(tokens):
            twice = next(token for token, count in Counter(tokens).items() if count > 1)
            raise ValueError(f"tokens: {twice!r} comes twice; every token needs one number")
        self.known = frozenset(tokens)
        self.respell = respell

    def __missing__(self, token: str) -> int:
        spelt = token if self.respell is None else self.respell(token)
        if spelt not in self.known:
            spelt = UNKNOWN
        if spelt not in self.known:
            raise ValueError(
                f"token {token!r} is not among the {len(self.known)} of the vocabulary, and "
                f"{UNKNOWN} is not either: the vocabulary belongs to another text"
            )
        self[token] = self[spelt]
        return self[token]
