"""``tcn generate``: sound of a trained net, one sample after the other, as a file and a picture."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tcn.commands.names import Parser, check_extra

if TYPE_CHECKING:
    from torch import Tensor

    from tcn.commands.trained import Trained

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
"""Those of :func:`tcn.audio.save_sound`, which takes seconds to load."""


def parser() -> Parser:
    """The parser of ``tcn generate``."""
    made = Parser(
        prog="tcn generate",
        usage="%(prog)s --checkpoint RUN_OR_FOLDER --seconds S FILE [options]",
        allow_abbrev=False,
        description="Makes sound with a trained net, such as a WaveNet: each sample is drawn given "
        "all before it, from silence on. Writes FILE and beside it a picture (.png) of its wave "
        "and spectrogram, both whole or not at all.",
        epilog="With --count 3, a.wav becomes a-1.wav, a-2.wav and a-3.wav. Several sounds take "
        "little longer than one.",
    )
    made.add_argument("file", metavar="FILE", help=f"to write: {', '.join(SUFFIXES)}")
    made.add_argument("--checkpoint", metavar="RUN_OR_FOLDER", required=True,
                      help="the folder of a run of `tcn fit`, its version_<n> or a .ckpt file in "
                      "it, or a folder that save_pretrained wrote")  # fmt: skip
    made.add_argument("--seconds", type=float, required=True, metavar="S", help="of each sound")
    made.add_argument("--count", type=int, default=1, metavar="N", help="how many sounds (1)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of the random numbers (0)")
    made.add_argument("--temperature", type=float, default=1.0, metavar="T",
                      help="below 1 the likelier levels are drawn more often (1)")  # fmt: skip
    made.add_argument("--label", type=int, nargs="+", metavar="N",
                      help="class or speaker of each sound, or of all: the channel of the net's "
                      "condition that is 1")  # fmt: skip
    made.add_argument("--condition", metavar="FILE",
                      help=".npy or .csv, (channels,) for the whole sound or (channels, samples) "
                      "with one for each sample")  # fmt: skip
    made.add_argument("--sample_rate", type=int, metavar="HZ",
                      help="of the net, where its run does not say")  # fmt: skip
    made.add_argument("--bfloat16", action="store_true",
                      help="round the weights to 16 bits: large nets take a third of the "
                      "time")  # fmt: skip
    return made


def run(name: str, arguments: Sequence[str]) -> None:
    """Runs ``tcn generate``; what is wrong is said without a traceback."""
    made = parser()
    given = made.parse_args(arguments)
    try:
        _check(given)
        check_extra(f"tcn {name}", "audio", "soundfile", "matplotlib", "tqdm")
        _generate(given)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        made.exit(1, f"tcn {name}: {error}\n")


def _check(given: Namespace) -> None:
    """Looks at the options, before PyTorch is loaded."""
    if Path(given.file).suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise ValueError(f"FILE: the suffix of {given.file!r} is not one of {known}")
    if not Path(given.checkpoint).exists():
        raise ValueError(
            f"checkpoint: {given.checkpoint!r} is not there; give the folder of a run, a .ckpt "
            "file, or a folder that save_pretrained wrote"
        )
    if not 0 < given.seconds < math.inf:
        raise ValueError(f"seconds: {given.seconds} is not above 0 and finite")
    if given.count < 1:
        raise ValueError(f"count: {given.count} is not 1 or more sounds")
    if given.label is not None and given.condition is not None:
        raise ValueError("label: given with condition, which says the same; leave one out")
    if given.label is not None and len(given.label) not in (1, given.count):
        raise ValueError(
            f"label: {len(given.label)} for count: {given.count}; give one for all sounds or one "
            "for each"
        )
    if given.condition is not None and not Path(given.condition).is_file():
        raise ValueError(f"condition: {given.condition!r} is not a file; give the path of one")


def _generate(given: Namespace) -> None:
    import torch

    from tcn.commands.conditions import condition_of
    from tcn.commands.trained import load_trained
    from tcn.inference import with_bfloat16_weights

    trained = load_trained(given.checkpoint, given.sample_rate)
    _try_to_write(given, trained.sample_rate)
    steps = max(round(given.seconds * trained.sample_rate), 1)
    condition = condition_of(trained.net, given, steps)
    if given.bfloat16:
        trained = trained._replace(net=with_bfloat16_weights(trained.net))
    start = time.perf_counter()
    samples = torch.cat(list(_shown(trained, given, steps, condition)), dim=-1)
    took = time.perf_counter() - start
    for path in _write(samples.float(), given, trained.sample_rate):
        print(path)
    total = given.count * steps
    print(
        f"{total:,} samples in {took:.1f} s: {total / took:,.0f} a second, "
        f"{total / took / trained.sample_rate:.2f} times as fast as they sound"
    )


def _try_to_write(given: Namespace, sample_rate: int) -> None:
    """Writes a sample beside FILE and takes it away: what is refused is, before the long wait."""
    import torch

    from tcn.audio import save_sound
    from tcn.saving.files import writing

    path = Path(given.file)
    if given.count == 1 and path.is_dir():
        raise ValueError(f"FILE: {given.file!r} is a folder; give the path of a file")
    with writing(path) as desk:
        save_sound(desk.folder / path.name, torch.zeros(1, 1), sample_rate=sample_rate)


def _shown(
    trained: Trained, given: Namespace, steps: int, condition: Tensor | None
) -> Iterator[Tensor]:
    """The parts of the sounds, ``(count, channel, samples)``, beside a progress bar."""
    import torch
    from tqdm import tqdm

    from tcn.inference import generate_parts

    net = trained.net
    begin = torch.zeros(given.count, net.in_channels, 1, dtype=next(net.parameters()).dtype)
    choice = {} if given.temperature == 1 else {"temperature": given.temperature}
    parts = generate_parts(
        net.ahead(), begin, steps, seed=given.seed, output=net.output, condition=condition, **choice
    )
    with tqdm(total=steps, unit=" samples", unit_scale=True, disable=None) as bar:
        for part in parts:
            bar.update(part.shape[-1])
            yield part


def _write(samples: Tensor, given: Namespace, sample_rate: int) -> list[Path]:
    """Writes all sounds and pictures, and puts them in their places when all are whole."""
    from tcn.audio import plot_sound, save_sound
    from tcn.saving.files import replacing

    written = []
    with ExitStack() as places:
        for number, sound in enumerate(samples, 1):
            path = Path(given.file)
            if len(samples) > 1:
                path = path.with_stem(f"{path.stem}-{number}")
            picture = path.with_suffix(".png")
            sound = sound.clamp(-1, 1)  # of a Gaussian they may lie beyond
            save_sound(places.enter_context(replacing(path)), sound, sample_rate=sample_rate)
            figure = plot_sound(sound, sample_rate=sample_rate, title=path.name)
            figure.savefig(places.enter_context(replacing(picture)))
            written += [path, picture]
    return written
