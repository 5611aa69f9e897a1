"""A head that says what its numbers mean: sizes, losses, folders, and what is generated from it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import tcn.saving
from tcn.inference import from_pretrained, generate, save_pretrained
from tcn.models import TCN, SequenceModel, TokenModel
from tcn.outputs import (
    MSE,
    NADE,
    OUTPUTS,
    AdaptiveSoftmax,
    Bernoulli,
    Categorical,
    Logistics,
    MuLaw,
    Normal,
    Output,
    StudentT,
    output,
)
from tcn.testing import check_sequence_module

WITH_WEIGHTS = {"nade": NADE(3, 4), "adaptive_softmax": AdaptiveSoftmax(4, 9, [2, 5], division=2)}
ALL = [WITH_WEIGHTS[name] if name in WITH_WEIGHTS else output(name) for name in OUTPUTS]
named = pytest.mark.parametrize("of", ALL, ids=lambda of: of.name)


def model(of: int | str | Output, channels: int = 1, **arguments) -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(TCN(channels, [4, 4], 2), head=of, **arguments)


def target_of(of: Output, rows: int, time: int) -> Tensor:
    shape = (rows, time) if of.event is None else (rows, of.event, time)
    if of.support == "class":
        return torch.randint(2, shape)
    return torch.randint(2, shape).float()


@named
def test_a_net_returns_what_its_output_reads_and_learns_from_it(of: Output) -> None:
    net = model(of)
    y = net(torch.randn(2, 1, 7))
    assert net.output is of
    assert y.shape == (2, of.size, 7)
    scale = torch.ones(2) if of.name == "mase" else None
    net.output.loss(net.raw(y), target_of(of, 2, 7), scale=scale).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.backbone.parameters())


@pytest.mark.parametrize("of", [*WITH_WEIGHTS.values(), Logistics(2)], ids=lambda of: of.name)
def test_contract(of: Output) -> None:
    check_sequence_module(model(of), torch.randn(2, 1, 9), compile_backend=None, export=False)


def test_a_number_is_a_head_without_a_meaning() -> None:
    net, before = model(3), SequenceModel(TCN(1, [4, 4], 2), 3)
    before.load_state_dict(net.state_dict())
    x = torch.randn(2, 1, 5)
    assert net.output is None
    assert torch.equal(net(x), before(x))


def test_channels_of_the_target_have_numbers_each_of_their_own() -> None:
    """The raw numbers of channel k are those of rows k, k + 3, ... of the head's weight."""
    net = model("student_t", targets=3)
    y = net(torch.randn(2, 1, 5))
    assert y.shape == (2, 9, 5)
    assert net.raw(y).shape == (2, 3, 3, 5)
    target = torch.randn(2, 3, 5)
    apart = [StudentT().losses(y[:, k::3], target[:, k]) for k in range(3)]
    assert torch.allclose(net.output.losses(net.raw(y), target), torch.stack(apart, 1))


def test_numbers_of_another_net_are_not_read() -> None:
    with pytest.raises(
        ValueError, match=r"y: shape \(2, 8, 5\); expected .* \(batch, 9, \*sizes\)"
    ):
        model("student_t", targets=3).raw(torch.zeros(2, 8, 5))


@named
def test_saved_and_loaded(of: Output, tmp_path: Path) -> None:
    net = model(of).eval()
    save_pretrained(net, tmp_path)
    loaded = from_pretrained(tmp_path)
    x, target = torch.randn(2, 1, 6), target_of(of, 2, 6)
    scale = torch.ones(2) if of.name == "mase" else None
    assert isinstance(loaded.output, type(of))
    assert torch.equal(loaded(x), net(x))
    losses = [each.output.loss(each(x), target, scale=scale) for each in (net, loaded)]
    assert torch.equal(*losses)


def test_an_output_that_was_exchanged_is_not_saved_as_the_first(tmp_path: Path) -> None:
    net = model(Logistics(2, levels=16))
    net.meaning = Logistics(2, levels=256)
    with pytest.raises(ValueError, match=r"changed since it was built: .*levels"):
        save_pretrained(net, tmp_path)


