"""Generation draws what the slow way draws: the whole sequence computed anew for every sample."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tcn.inference import StreamSession, generate
from tcn.layers import Chain, Conv1d, ConvTranspose1d, FiLM, SequenceModule
from tcn.models import GRU, LSTM, TCN, SequenceModel

SIZE = 6


def modulated(channels: int) -> FiLM:
    return FiLM(channels, 3)


NETS: dict[str, Callable[[], SequenceModule]] = {
    "embedded": lambda: SequenceModel(TCN(4, [5, 5], 3), SIZE, embedding=SIZE),
    "one_hot": lambda: SequenceModel(TCN(SIZE, [5, 5], 2, block="gated"), SIZE),
    "lstm": lambda: SequenceModel(LSTM(4, 5), SIZE, embedding=SIZE),
    "last": lambda: SequenceModel(TCN(4, [5], 3), SIZE, embedding=SIZE, readout="last"),
    "conditioned": lambda: SequenceModel(
        TCN(4, [5], 3, modulation=modulated), SIZE, embedding=SIZE
    ),
}


def build(name: str, seed: int = 0) -> SequenceModule:
    torch.manual_seed(seed)
    net = NETS[name]().double().eval()
    with torch.no_grad():
        net.head.weight.mul_(4)  # type: ignore[union-attr]  # less uniform, so that context matters
    return net


def restrict(logits: Tensor, temperature: float, top_k: int | None, top_p: float | None) -> Tensor:
    """Logits of the tokens that may be drawn, found token by token from the definitions."""
    logits = logits.clone()
    for row in logits:
        order = sorted(range(len(row)), key=lambda token: -float(row[token]))
        keep = order[:top_k]
        if top_p is not None and temperature > 0:
            weights = [float((row[token] / temperature).exp()) for token in keep]
            nucleus, mass = 0, 0.0
            while mass < top_p - 1e-12 and nucleus < len(keep):
                mass += weights[nucleus] / sum(weights)
                nucleus += 1
            keep = keep[:nucleus]
        for token in order:
            if token not in keep:
                row[token] = -torch.inf
    return logits


def slowly(
    net: SequenceModule, prompt: Tensor, steps: int, *, seed: int, condition: Tensor | None = None,
    temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
) -> Tensor:  # fmt: skip
    """The whole sequence anew for every sample, under the same random numbers."""
    generator = torch.Generator().manual_seed(seed)
    tokens = prompt
    for step in range(steps):
        if step % 64 == 0:
            noise = torch.empty(64, len(prompt), SIZE, dtype=torch.float64)
            noise = -noise.exponential_(generator=generator).log()
        x = tokens
        if net.embedding is None:  # type: ignore[union-attr]
            x = torch.nn.functional.one_hot(tokens, SIZE).double().transpose(1, 2)
        local = condition is not None and condition.dim() > 2
        part = condition[..., : tokens.shape[1]] if local else condition
        with torch.no_grad():
            y = net(x) if part is None else net(x, condition=part)
        logits = restrict(y if y.dim() == 2 else y[..., -1], temperature, top_k, top_p)
        # Noise of a block is used from its end.
        sample = (logits + temperature * noise[63 - step % 64]).argmax(1)
        tokens = torch.cat([tokens, sample[:, None]], 1)
    return tokens[:, prompt.shape[1] :]


SETTINGS = st.fixed_dictionaries({
    "temperature": st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    "top_k": st.sampled_from([None, 1, 2, 4, SIZE, 100]),
    "top_p": st.sampled_from([None, 0.01, 0.5, 0.9, 1.0]),
})  # fmt: skip


@settings(max_examples=60)
@given(st.sampled_from(sorted(NETS)), SETTINGS, st.integers(1, 3), st.integers(1, 5),
       st.integers(0, 10**6))  # fmt: skip
def test_sample_for_sample_as_the_slow_way(
    name: str, sampling: dict, batch: int, time: int, seed: int
) -> None:
    net, generator = build(name, seed), torch.Generator().manual_seed(seed)
    prompt = torch.randint(SIZE, (batch, time), generator=generator)
    condition = None
    if name == "conditioned":
        sizes = (batch, 3, time + 12)[: 3 - seed % 2]
        condition = torch.randn(sizes, dtype=torch.float64, generator=generator)
    got = generate(net, prompt, 12, condition=condition, seed=seed, **sampling)
    assert got.shape == (batch, 12)
    assert torch.equal(got, slowly(net, prompt, 12, condition=condition, seed=seed, **sampling))


def test_more_than_a_block_of_noise_and_the_native_program() -> None:
    net, prompt = build("embedded"), torch.tensor([[1, 2], [3, 0]])
    expected = slowly(net, prompt, 150, seed=3)
    assert torch.equal(generate(net, prompt, 150, seed=3), expected)
    # float32 draws other noise, so only the likeliest tokens can be compared.
    net = net.float()
    singles = [generate(net, prompt, 150, temperature=0.0, native=n) for n in (None, False)]
    likeliest = slowly(net.double(), prompt, 150, seed=0, temperature=0.0)
    assert all(torch.equal(single, likeliest) for single in singles)


@pytest.mark.parametrize("name", ["embedded", "last", "conditioned", "ahead"])
def test_blocks_of_native_samples_equal_single_ones(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one seed, token for token; also with past taps added up ahead."""
    prompt = torch.tensor([[1, 2], [3, 0], [5, 5]])
    if name == "ahead":
        monkeypatch.setattr("tcn.native.stream.CACHED_WEIGHTS", 0)
        name, prompt = "embedded", prompt[:1]
    net = build(name).float()
    condition = torch.randn(3, 3) if name == "conditioned" else None
    blocks = generate(net, prompt, 150, seed=3, condition=condition)
    monkeypatch.setattr("tcn.inference.sampling.Tokens.keeps_all", lambda *_: False)
    assert torch.equal(generate(net, prompt, 150, seed=3, condition=condition), blocks)


