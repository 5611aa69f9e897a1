"""Small nets with random weights, exported and played by neural-amp-modeler itself. Run by hand.

For each version in an environment of its own, beside the torch that is there::

    pip install --no-deps neural-amp-modeler==0.13.0  # and what its import asks for
    python tests/audio/nam_nets/make.py  # again with 0.12.2, for nets of the first architecture

It writes ``<net>.nam`` for every net and ``<version>.npz``: the input, and the output of each net
from silence on, as the package computes them in float32. Made with torch 2.14.1 on a CPU.

Two things are set right. The package writes the taps of a ``Linear`` oldest first, and the player
reads them newest first (NeuralAmpModelerCore, docs/linear.rst): they are turned round in the file.
And it writes the state of an LSTM that 48,000 zeros leave behind, in place of the one that it
begins with: here it begins with that one.
"""

import json
from pathlib import Path

import nam
import numpy as np
import torch
from nam.models import LSTM, ConvNet, Linear, WaveNet

HERE = Path(__file__).parent
RATE = 48_000
ACTIVATIONS = (
    "Tanh", {"name": "Hardtanh", "max_val": 0.6}, "ReLU", "PReLU", "Sigmoid",
    {"name": "LeakyReLU", "negative_slope": 0.2}, "SiLU", "Hardswish",
    {"name": "LeakyHardtanh", "min_slope": 0.1, "max_val": 0.5}, "Softsign",
)  # fmt: skip
FILMS = (
    "conv_pre", "conv_post", "input_mixin_pre", "input_mixin_post",
    "activation_pre", "activation_post", "layer1x1_post", "head1x1_post",
)  # fmt: skip


def pair(name: str, primary: str, secondary: str) -> dict:
    return {"name": name, "primary": primary, "secondary": secondary}


def stack(given: int, channels: int, made: int, activation="Tanh", **settings) -> dict:
    """A stack of the second architecture, with defaults that ``settings`` replaces."""
    plain = {
        "input_size": given, "condition_size": 1, "channels": channels, "kernel_size": 3,
        "dilations": [1, 2], "activation": activation,
        "head": {"out_channels": made, "kernel_size": 1, "bias": True},
    }  # fmt: skip
    return plain | settings


def wavenet(*stacks: dict, **settings) -> WaveNet:
    config = {"layers_configs": list(stacks), "head_scale": 0.7, "sample_rate": RATE} | settings
    return WaveNet.init_from_config(config)


def films(**changed: dict) -> dict:
    each = {f"{place}_film": {"active": True, "shift": True, "groups": 1} for place in FILMS}
    return {
        "head_1x1_config": {"active": True, "out_channels": 3, "groups": 1},
        "film_params": each | {f"{place}_film": value for place, value in changed.items()},
    }


def second() -> dict:
    """Nets of version 0.13."""
    head = {"channels": 3, "activation": "ReLU", "out_channels": 1, "kernel_sizes": [4, 3]}
    inner = {
        "layers_configs": [stack(1, 3, 2, kernel_size=2, dilations=[3])], "head_scale": 0.9
    }  # fmt: skip
    grouped = {
        "groups_input": 2, "groups_input_mixin": 1, "bottleneck": 6,
        "layer_1x1_config": {"active": True, "groups": 2},
        "head_1x1_config": {"active": True, "out_channels": 4, "groups": 2},
    }  # fmt: skip
    return {
        "linear": Linear(12, sample_rate=RATE),
        "linear_bias": Linear(5, bias=True, sample_rate=RATE),
        "convnet": ConvNet(channels=3, dilations=[1, 2, 4], sample_rate=RATE),
        "convnet_norm": ConvNet(
            channels=4, dilations=[2, 1, 5], batchnorm=True, activation="ReLU", sample_rate=RATE
        ),
        "lstm": LSTM(3, num_layers=2, sample_rate=RATE),
        "plain": wavenet(stack(1, 4, 2), stack(4, 2, 1, "ReLU", dilations=[1, 7])),
        "gated": wavenet(
            stack(1, 4, 2, pair("PairMultiply", "Tanh", "Sigmoid")),
            stack(4, 2, 1, pair("PairMultiply", "SiLU", "Tanh"), dilations=[1, 7]),
        ),
        "blended": wavenet(
            stack(1, 4, 1, ["Tanh", pair("PairBlend", "ReLU", "Sigmoid")], kernel_sizes=[5, 2])
        ),
        "activations": wavenet(
            stack(1, 3, 1, list(ACTIVATIONS), kernel_size=2, dilations=[1] * len(ACTIVATIONS))
        ),
        "film": wavenet(stack(1, 4, 1, **films())),
        "film_gated": wavenet(
            stack(
                1, 4, 1, pair("PairMultiply", "Tanh", "Sigmoid"),
                **films(
                    conv_pre={"active": True, "shift": False}, activation_post={"active": False}
                ),
            )
        ),
        "grouped": wavenet(stack(1, 4, 1, **grouped)),
        "narrow_head": wavenet(
            stack(1, 4, 2, head={"out_channels": 2, "kernel_size": 5, "bias": False}, bottleneck=2),
            head=head,
        ),
        "condition": wavenet(
            stack(1, 4, 1, condition_size=2, **films(conv_post={"active": True, "groups": 2})),
            condition_dsp={"name": "WaveNet", "config": inner},
        ),
    }  # fmt: skip


