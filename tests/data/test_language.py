"""Texts: how they are read and counted, how they are laid out, what is scored and what is seen."""

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tcn.data.fetch import RemoteFile
from tcn.data.lambada import Lambada, Passages
from tcn.data.language import (
    WARM_UP,
    LanguageData,
    PennTreebankCharacters,
    PennTreebankWords,
    Text8,
    WikiText103,
)
from tcn.data.loading import SPLITS
from tcn.data.token_windows import TokenWindows, every_token, side_by_side
from tcn.data.vocabulary import Vocabulary
from tcn.training.batch import Batch
from tcn.training.language_model import Chunk, FirstChunk

WINDOWS = {"batch_size": 2, "seq_len": 4, "valid_seq_len": 2}
IGNORED = -100


def put(folder: Path, name: str, content: bytes) -> RemoteFile:
    """A file in the data folder, and what says that it is the right one."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return RemoteFile(name, hashlib.sha256(content).hexdigest(), ("http://127.0.0.1:9/",))


def zipped(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), member)
    return content.getvalue()


def tarred(members: dict[str, bytes], mode: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, member in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(member)
            archive.addfile(entry, io.BytesIO(member))
    return content.getvalue()


def decoded(data: LanguageData, numbers: Tensor) -> str:
    between = "" if len(data.before) == 1 else " "
    return between.join("-" if n == IGNORED else data.vocabulary.tokens[n] for n in numbers)


# The vocabulary.


def test_tokens_are_numbered_by_falling_frequency():
    vocabulary = Vocabulary.of("bacaca")
    assert vocabulary.tokens == ("a", "c", "b")
    assert vocabulary.encode(["b", "a"]).tolist() == [2, 0]
    assert vocabulary.decode([1, 2]) == ["c", "b"]
    assert vocabulary.encode([]).shape == (0,)
    assert vocabulary.encode(["a"]).dtype == torch.int32


def test_unknown_token_is_unk_or_refused():
    known = Vocabulary(["a", "<unk>"], respell=str.lower)
    assert known.encode(["A", "b", "A", "b"]).tolist() == [0, 1, 0, 1]
    assert "A" not in known
    assert "a" in known
    with pytest.raises(
        ValueError, match="token 'b' is not among the 1 of the vocabulary, and <unk"
    ):
        Vocabulary(["a"]).encode(["a", "b"])


def test_unfit_vocabularies_are_refused():
    with pytest.raises(ValueError, match="tokens: 'b' comes twice"):
        Vocabulary(["a", "b", "c", "b"])
    with pytest.raises(ValueError, match="tokens: none given"):
        Vocabulary([])


# Windows.


def test_windows_by_hand():
    """The drawing in the module: 13 tokens, two rows, windows of 4, 2 of which count."""
    x, y = side_by_side(torch.arange(13), 2)
    windows = TokenWindows(x, y, window=4, stride=2)
    assert len(windows) == 4
    first, last = windows.__getitems__([0, 1]), windows.__getitems__([2, 3])
    assert first.x.tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]
    assert first.y.tolist() == [[IGNORED, IGNORED, 3, 4], [IGNORED, IGNORED, 9, 10]]
    assert last.x.tolist() == [[2, 3, 4], [8, 9, 10]]
    assert last.y.tolist() == [[IGNORED, IGNORED, 5], [IGNORED, IGNORED, 11]]
    assert type(first) is Batch
    # A batch across windows is as long as its longest.
    mixed = windows.__getitems__([1, 2])
    assert mixed.y.tolist() == [[IGNORED, IGNORED, 9, 10], [IGNORED, IGNORED, 5, IGNORED]]


def in_order(windows: TokenWindows) -> list[Batch]:
    starts = range(0, len(windows), windows.rows)
    return [windows.__getitems__(range(start, start + windows.rows)) for start in starts]


def authors(text: list[int], rows: int, seq_len: int, valid: int) -> list[tuple[list, list]]:
    """What is scored and after which inputs, by loops: each row, then each window."""
    length = len(text) // rows
    scored = []
    for row in (text[r * length : (r + 1) * length] for r in range(rows)):
        for start in range(0, length - 1, valid):
            size = min(seq_len, length - 1 - start)
            history = seq_len - valid
            for step in range(history, size):
                scored.append((row[start : start + step + 1], row[start + step + 1]))
    return scored


@given(
    size=st.integers(2, 60), rows=st.integers(1, 4), valid=st.integers(1, 6), more=st.integers(0, 6)
)
def test_windows_follow_the_authors_rule(size: int, rows: int, valid: int, more: int):
    text, seq_len = torch.arange(size), valid + more
    expected = authors(text.tolist(), rows, seq_len, valid)
    if not expected:
        with pytest.raises(ValueError, match=r"lower the batch size|nothing is left to predict"):
            TokenWindows(*side_by_side(text, rows), window=seq_len, stride=valid)
        return
    windows = TokenWindows(*side_by_side(text, rows), window=seq_len, stride=valid)
    found = []
    for batch in in_order(windows):
        for row, step in (batch.y != IGNORED).nonzero().tolist():
            found.append((batch.x[row, : step + 1].tolist(), batch.y[row, step].item()))
    assert sorted(found) == sorted(expected)


@given(
    size=st.integers(1, 80),
    rows=st.integers(1, 5),
    warm_up=st.integers(0, 9),
    window=st.integers(1, 9),
)
def test_every_token_is_scored_exactly_once(size: int, rows: int, warm_up: int, window: int):
    """In the order of the text, after what stands before it, of which a row has seen enough."""
    tokens = torch.arange(size)
    x, y = every_token(tokens, rows, -1, warm_up)
    counts = y != IGNORED
    assert sorted(y[counts].tolist()) == tokens.tolist()
    assert torch.equal(x[counts], y[counts] - 1)
    for row in range(rows):
        scored = counts[row].nonzero().flatten()
        if len(scored):
            seen = x[row, : scored[0] + 1].tolist()
            newest = int(y[row, scored[0]]) - 1
            assert seen == list(range(max(-1, newest - warm_up), newest + 1))
    # Cut into windows it is still all there, each window going on where the last one ended.
    windows = TokenWindows(x, y, window=window, stride=window, continues=True)
    batches = in_order(windows)
    assert [type(batch) for batch in batches] == [FirstChunk] + [Chunk] * (len(batches) - 1)
    assert torch.equal(torch.cat([batch.x for batch in batches], 1), x)
    assert torch.equal(torch.cat([batch.y for batch in batches], 1), y)


@pytest.mark.parametrize("indices", [[0], [1, 2], [0, 2], [1, 0]])
def test_stream_is_refused_in_parts(indices: list[int]):
    """As a sampler for several devices would ask for it: the rows would lose their thread."""
    x, y = side_by_side(torch.arange(20), 2)
    windows = TokenWindows(x, y, window=3, stride=3, continues=True)
    with pytest.raises(ValueError, match="are not one window of all 2 rows: chunks of a stream ar"):
        windows.__getitems__(indices)


def test_text_that_is_too_short_is_refused():
    x, y = side_by_side(torch.arange(8), 2)
    with pytest.raises(ValueError, match=r"3 steps a row, the first 3 of which are context alone"):
        TokenWindows(x, y, window=5, stride=2)
    with pytest.raises(ValueError, match="stride is 6: give 1 to 5"):
        TokenWindows(x, y, window=5, stride=6)
    with pytest.raises(ValueError, match="continues: windows of 3 steps, 2 apart, overlap"):
        TokenWindows(x, y, window=3, stride=2, continues=True)
    with pytest.raises(ValueError, match="3 tokens has less than 2 in each of 2 rows"):
        side_by_side(torch.arange(3), 2)


# The data modules, on small files in the official formats.

TEXT = " the cat <unk> N \n a dog 's tail \n"


@pytest.fixture
def small_treebank(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = tuple(
        put(data_folder, f"ptb/ptb.{name}.txt", (TEXT * times).encode())
        for name, times in (("train", 4), ("valid", 2), ("test", 1))
    )
    monkeypatch.setattr(PennTreebankWords, "files", files)
    return data_folder


def test_words_are_read_with_the_ends_of_lines(small_treebank):
    data = PennTreebankWords(**WINDOWS)
    data.prepare_data()
    assert " ".join(data.text("test")) == "the cat <unk> N <eos> a dog 's tail <eos>"
    assert data.vocabulary.tokens[0] == "<eos>"  # the most frequent
    assert len(data.vocabulary) == 9
    assert data.in_channels == data.out_channels == 10_000


def test_characters_are_read_with_eos_spelt_out(small_treebank):
    data = PennTreebankCharacters(**WINDOWS, evaluation_batch_size=1)
    assert "".join(data.text("test")) == TEXT.replace("\n", "<eos>")
    batch = next(iter(data.test_dataloader()))
    assert decoded(data, batch.x[0]) == "> th"
    assert decoded(data, batch.y[0]) == " the"


def test_batches_of_every_kind(small_treebank):
    """40 training words in rows of 20; 20 for validation, whole or in two rows."""
    data = PennTreebankWords(**WINDOWS)
    train = list(data.train_dataloader())
    assert len(train) == 9  # 19 targets a row, 2 at a time from the third on
    assert decoded(data, train[0].x[1]) == "the cat <unk> N"
    assert decoded(data, train[0].y[1]) == "- - N <eos>"
    assert train[0].x.dtype == train[0].y.dtype == torch.int64
    assert all(type(batch) is Batch for batch in train)

    carried = list(PennTreebankWords(**WINDOWS, context="state").train_dataloader())
    assert [type(batch) for batch in carried] == [FirstChunk] + [Chunk] * 9
    assert decoded(data, carried[0].y[0]) == "cat <unk>"
    assert sum(int((batch.y != IGNORED).sum()) for batch in carried) == 2 * 19

    rows = list(PennTreebankWords(**WINDOWS, evaluation_batch_size=2).val_dataloader())
    assert sum(int((batch.y != IGNORED).sum()) for batch in rows) == 20
    assert decoded(data, rows[0].x[0]) == "<eos> the cat <unk>"

    rule = PennTreebankWords(**WINDOWS, evaluation_batch_size=2, evaluation="authors")
    scored = sum(int((batch.y != IGNORED).sum()) for batch in rule.val_dataloader())
    assert scored == 2 * (20 // 2 - 1 - 2)


def test_windows_without_context_begin_from_nothing_all_the_same(small_treebank):
    """seq_len = valid_seq_len in the authors' code: nothing is carried from window to window."""
    settings = {**WINDOWS, "seq_len": 2, "valid_seq_len": 2, "evaluation": "authors"}
    data = PennTreebankWords(**settings)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert all(type(batch) is Batch for batch in loader)