def test_a_session_goes_on_after_sampling() -> None:
    net = build("embedded").float()
    noise = torch.randn(20, 2, SIZE, generator=torch.Generator().manual_seed(0))
    tokens = torch.tensor([1, 4])
    results = []
    for native, nan in [(None, "raise"), (False, "raise"), (None, "hold")]:
        session = StreamSession(net, 2, native=native, nan=nan)
        with torch.no_grad():
            begun = session.sample(tokens, noise[:5])  # the first call begins the rows
            samples = torch.cat([begun, session.sample(begun[:, -1], noise[5:])], dim=1)
            results.append((samples, session.push(tokens[:, None])))
    for samples, y in results[1:]:
        assert torch.equal(samples, results[0][0])
        torch.testing.assert_close(y, results[0][1], rtol=1e-5, atol=1e-5)


def test_samples_follow_the_softmax() -> None:
    net = build("embedded").float()
    prompt = torch.zeros(20_000, 1, dtype=torch.int64)
    counts = generate(net, prompt, 1, temperature=1.5, seed=0).flatten().bincount(minlength=SIZE)
    with torch.no_grad():
        expected = (net(prompt[:1])[0, :, -1] / 1.5).softmax(0)
    torch.testing.assert_close(counts / 20_000, expected, rtol=0, atol=0.015)


def test_seeds() -> None:
    net, prompt = build("embedded"), torch.tensor([[1]])
    long = generate(net, prompt, 90, seed=5)
    assert torch.equal(generate(net, prompt, 40, seed=5), long[:, :40])
    assert not torch.equal(generate(net, prompt, 90, seed=6), long)
    generator = torch.Generator().manual_seed(5)
    assert torch.equal(generate(net, prompt, 90, seed=generator), long)
    torch.manual_seed(1)
    one = generate(net, prompt, 90)
    torch.manual_seed(1)
    assert torch.equal(generate(net, prompt, 90), one)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("kind", [TCN, GRU])
