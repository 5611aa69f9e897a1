"""``tcn export``: writes the net of a folder, or of a training run, to a file."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tcn.commands.names import Parser

if TYPE_CHECKING:
    from tcn.layers import SequenceModule

SUFFIXES = ("onnx", "pt2", "c", "h")
"""Those of :func:`tcn.inference.export.export`, which takes seconds to load."""


def parser() -> Parser:
    """The parser of ``tcn export``."""
    made = Parser(
        prog="tcn export",
        usage="%(prog)s [FOLDER] FILE [--config CONFIG --ckpt_path CHECKPOINT] [--streaming]",
        allow_abbrev=False,
        description="Writes a net to an ONNX (.onnx) or torch.export (.pt2) file for every batch "
        "size and length, or as C (.c, .h) that streams and needs libm alone. The file is run and "
        "compared with the net before it is called done.",
        epilog="Either `tcn export FOLDER model.onnx`, or `tcn export --config "
        "runs/digits/tcn/version_0/config.yaml --ckpt_path "
        "runs/digits/tcn/version_0/checkpoints/best.ckpt --output model.onnx`.",
    )
    made.add_argument(
        "paths",
        nargs="*",
        metavar="FOLDER FILE",
        help="a folder that save_pretrained wrote, and the file to write",
    )
    made.add_argument("--config", help="the YAML file that the net was trained with")
    made.add_argument("--ckpt_path", help="its checkpoint; read without running code in it")
    made.add_argument("--output", help="the file to write, if not the last argument")
    made.add_argument(
        "--streaming",
        action="store_true",
        help="take a chunk and a state and give the next state, instead of whole sequences",
    )
    return made


def run(name: str, arguments: Sequence[str]) -> None:
    """Runs ``tcn export``; what is wrong is said without a traceback."""
    made = parser()
    given = made.parse_args(arguments)
    paths = given.paths + ([] if given.output is None else [given.output])
    configured = given.config is not None and given.ckpt_path is not None
    halfway = not configured and (given.config is not None or given.ckpt_path is not None)
    if halfway or len(paths) != (1 if configured else 2):
        made.error("expected FOLDER and FILE, or --config, --ckpt_path and FILE")
    try:
        _check(given, paths)
        _write(given, paths)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        made.exit(1, f"tcn {name}: {error}\n")


def _check(given: Namespace, paths: Sequence[str]) -> None:
    """Looks at the paths, before PyTorch is loaded."""
    if Path(paths[-1]).suffix.removeprefix(".") not in SUFFIXES:
        known = ", ".join(map(repr, SUFFIXES))
        raise ValueError(f"path: the suffix of {paths[-1]!r} is not one of {known}")
    if given.config is None and not Path(paths[0]).is_dir():
        raise ValueError(f"FOLDER: {paths[0]!r} is not a folder; save_pretrained writes one")
    for option in ("config", "ckpt_path"):
        path = getattr(given, option)
        if path is not None and not Path(path).is_file():
            raise ValueError(f"{option}: {path!r} is not a file; give the path of one")


def _write(given: Namespace, paths: Sequence[str]) -> None:
    from tcn.inference.export import export
    from tcn.inference.pretrained import from_pretrained

    configured = given.config is not None
    net = _trained(given.config, given.ckpt_path) if configured else from_pretrained(paths[0])
    path = export(net, paths[-1], streaming=given.streaming)
    print(f"{path}: {path.stat().st_size:,} bytes; its outputs are those of the net")


def _trained(config: str, checkpoint: str) -> SequenceModule:
    from tcn.commands.training import build
    from tcn.inference.pretrained import load_checkpoint

    net: SequenceModule = build(config, ["trainer.accelerator=cpu"]).model.net
    load_checkpoint(net, checkpoint)  # in place
    return net