def test_training_does_not_read_the_test_set(small_treebank):
    (small_treebank / "ptb" / "ptb.test.txt").write_text("something else")
    data = PennTreebankWords(**WINDOWS)
    data.setup("fit")
    with pytest.raises(ValueError, match=r"ptb\.test\.txt is not the expected file"):
        data.setup("test")


def test_fingerprint_sees_the_text(small_treebank, monkeypatch):
    before = PennTreebankWords(**WINDOWS).fingerprint
    assert PennTreebankWords(**WINDOWS).fingerprint == before
    other = put(small_treebank, "ptb/ptb.test.txt", TEXT.replace("cat", "tail").encode())
    monkeypatch.setattr(PennTreebankWords, "files", (*PennTreebankWords.files[:2], other))
    assert PennTreebankWords(**WINDOWS).fingerprint != before


def test_text_with_too_many_different_tokens_is_refused(small_treebank, monkeypatch):
    monkeypatch.setattr(PennTreebankWords, "out_channels", 8)
    with pytest.raises(
        ValueError, match="has 9 different tokens, PennTreebankWords has 8: the fil"
    ):
        PennTreebankWords(**WINDOWS).vocabulary  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"valid_seq_len": 5}, "seq_len must be at least 5, got 4"),
        ({"valid_seq_len": 0}, "valid_seq_len must be at least 1, got 0"),
        ({"context": "all"}, "context must be one of windows, state, got 'all'"),
        ({"evaluation": "x"}, "evaluation must be one of every_token, authors, got 'x'"),
        ({"evaluation_batch_size": 0}, "evaluation_batch_size must be at least 1, got 0"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Text8(**{**WINDOWS, **settings})


def wikitext(train: bytes, valid: bytes, test: bytes) -> bytes:
    return zipped(
        **{
            "wikitext-103__wiki_train_tokens": train,
            "wikitext-103__wiki_valid_tokens": valid,
            "wikitext-103__wiki_test_tokens": test,
        }
    )


def test_wikitext_is_read_from_its_archive(data_folder, monkeypatch):
    article = " \n = Title = \n \n It 's @-@ Über <unk> . \n".encode()
    file = put(data_folder, WikiText103.files[0].path, wikitext(article * 3, article, article))
    monkeypatch.setattr(WikiText103, "files", (file,))
    data = WikiText103(**WINDOWS, evaluation_batch_size=1)
    expected = "<eos> = Title = <eos> <eos> It 's @-@ Über <unk> . <eos>"
    assert " ".join(data.text("validation")) == expected
    assert sum(int((batch.y != IGNORED).sum()) for batch in data.val_dataloader()) == 13
    assert len(data.dataset("train")) == 2 * 8  # 18 targets a row


def test_damaged_or_wrong_archives_are_refused(data_folder, monkeypatch):
    def reading(content: bytes):
        file = put(data_folder, WikiText103.files[0].path, content)
        monkeypatch.setattr(WikiText103, "files", (file,))
        return list(WikiText103(**WINDOWS).text("train"))

    with pytest.raises(ValueError, match=r"v1\.zip: holds no file wiki\.train\.tokens"):
        reading(zipped(other=b"x"))
    with pytest.raises(ValueError, match=r"v1\.zip: not a whole archive"):
        reading(b"<html>")


def text8_of(data_folder: Path, characters: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(data_folder, "text8/text8.zip", zipped(text8=characters))
    monkeypatch.setattr(Text8, "files", (file,))


def test_text8_is_split_90_5_5(data_folder, monkeypatch):
    text = (" anarchism originated as a term of abuse" * 5).encode()
    text8_of(data_folder, text, monkeypatch)
    data = Text8(**WINDOWS, evaluation_batch_size=1)
    parts = ["".join(data.text(split)) for split in SPLITS]
    assert [len(part) for part in parts] == [180, 10, 10]
    assert "".join(parts).encode() == text
    assert data.vocabulary.encode(" az").tolist() == [0, 1, 26]
    assert sum(int((batch.y != IGNORED).sum()) for batch in data.test_dataloader()) == 10


def test_text8_with_another_character_is_refused(data_folder, monkeypatch):
    text8_of(data_folder, b"Anarchism " * 20, monkeypatch)
    with pytest.raises(ValueError, match="token 'A' is not among the 27 of the vocabulary"):
        Text8(**WINDOWS).setup("fit")


# LAMBADA.

LISTED = ["´", "a", "boat", "day", "did", "is", "not", "sail", "the", "tomorrow", "will", "wo"]
PASSAGES = {
    "development": "the boat did n't sail\na day is the day\n",
    "test": "tomorrow is a day-\nthe boat did sail kaiden\n",
}


def lambada_archive(passages: dict[str, str]) -> bytes:
    novels = {
        "train-novels/Adventure/one.txt": b"the boat did n't sail\ntomorrow it is a day\n" * 9,
        "train-novels/Adventure/readme": b"not a novel\n",
        "train-novels/Romance/two.txt": b"the day is the day\n" * 9,
    }
    members = {f"./lambada_{name}_plain_text.txt": text.encode() for name, text in passages.items()}
    return tarred(members | {"./train-novels.tar": tarred(novels, "w")}, "w:gz")


@pytest.fixture
def small_lambada(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = put(data_folder, "lambada/lambada-dataset.tar.gz", lambada_archive(PASSAGES))
    listed = put(data_folder, "lambada/list.txt", "\n".join(LISTED).encode())
    monkeypatch.setattr(Lambada, "files", (archive, listed))


def test_lambada_does_not_show_the_word_to_be_guessed(small_lambada):
    data = Lambada(**WINDOWS, evaluation_batch_size=2)
    (batch,) = data.val_dataloader()
    assert batch.lengths.tolist() == [4, 4]
    assert decoded(data, batch.x[0]) == "the boat did not"
    assert decoded(data, batch.y[0]) == "- - - sail"
    assert decoded(data, batch.x[1]) == "a day is the"
    assert decoded(data, batch.y[1]) == "- - - day"
    (batch,) = data.test_dataloader()
    assert batch.lengths.tolist() == [3, 4]
    assert decoded(data, batch.y[0, :3]) == "- - day"  # spelt day- there
    assert decoded(data, batch.y[1]) == "- - - <unk>"
    assert batch.y[0, 3] == IGNORED


def test_lambada_as_the_authors_score_it(small_lambada):
    data = Lambada(**{**WINDOWS, "seq_len": 7}, evaluation="authors", evaluation_batch_size=2)
    (batch,) = data.val_dataloader()
    assert decoded(data, batch.x[0]) == "´ ´ the boat did not sail"
    assert decoded(data, batch.y[0]) == "- - - - - - sail"


def test_lambada_spells_contractions_out(data_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """As the authors' code, which also does so with the one that is in their list: "wo"."""
    archive = lambada_archive({"development": "the boat wo n't sail\n", "test": "a day\n"})
    listed = put(data_folder, "lambada/list.txt", "\n".join(LISTED).encode())
    monkeypatch.setattr(Lambada, "files", (put(data_folder, "lambada/l.tar.gz", archive), listed))
    data = Lambada(**WINDOWS)
    (passage,) = data.dataset("validation").passages
    assert decoded(data, passage) == "the boat will not sail"


def test_lambada_is_trained_on_the_novels(small_lambada):
    data = Lambada(**WINDOWS)
    text = list(data.text("train"))
    assert " ".join(text[:12]) == "the boat did not sail <eos> tomorrow it is a day <eos>"
    assert len(text) == 9 * (6 + 6) + 9 * 6
    assert decoded(data, next(iter(data.train_dataloader())).x[0]) == "the boat did not"
    assert len(data.vocabulary) == len(LISTED) + 2


def test_passage_of_one_word_is_refused():
    with pytest.raises(ValueError, match="passage 1 has 1 words: one to read and one to guess"):
        Passages([torch.arange(2), torch.arange(1)])


# The official files, as far as they are at hand.


@pytest.mark.requires_data("ptb")
def test_official_treebank_counts(data_dir: Path):
    words = PennTreebankWords(batch_size=16, seq_len=80, valid_seq_len=40)
    characters = PennTreebankCharacters(batch_size=32, seq_len=400, valid_seq_len=320)
    assert len(words.vocabulary) == 10_000
    assert len(characters.vocabulary) == 49
    published = {"words": [929_589, 73_760, 82_430], "characters": [5_059_550, 396_412, 446_184]}
    for number, split in enumerate(SPLITS):
        assert sum(1 for _ in words.text(split)) == published["words"][number]
        text = (data_dir / words.files[number].path).read_text()
        # The paper counts characters without the ends of lines; its code reads them as <eos>.
        assert len(text.replace("\n", "")) == published["characters"][number]
        assert len(set(text)) == {"train": 50, "validation": 50, "test": 48}[split]
        if split != "train":
            read = "".join(characters.text(split))
            assert len(read) == published["characters"][number] + 5 * text.count("\n")
    scored = sum(int((batch.y != IGNORED).sum()) for batch in words.val_dataloader())
    assert scored == 73_760
    # 58,099 words a row, of which the last 58,058 are scored, 40 in each step.
    assert len(words.train_dataloader()) == 1_452


@pytest.mark.requires_data("wikitext-103")
def test_official_wikitext_counts(data_dir: Path, data_folder: Path, monkeypatch):
    """Of the parts that are at hand; the test part stands in for training."""
    folder = data_dir / "wikitext-103"
    valid, test = ((folder / f"wiki.{part}.tokens").read_bytes() for part in ("valid", "test"))
    file = put(data_folder, WikiText103.files[0].path, wikitext(test, valid, test))
    monkeypatch.setattr(WikiText103, "files", (file,))
    data = WikiText103(batch_size=2, seq_len=240, valid_seq_len=120)
    assert [sum(1 for _ in data.text(split)) for split in SPLITS[1:]] == [217_646, 245_569]
    scored = (data.dataset("validation").y != IGNORED).sum()
    assert int(scored) == 217_646


@pytest.mark.requires_data("text8")
def test_official_text8_as_far_as_it_is_here(data_dir: Path, data_folder: Path, monkeypatch):
    """The first 6.8 million characters, all from the official training part."""
    with gzip.open(data_dir / "text8" / "text8.first6800000.gz") as stream:
        text8_of(data_folder, stream.read(1_000_000), monkeypatch)
    data = Text8(batch_size=32, seq_len=400, valid_seq_len=320)
    tokens = data.vocabulary.encode(data.text("train"))
    assert len(tokens) == 900_000
    assert len(tokens.unique()) == 27
    assert data.vocabulary.decode(tokens[:24]) == list(" anarchism originated as")


@pytest.mark.requires_data("lambada")
def test_official_lambada_passages(data_dir: Path, data_folder: Path, monkeypatch):
    folder = data_dir / "lambada"
    names = ("development", "test")
    passages = {name: (folder / f"lambada_{name}_plain_text.txt").read_text() for name in names}
    archive = put(data_folder, Lambada.files[0].path, lambada_archive(passages))
    content = (folder / "lambada_vocabulary_sorted.txt").read_bytes()
    assert put(data_folder, Lambada.files[1].path, content).sha256 == Lambada.files[1].sha256
    monkeypatch.setattr(Lambada, "files", (archive, Lambada.files[1]))
    data = Lambada(batch_size=2, seq_len=4, valid_seq_len=2)
    assert len(data.vocabulary) == data.out_channels == 93_217
    unknown = data.vocabulary.number("<unk>")
    for split, count, unanswerable in (("validation", 4_869, 249), ("test", 5_153, 153)):
        parts = data.dataset(split).passages
        assert len(parts) == count
        assert sum(int(part[-1]) == unknown for part in parts) == unanswerable
        assert all(data.vocabulary.number("wo") not in part for part in parts)


def test_warm_up_is_longer_than_what_the_papers_nets_see():
    assert WARM_UP >= 187  # LAMBADA: kernel 4, 5 levels
