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
CLOSE = 1e-5
"""How far outputs of a file may be from those of the net."""
NAM = "nam"
"""The suffix of Neural Amp Modeler's files."""


def parser() -> Parser:
    """The parser of ``tcn export``."""
    made = Parser(
        prog="tcn export",
        usage="%(prog)s [FOLDER] FILE [--config CONFIG --ckpt_path CHECKPOINT] [--streaming]",
        allow_abbrev=False,
        description="Writes a net to an ONNX (.onnx) or torch.export (.pt2) file for every batch "
        "size and length, or as C (.c, .h) that streams and needs libm alone; a captured "
        "device to a .nam file. The file is run and compared with the net before it is called "
        "done.",
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
    if Path(paths[-1]).suffix.removeprefix(".") not in (*SUFFIXES, NAM):
        known = ", ".join(map(repr, (*SUFFIXES, NAM)))
        raise ValueError(f"path: the suffix of {paths[-1]!r} is not one of {known}")
    if given.config is None and not Path(paths[0]).is_dir():
        raise ValueError(f"FOLDER: {paths[0]!r} is not a folder; save_pretrained writes one")
    for option in ("config", "ckpt_path"):
        path = getattr(given, option)
        if path is not None and not Path(path).is_file():
            raise ValueError(f"{option}: {path!r} is not a file; give the path of one")


def _write(given: Namespace, paths: Sequence[str]) -> None:
    from tcn.inference.pretrained import from_pretrained

    configured = given.config is not None
    net, rate = _trained(given) if configured else (from_pretrained(paths[0]), None)
    if Path(paths[-1]).suffix == f".{NAM}":
        if given.streaming:
            raise ValueError("--streaming: every .nam file streams; leave it out")
        path = _capture(net, rate, Path(paths[-1]))
    else:
        from tcn.inference.export import export

        path = export(net, paths[-1], streaming=given.streaming)
    print(f"{path}: {path.stat().st_size:,} bytes; its outputs are those of the net")


def _trained(given: Namespace) -> tuple[SequenceModule, float | None]:
    """The net of a training run, and the rate of the sound that it was trained on."""
    from tcn.commands.training import build
    from tcn.inference.pretrained import load_checkpoint

    built = build(given.config, ["trainer.accelerator=cpu"])
    net: SequenceModule = built.model.net
    load_checkpoint(net, given.ckpt_path)  # in place
    return net, getattr(built.datamodule, "sample_rate", None)


def _capture(net: SequenceModule, rate: float | None, path: Path) -> Path:
    """Writes a .nam file if the net can be read back from it with the same outputs."""
    import torch

    from tcn.audio import load_nam, save_nam
    from tcn.models import Capture
    from tcn.saving.files import replacing

    if not isinstance(net, Capture):
        if rate is None:
            raise ValueError("sample_rate: the data do not say it; save Capture(net, sample_rate=)")
        net = Capture(net, sample_rate=rate)
    x = torch.randn(1, 1, 2000, generator=torch.Generator().manual_seed(0)) / 4
    net = net.eval()
    with replacing(path) as desk, torch.no_grad():
        apart = float((net(x) - load_nam(save_nam(net, desk))(x)).abs().max())
        if not apart <= CLOSE:
            raise ValueError(f"path: {path} would be {apart:g} off the net; nothing is written")
    return path