def first() -> dict:
    """Nets of version 0.12, in files of the first architecture."""

    def array(given: int, channels: int, head: int, *, gated: bool, **settings) -> dict:
        plain = {
            "input_size": given, "condition_size": 1, "channels": channels, "head_size": head,
            "kernel_size": 3, "dilations": [1, 2, 4], "activation": "Tanh", "gated": gated,
            "head_bias": False,
        }  # fmt: skip
        return plain | settings

    def net(*arrays: dict) -> WaveNet:
        return WaveNet(layers_configs=list(arrays), head_scale=0.02, sample_rate=RATE)

    return {
        "first": net(array(1, 4, 2, gated=False), array(4, 2, 1, gated=False, head_bias=True)),
        "first_gated": net(
            array(1, 4, 2, gated=True), array(4, 2, 1, gated=True, activation="ReLU")
        ),
        "first_lstm": LSTM(4, sample_rate=RATE),
        "first_convnet": ConvNet(channels=2, dilations=[1, 2], batchnorm=True, sample_rate=RATE),
    }


def sound() -> torch.Tensor:
    """700 samples: silence, noise that grows beyond full scale, a tone, an impulse."""
    noise = torch.randn(300) * torch.linspace(0.01, 1, 300)
    tone = 0.5 * torch.sin(torch.arange(250) * 0.05)
    impulse = torch.nn.functional.one_hot(torch.tensor(20), 120).float()
    return torch.cat([torch.zeros(30), noise, tone, impulse])


def main() -> None:
    torch.manual_seed(13)
    x, outputs = sound(), {}
    for name, net in (second if nam.__version__.startswith("0.13") else first)().items():
        for parameter in net.parameters():
            if parameter.dim() < 3:  # first states, norms, biases: other than they begin with
                size = 1.0 if isinstance(net, LSTM) else 0.3
                parameter.data.add_(size * torch.randn_like(parameter))
        net.train()
        if "convnet" in name:
            net(torch.randn(4, 300))  # a batch norm has seen something
        net.eval()
        with torch.no_grad():
            if isinstance(net, LSTM):
                hidden, cell = net._get_initial_state()
                net._initial_hidden.copy_(hidden[:, 0])
                net._initial_cell.copy_(cell[:, 0])
            outputs[name] = net(x, pad_start=True).numpy()
        net.export(HERE, basename=name)
        file = HERE / f"{name}.nam"
        content = json.loads(file.read_text())
        if content["architecture"] == "Linear":
            taps = content["config"]["receptive_field"]
            content["weights"][:taps] = content["weights"][taps - 1 :: -1]
        content["metadata"]["package"] = nam.__version__
        file.write_text(json.dumps(content))
    np.savez_compressed(HERE / f"{nam.__version__}.npz", input=x.numpy(), **outputs)


if __name__ == "__main__":
    main()
