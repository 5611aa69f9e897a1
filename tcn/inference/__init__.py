"""Nets at work: live streams, generation, export, sharing; without a trainer.

    session.py     many streams at once, each in a row of its own
    generation.py  sequences, a step at a time
    half.py        a copy whose weights fit into 16 bits
    images.py      images, a pixel at a time
    export.py      ONNX and torch.export, whole sequences or streams
    pretrained.py  a net as a folder of JSON and safetensors, pushed to and loaded from the hub
    checkpoint.py  the weights of a net from a checkpoint of its training

What a session needs: session_rows.py, session_copies.py and session_file.py (its rows, copied from
session to session, and stored), compile.py (a net as a native program), engines.py (the same work
by PyTorch), beginnings.py (what a stream begins with), nan_policy.py and finite.py (NaN), state.py
(states as tensors, and rows of them). What pretrained.py needs: construction.py (from plain data to
the net) and unchanged.py (whether the net is still what its data says).
"""

from tcn.inference.export import export, initial_state
from tcn.inference.generation import generate, generate_parts
from tcn.inference.half import with_bfloat16_weights
from tcn.inference.images import generate_images
from tcn.inference.pretrained import (
    from_pretrained,
    load_checkpoint,
    push_to_hub,
    save_pretrained,
)
from tcn.inference.session import StreamSession

__all__ = [
    "StreamSession",
    "export",
    "from_pretrained",
    "generate",
    "generate_images",
    "generate_parts",
    "initial_state",
    "load_checkpoint",
    "push_to_hub",
    "save_pretrained",
    "with_bfloat16_weights",
]