def test_continuous(kind: type, double: bool) -> None:
    torch.manual_seed(0)
    backbone = TCN(2, [4, 4], 3) if kind is TCN else GRU(2, 4)
    net = SequenceModel(backbone, 2).eval()
    net = net.double() if double else net
    x = prompt = torch.randn(3, 2, 4, dtype=torch.float64 if double else torch.float32)
    with torch.no_grad():
        for _ in range(20):
            x = torch.cat([x, net(x)[..., -1:]], -1)
    got = generate(net, prompt, 20, output="continuous")
    tolerance = 1e-12 if double else 1e-5
    torch.testing.assert_close(got, x[..., 4:], rtol=tolerance, atol=tolerance)


def test_a_sampler_of_ones_own() -> None:
    torch.manual_seed(0)
    net = SequenceModel(TCN(1, [4, 4], 3), 2).double().eval()

    def normal(y: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(len(y), 1, generator=generator, dtype=y.dtype)
        return y[:, :1].tanh() + y[:, 1:].sigmoid() * noise  # a walk that stays in bounds

    x = prompt = torch.randn(2, 1, 3, dtype=torch.float64)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for _ in range(15):
            x = torch.cat([x, normal(net(x)[..., -1], generator).unsqueeze(-1)], -1)
    got = generate(net, prompt, 15, output=normal, seed=7)
    torch.testing.assert_close(got, x[..., 3:], rtol=1e-12, atol=1e-12)


def test_a_sampler_of_tokens() -> None:
    net, prompt = build("embedded"), torch.tensor([[1], [2]])
    got = generate(net, prompt, 9, output=lambda y, _: y.argmax(1))
    assert torch.equal(got, generate(net, prompt, 9, temperature=0.0))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=SIZE, max_size=SIZE), st.integers(1, SIZE))
def test_top_k_keeps_as_many_and_of_equal_ones_the_first(levels: list[int], top_k: int) -> None:
    net = SequenceModel(TCN(4, [4], 2), SIZE, embedding=SIZE, zero_head=True).eval()
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor(levels))
    prompt = torch.zeros(400, 1, dtype=torch.int64)
    drawn = generate(net, prompt, 1, top_k=top_k, temperature=9.0, seed=0).unique().tolist()
    kept = sorted(range(SIZE), key=lambda token: (-levels[token], token))[:top_k]
    assert drawn == sorted(kept)
    likeliest = generate(net, prompt[:1], 3, temperature=0.0)
    assert torch.equal(generate(net, prompt[:1], 3, top_k=1), likeliest)


TOKENS = torch.tensor([[1, 2]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps: 0 must be at least 1"),
        ({"temperature": -1.0}, "temperature: -1.0 must be at least 0"),
        ({"temperature": math.nan}, "temperature: nan must be at least 0, .* and finite"),
        ({"temperature": math.inf}, "temperature: inf must be at least 0, .* and finite"),
        ({"top_k": 0}, "top_k: 0 must be at least 1"),
        ({"seed": 2**70}, "seed: 1180591620717411303424 must fit into 64 bits"),
        ({"prompt": TOKENS.int()}, "prompt: torch.int32 .* expected .* int64 tokens"),
        ({"prompt": TOKENS > 0}, "prompt: torch.bool .* expected .* int64 tokens"),
        (
            {"net": TCN(SIZE, [SIZE], 2).eval(), "prompt": TOKENS.to(torch.uint8)},
            "prompt: torch.uint8 .* expected .* int64 tokens",
        ),
        ({"top_p": 0.0}, r"top_p: 0.0 is not in \(0, 1\]"),
        ({"top_p": 1.5}, r"top_p: 1.5 is not in \(0, 1\]"),
        ({"prompt": TOKENS[:, :0]}, r"prompt: empty, of shape \(1, 0\)"),
        (
            {"prompt": TOKENS[:0]},
            r"prompt: shape \(0, .*\) has no rows; give one for each sequence",
        ),
        ({"prompt": TOKENS[0]}, r"prompt: torch.int64 of shape \(2,\); expected \(batch, time\)"),
        ({"prompt": TOKENS.float()}, "prompt: torch.float32 .* expected .* int64 tokens"),
        ({"prompt": TOKENS + SIZE}, f"tokens from {SIZE + 1} to {SIZE + 2} for a vocabulary of"),
        ({"net": TCN(1, [2], 2).eval()}, "net: 2 output channels for a vocabulary of 1"),
        (
            {"net": SequenceModel(TCN(4, [4], 2), SIZE - 1, embedding=SIZE).eval()},
            f"net: {SIZE - 1} output channels for a vocabulary of {SIZE}",
        ),
        ({"net": TCN(2, [2], 2, ndim=2, causal=True).eval()}, "net: TCN has 2 axes"),
        ({"net": TCN(3, [3], 3, lookahead=1).eval()}, "net: TCN looks 1 steps ahead"),
        ({"net": TCN(SIZE, [SIZE], 2).train()}, "training mode"),
        (
            {"output": "normal"},
            "output: 'normal' is neither 'categorical', 'continuous', an",
        ),
        ({"output": "continuous"}, "output: 'continuous', but SequenceModel takes other inputs"),
        ({"condition": torch.zeros(1, 3, 4)}, "condition: 4 steps for 2 of the prompt and 5 gen"),
    ],
)
def test_wrong_arguments(arguments: dict, message: str) -> None:
    keywords = {"net": build("embedded"), "prompt": TOKENS, "steps": 5, **arguments}
    with pytest.raises(ValueError, match=message):
        generate(**keywords)


