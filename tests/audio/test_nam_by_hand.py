"""Tiny files whose outputs are worked out by hand."""

from pathlib import Path

import numpy as np
import torch

from tcn.audio import load_nam
from tests.audio.writing import write


def by_hand(tmp_path: Path, config: dict, weights: list, x: list, architecture="WaveNet") -> list:
    net = load_nam(write(tmp_path / "a.nam", architecture, config, weights))
    with torch.no_grad():
        return net.double()(torch.tensor([[x]], dtype=torch.float64))[0, 0].tolist()


ONE = {
    "input_size": 1, "condition_size": 1, "channels": 1, "kernel_size": 1, "dilations": [1],
    "activation": "Tanh", "head_size": 1, "head_bias": False,
}  # fmt: skip


def test_a_gate_by_hand(tmp_path: Path) -> None:
    # entry 2; convolution [1, -1] + [0, 0.5]; mixin [0.5, 0]; residual; head 4; scale 0.25
    weights = [2, 1, -1, 0, 0.5, 0.5, 0, 7, 7, 4, 0.25]
    gated = by_hand(tmp_path, {"layers": [ONE | {"gated": True}], "head_scale": 9}, weights, [1.0])
    signal, gate = 2 + 0.5, 1 / (1 + np.exp(2 - 0.5))
    np.testing.assert_allclose(gated, [np.tanh(signal) * gate], rtol=1e-7)
    layer = ONE | {"gating_mode": "blended", "secondary_activation": "Sigmoid"}
    blended = by_hand(tmp_path, {"layers": [layer], "head_scale": 9}, weights, [1.0])
    expected = gate * np.tanh(signal) + (1 - gate) * signal
    np.testing.assert_allclose(blended, [expected], rtol=1e-7)


def test_scale_and_shift_by_hand(tmp_path: Path) -> None:
    # entry 1; convolution 1 + 0; mixin 0; residual; scale 3 c + 1, shift 5 c + 2; head 1; scale 1
    layer = ONE | {"activation": "ReLU", "activation_pre_film": {"active": True}}
    weights = [1, 1, 0, 0, 7, 7, 3, 5, 1, 2, 1, 1]
    found = by_hand(tmp_path, {"layers": [layer], "head_scale": 1}, weights, [1.0, 2.0])
    assert found == [(3 + 1) * 1 + 5 + 2, (6 + 1) * 2 + 10 + 2]


def test_weights_of_groups_are_those_of_each_group_in_turn(tmp_path: Path) -> None:
    # entry [1, 10]; two groups of a channel and two taps (older, newer): [1, 2], [3, 4]; head 1, 1
    layer = ONE | {"channels": 2, "kernel_size": 2, "activation": "ReLU", "groups_input": 2}
    weights = [1, 10, 1, 2, 3, 4, 0, 0, 0, 0, *[7] * 6, 1, 1, 1]
    found = by_hand(tmp_path, {"layers": [layer], "head_scale": 1}, weights, [1.0, 0.0])
    assert found == [2 + 40, 1 + 30]


def test_an_impulse_response_begins_with_the_present_sample(tmp_path: Path) -> None:
    config = {"receptive_field": 3, "bias": True}
    found = by_hand(tmp_path, config, [3, 2, 1, 10], [1.0, 0, 0, 0], "Linear")
    assert found == [13, 12, 11, 10]


def test_a_batch_norm_by_hand(tmp_path: Path) -> None:
    # convolution [older 1, newer 2]; mean 1, variance 3, weight 4, bias 5, epsilon 1; head 6, 7
    config = {"channels": 1, "dilations": [2], "batchnorm": True, "activation": "ReLU"}
    weights = [1, 2, 1, 3, 4, 5, 1, 6, 7]
    found = by_hand(tmp_path, config, weights, [1.0, 0, 0], "ConvNet")
    normed = [(sample - 1) / 2 * 4 + 5 for sample in (2, 0, 1)]
    assert found == [6 * value + 7 for value in normed]
    plain = {**config, "batchnorm": False}
    assert by_hand(tmp_path, plain, [1, 2, 3, 6, 7], [1.0], "ConvNet") == [6 * (2 + 3) + 7]


def test_one_step_of_an_lstm_by_hand(tmp_path: Path) -> None:
    # rows i, f, g, o of [input, hidden]; bias; first output 0.5, first memory 2; head 3, 4
    config = {"input_size": 1, "hidden_size": 1, "num_layers": 1}
    weights = [1, 2, 3, 4, 5, 6, 7, 8, 0, -5, -8, -10, 0.5, 2, 3, 4]

    def sigmoid(x: float) -> float:
        return 1 / (1 + np.exp(-x))

    memory = sigmoid(3 + 2 - 5) * 2 + sigmoid(1 + 1 + 0) * np.tanh(5 + 3 - 8)
    expected = 3 * sigmoid(7 + 4 - 10) * np.tanh(memory) + 4
    np.testing.assert_allclose(by_hand(tmp_path, config, weights, [1.0], "LSTM"), [expected])
