"""Language models: what is seen, what is scored, and that every text's configs learn."""

import hashlib
import io
import math
import random
import tarfile
import zipfile
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from tcn.commands.training import TCNCLI, build
from tcn.data import Lambada, PennTreebankCharacters, PennTreebankWords, Text8, WikiText103
from tcn.data.fetch import RemoteFile
from tcn.data.lambada import Passages
from tcn.data.token_windows import TokenWindows, every_token, side_by_side
from tcn.layers import SequenceModule, SqueezeExcite
from tcn.models import GRU, LSTM, RNN, TCN, TokenModel
from tcn.testing import check_sequence_module
from tcn.training import Batch, LanguageModel
from tcn.training.language_model import Chunk, FirstChunk

CONFIGS = Path(__file__).parents[2] / "configs"
VOCABULARY = 11


def backbone(name: str, channels: int = 6) -> SequenceModule:
    torch.manual_seed(1)
    if name == "tcn":
        return TCN(channels, [8, channels], 3, dropout=0.1)
    return {"lstm": LSTM, "gru": GRU, "rnn": RNN}[name](channels, channels)


def model(name: str = "tcn", **options: object) -> TokenModel:
    return TokenModel(backbone(name), VOCABULARY, embedding_deviation=1.0, division=2.0, **options)


def text(size: int, seed: int = 0) -> Tensor:
    return torch.randint(VOCABULARY, (size,), generator=torch.Generator().manual_seed(seed))


def batches(windows: TokenWindows) -> list[Batch]:
    return [
        windows.__getitems__(range(first, first + windows.rows))
        for first in range(0, len(windows), windows.rows)
    ]


def trainer(**options: object) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(accelerator="cpu", enable_checkpointing=False, **quiet, **options)


def measured(task: LanguageModel, given: list[Batch]) -> dict[str, float]:
    return dict(trainer().test(task, DataLoader(given, batch_size=None), verbose=False)[0])


def nats(net: TokenModel, tokens: Tensor, first: int) -> Tensor:
    """Of every token, the whole text before it read in one go."""
    x = torch.cat((torch.tensor([first]), tokens[:-1]))[None]
    with torch.no_grad():
        return functional.cross_entropy(net.eval()(x)[0].T, tokens, reduction="none")


# Every token exactly once, with all that stands to its left.


@settings(max_examples=30)
@given(size=st.integers(1, 70), window=st.integers(1, 20), rows=st.integers(1, 4))
def test_tcn_is_scored_as_on_the_whole_text_however_it_is_cut(size: int, window: int, rows: int):
    net, tokens = model(), text(size)
    warm_up = net.backbone.receptive_field  # 13 steps
    x, y = every_token(tokens, rows, 3, warm_up)
    given = batches(TokenWindows(x, y, window=window, stride=window, continues=True))
    task, total, count = LanguageModel(net).eval(), 0.0, 0
    with torch.no_grad():
        for batch in given:
            with task._streaming("test", batch):
                loss, weight = task.loss(task(batch.x), batch)
            total, count = total + loss.item() * weight, count + weight
    assert count == size
    assert total == pytest.approx(nats(net, tokens, 3).sum().item(), rel=1e-5)


@pytest.mark.parametrize("name", ["tcn", "lstm", "gru", "rnn"])
def test_metrics_of_a_stream_are_those_of_the_whole_text(name: str):
    net, tokens = model(name), text(60)
    expected = nats(net, tokens, 3).mean().item()
    x, y = every_token(tokens, 1, 3, 0)
    task = LanguageModel(net)
    given = batches(TokenWindows(x, y, window=7, stride=7, continues=True))
    results = measured(task, given)
    assert results["test_loss"] == pytest.approx(expected, rel=1e-5)
    assert results["test_bits"] == pytest.approx(expected / math.log(2), rel=1e-5)
    assert results["test_perplexity"] == pytest.approx(math.exp(expected), rel=1e-5)
    right = (net.eval()(x).argmax(1) == tokens).float().mean().item()
    assert results["test_accuracy"] == pytest.approx(right)
    assert measured(task, given) == pytest.approx(results)  # nothing is left over from before
    blind = measured(task, [Batch(*batch) for batch in given])
    assert blind["test_loss"] != pytest.approx(expected, rel=1e-5)


