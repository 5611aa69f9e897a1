"""Switches are True or False, and integers of NumPy are integers, wherever they go in."""

import inspect

import numpy as np
import pytest
import torch

import tcn.layers
import tcn.models
from tcn.data import SequentialDigits
from tcn.forecasting import Forecaster, evaluate
from tcn.inference import StreamSession, export, from_pretrained, generate, save_pretrained
from tcn.layers import (
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dense,
    DenseBlock,
    Dropout,
    LocallyConnected1d,
    LocallyConnected2d,
    MaxPool1d,
    PyramidPool,
    SqueezeExcite,
)
from tcn.layers.blocks.large_kernel import LargeKernelBlock
from tcn.layers.validation import check_positive, check_switch, per_axis
from tcn.models import (
    GRU,
    LSTM,
    TCN,
    AllConvolutional,
    BCResNet,
    BroadcastedBlock,
    ConvTasNet,
    DenseNet,
    DSTCResNet,
    GoogLeNet,
    NAMFiLM,
    ResNet,
    SequenceModel,
    nam_a2,
)
from tcn.models.joint import JointModel
from tcn.models.language import TokenModel
from tcn.models.modern_tcn import LargeKernelTCN
from tcn.testing import check_sequence_module
from tcn.training import OneCycle

# Every class with a switch, and what else it needs.
SAME = {"padding": "same"}
BUILT = [
    (Conv1d, (2, 2, 2), {}),
    (Conv2d, (2, 2, 2), SAME),
    (ConvTranspose1d, (2, 2, 2), {}),
    (ConvTranspose2d, (2, 2, 2), SAME),
    (LocallyConnected1d, (2, 2, 8, 2), {}),
    (LocallyConnected2d, (2, 2, 8, 2), SAME),
    (Dropout, (), {}),
    (SqueezeExcite, (4,), {}),
    (PyramidPool, (), {}),
    (ConvTasNet, (), {}),
    (Dense, (2, 2), {}),
    (DenseBlock, (2, 1, 2), {}),
    (LargeKernelBlock, (4, 3), {}),
    (LargeKernelTCN, (2, 4, 3), {}),
    (TCN, (2, [4], 2), {}),
    (AllConvolutional, (), {}),
    (BCResNet, (3,), {}),
    (BroadcastedBlock, (2, 2), {}),
    (DSTCResNet, (2, 3), {}),
    (DenseNet, (2, 3, (1,)), {}),
    (GoogLeNet, (2, 3), {}),
    (NAMFiLM, (2, 1), {}),
    (ResNet, (2, 3, (1,)), {}),
    (SequenceModel, (TCN(2, [4], 2), 3), {}),
    (TokenModel, (TCN(2, [4], 2), 3), {}),
    (SequentialDigits, (), {}),
    (OneCycle, (0.1,), {}),
]


def switches(cls: type) -> list[str]:
    parameters = inspect.signature(cls).parameters.values()
    return [each.name for each in parameters if "bool" in str(each.annotation)]


@pytest.mark.parametrize(("cls", "given", "named"), BUILT, ids=lambda value: str(value)[-40:])
def test_a_switch_is_no_text(cls, given, named) -> None:
    assert switches(cls)
    for name in switches(cls):
        for wrong in ("no", "False", 1, None if name != "causal" else "yes"):
            with pytest.raises(TypeError, match=rf"{name}: {wrong!r} is not True or False; write"):
                cls(*given, **{**named, name: wrong})


def test_every_class_with_a_switch_is_on_the_list() -> None:
    for module in (tcn.layers, tcn.models):
        for name in module.__all__:
            cls = getattr(module, name)
            # A tuple checks nothing; what is built from it does.
            if inspect.isclass(cls) and not issubclass(cls, tuple) and switches(cls):
                assert cls in [listed for listed, *_ in BUILT], name


