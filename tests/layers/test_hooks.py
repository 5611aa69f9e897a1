"""A hook on any module sees it once, with its own tensors, and changes no number."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tcn.layers import (
    BLOCKS,
    Add,
    Chain,
    Concat,
    Conv1d,
    ConvTranspose1d,
    Dropout,
    FiLM,
    GatedBlock,
    LargeKernelBlock,
    MaxPool1d,
    Mean,
    SkipSum,
    SqueezeExcite,
    Upsample,
)
from tcn.models import GRU, LSTM, RNN, TCN, LargeKernel, LargeKernelTCN, SequenceModel, TokenModel


def gated(dropout: float = 0.0) -> list[GatedBlock]:
    return [GatedBlock(3, 3, 2, dilation=d, skip_channels=3, dropout=dropout) for d in (1, 2, 4)]


def film(**keywords) -> TCN:
    return TCN(2, [4] * 2, 3, modulation=partial(FiLM, condition_channels=3), **keywords)


NETS: dict[str, Callable[[], nn.Module]] = {
    **{
        f"TCN, {block}": lambda block=block: TCN(2, [4, 4, 5], 3, block=block, dropout=0.2)
        for block in BLOCKS
    },
    **{
        f"TCN, {norm}": lambda norm=norm: TCN(2, [8, 8], 3, norm=norm, dropout=0.2)
        for norm in ("none", "layer", "rms", "cumulative", "batch", "group")
    },
    "spatial dropout": lambda: TCN(2, [4, 4], 3, dropout=Dropout(0.3, spatial=True)),
    "both directions": lambda: TCN(2, [4, 4], 3, causal=False, dropout=0.1),
    "squeeze-excite": lambda: TCN(2, [4, 4], 3, modulation=SqueezeExcite),
    "look-ahead": lambda: TCN(2, [4, 4], 3, lookahead=5),
    "last step": lambda: SequenceModel(TCN(2, [4] * 3, 3), 2, readout="last"),
    "last step, dropout": lambda: SequenceModel(
        TCN(2, [4] * 3, 3, dropout=0.3), 2, readout="last"
    ),
    "last step, gated, dropout": lambda: SequenceModel(
        TCN(2, [4] * 3, 3, block="gated", dropout=0.3), 2, readout="last"
    ),
    "last step, WaveNet, dropout": lambda: SequenceModel(
        Chain(Conv1d(2, 3, 2), SkipSum(gated(dropout=0.3))), 2, readout="last"
    ),
    "attention": lambda: SequenceModel(TCN(2, [4] * 3, 3, dropout=0.1), 2, readout="attention"),
    "LSTM": lambda: SequenceModel(LSTM(2, 5, dropout=0.2), 2, readout="last"),
    "GRU": lambda: SequenceModel(GRU(2, 5, 2), 2),
    "RNN": lambda: RNN(2, 5),
    "WaveNet": lambda: Chain(Conv1d(2, 3, 2), SkipSum(gated()), nn.ReLU()),
    "large kernels": lambda: LargeKernelTCN(2, 4, 5, stride=2, squeeze_excite=True),
    "patches": lambda: LargeKernel(2, 24),
    "large-kernel block": lambda: Chain(Conv1d(2, 4, 1), LargeKernelBlock(4, 5)),
    "strided": lambda: Chain(
        Conv1d(2, 4, 4, stride=2), BLOCKS["residual"](4, 6, 3, stride=2), Mean()
    ),
    "U-Net": lambda: Concat(
        nn.Identity(), Chain(MaxPool1d(2), Conv1d(2, 4, 3), Upsample(2), ConvTranspose1d(4, 3, 3))
    ),
}  # fmt: skip


def outcome(net: nn.Module, x: Tensor, **given: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs and gradients, from the same random numbers each time."""
    torch.manual_seed(3)
    net.zero_grad()
    y = net(x, **given)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return y.detach(), {n: p.grad.clone() for n, p in net.named_parameters() if p.grad is not None}