def test_predictions_of_a_stream_are_those_of_the_whole_text():
    net = model("lstm")
    x, y = every_token(text(20), 1, 3, 0)
    given = batches(TokenWindows(x, y, window=6, stride=6, continues=True))
    parts = trainer().predict(LanguageModel(net), DataLoader(given, batch_size=None))
    whole = torch.cat([part.y for part in parts], dim=2)
    with torch.no_grad():
        torch.testing.assert_close(whole, net.eval()(x).softmax(1))


def test_validation_does_not_disturb_the_state_of_training():
    task = LanguageModel(model("gru")).eval()
    x, y = side_by_side(text(40), 2)
    first, second, *_ = batches(TokenWindows(x, y, window=5, stride=5, continues=True))

    def loss(stage: str, batch: Batch) -> float:
        with task._streaming(stage, batch), torch.no_grad():
            return task.loss(task(batch.x), batch)[0].item()

    loss("train", first)
    alone = loss("train", second)
    loss("train", first)
    loss("val", FirstChunk(second.x, second.y))
    assert loss("train", second) == alone


def test_gradients_end_where_a_chunk_begins():
    """Truncated backpropagation: the state of the chunk before is a number, not a graph."""
    task = LanguageModel(model("lstm"))
    x, y = side_by_side(text(40), 2)
    for batch in batches(TokenWindows(x, y, window=5, stride=5, continues=True))[:3]:
        with task._streaming("train", batch):
            loss, _ = task.loss(task(batch.x), batch)
        loss.backward()  # would fail if it went through a graph that is gone
        assert not any(part.requires_grad for part in task._states["train"])


def test_plain_net_cannot_continue():
    class Plain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(*x.shape, VOCABULARY).movedim(-1, 1)

    x, y = side_by_side(text(40), 2)
    task = LanguageModel(Plain())
    windows = batches(TokenWindows(x, y, window=5, stride=3))
    assert measured(task, windows)["test_perplexity"] == pytest.approx(VOCABULARY)
    with pytest.raises(TypeError, match=r"Plain has no step\(\), which these batches need"):
        measured(task, [Chunk(*windows[0])])


@pytest.mark.parametrize("options", [{"causal": False}, {"lookahead": 1}])
def test_net_that_sees_the_token_to_be_predicted_is_refused(options: dict):
    net = TokenModel(TCN(6, [6, 6], 3, **options), VOCABULARY)
    with pytest.raises(ValueError, match=r"TokenModel sees \d+ steps of the future, and with them"):
        LanguageModel(net)


@pytest.mark.parametrize("options", [{"norm": "cumulative"}, {"modulation": SqueezeExcite}])
def test_net_with_statistics_of_the_past_is_causal(options: dict):
    """Its reach names an axis that a text does not have, which the statistics could cover."""
    net = TokenModel(TCN(6, [6, 6], 3, **options), VOCABULARY)
    assert LanguageModel(net).net is net  # not refused, as one that sees the future is
    assert net.reach[-1].right == 0


# The output over the vocabulary.


@pytest.mark.parametrize("options", [{}, {"tie_weights": True}, {"cutoffs": [3, 6]}])
def test_scores_are_those_of_the_whole_distribution(options: dict):
    net = model(**options).eval()
    x, y = text(30).view(2, 15), text(30, seed=1).view(2, 15)
    with torch.no_grad():
        probabilities = net(x).softmax(1)
        torch.testing.assert_close(probabilities.sum(1), torch.ones(2, 15))
        features = net.features(x)
        task = LanguageModel(net)
        torch.testing.assert_close(task.predict(features), probabilities)
        rows, target = features.movedim(1, -1).flatten(0, 1), y.flatten()
        expected = probabilities.gather(1, y[:, None]).log().flatten()
        scored = net.output if net.clusters is None else net.clusters
        raw = net.head(rows) if net.clusters is None else rows
        torch.testing.assert_close(-scored.losses(raw, target), expected)
        assert torch.equal(scored.mean(raw), probabilities.argmax(1).flatten())