def test_switches_of_functions(tmp_path) -> None:
    net = TCN(2, [4], 2).eval()
    with pytest.raises(TypeError, match=r"native: 'no' is not True or False"):
        StreamSession(net, batch_size=1, native="no")
    with pytest.raises(TypeError, match=r"streaming: 'no' is not True or False"):
        export(net, tmp_path / "net.pt2", streaming="no")
    with pytest.raises(TypeError, match=r"gated: 'no' is not True or False"):
        nam_a2(gated="no")
    words = SequenceModel(TCN(2, [4], 2), 3, embedding=3).eval()
    with pytest.raises(TypeError, match=r"native: 'no' is not True or False"):
        generate(words, prompt=torch.tensor([[1]]), steps=1, native="no")
    with pytest.raises(TypeError, match=r"progress: 'no' is not True or False"):
        Forecaster(h=2, input_size=4, progress="no")
    with pytest.raises(TypeError, match=r"refit: 'no' is not True or False"):
        Forecaster(h=2, input_size=4).cross_validation(None, refit="no")
    with pytest.raises(TypeError, match=r"per_series: 'no' is not True or False"):
        evaluate(None, None, per_series="no")
    with pytest.raises(TypeError, match=r"export: 'no' is not True or False"):
        check_sequence_module(net, export="no")


def test_one_switch_per_axis() -> None:
    with pytest.raises(TypeError, match=r"causal: 'no' is not True or False; write causal=False"):
        TCN(2, [4], 2, ndim=2, causal=(False, "no"))
    assert TCN(2, [4], 2, causal=np.False_).causal is False
    check_switch(a=True, b=np.True_)


def test_integers_of_numpy_are_integers(tmp_path) -> None:
    three, widths = np.int64(3), np.array([8, 8])
    net = TCN(np.int32(2), widths, three, dilations=[np.int64(1), np.uint8(2)]).eval()
    x = torch.randn(1, 2, 9)
    plain = TCN(2, [8, 8], 3).eval()
    plain.load_state_dict(net.state_dict())
    assert torch.equal(net(x), plain(x))
    assert net.construction == plain.construction | {
        "arguments": {**plain.construction["arguments"], "dilations": [1, 2]}
    }
    torch.testing.assert_close(StreamSession(net, np.int64(1)).push(x), net(x))
    save_pretrained(net, tmp_path / "net")
    assert torch.equal(from_pretrained(tmp_path / "net")(x), net(x))
    assert export(net, tmp_path / "net.pt2").exists()
    assert Conv1d(np.int64(2), np.int64(3), three, stride=np.int64(2)).stride == (2,)
    assert type(per_axis("kernel_size", three, 2)[0]) is int
    assert MaxPool1d(three)(torch.randn(1, 2, 9)).shape[-1] == 3
    assert LSTM(np.int64(2), np.int64(4)).out_channels == GRU(2, 4).out_channels
    assert JointModel(TCN(5, [4], 2), np.int64(5)).in_channels == 5
    assert SequentialDigits(batch_size=np.int64(4)).batch_size == 4
    assert tcn.receptive_field(net, in_channels=np.int64(2)).size == 13


@pytest.mark.parametrize("wrong", [2.0, "2", True, None])
def test_what_is_no_integer_is_refused(wrong) -> None:
    with pytest.raises(TypeError, match=r"size: .* is not an integer"):
        check_positive("size", [wrong])
    with pytest.raises(TypeError, match=r"kernel_size: .* is not an integer"):
        Conv1d(2, 2, wrong)
    with pytest.raises(ValueError, match=r"stride: \(1, 2\) has 2 values for 1 axes"):
        Conv1d(2, 2, 2, stride=(1, 2))


def test_a_share_that_is_a_text_is_refused() -> None:
    """By type, before it is compared: every dropout and NADE's go through one check."""
    with pytest.raises(TypeError, match=r"dropout: '0\.1' is not a number"):
        Dropout("0.1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="dropout: None is not a number"):
        TCN(1, [2], 2, dropout=None)  # type: ignore[arg-type]
