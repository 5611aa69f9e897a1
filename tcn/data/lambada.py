"""LAMBADA: guess the last word of a passage that only its whole context gives away."""

import re
import tarfile
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import PurePosixPath
from typing import Literal

import torch
from torch import Tensor

from tcn.data.archives import opened_member
from tcn.data.fetch import RemoteFile, locate
from tcn.data.language import END, Context, LanguageData, check_one_of
from tcn.data.loading import SequenceDataset, Split
from tcn.data.vocabulary import UNKNOWN, Vocabulary
from tcn.training.batch import Batch
from tcn.training.targets import IGNORED

Scoring = Literal["last_word", "authors"]

ARCHIVE = RemoteFile(
    "lambada/lambada-dataset.tar.gz",
    "8fbe499096ddbdcbbd0cac406861b5026fb451d15b8fe04e0e4f3d082f2ad5d7",
    ("https://zenodo.org/record/2630551/files/lambada-dataset.tar.gz?download=1",),
)
WORD_LIST = RemoteFile(
    "lambada/lambada_vocabulary_sorted.txt",
    "05ffebd3388cc5272a23a3d93583231506ff6f91443904dd446fdfe4037e333c",
    (
        "https://raw.githubusercontent.com/locuslab/TCN/"
        "2f8c2b817050206397458dfd1f5a25ce8a32fe65/"
        "TCN/lambada_language/data/lambada_vocabulary_sorted.txt",
    ),
)
_NOVELS = "train-novels.tar"
_PASSAGES: dict[Split, str] = {
    "validation": "lambada_development_plain_text.txt",
    "test": "lambada_test_plain_text.txt",
}
_CONTRACTIONS = {"n't": "not", "'s": "is", "'re": "are", "'ve": "have", "wo": "will"}
_PUNCTUATION = re.compile(r"[^\w\s]")


class Lambada(LanguageData):
    """Trained on whole novels; judged by the last word of passages from others.

    Paperno et al. 2016, arXiv:1606.06031: 2,662 novels of 203 million words, 4,869 and 5,153
    passages for validation and test. The vocabulary is the list of 93,215 words of the authors of
    the TCN, ``<eos>`` and ``<unk>``. Contractions are spelled out as there ("wo n't" is "will
    not"), and a word that is not in the list loses its punctuation; what is still unknown is
    ``<unk>``, while there it is left out. The last word is unknown in 249 and 153 passages, and
    scored as ``<unk>``.

    ===============  ==================================================================
    ``evaluation``   what is scored, one word for each passage
    ===============  ==================================================================
    ``"last_word"``  the last word, the net having read all words before it
    ``"authors"``    the last word *after* itself: the net has read the whole passage,
                     filled up to ``seq_len`` on the left with the first word of the
                     list. This measures how likely the word is to be repeated; the
                     paper's perplexity comes from such a script
    ===============  ==================================================================

    Both are looked for in ``TCN_DATA_DIR`` (folder ``lambada``) and downloaded otherwise, see
    :mod:`tcn.data.fetch`.
    """

    files = (ARCHIVE, WORD_LIST)
    in_channels = out_channels = 93_217
    before = END

    def __init__(
        self,
        *,
        batch_size: int,
        seq_len: int,
        valid_seq_len: int,
        context: Context = "windows",
        evaluation: Scoring = "last_word",
        evaluation_batch_size: int = 10,
    ) -> None:
        """Sets how the novels are cut into windows, and how the passages are scored.

        Args:
            batch_size: rows of the novels read side by side.
            seq_len: steps of a window of the novels.
            valid_seq_len: steps of such a window that count in training.
            context: ``"windows"`` or ``"state"``, see :mod:`tcn.data.language`.
            evaluation: see the class.
            evaluation_batch_size: passages read side by side.

        Raises:
            ValueError: a setting is out of range.
        """
        super().__init__(
            batch_size=batch_size,
            seq_len=seq_len,
            valid_seq_len=valid_seq_len,
            context=context,
            evaluation_batch_size=evaluation_batch_size,
        )
        check_one_of("evaluation", evaluation, Scoring)
        self.scoring = evaluation

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The word list, ``<eos>`` and ``<unk>``."""
        listed = locate(self.files[1]).read_text(encoding="utf-8").split()
        without_punctuation = partial(_PUNCTUATION.sub, "")
        return self._checked(Vocabulary([*listed, END, UNKNOWN], respell=without_punctuation))

    def make_dataset(self, split: Split) -> SequenceDataset:
        """Windows of the novels, or passages."""
        if split == "train":
            return super().make_dataset(split)
        passages = [self.vocabulary.encode(_words(line)) for line in self._passages(split)]
        return Passages(passages, fill=self.seq_len if self.scoring == "authors" else None)

    def text(self, split: Split) -> Iterator[str]:
        """The novels, or the passages, one after the other."""
        for line in self._novels() if split == "train" else self._passages(split):
            yield from _words(line)
            yield END

    def _passages(self, split: Split) -> Iterator[str]:
        with opened_member(self.files[0], _PASSAGES[split]) as lines:
            for line in lines:
                yield line.decode("utf-8")

    def _novels(self) -> Iterator[str]:
        with (
            opened_member(self.files[0], _NOVELS) as archive,
            tarfile.open(fileobj=archive, mode="r|") as novels,
        ):
            for novel in novels:
                if PurePosixPath(novel.name).suffix == ".txt":
                    for line in novels.extractfile(novel) or ():
                        yield line.decode("utf-8")


def _words(line: str) -> list[str]:
    return [_CONTRACTIONS.get(word, word) for word in line.split()]


class Passages(SequenceDataset):
    """Passages, of each of which the last word counts."""

    def __init__(self, passages: Sequence[Tensor], *, fill: int | None = None) -> None:
        """Turns passages into inputs and targets.

        Args:
            passages: each ``(words,)`` with at least two words.
            fill: None to read the words before the last; otherwise all words are read, filled on
                the left with token 0 up to this many, as the authors of the TCN do.

        Raises:
            ValueError: a passage is too short.
        """
        for number, passage in enumerate(passages):
            if len(passage) < 2:
                raise ValueError(
                    f"passage {number} has {len(passage)} words: one to read and one to guess are "
                    "the least"
                )
        self.passages = passages
        self.fill = fill

    def __len__(self) -> int:
        return len(self.passages)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        chosen = [self.passages[index] for index in indices]
        read = [self._read(passage) for passage in chosen]
        lengths = torch.tensor([len(part) for part in read])
        x = torch.zeros(len(read), int(lengths.max()), dtype=torch.int64)
        y = torch.full_like(x, IGNORED)
        for row, (passage, part) in enumerate(zip(chosen, read, strict=True)):
            x[row, : len(part)] = part
            y[row, len(part) - 1] = passage[-1]
        return Batch(x, y, lengths)

    def tensors(self) -> Iterator[Tensor]:
        """The passages."""
        yield from self.passages

    def _read(self, passage: Tensor) -> Tensor:
        if self.fill is None:
            return passage[:-1]
        missing = max(0, self.fill - len(passage))
        return torch.cat((passage.new_zeros(missing), passage))