@pytest.mark.parametrize(
    ("name", "options"), [("tcn", {"tie_weights": True}), ("lstm", {"cutoffs": [3, 6]})]
)
def test_token_model_keeps_the_contract(name: str, options: dict):
    check_sequence_module(model(name, **options), example=text(24).view(2, 12))


def test_steps_that_only_give_context_do_not_reach_the_vocabulary():
    net, seen = model(), []
    net.head.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    x, y = side_by_side(text(40), 2)
    given = batches(TokenWindows(x, y, window=8, stride=3))
    task = LanguageModel(net)
    task.loss(task(given[0].x), given[0])
    assert seen == [2 * 3]


def test_batch_without_a_step_that_counts():
    for options in ({}, {"cutoffs": [3, 6]}):
        task = LanguageModel(model(**options))
        batch = Batch(torch.zeros(1, 4, dtype=torch.int64), torch.full((1, 4), -100))
        loss, weight = task.loss(task(batch.x), batch)
        assert (loss.item(), weight) == (0.0, 0)


def test_adaptive_softmax_has_fewer_parameters_for_rare_tokens():
    net = TokenModel(TCN(16, [16], 2), 1000, cutoffs=[100, 400], division=4)
    # Head: 100 tokens and 2 clusters; clusters of 4 and of 1 channel: in and out.
    expected = 16 * 102 + (16 * 4 + 4 * 300) + (16 * 1 + 1 * 600)
    assert sum(p.numel() for p in net.clusters.parameters()) == expected
    assert net.out_channels == 1000


def test_tied_weights_begin_small():
    net = TokenModel(TCN(64, [64], 2), 500, tie_weights=True)
    assert net.head.weight is net.embedding.weight
    assert net.embedding.weight.std().item() == pytest.approx(0.01, rel=0.05)
    task, batch = LanguageModel(net), Batch(text(40)[None], text(40, seed=1)[None])
    assert task.loss(task(batch.x), batch)[0].item() == pytest.approx(math.log(500), rel=0.01)


def test_cluster_without_a_channel_is_refused():
    with pytest.raises(ValueError, match=r"cutoffs: 2 clusters of 6 channels, .* 4.0 each, leave"):
        TokenModel(backbone("tcn"), VOCABULARY, cutoffs=[3, 6], division=4.0)