def test_an_output_of_ones_own_is_saved_once_it_is_registered(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Shifted(Normal):
        name: ClassVar[str] = "shifted_for_this_test"
        by: float = 1.0

        def parameters(self, raw: Tensor) -> tuple[Tensor, Tensor]:
            location, spread = super().parameters(raw)
            return location + self.by, spread

    net = model(Shifted(2.5)).eval()
    with pytest.raises(ValueError, match=r"net\.head: .*Shifted.*tcn\.saving\.register"):
        save_pretrained(net, tmp_path)
    tcn.saving.register("shifted")(Shifted)
    net = model(Shifted(2.5)).eval()
    save_pretrained(net, tmp_path)
    assert from_pretrained(tmp_path).output == Shifted(2.5)
    assert output("shifted_for_this_test") == Shifted()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "head: None with out_channels=None; give one of them"),
        ({"head": 2, "out_channels": 2}, ValueError, "head: 2 with out_channels=2; give one"),
        ({"head": 0}, ValueError, "head: 0 must be at least 1"),
        ({"head": 2**70}, ValueError, "head: 1180591620717411303424 is more than a machine can"),
        ({"out_channels": 2.0}, TypeError, "out_channels: 2.0 is not an integer"),
        ({"head": 1.5}, TypeError, "head: 1.5 is neither a name nor an Output"),
        ({"head": True}, TypeError, "head: True is neither a name nor an Output"),
        ({"head": "gauss"}, ValueError, "head: no output is named 'gauss'; names are .*normal"),
        ({"head": "nade"}, ValueError, r"head: 'nade' needs values; .* such as NADE\(values=...\)"),
        ({"head": 2, "targets": 2}, ValueError, "targets: 2 with 2 numbers that mean nothing yet"),
        ({"head": NADE(2), "targets": 2}, ValueError, "targets: 2 with output 'nade', whose"),
        ({"head": "normal", "targets": 0}, ValueError, "targets: 0 must be at least 1"),
        ({"head": AdaptiveSoftmax(8, 9, [3])}, ValueError, "softmax of 8 channels .*channels=4"),
        ({"head": TCN}, TypeError, "head: the class TCN is neither a name .*; give one of them"),
        ({"head": TCN(1, [4], 2)}, TypeError, "head: a TCN is neither a name nor an Output; give"),
        ({"head": NADE}, TypeError, r"head: the class NADE is neither .*; write NADE\(...\)"),
        (
            {"head": "normal", "embedding": 9, "tie_weights": True},
            ValueError,
            r"tie_weights: .*\(2, 4\) differ; .* and the classes of the head be 9, the vocabulary",
        ),
        (
            {"out_channels": 8, "embedding": 9, "tie_weights": True},
            ValueError,
            r"tie_weights: .*\(8, 4\) differ; .* and out_channels be 9, the vocabulary size",
        ),
        (
            {"head": AdaptiveSoftmax(4, 9, [3]), "zero_head": True},
            ValueError,
            "zero_head: True, but output 'adaptive_softmax' brings its own last layer",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    arguments: dict, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        SequenceModel(TCN(1, [4], 2), **arguments)


# What is generated.


def constant(of: Output, raw: list[float], channels: int = 1, **arguments) -> SequenceModel:
    """A net that says the same at every step, so that what it should draw is known."""
    net = model(of, channels, **arguments).eval()
    assert isinstance(net.head, nn.Linear)
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias.copy_(torch.tensor(raw))
    return net


def test_values_are_drawn_from_the_distribution() -> None:
    """exp(-1) is the spread of a raw number of -1; 4 standard errors of 4,000 draws."""
    net = constant(Normal(), [3.0, -1.0])
    drawn = generate(net, torch.zeros(4, 1, 1), 1000, output=net.output, seed=1)
    spread = math.exp(-1) + 1e-4
    assert drawn.shape == (4, 1, 1000)
    assert drawn.mean().item() == pytest.approx(3, abs=4 * spread / math.sqrt(4000))
    assert drawn.std().item() == pytest.approx(spread, rel=4 / math.sqrt(8000))
    assert torch.equal(
        drawn[..., :9], generate(net, torch.zeros(4, 1, 1), 9, output=net.output, seed=1)
    )


def test_a_draw_is_the_next_input() -> None:
    """Every sample is drawn from what the net says of the prompt and the samples before."""
    net = model(Logistics(2, levels=256)).eval()
    prompt = torch.rand(2, 1, 3) * 2 - 1
    drawn = generate(net, prompt, 6, output=net.output, seed=3)
    generator, x = torch.Generator().manual_seed(3), prompt
    with torch.no_grad():
        for _ in range(6):
            sample = net.output.sample(net(x)[..., -1], 1, generator)[0]
            x = torch.cat([x, sample[:, None, None]], dim=-1)
    assert torch.equal(drawn, x[..., 3:])


def test_several_channels_are_drawn_each_from_its_own() -> None:
    net = constant(Bernoulli(), [-30.0, 30.0, 30.0], channels=3, targets=3)
    drawn = generate(net, torch.zeros(2, 3, 1), 5, output=net.output)
    assert torch.equal(drawn, torch.tensor([0.0, 1.0, 1.0]).view(1, 3, 1).expand(2, 3, 5))


def test_levels_of_sound_are_values() -> None:
    net = constant(MuLaw(4), [0.0, 0.0, 30.0, 0.0])
    drawn = generate(net, torch.zeros(1, 1, 1), 3, output=net.output)
    value = MuLaw(4).quantile(torch.tensor([[0.0, 0.0, 30.0, 0.0]]), [0.5])
    assert torch.equal(drawn, value.view(1, 1, 1).expand(1, 1, 3))


def test_a_categorical_output_is_the_categorical_of_the_generator() -> None:
    net = SequenceModel(TCN(4, [4, 4], 2), head=Categorical(9), embedding=9).eval()
    prompt = torch.randint(9, (2, 4))
    for options in ({}, {"temperature": 0.5, "top_k": 3}):
        expected = generate(net, prompt, 20, seed=2, **options)
        assert torch.equal(
            generate(net, prompt, 20, output=net.output, seed=2, **options), expected
        )


def test_an_adaptive_softmax_draws_the_tokens_that_a_token_model_draws() -> None:
    """The token model's logarithms of probabilities and the output's own are the same logits."""
    torch.manual_seed(0)
    tokens = TokenModel(TCN(4, [4, 4], 2), 9, cutoffs=[2, 5], division=2).eval()
    with torch.no_grad():
        tokens.embedding.weight.mul_(100)
    net = SequenceModel(tokens.backbone, head=tokens.clusters, embedding=9).eval()
    net.embedding = tokens.embedding
    prompt = torch.randint(9, (3, 4))
    drawn = generate(net, prompt, 30, output=net.output, seed=5)
    assert torch.equal(drawn, generate(tokens, prompt, 30, seed=5))
    assert torch.equal(drawn, generate(tokens, prompt, 30, seed=5, output=tokens.output))
    assert len(drawn.unique()) > 3


@pytest.mark.parametrize(
    ("net", "arguments", "message"),
    [
        (model(MSE()), {}, "output: 'mse' is a point forecast, from which nothing is drawn"),
        (model(Normal()), {"output": Logistics(2)}, "'logistics' reads 6 raw numbers, but .* 2"),
        (model(Normal(), targets=2), {}, "'normal' draws 2 values a step, but .* takes 1 channels"),
        (
            model(Normal(), 4, embedding=7),
            {},
            "output: 'normal' draws 1 values a step, but SequenceModel takes tokens",
        ),
        (model(Normal()), {"temperature": 0.5}, "temperature, top_k, top_p: 0.5, None, None with"),
        (model(Normal()), {"output": Categorical(3)}, "'categorical' reads 3 raw numbers, but"),
    ],
)
def test_outputs_from_which_no_input_can_be_drawn(
    net: SequenceModel, arguments: dict, message: str
) -> None:
    prompt = torch.zeros(1, 1, 2) if net.embedding is None else torch.zeros(1, 2).long()
    with pytest.raises(ValueError, match=message):
        generate(net.eval(), prompt, 2, **({"output": net.output} | arguments))


@pytest.mark.parametrize(
    ("head", "channels", "word"),
    [(AdaptiveSoftmax(4, 4, [2]), 4, "categorical"), (Normal(), 2, "continuous")],
)
def test_a_word_that_the_net_contradicts_is_refused(head: Output, channels: int, word: str) -> None:
    """As many numbers as logits or inputs would be, but they mean something else."""
    net = SequenceModel(TCN(channels, [4], 2), head=head).eval()
    prompt = torch.zeros(1, 2).long() if word == "categorical" else torch.zeros(1, 2, 2)
    with pytest.raises(
        ValueError, match=rf"output: '{word}', but the net says .*output=net\.output"
    ):
        generate(net, prompt, 2, output=word)


def test_equal_tokens_are_drawn_alike_in_half_precision() -> None:
    """Rounded sums of logit and noise are often equal, and the first of them would win."""
    net = SequenceModel(TCN(2, [2], 2), head=Categorical(2), embedding=2, zero_head=True)
    with torch.no_grad():
        net.head.bias.fill_(40.0)
    net = net.to(torch.bfloat16).eval()
    drawn = generate(net, torch.zeros(100, 1).long(), 100, output=net.output, seed=0)
    # 10,000 fair draws: six standard deviations.
    assert drawn.double().mean().item() == pytest.approx(0.5, abs=0.03)
