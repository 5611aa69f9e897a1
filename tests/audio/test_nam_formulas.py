"""Files of random configs against plain loops over the format's formulas, and back into files.

The loops know nothing of this library: valid convolutions over an input that begins with silence,
weights in the order in which the loops come to need them.
"""

import json

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tcn.audio import load_nam, save_nam
from tests.audio.writing import write

ACTIVATIONS = {
    "Tanh": np.tanh,
    "Hardtanh": lambda x: np.clip(x, -1, 1),
    "ReLU": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "SiLU": lambda x: x / (1 + np.exp(-x)),
    "Hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "Softsign": lambda x: x / (1 + np.abs(x)),
}
FILMS = (
    "conv_pre_film", "conv_post_film", "input_mixin_pre_film", "input_mixin_post_film",
    "activation_pre_film", "activation_post_film", "layer1x1_post_film", "head1x1_post_film",
)  # fmt: skip


class Weights:
    """Draws weights as they come to be needed; ``numbers`` is then the list of the file."""

    def __init__(self, seed: int) -> None:
        self.random, self.numbers = np.random.default_rng(seed), []

    def take(self, *shape: int) -> np.ndarray:
        drawn = (0.3 * self.random.standard_normal(shape)).astype(np.float32)
        self.numbers += drawn.flatten().tolist()
        return drawn.astype(np.float64)


def activate(described, x: np.ndarray) -> np.ndarray:
    if isinstance(described, str):
        return ACTIVATIONS[described](x)
    if described["type"] == "Hardtanh":
        return np.clip(x, described["min_val"], described["max_val"])
    if described["type"] == "LeakyHardtanh":
        low, high = described["min_val"], described["max_val"]
        x = np.where(x < low, low + (x - low) * described["min_slope"], x)
        return np.where(x > high, high + (x - high) * described["max_slope"], x)
    slopes = described.get("negative_slopes", described.get("negative_slope"))
    return np.where(x > 0, x, np.reshape(slopes, (-1, 1)) * x)


def convolve(x, weight, bias=None, dilation=1, groups=1) -> np.ndarray:
    outputs, inputs, taps = weight.shape
    steps = x.shape[1] - (taps - 1) * dilation
    y = np.zeros((outputs, steps))
    for o in range(outputs):
        first = o // (outputs // groups) * inputs
        for i in range(inputs):
            for k in range(taps):
                start = k * dilation
                y[o] += weight[o, i, k] * x[first + i, start : start + steps]
    return y if bias is None else y + bias[:, None]