def test_tied_weights_with_clusters_are_refused():
    with pytest.raises(ValueError, match="tie_weights: True with cutoffs, whose clusters are narr"):
        model(tie_weights=True, cutoffs=[3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": 0}, r"vocabulary: 0 must be at least 1"),
        ({"embedding_dropout": 1.5}, r"embedding_dropout: 1.5 is not in \[0, 1\)"),
        ({"embedding_deviation": -1.0}, r"embedding_deviation: -1.0 is below 0"),
        ({"cutoffs": []}, r"cutoffs: \[\] do not rise from 1 to below the 11"),
        ({"cutoffs": [3, 11]}, r"cutoffs: \[3, 11\] do not rise"),
        ({"cutoffs": [5, 5]}, r"cutoffs: \[5, 5\] do not rise"),
        ({"cutoffs": [4], "division": 0.5}, r"division: 0.5 is below 1"),
        ({"cutoffs": [4], "division": 0.0}, r"division: 0.0 is not a finite number above 0"),
    ],
)
def test_settings_that_cannot_be_are_named(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        TokenModel(TCN(6, [6], 2), **{"vocabulary": VOCABULARY, **options})


def test_backbone_outside_the_contract_is_refused_before_it_is_asked():
    with pytest.raises(TypeError, match=r"backbone: Linear is not a tcn\.layers\.SequenceModule"):
        TokenModel(nn.Linear(6, 6), VOCABULARY, cutoffs=[3])


def test_embedding_dropout_is_for_training_only():
    net = TokenModel(TCN(6, [6], 2), VOCABULARY, embedding_dropout=0.5, embedding_deviation=1.0)
    x = text(40)[None]
    assert not torch.equal(net.train()(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


# LAMBADA.


class Repeats(SequenceModule):
    """Bets that the next word is the one it has just read."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return 20.0 * functional.one_hot(x, VOCABULARY).movedim(-1, 1).float()


def test_the_authors_rule_rewards_repeating_the_word_and_the_right_one_does_not():
    # No passage repeats a word, least of all its last.
    passages = [torch.tensor([1, 2, 3, 4]), torch.tensor([5, 6])]
    results = {}
    for name, fill in (("last_word", None), ("authors", 6)):
        batch = Passages(passages, fill=fill).__getitems__([0, 1])
        results[name] = measured(LanguageModel(Repeats()), [batch])
    assert results["authors"]["test_accuracy"] == 1
    assert results["authors"]["test_perplexity"] == pytest.approx(1)
    assert results["last_word"]["test_accuracy"] == 0
    assert results["last_word"]["test_perplexity"] > math.exp(19)


def test_passages_side_by_side_are_scored_as_alone():
    passages = [text(size, seed=size) for size in (9, 3, 14)]
    task = LanguageModel(model())
    together = measured(task, [Passages(passages).__getitems__([0, 1, 2])])
    alone = measured(task, [Passages(passages)[index] for index in range(3)])
    assert together == pytest.approx(alone, rel=1e-5)


# Every config, with a smaller net, on its data or a small text in the official file format.


def words_text(lines: int, seed: int) -> str:
    """A language of 12 words in which each one says what may follow."""
    source, word, found = random.Random(seed), 0, []
    for _ in range(lines):
        line = []
        for _ in range(8):
            word = (3 * word + source.choice((1, 2))) % 12
            line.append(f"w{'abcdefghijkl'[word]}")
        found.append(" " + " ".join(line) + " \n")
    return "".join(found)


def put(folder: Path, name: str, content: bytes) -> RemoteFile:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return RemoteFile(name, hashlib.sha256(content).hexdigest(), ("http://127.0.0.1:9/",))


def zipped(members: dict[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def tarred(members: dict[str, bytes], mode: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, member in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(member)
            archive.addfile(entry, io.BytesIO(member))
    return content.getvalue()


@pytest.fixture
def small_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCN_DATA_DIR", str(tmp_path))
    train, valid, test = words_text(300, 0), words_text(20, 1), words_text(20, 2)
    parts = {"ptb/ptb.train.txt": train, "ptb/ptb.valid.txt": valid, "ptb/ptb.test.txt": test}
    files = tuple(put(tmp_path, name, part.encode()) for name, part in parts.items())
    for module in (PennTreebankWords, PennTreebankCharacters):
        monkeypatch.setattr(module, "files", files)
    names = {"train": train, "valid": valid, "test": test}
    content = zipped({f"wikitext-103/wiki.{name}.tokens": part for name, part in names.items()})
    monkeypatch.setattr(WikiText103, "files", (put(tmp_path, "wikitext-103/w.zip", content),))
    content = zipped({"text8": train.replace("\n", "")})
    monkeypatch.setattr(Text8, "files", (put(tmp_path, "text8/text8.zip", content),))
    passages = {"development": valid, "test": test}
    members = {f"lambada_{name}_plain_text.txt": p.encode() for name, p in passages.items()}
    members["train-novels.tar"] = tarred({"train-novels/Saga/one.txt": train.encode()}, "w")
    listed = put(tmp_path, "lambada/list.txt", "\n".join(sorted(set(train.split()))).encode())
    content = tarred(members, "w:gz")
    monkeypatch.setattr(Lambada, "files", (put(tmp_path, "lambada/l.tar.gz", content), listed))


SMALLER = {
    "tcn": "model.init_args.net.init_args.backbone.init_args.channels=[12,8]",
    "lstm": "model.init_args.net.init_args.backbone.init_args.hidden=8",
}
QUIET = ["trainer.logger=false", "trainer.enable_checkpointing=false"]
QUIET += ["trainer.enable_progress_bar=false", "trainer.enable_model_summary=false"]
TEXTS = ["ptb_words", "ptb_characters", "wikitext_103", "lambada", "text8"]


def smaller(name: str) -> list[str]:
    """The config's net, eight channels wide, on windows of a few steps.

    Clipped further: a rate of 30 is for millions of weights.
    """
    net = "model.init_args.net.init_args"
    task, family = name.split("/")
    lines = [SMALLER.get(family, SMALLER["lstm"]), f"{net}.backbone.init_args.in_channels=8"]
    lines += [
        "trainer.gradient_clip_val=0.05",
        "data.init_args.batch_size=8",
        "data.init_args.evaluation_batch_size=3",
    ]
    lines += ["data.init_args.seq_len=16", "data.init_args.valid_seq_len=8"]
    if task in ("lambada", "wikitext_103"):
        lines += [f"{net}.vocabulary=14"]
    if task == "wikitext_103":
        lines += [f"{net}.cutoffs=[4,9]", f"{net}.division=2"]
    return [*QUIET, *lines, "trainer.accelerator=cpu", "trainer.max_epochs=1"]


def twenty_steps(cli: TCNCLI) -> None:
    # Not in the configuration: whether it reads 20 there or 20.0, all of them times 20, depends on
    # what was imported before (see tests/test_configs.py).
    cli.trainer.limit_train_batches = 20
    cli.trainer.fit(cli.model, cli.datamodule)
    assert cli.trainer.global_step == 20


@pytest.mark.parametrize("family", ["tcn", "lstm", "gru", "rnn"])
@pytest.mark.parametrize("task", TEXTS)
def test_config_trains_twenty_steps_and_evaluates(small_texts, task: str, family: str):
    name = f"{task}/{family}"
    cli = build(CONFIGS / f"{name}.yaml", smaller(name))
    module, data = cli.model, cli.datamodule
    twenty_steps(cli)
    after = cli.trainer.validate(module, data, verbose=False)[0]
    assert after["val_loss"] < math.log(module.net.out_channels)  # where it began
    results = cli.trainer.test(module, data, verbose=False)[0]
    assert all(math.isfinite(value) for value in results.values())
    assert {"test_loss", "test_perplexity", "test_bits", "test_accuracy"} <= set(results)


@pytest.mark.parametrize("task", TEXTS)
def test_config_fits_its_data(task: str):
    """The vocabulary of the net is that of the data, which nobody has to read for it."""
    with torch.device("meta"):
        cli = build(CONFIGS / task / "tcn.yaml", QUIET)
    net, data = cli.model.net, cli.datamodule
    assert net.embedding.num_embeddings == net.out_channels == data.in_channels
    assert data.in_channels == data.out_channels


@pytest.mark.requires_data("ptb")
@pytest.mark.parametrize("task", ["ptb_words", "ptb_characters"])
def test_config_learns_on_the_official_text(task: str):
    """A small net, 20 steps of 64 tokens: better than guessing."""
    cli = build(CONFIGS / task / "tcn.yaml", smaller(f"{task}/tcn"))
    cli.trainer.limit_val_batches = 4
    twenty_steps(cli)
    loss = cli.trainer.validate(cli.model, cli.datamodule, verbose=False)[0]["val_loss"]
    assert loss < math.log(cli.datamodule.out_channels)
