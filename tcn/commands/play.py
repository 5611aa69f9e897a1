"""``tcn play``: a sound file through a captured device, to a sound file."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from tcn.commands.names import Parser

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
"""Those that :func:`tcn.audio.save_sound` writes."""

OPTIONS = {
    "resampled=True": "--resample",
    "mixed=True": "--mix",
    "(clip)": "(--clip)",
    "clip=True": "--clip",
}
"""How an argument of the library is given here."""


def parser() -> Parser:
    """The parser of ``tcn play``."""
    made = Parser(
        prog="tcn play",
        allow_abbrev=False,
        description="Plays a sound file through a captured amplifier or effect and writes what "
        "comes out, at the rate of the capture. The file is written whole or not at all.",
    )
    made.add_argument(
        "--model", required=True, help="a .nam file, or a folder that save_pretrained wrote"
    )
    made.add_argument("--in", dest="source", required=True, metavar="FILE", help="what goes in")
    made.add_argument(
        "--out", dest="target", required=True, metavar="FILE", help=", ".join(SUFFIXES)
    )
    made.add_argument("--width", type=float, help="which net of a container, 0 to 1 (the widest)")
    made.add_argument("--resample", action="store_true", help="resample sound of another rate")
    made.add_argument("--mix", action="store_true", help="mix several channels down to one")
    made.add_argument(
        "--gain", type=float, default=0.0, metavar="DB", help="decibels added to what comes out"
    )
    made.add_argument(
        "--clip", action="store_true", help="cut at full scale what goes in or comes out"
    )
    made.add_argument("--encoding", help="bits of a .wav (8, 16, 24, 32, float) or .flac; 16")
    return made


def run(name: str, arguments: Sequence[str]) -> None:
    """Runs ``tcn play``; what is wrong is said in one line."""
    made = parser()
    given = made.parse_args(arguments)
    try:
        _check(given)
        _play(given)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        for argument, option in OPTIONS.items():
            said = said.replace(argument, option)
        made.exit(1, f"tcn {name}: {said}\n")


def _check(given: Namespace) -> None:
    """Looks at the paths, before PyTorch is loaded."""
    for option, path in (("--model", given.model), ("--in", given.source)):
        if not Path(path).exists():
            raise ValueError(f"{option}: {path!r} is not there; give the path of one")
    target = Path(given.target)
    if target.suffix.lower() not in SUFFIXES:
        raise ValueError(f"--out: {given.target!r} ends in none of {', '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise ValueError(f"--out: the folder {str(target.parent)!r} is not there; make it first")
    if target.exists() and target.samefile(given.source):
        raise ValueError(f"--out: {given.target!r} is the file that goes in; give another")


def _play(given: Namespace) -> None:
    from tcn.audio.playing import load_capture, play_file

    net = load_capture(given.model, width=given.width)
    said = play_file(
        net,
        given.source,
        given.target,
        resampled=given.resample,
        mixed=given.mix,
        gain=given.gain,
        clip=given.clip,
        encoding=given.encoding,
    )
    print(said)
