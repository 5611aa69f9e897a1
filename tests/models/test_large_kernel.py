"""The net of today's parts keeps the contract; its parts are what their papers say."""

import pytest
import torch

from tcn.inference import from_pretrained, save_pretrained
from tcn.layers import LargeKernelBlock, StochasticDepth
from tcn.models import LargeKernelTCN, SequenceModel
from tcn.testing import check_sequence_module


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"norm": "layer", "squeeze_excite": True, "activation": "silu"},
        {"norm": "weight", "dilations": [1, 3]},
        {"causal": False, "squeeze_excite": True},
    ],
)
def test_contract(settings: dict):
    net = LargeKernelTCN(2, 4, 5, levels=2, **settings).eval()
    check_sequence_module(net, torch.randn(3, 2, 14), compile_backend=None, export=False)


def test_in_training_neither_looks_ahead_nor_mixes_rows():
    net = LargeKernelTCN(2, 4, 5, levels=2, norm="layer", stochastic_depth=0.5).train()
    check_sequence_module(net, torch.randn(3, 2, 14), compile_backend=None, export=False)


def test_compiled_and_exported():
    net = SequenceModel(LargeKernelTCN(2, 4, 5, levels=2, norm="layer"), 3, readout="mean")
    check_sequence_module(net, torch.randn(3, 2, 14), dtypes=[])


def test_parameters_by_hand():
    # Stem 7 * 1 * 64 + 64; a block: 64 * 31 + 64, batch norm 128, 64 * 128 + 128, 128 * 64 + 64,
    # squeeze 64 * 16 + 16, excite 16 * 64 + 64; a last batch norm 128 and the head 650.
    block = 64 * 31 + 64 + 128 + 64 * 128 + 128 + 128 * 64 + 64 + 64 * 16 + 16 + 16 * 64 + 64
    net = SequenceModel(
        LargeKernelTCN(1, 64, 31, levels=4, stride=4, squeeze_excite=True), 10, readout="mean"
    )
    count = sum(parameter.numel() for parameter in net.parameters())
    assert count == 7 * 64 + 64 + 4 * block + 128 + 650


def test_a_stride_takes_several_steps_at_a_time_and_sees_them_all():
    net = LargeKernelTCN(1, 4, 3, levels=1, stride=4, causal=False).eval()
    x = torch.randn(1, 1, 32, requires_grad=True)
    y = net(x)
    assert y.shape == (1, 4, 8)
    y.square().sum().backward()
    assert (x.grad != 0).all()


def test_reach_of_a_causal_net():
    # Stem 1, then two blocks of 5 taps, the second with dilation 3: 1 + 4 + 12.
    assert LargeKernelTCN(2, 4, 5, levels=2, dilations=[1, 3], norm="none").receptive_field == 17


def test_a_block_whose_branch_is_left_out_is_its_shortcut():
    block = LargeKernelBlock(4, 3, stochastic_depth=0.999999, norm="layer").train()
    x = torch.randn(5, 4, 9)
    torch.testing.assert_close(block(x), x)


def test_stochastic_depth_keeps_the_mean():
    depth = StochasticDepth(0.25).train()
    rows = depth(torch.ones(4000, 2, 3))
    kept = rows[:, 0, 0]
    assert kept.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(rows, kept[:, None, None].expand_as(rows))
    assert kept.mean().item() == pytest.approx(1, abs=0.04)  # 4 standard deviations of 0.009
    assert torch.equal(depth.eval()(rows), rows)


def test_a_stream_in_training_keeps_its_choice():
    depth = StochasticDepth(0.5).train()
    first, state = depth.step(torch.ones(64, 1, 2))
    second, _ = depth.step(torch.ones(64, 1, 3), state)
    assert torch.equal(first[:, 0, 0], second[:, 0, 2])


def test_deeper_blocks_are_left_out_more_often():
    net = LargeKernelTCN(2, 4, 3, levels=3, stochastic_depth=0.2)
    found = [m.probability for m in net.modules() if isinstance(m, StochasticDepth)]
    assert found == pytest.approx([0, 0.1, 0.2])


def test_saved_and_loaded(tmp_path):
    net = LargeKernelTCN(2, 4, 5, levels=2, squeeze_excite=True).eval()
    save_pretrained(net, tmp_path)
    x = torch.randn(1, 2, 9)
    torch.testing.assert_close(from_pretrained(tmp_path)(x), net(x))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": 0}, "levels"),
        ({"stride": 0}, "stride"),
        ({"dilations": [1, 2, 4]}, r"dilations: \[1, 2, 4\] has 3 values for levels=2"),
        ({"stochastic_depth": 1.0}, "probability"),
        ({"activation": "loud"}, "activation: 'loud' is not one of"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str):
    with pytest.raises(ValueError, match=message):
        LargeKernelTCN(2, 4, 5, **{"levels": 2, **settings})
