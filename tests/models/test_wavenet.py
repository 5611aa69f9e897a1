"""WaveNet: what it sees, what its outputs mean, and that it streams and generates."""

import copy

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from tcn.audio import SoundPairs, save_sound
from tcn.inference import (
    StreamSession,
    from_pretrained,
    generate,
    save_pretrained,
    with_bfloat16_weights,
)
from tcn.models import WaveNet
from tcn.outputs import Logistics, MuLaw, mu_law_decode, mu_law_encode
from tcn.testing import check_sequence_module
from tcn.training import Regression

HEADS = {"mu-law": "mu_law", "mixture of logistics": Logistics(3), "gaussian": "normal"}


def small(**settings) -> WaveNet:
    torch.manual_seed(0)
    given = {"channels": 6, "skip_channels": 8, "dilations": (1, 2, 4), "stacks": 2} | settings
    return WaveNet(**given).eval()


def sound(steps: int = 40, rows: int = 3) -> Tensor:
    return torch.rand(rows, 1, steps, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("name", HEADS)
@torch.no_grad()
def test_streams_natively(name: str) -> None:
    net, x = small(head=HEADS[name]), sound()
    session = StreamSession(net, batch_size=3, native=True)
    blocks = [session.push(block) for block in x.split([1, 7, 2, 30], -1)]
    torch.testing.assert_close(torch.cat(blocks, -1), net(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "condition"),
    [
        ({}, None),
        ({"head": Logistics(2)}, None),
        ({"head": "normal", "in_channels": 2}, None),
        ({"condition_channels": 4}, (3, 4)),
        ({"condition_channels": 4}, (3, 4, 40)),
    ],
)
def test_contract(settings: dict, condition: tuple[int, ...] | None) -> None:
    net = small(**settings)
    given = None if condition is None else torch.randn(condition)
    x = sound().expand(3, net.in_channels, 40)
    # Compiled and exported are its blocks, with the other layers.
    check_sequence_module(
        net, x, condition=given, dtypes=(torch.float64,), compile_backend=None, export=False
    )


def test_the_present_is_not_seen() -> None:
    """Strictly causal: by hand 1 + 1 step of the first layer + (1 + 2 + 4) of each stack of two."""
    net, x = small(), sound().requires_grad_()
    net(x)[:, :, 20].sum().backward()
    seen = x.grad.abs().sum((0, 1)).nonzero().flatten().tolist()
    assert seen == list(range(20 - 16, 20))
    assert net.receptive_field == 16


@torch.no_grad()
def test_a_block_and_the_head_by_the_formulas_of_the_paper() -> None:
    """Equation 2, z = tanh(W x + V h) * sigmoid(W x + V h), and figure 4, with PyTorch's own."""
    net = small(dilations=(3,), stacks=1, condition_channels=2)
    x, condition = sound(), torch.randn(3, 2)
    (block,) = net.backbone.blocks.blocks
    first = net.backbone.first
    h = functional.conv1d(functional.pad(x, (2, 0)), first.weight, first.bias)[..., :-1]
    body = block.body
    z = functional.conv1d(
        functional.pad(h, (3, 0)), body.convolution.weight, body.convolution.bias, dilation=3
    )
    z = z + functional.linear(
        condition, body.modulation.projection.weight, body.modulation.projection.bias
    ).unsqueeze(-1)
    z = torch.tanh(z[:, :6]) * torch.sigmoid(z[:, 6:])
    y = functional.relu(functional.conv1d(z, block.skip.weight, block.skip.bias))
    hidden = net.backbone.hidden
    y = functional.relu(functional.conv1d(y, hidden.weight, hidden.bias))
    y = functional.conv1d(y, net.head.weight.unsqueeze(-1), net.head.bias)
    torch.testing.assert_close(net(x, condition=condition), y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("condition", [None, (3, 4), (3, 4, 40)])
@torch.no_grad()
def test_ahead_is_the_same_net_a_step_later(condition: tuple[int, ...] | None) -> None:
    net = small(condition_channels=None if condition is None else 4)
    x, given, late = sound(), {}, {}
    if condition is not None:
        c = torch.randn(condition)
        given = {"condition": c}
        late = {"condition": c if c.dim() == 2 else torch.cat([c, c[..., -1:]], -1)}
    begun = functional.pad(x, (1, 0))
    ahead = net.ahead()
    torch.testing.assert_close(ahead(begun, **late)[..., :-1], net(x, **given))
    assert ahead.backbone.first.weight is net.backbone.first.weight
    assert net.backbone.first.axis_padding == ("strictly_causal",)
    with pytest.raises(ValueError, match="does not know how it was built"):
        save_pretrained(ahead, "nowhere")


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", HEADS)
def test_generates_what_is_likely(name: str, channels: int) -> None:
    """The samples drawn one by one are those of the whole net, drawn with the same numbers."""
    net = small(in_channels=channels, head=HEADS[name])
    begin = torch.zeros(2, channels, 1)
    drawn = generate(net.ahead(), begin, steps=12, output=net.output, seed=3, native=False)
    native = generate(net.ahead(), begin, steps=12, output=net.output, seed=3)
    assert drawn.shape == (2, channels, 12)
    generator, x = torch.Generator().manual_seed(3), torch.zeros(2, channels, 0)
    for _ in range(12):
        with torch.no_grad():
            raw = net(functional.pad(x, (0, 1)))[..., -1]
        following = net.output.sample(net.raw(raw), 1, generator)[0]
        x = torch.cat([x, following.unsqueeze(-1)], -1)
    torch.testing.assert_close(drawn, x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(native, x, rtol=1e-4, atol=1e-4)


def slowly(
    net: WaveNet, rows: int, steps: int, *, seed: int, temperature: float = 1.0, **given
) -> Tensor:
    """Sounds by the whole net anew for every sample, in float64.

    The random numbers are drawn here: 256 of Gumbel noise a step, -log(-log(uniform)).
    """
    slow, generator = copy.deepcopy(net).double(), torch.Generator().manual_seed(seed)
    noise = torch.rand(steps, rows, 256, generator=generator, dtype=torch.float64)
    noise = -(-noise.log()).log() * temperature
    given = {name: value.double() for name, value in given.items()}
    x = torch.zeros(rows, 1, 0, dtype=torch.float64)
    for step in range(steps):
        with torch.no_grad():
            logits = slow(functional.pad(x, (0, 1)), **given)[..., -1]
        level = (logits + noise[step]).argmax(1)
        x = torch.cat([x, mu_law_decode(level).double().view(rows, 1, 1)], -1)
    return x.float()


@pytest.mark.parametrize("conditioned", [False, True])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.7}, {"temperature": 0.0}])
def test_sample_for_sample_as_the_slow_way(conditioned: bool, sampling: dict) -> None:
    """Natively, beyond two blocks of noise."""
    net = small(condition_channels=3 if conditioned else None)
    given = {"condition": torch.randn(2, 3)} if conditioned else {}
    drawn = generate(
        net.ahead(), torch.zeros(2, 1, 1), 150, output=net.output, seed=3, native=True,
        **sampling, **given,
    )  # fmt: skip
    assert torch.equal(drawn, slowly(net, 2, 150, seed=3, **sampling, **given))