def test_wrong_types() -> None:
    net = build("embedded")
    for seed in (1.5, "a"):
        with pytest.raises(TypeError, match=f"seed: {seed!r} is neither an integer, a torch.Gen"):
            generate(net, TOKENS, 2, seed=seed)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"net: Linear is not a tcn\.layers\.SequenceModule"):
        generate(nn.Linear(2, 2), TOKENS, 2)  # type: ignore[arg-type]
    seeded = generate(net, TOKENS, 20, seed=np.int64(3))
    assert torch.equal(seeded, generate(net, TOKENS, 20, seed=3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": [[1, 2]]}, r"prompt: list is not a tensor; use torch\.as_tensor"),
        ({"prompt": np.array([[1, 2]])}, "prompt: ndarray is not a tensor"),
        ({"prompt": None}, "prompt: NoneType is not a tensor"),
        ({"prompt": TOKENS.to("meta")}, "prompt: a tensor of .* on meta; pass a dense one"),
        ({"prompt": TOKENS.to_sparse()}, "prompt: a tensor of torch.sparse_coo .*; pass a dense"),
        ({"condition": [[1.0, 2.0, 3.0]]}, "condition: list is not a tensor"),
        ({"condition": np.ones((1, 3))}, "condition: ndarray is not a tensor"),
        ({"condition": torch.ones(1, 3, device="meta")}, "condition: a tensor of .* on meta"),
        ({"steps": 3.0}, "steps: 3.0 is not an integer"),
        ({"temperature": "1"}, "temperature: '1' is not a number; pass a float"),
        ({"temperature": None}, "temperature: None is not a number"),
        ({"top_k": 2.5}, "top_k: 2.5 is not an integer"),
        ({"top_p": "0.5"}, "top_p: '0.5' is not a number"),
        ({"output": lambda *_: None}, "output: the function returned NoneType; return the next"),
    ],
)
@pytest.mark.parametrize("native", [None, False])
def test_what_is_of_a_wrong_type_is_named(
    arguments: dict, message: str, native: bool | None
) -> None:
    keywords = {"net": build("conditioned"), "prompt": TOKENS, "steps": 5, "native": native}
    keywords["condition"] = torch.ones(1, 3).double()
    with pytest.raises(TypeError, match=message):
        generate(**{**keywords, **arguments})


def test_tokens_as_floats_say_how_to_make_tokens_of_them() -> None:
    with pytest.raises(ValueError, match=r"prompt: torch.float32 .*; use prompt\.long\(\)"):
        generate(build("embedded"), TOKENS.float(), 2)


def test_a_net_without_an_output_for_every_step_is_refused() -> None:
    net = SequenceModel(Chain(Conv1d(2, 3, 4, stride=2), ConvTranspose1d(3, 2, 2, stride=2)), 2)
    with pytest.raises(ValueError, match="net: SequenceModel has a stride or an up-sampling, so"):
        generate(net.eval(), torch.randn(1, 2, 4), 3, output="continuous")
