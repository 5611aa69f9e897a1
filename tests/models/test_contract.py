"""Every net keeps the contract of sequence modules."""

import pytest
import torch
from torch import nn

from tcn.layers import BLOCKS, NORMS, AddCondition, Dropout, FiLM, SqueezeExcite
from tcn.models import GRU, LSTM, RNN, TCN, SequenceModel
from tcn.testing import check_sequence_module

READOUTS = ["every", "last", "mean", "max", "attention"]


def example(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def check(net: nn.Module, x: torch.Tensor | None = None, **keywords) -> None:
    keywords = {"compile_backend": None, "export": False, **keywords}
    check_sequence_module(net, example(3, 2, 14) if x is None else x, **keywords)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_and_norms(block: str, norm: str) -> None:
    check(TCN(2, [4, 6], 3, block=block, norm=norm).eval())


@pytest.mark.parametrize("norm", ["weight", "layer", "cumulative", "batch"])
def test_two_dimensions(norm: str) -> None:
    check(TCN(2, [4, 4], 2, ndim=2, causal=True, norm=norm).eval(), example(3, 2, 5, 10))


@pytest.mark.parametrize("causal", [(False, True), (True, False), False])
def test_causal_by_axis(causal: bool | tuple[bool, bool]) -> None:
    check(TCN(2, [3], 3, ndim=2, causal=causal), example(3, 2, 5, 8))


@pytest.mark.parametrize("settings", [
    {"kernel_size": 1}, {"kernel_size": 2, "dilations": [4, 8]},
    {"kernel_size": 3, "causal": False}, {"kernel_size": 4, "activation": "gelu"},
])  # fmt: skip
def test_other_settings(settings: dict) -> None:
    check(TCN(2, [3, 4], **settings))


@pytest.mark.parametrize("spatial", [False, True])
def test_dropout_in_training_neither_looks_ahead_nor_mixes_rows(spatial: bool) -> None:
    check(TCN(2, [3, 4], 2, dropout=Dropout(0.4, spatial=spatial)).train())


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("kind", [FiLM, AddCondition])
@pytest.mark.parametrize("block", ["residual", "gated"])
def test_conditions(block: str, kind: type, local: bool) -> None:
    net = TCN(2, [3, 4], 2, block=block, modulation=lambda channels: kind(channels, 5))
    check(net, condition=example(3, 5, 14) if local else example(3, 5))


def test_squeeze_excite_within_a_net() -> None:
    check(TCN(2, [4, 4], 2, modulation=SqueezeExcite))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", [LSTM, GRU, RNN])
def test_recurrent_nets(kind: type, layers: int) -> None:
    check(kind(2, 3, layers))


@pytest.mark.parametrize("backbone", [TCN, LSTM])
@pytest.mark.parametrize("readout", READOUTS)
def test_models_with_every_readout(readout: str, backbone: type) -> None:
    body = TCN(2, [3, 4], 2) if backbone is TCN else LSTM(2, 4)
    check(SequenceModel(body, 5, readout=readout))


@pytest.mark.parametrize("readout", READOUTS)
def test_models_of_images(readout: str) -> None:
    net = SequenceModel(TCN(2, [3], 2, ndim=2, causal=True), 5, readout=readout)
    check(net, example(3, 2, 4, 8))


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("backbone", [TCN, GRU])
def test_models_of_tokens(backbone: type, readout: str) -> None:
    body = TCN(4, [3, 4], 2) if backbone is TCN else GRU(4, 4)
    tokens = torch.randint(9, (3, 14))
    check(SequenceModel(body, 9, readout=readout, embedding=9, tie_weights=True), tokens)


def test_the_example_is_made_where_none_is_given() -> None:
    keywords = {"compile_backend": None, "export": False, "dtypes": [torch.float32]}
    check_sequence_module(TCN(3, [2], 2), **keywords)
    check_sequence_module(TCN(3, [2], 2, ndim=2, causal=True), **keywords)
    check_sequence_module(SequenceModel(TCN(3, [2], 2), 4, embedding=6), **keywords)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    check(TCN(2, [3, 4], 2), dtypes=[dtype])
    check(SequenceModel(TCN(2, [3, 4], 2, norm="layer"), 5, readout="attention"), dtypes=[dtype])


COMPILED = {
    "tcn": lambda: TCN(2, [3, 4], 2),
    "image": lambda: TCN(2, [3], 2, ndim=2, causal=True),
    "last": lambda: SequenceModel(TCN(2, [3, 4], 2), 5, readout="last"),
    "attention": lambda: SequenceModel(TCN(2, [3], 2, norm="cumulative"), 5, readout="attention"),
    "lstm": lambda: LSTM(2, 3),
}


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_and_exported(name: str) -> None:
    net = COMPILED[name]()
    x = example(3, 2, 6, 14) if net.ndim == 2 else example(3, 2, 14)
    check(net, x, compile_backend="aot_eager", export=True, dtypes=[])


def test_a_conditioned_net_is_exported() -> None:
    net = TCN(2, [3], 2, modulation=lambda channels: FiLM(channels, 5))
    check(net, condition=example(3, 5, 14), export=True, dtypes=[])


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("block", BLOCKS)
def test_every_net_compiles_and_exports(block: str, norm: str) -> None:
    net = TCN(2, [4, 6], 3, block=block, norm=norm).eval()
    check(net, compile_backend="aot_eager", export=True, dtypes=[])


@pytest.mark.slow
@pytest.mark.parametrize("readout", READOUTS)
def test_every_readout_compiles_and_exports(readout: str) -> None:
    net = SequenceModel(TCN(2, [3, 4], 2), 5, readout=readout)
    check(net, compile_backend="aot_eager", export=True)


@pytest.mark.slow
def test_inductor_agrees() -> None:
    check(TCN(2, [3, 4], 2), compile_backend="inductor", export=False)