def ends(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The last steps of both, as many as both have."""
    steps = min(a.shape[1], b.shape[1])
    return a[:, -steps:], b[:, -steps:]


def plus(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.add(*ends(a, b))


def take_film(entry: dict, width: int, condition: int, weights: Weights):
    """What scales and shifts ``width`` channels, or what changes nothing."""
    if not entry["active"]:
        return lambda x, c: x
    outputs = width * (2 if entry["shift"] else 1)
    weight = weights.take(outputs, condition // entry["groups"], 1)
    bias = weights.take(outputs)

    def film(x, c):
        x, made = ends(x, convolve(c, weight, bias, groups=entry["groups"]))
        return made[:width] * x + (made[width:] if entry["shift"] else 0)

    return film


def run_layer(config: dict, index: int, x, c, weights: Weights):
    channels, inner = config["channels"], config["bottleneck"]
    conditions, gating = config["condition_size"], config["gating_mode"][index]
    wide, kernel = inner if gating == "none" else 2 * inner, config["kernel_sizes"][index]
    groups, mixing = config["groups_input"], config["groups_input_mixin"]
    residual, head = config["layer1x1"], config["head1x1"]
    conv = weights.take(wide, channels // groups, kernel), weights.take(wide)
    mixin = weights.take(wide, conditions // mixing, 1)
    if residual["active"]:
        onward = weights.take(channels, inner // residual["groups"], 1), weights.take(channels)
    if head["active"]:
        made = head["out_channels"]
        out = weights.take(made, inner // head["groups"], 1), weights.take(made)
    skips = head["out_channels"] if head["active"] else inner
    widths = [channels, wide, conditions, wide, wide, inner, channels, skips]
    pre, post, mixin_pre, mixin_post, before, behind, behind_residual, behind_head = (
        take_film(config[name], width, conditions, weights)
        for name, width in zip(FILMS, widths, strict=True)
    )
    z = post(convolve(pre(x, c), *conv, config["dilations"][index], groups), c)
    mixed = mixin_post(convolve(mixin_pre(c, c), mixin, groups=mixing), c)
    z = before(plus(z, mixed), c)
    y = activate(config["activation"][index], z[:inner])
    if gating != "none":
        gate = activate(config["secondary_activation"][index], z[inner:])
        y = y * gate if gating == "gated" else gate * y + (1 - gate) * z[:inner]
    y = behind(y, c)
    step = convolve(y, *onward, groups=residual["groups"]) if residual["active"] else y
    skip = convolve(y, *out, groups=head["groups"]) if head["active"] else y
    return plus(x, behind_residual(step, c)), behind_head(skip, c)


def run_wavenet(config: dict, x: np.ndarray, weights: Weights, dsp_weights: Weights) -> np.ndarray:
    c = x
    if config.get("condition_dsp"):
        c = run_wavenet(config["condition_dsp"]["config"], x, dsp_weights, dsp_weights)
        config["condition_dsp"]["weights"] = dsp_weights.numbers
    total = None
    for stack in config["layers"]:
        x = convolve(x, weights.take(stack["channels"], stack["input_size"], 1))
        for index in range(len(stack["dilations"])):
            x, skip = run_layer(stack, index, x, c, weights)
            total = skip if total is None else plus(total, skip)
        head = stack["head"]
        weight = weights.take(head["out_channels"], len(total), head["kernel_size"])
        total = convolve(total, weight, weights.take(head["out_channels"]))
    post = config["head"]
    layers = []
    for index in range(len(post["kernel_sizes"]) if post else 0):
        last = index == len(post["kernel_sizes"]) - 1
        given = len(total) if index == 0 else post["channels"]
        made = post["out_channels"] if last else post["channels"]
        layers.append((weights.take(made, given, post["kernel_sizes"][index]), weights.take(made)))
    total = total * weights.take(1)
    for weight, bias in layers:
        total = convolve(activate(post["activation"], total), weight, bias)
    return total


def films(draw: st.DrawFn, groups: list[int]) -> dict:
    return {
        name: {
            "active": draw(st.booleans()),
            "shift": draw(st.booleans()),
            "groups": draw(st.sampled_from(groups)),
        }
        for name in FILMS
    }


@st.composite
def stacks(draw: st.DrawFn, given: int, conditions: int, skips: int, out: int) -> dict:
    layers = draw(st.integers(1, 3))
    channels, groups = draw(st.sampled_from([2, 4])), st.sampled_from([1, 2])
    head, residual = draw(st.booleans()), draw(st.booleans())
    inner = draw(st.sampled_from([2, 4])) if head else skips
    residual = residual or inner != channels

    def each(strategy):
        return draw(st.lists(strategy, min_size=layers, max_size=layers))

    slope = st.floats(-1, 1, width=32)
    described = st.one_of(
        st.sampled_from(sorted(ACTIVATIONS)),
        st.fixed_dictionaries({"type": st.just("LeakyReLU"), "negative_slope": slope}),
        st.builds(
            lambda slopes: {"type": "PReLU", "negative_slopes": slopes},
            st.lists(slope, min_size=inner, max_size=inner),
        ),
        st.just({"type": "Hardtanh", "min_val": -0.25, "max_val": 0.5}),
        st.just({"type": "LeakyHardtanh", "min_val": -0.25, "max_val": 0.5, "min_slope": 0.125,
                 "max_slope": -0.5}),
    )  # fmt: skip
    config = {
        "input_size": given, "condition_size": conditions, "channels": channels,
        "bottleneck": inner, "dilations": each(st.integers(1, 3)),
        "kernel_sizes": each(st.integers(1, 3)), "activation": each(described),
        "gating_mode": each(st.sampled_from(["none", "gated", "blended"])),
        "secondary_activation": each(described),
        "head": {"out_channels": out, "kernel_size": draw(st.integers(1, 3)), "bias": True},
        "head1x1": {"active": head, "out_channels": skips, "groups": draw(groups)},
        "layer1x1": {"active": residual, "groups": draw(groups)},
        "groups_input": draw(groups),
        "groups_input_mixin": draw(groups) if conditions == 2 else 1,
    }  # fmt: skip
    config |= films(draw, [1, 2] if conditions == 2 else [1])
    for name in ("head1x1", "layer1x1"):
        config[f"{name}_post_film"]["active"] &= config[name]["active"]
    return config


@st.composite
def wavenets(draw: st.DrawFn, out: int = 1, conditioned: bool = True) -> dict:
    conditions = 2 if conditioned and draw(st.booleans()) else 1
    first, second = draw(st.sampled_from([2, 4])), draw(st.sampled_from([2, 4]))
    kernels = draw(st.lists(st.integers(1, 2), max_size=2)) if out == 1 else []
    last = 3 if kernels else out
    layers = [draw(stacks(1, conditions, first, second))]
    layers.append(draw(stacks(layers[0]["channels"], conditions, second, last)))
    config: dict = {"layers": layers, "head_scale": 1.0, "head": None}
    if kernels:
        config["head"] = {
            "channels": 2, "activation": "Tanh", "out_channels": 1, "kernel_sizes": kernels,
        }  # fmt: skip
    if conditions == 2:
        inner = draw(wavenets(out=2, conditioned=False))
        config["condition_dsp"] = {
            "version": "0.7.0", "architecture": "WaveNet", "config": inner, "weights": [],
        }  # fmt: skip
    return config


@settings(max_examples=15)
@given(wavenets(), st.integers(0, 1000))
def test_a_wavenet_is_that_of_the_loops_and_comes_back(
    tmp_path_factory, config: dict, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("nam")
    sound, silence = np.random.default_rng(seed).standard_normal((1, 12)), np.zeros((1, 90))
    weights, inner = Weights(seed), Weights(seed + 1)
    expected = run_wavenet(config, np.concatenate([silence, sound], 1), weights, inner)[:, -12:]
    net = load_nam(write(folder / "a.nam", "WaveNet", config, weights.numbers))
    again = load_nam(save_nam(net, folder / "b.nam"))
    x = torch.tensor(sound)[None]
    with torch.no_grad():
        y = net.double()(x)
        np.testing.assert_allclose(y[0].numpy(), expected, rtol=1e-8, atol=1e-9)
        assert torch.equal(again.double()(x), y)


@settings(max_examples=15)
@given(st.data(), st.integers(0, 99))
def test_the_other_nets_come_back(tmp_path_factory, data: st.DataObject, seed: int) -> None:
    folder, draw = tmp_path_factory.mktemp("nam"), data.draw
    kind, norm = draw(st.sampled_from(["LSTM", "ConvNet", "Linear"])), draw(st.booleans())
    size, depth = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    config, count = {
        "LSTM": (
            {"input_size": 1, "hidden_size": size, "num_layers": depth},
            4 * size * (1 + size) + 6 * size
            + (depth - 1) * (8 * size * size + 6 * size) + size + 1,
        ),
        "ConvNet": (
            {"channels": size, "dilations": [2] * depth, "batchnorm": norm, "activation": "Tanh"},
            2 * size + (depth - 1) * 2 * size * size + depth * (4 * size + 1 if norm else size)
            + size + 1,
        ),
        "Linear": ({"receptive_field": 3 * size, "bias": norm}, 3 * size + norm),
    }[kind]  # fmt: skip
    numbers = np.abs(Weights(seed).take(count)).tolist()  # variances are not negative
    net = load_nam(write(folder / "a.nam", kind, config, numbers, "0.5.0"))
    x = torch.randn(2, 1, 9)
    path = save_nam(net, folder / "b.nam")
    written = json.loads(path.read_text())
    assert torch.equal(load_nam(path)(x), net(x))
    assert written["weights"] == numbers
    assert (written["version"], written["architecture"]) == ("0.5.4", kind)