def watch(net: nn.Module, x: Tensor, **given: Tensor):
    """The same under a hook on every module, and what the hooks saw."""
    seen: dict[str, list[tuple]] = {name: [] for name, _ in net.named_modules()}
    hooks = [
        module.register_forward_hook(
            lambda module, inputs, output, name=name: seen[name].append((inputs, output))
        )
        for name, module in net.named_modules()
    ]
    found = outcome(net, x, **given)
    for hook in hooks:
        hook.remove()
    return found, seen


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_every_module_is_seen_once_and_nothing_changes(name: str, training: bool) -> None:
    torch.manual_seed(0)
    net = NETS[name]().train(training)
    x = torch.randn(3, 2, 24)
    expected, gradients = outcome(net, x)
    (found, own), seen = watch(net, x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for parameter, gradient in gradients.items():
        torch.testing.assert_close(own[parameter], gradient, rtol=1e-4, atol=1e-5)
    containers = nn.ModuleList  # a list of modules is never called
    times = Counter({
        name: len(calls) for name, calls in seen.items()
        if not isinstance(net.get_submodule(name), containers)
    })  # fmt: skip
    assert set(times.values()) == {1}, {name for name, n in times.items() if n != 1}
    again, _ = outcome(net, x)
    assert torch.equal(again, expected)  # the short cuts are taken again


def test_a_hook_sees_every_step_of_its_own_module() -> None:
    net = SequenceModel(TCN(2, [4] * 3, 3), 2, readout="last").eval()
    x = torch.randn(3, 2, 24)
    _, seen = watch(net, x)
    for name, module in net.named_modules():
        ((given, output),) = seen[name]
        if name.startswith("backbone"):
            assert output.shape[-1] == given[0].shape[-1] == 24, name
        if isinstance(module, Conv1d):
            torch.testing.assert_close(output, module(given[0]))


@pytest.mark.parametrize("local", [False, True])
def test_condition_and_lengths_travel_through_calls(local: bool) -> None:
    net = film(dropout=0.1).train()
    x, lengths = torch.randn(3, 2, 20), torch.tensor([20, 11, 3])
    condition = torch.randn(3, 3, *([20] if local else []))
    expected, _ = outcome(net, x, lengths=lengths, condition=condition)
    (found, _), _ = watch(net, x, lengths=lengths, condition=condition)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found[row, :, :length], expected[row, :, :length])


def test_the_same_values_are_dropped_of_rows_with_lengths() -> None:
    net = SequenceModel(TCN(2, [4] * 3, 3, dropout=0.3), 2, readout="last")
    x, lengths = torch.randn(4, 2, 24), torch.tensor([24, 9, 1, 0])
    expected, gradients = outcome(net, x, lengths=lengths)
    (found, own), _ = watch(net, x, lengths=lengths)
    torch.testing.assert_close(found, expected)
    for name, gradient in gradients.items():
        torch.testing.assert_close(own[name], gradient, rtol=1e-4, atol=1e-5)


def test_a_hook_of_all_modules_is_one_too() -> None:
    net = SequenceModel(TCN(2, [4] * 2, 3), 2, readout="last").eval()
    calls: Counter[int] = Counter()
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, inputs, output: calls.update([id(module)])
    )
    net(torch.randn(3, 2, 24))
    hook.remove()
    assert calls == Counter({id(module): 1 for module in net.modules()})


def test_only_the_watched_block_goes_without_its_short_cut() -> None:
    net = TCN(2, [4] * 3, 3).eval()
    assert all(block._layers() is not None for block in net.levels)
    hook = net.levels[1].sum.body.layer1.convolution.register_forward_hook(lambda *_: None)
    assert [block._layers() is None for block in net.levels] == [False, True, False]
    hook.remove()
    assert all(block._layers() is not None for block in net.levels)