@pytest.mark.parametrize(("half", "rows"), [(True, 1), (False, 9)])
def test_a_large_net_sample_for_sample(half: bool, rows: int) -> None:
    """20 layers of 64, 128 and 256 channels; of few rows, past taps are added up ahead there."""
    torch.manual_seed(0)
    net = WaveNet(channels=64, skip_channels=256, stacks=2, condition_channels=16).eval()
    net = with_bfloat16_weights(net) if half else net
    given = {"condition": torch.eye(16)[:rows]}
    drawn = generate(
        net.ahead(), torch.zeros(rows, 1, 1), 100, output=net.output, seed=3, native=True, **given
    )
    assert torch.equal(drawn, slowly(net, rows, 100, seed=3, **given))


def test_the_likeliest_levels_alone() -> None:
    """With top_k=2, every sample is one of the two likeliest levels; by the net itself."""
    net = small()
    drawn = generate(net.ahead(), torch.zeros(1, 1, 1), 30, output=net.output, seed=1, top_k=2)
    with torch.no_grad():
        likely = net(drawn).topk(2, dim=1).indices
    assert (mu_law_encode(drawn) == likely).any(1).all()
    with pytest.raises(ValueError, match=r"temperature: -1.0 must be at least 0"):
        generate(net.ahead(), torch.zeros(1, 1, 1), 3, output=net.output, temperature=-1.0)


def test_learns_a_tone() -> None:
    """By its output's loss, in nats a sample: far below the log 256 of knowing nothing."""
    torch.manual_seed(0)
    net = small(channels=12, skip_channels=16).train()
    x = torch.sin(torch.arange(200) * 0.3).view(1, 1, -1) * 0.8
    optimizer = torch.optim.Adam(net.parameters(), 2e-2)
    for _ in range(30):
        loss = net.output.loss(net.raw(net(x)), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 3.5


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_is_trained_on_recordings(tmp_path) -> None:
    """What goes in is what comes out: pairs of a file with itself, and their first samples left."""
    wave = torch.sin(torch.arange(4000) * 0.1)[None] * 0.5
    path = save_sound(tmp_path / "a.wav", wave, sample_rate=8000)
    data = SoundPairs(dry=path, wet=path, sample_rate=8000, length=100, context=20, batch_size=4)
    task = Regression(small(), missing="ignore", optimizer=lambda p: torch.optim.Adam(p, 1e-2))
    trainer = pl.Trainer(
        max_epochs=6, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accelerator="cpu",
    )  # fmt: skip
    before = trainer.test(task, data, verbose=False)[0]["test_loss"]
    trainer.fit(task, data)
    assert trainer.test(task, data, verbose=False)[0]["test_loss"] < before - 0.3


@torch.no_grad()
def test_saved_with_its_output(tmp_path) -> None:
    net = small(head=MuLaw(64), condition_channels=2)
    loaded = from_pretrained(save_pretrained(net, tmp_path / "net"))
    x, condition = sound(), torch.randn(3, 2)
    assert torch.equal(loaded(x, condition=condition), net(x, condition=condition))
    assert loaded.output == MuLaw(64)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"stacks": 0}, ValueError, "stacks: 0 must be at least 1"),
        ({"dilations": ()}, ValueError, r"dilations: \(\); give one for each block"),
        ({"dilations": (1, 0)}, ValueError, "dilations: 0 must be at least 1"),
        ({"condition_channels": 0}, ValueError, "condition_channels: 0 must be"),
        ({"head": "mulaw"}, ValueError, "head: no output is named 'mulaw'"),
        ({"channels": 2.5}, TypeError, r"2\.5 is not an integer"),
    ],
)
def test_errors(settings: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        small(**settings)


def test_size_of_the_paper_s_stacks() -> None:
    """Three stacks of ten blocks see 3 x 1023 samples before the two of the first layer."""
    net = WaveNet()
    assert net.receptive_field == 3 * 1023 + 2
    blocks = net.backbone.blocks.blocks
    assert len(blocks) == 30
    assert isinstance(net.head, nn.Linear)
    assert net.out_channels == 256
