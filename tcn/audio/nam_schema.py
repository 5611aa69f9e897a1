"""What a .nam file may hold, as JSON schemas; see :mod:`tcn.saving.schema`.

The largest sizes are far above those of any capture. They keep a hostile file from asking for more
layers or memory than its own weights can pay for.
"""

from __future__ import annotations

from tcn.saving.schema import Schema

LARGEST = 1 << 16
"""Of channels and kernels."""
LONGEST = 1 << 21
"""Of receptive fields and dilations, in samples: 43 seconds at 48 kHz."""

MOST_MODELS = 64
"""In a container."""


def _object(required: str, **properties: Schema) -> Schema:
    """An object of these entries; those named in ``required`` must be there."""
    return {
        "type": "object",
        "required": required.split(),
        "properties": properties,
        "additionalProperties": False,
    }


def _each(items: Schema, most: int = 1024) -> Schema:
    return {"type": "array", "items": items, "maxItems": most}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [{"type": "null"}, schema]}


_SIZE: Schema = {"type": "integer", "minimum": 1, "maximum": LARGEST}
_STEPS: Schema = {"type": "integer", "minimum": 1, "maximum": LONGEST}
_SWITCH: Schema = {"type": "boolean"}
_NUMBER: Schema = {"type": "number"}
_TEXT: Schema = {"type": "string"}
_MONO: Schema = {"const": 1}

# Which entries an activation of each type takes is checked where it is built.
_ACTIVATION: Schema = {"anyOf": [_TEXT, {"type": "object", "required": ["type"]}]}
_SECONDARY: Schema = {"anyOf": [{"type": "null"}, *_ACTIVATION["anyOf"]]}
_GATING: Schema = {"enum": ["none", "gated", "blended"]}
_FILM: Schema = {
    "anyOf": [
        {"type": "null"},
        {"const": False},
        _object("", active=_SWITCH, shift=_SWITCH, groups=_SIZE),
    ]
}
FILMS = (
    "conv_pre_film", "conv_post_film", "input_mixin_pre_film", "input_mixin_post_film",
    "activation_pre_film", "activation_post_film", "layer1x1_post_film", "head1x1_post_film",
)  # fmt: skip

STACK: Schema = _object(
    "input_size condition_size channels dilations activation",
    input_size=_SIZE,
    condition_size=_SIZE,
    channels=_SIZE,
    bottleneck=_SIZE,
    dilations=_each(_STEPS),
    kernel_size={"anyOf": [_SIZE, _each(_SIZE)]},
    kernel_sizes=_each(_SIZE),
    activation={"anyOf": [*_ACTIVATION["anyOf"], _each(_ACTIVATION)]},
    gated=_SWITCH,
    gating_mode={"anyOf": [_GATING, _each(_GATING)]},
    secondary_activation={"anyOf": [*_SECONDARY["anyOf"], _each(_SECONDARY)]},
    head_size=_SIZE,
    head_bias=_SWITCH,
    head=_or_null(
        _object(
            "out_channels kernel_size bias",
            out_channels=_SIZE,
            kernel_size=_SIZE,
            bias=_SWITCH,
            head_dilation=_STEPS,
        )
    ),
    head1x1=_object("active", active=_SWITCH, out_channels=_SIZE, groups=_SIZE),
    layer1x1=_object("active", active=_SWITCH, groups=_SIZE),
    groups_input=_SIZE,
    groups_input_mixin=_SIZE,
    slimmable=_or_null({"type": "object"}),
    **dict.fromkeys(FILMS, _FILM),
)
HEAD: Schema = _object(
    "channels activation out_channels kernel_sizes",
    in_channels=_or_null(_SIZE),
    channels=_SIZE,
    activation=_ACTIVATION,
    out_channels=_SIZE,
    kernel_sizes=_each(_SIZE, 64),
)
CONFIGS: dict[str, Schema] = {
    "WaveNet": _object(
        "layers head_scale",
        layers=_each(STACK, 64),
        head=_or_null(HEAD),
        head_scale=_NUMBER,
        condition_dsp=_or_null({"type": "object"}),
        in_channels=_MONO,
    ),
    "LSTM": _object(
        "input_size hidden_size num_layers",
        input_size=_MONO,
        hidden_size=_SIZE,
        num_layers={"type": "integer", "minimum": 1, "maximum": 64},
        in_channels=_MONO,
        out_channels=_MONO,
    ),
    "ConvNet": _object(
        "channels dilations batchnorm activation",
        channels=_SIZE,
        dilations=_each(_STEPS),
        batchnorm=_SWITCH,
        activation=_ACTIVATION,
        groups=_SIZE,
        in_channels=_MONO,
        out_channels=_MONO,
    ),
    "Linear": _object(
        "receptive_field bias",
        receptive_field=_STEPS,
        bias=_SWITCH,
        in_channels=_MONO,
        out_channels=_MONO,
    ),
    "SlimmableContainer": _object(
        "submodels",
        submodels=_each(
            _object("max_value model", max_value=_NUMBER, model={"type": "object"}), MOST_MODELS
        ),
    ),
}
"""Of the entry ``config``, for every architecture that is read."""
FILE: Schema = {
    "type": "object",
    "required": ["version", "architecture", "config", "weights"],
    "properties": {
        "version": {"type": "string", "pattern": r"^\d{1,6}\.\d{1,6}\.\d{1,6}$"},
        "architecture": {"enum": list(CONFIGS)},
        "config": {"type": "object"},
        "weights": {"type": "array"},
        "sample_rate": _or_null(_NUMBER),
        "metadata": _or_null({"type": "object"}),
    },
}
"""Of the whole file, and of every model in it. What else stands there is not read."""