def test_a_hook_that_changes_an_output_changes_the_result() -> None:
    net = TCN(2, [4] * 2, 3).eval()
    x = torch.randn(3, 2, 24)
    net.levels[1].sum.body.layer2.register_forward_hook(lambda module, given, y: y * 0)
    torch.testing.assert_close(net(x), torch.relu(net.levels[1].shortcut(net.levels[0](x))))


class Wrapper(nn.Module):
    """As the wrappers of activation checkpointing are: all attributes are those of the wrapped."""

    def __init__(self, wrapped: nn.Module) -> None:
        super().__init__()
        self.wrapped = wrapped

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.wrapped, name)

    def forward(self, *given, **named):
        return checkpoint(self.wrapped, *given, use_reentrant=False, **named)


def test_a_block_may_be_wrapped_for_checkpointing() -> None:
    net = film()
    wrapped = Chain(*(Wrapper(block) for block in net.levels))
    x, lengths, condition = torch.randn(3, 2, 20), torch.tensor([20, 11, 3]), torch.randn(3, 3)
    expected, gradients = outcome(net, x, lengths=lengths, condition=condition)
    found, own = outcome(wrapped, x, lengths=lengths, condition=condition)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(own.values(), gradients.values(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert wrapped.receptive_field == net.receptive_field
    streamed = [wrapped.step(x[..., :7], condition=condition)]
    streamed.append(wrapped.step(x[..., 7:], streamed[0][1], condition=condition))
    whole = wrapped(x, condition=condition)
    torch.testing.assert_close(torch.cat([y for y, _ in streamed], -1), whole)


def test_pytorch_wraps_blocks_for_checkpointing() -> None:
    wrapper = pytest.importorskip("torch.distributed.algorithms._checkpoint.checkpoint_wrapper")
    net = SequenceModel(TCN(2, [4] * 3, 3), 2)
    x = torch.randn(3, 2, 20)
    expected, gradients = outcome(net, x)
    blocks = set(net.backbone.levels)
    wrapper.apply_activation_checkpointing(net, check_fn=lambda module: module in blocks)
    found, own = outcome(net, x)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(own.values(), gradients.values(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_pruning_a_weight() -> None:
    from torch.nn.utils import prune

    net = Chain(Conv1d(2, 4, 3), Add(nn.Identity(), Conv1d(4, 4, 3)))
    prune.l1_unstructured(net[0], "weight", amount=0.5)
    x = torch.randn(3, 2, 20)
    pruned = Chain(Conv1d(2, 4, 3), net[1])
    with torch.no_grad():
        pruned[0].weight.copy_(net[0].weight_orig * net[0].weight_mask)
        pruned[0].bias.copy_(net[0].bias)
    torch.testing.assert_close(net(x), pruned(x))
    prune.remove(net[0], "weight")
    torch.testing.assert_close(net(x), pruned(x))


def test_language_models_are_seen_too() -> None:
    net = TokenModel(TCN(8, [8] * 2, 3), 11, tie_weights=True).eval()
    tokens = torch.randint(11, (3, 12))
    expected = net(tokens)
    fired: Counter[str] = Counter()
    for name, module in net.named_modules():
        module.register_forward_hook(lambda *_, name=name: fired.update([name]))
    torch.testing.assert_close(net(tokens), expected)
    assert set(fired.values()) == {1}
    assert set(fired) == {name for name, _ in net.named_modules()}


def test_the_summary_of_a_trainer_shows_sizes() -> None:
    from pytorch_lightning.utilities.model_summary import ModelSummary

    from tcn.training import Regression

    task = Regression(SequenceModel(TCN(2, [4] * 2, 3), 1, readout="last"))
    task.example_input_array = torch.randn(3, 2, 24)
    summary = ModelSummary(task, max_depth=-1)
    sizes = dict(zip(summary.layer_names, zip(summary.in_sizes, summary.out_sizes, strict=True),
                     strict=True))  # fmt: skip
    assert sizes["net.backbone.levels.1.sum.body.layer2.convolution"] == ([3, 4, 24], [3, 4, 24])
    assert "?" not in str([size for name, size in sizes.items() if name.startswith("net")])
