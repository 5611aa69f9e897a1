"""``tcn explain``: a page of pictures that shows what a net has learned."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from tcn.commands.names import Parser, check_extra

METHODS = ("strongest", "occlusion", "attribution", "field", "synthesis")
"""What a page shows of a net, in this order; of a forecaster it is what each forecast used."""


def parser() -> Parser:
    """The parser of ``tcn explain``."""
    made = Parser(
        prog="tcn explain",
        usage="%(prog)s PAGE.html (--checkpoint RUN | --folder FOLDER | --net FILE.py:NAME) "
        "[options]",
        allow_abbrev=False,
        description="Looks into a trained net and writes one page of pictures: the strongest "
        "inputs of each unit of a layer beside their projections, what happens where a part of the "
        "input is covered, which parts an output rests on, how far the layers see, and inputs made "
        "to drive units. Of a forecaster it shows what each forecast used.",
    )
    made.add_argument("page", metavar="PAGE.html", help="to write, whole or not at all")
    where = made.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--checkpoint",
        metavar="RUN",
        help="the folder of a run of `tcn fit`, its version_<n> or a .ckpt file in it; its test "
        "data are the default",
    )
    where.add_argument("--folder", help="that save_pretrained wrote, or Forecaster.save")
    where.add_argument(
        "--net",
        metavar="FILE.py:NAME",
        help="a function without arguments that returns an nn.Module; the file is run",
    )
    made.add_argument(
        "--data",
        help=".npy or .npz of (examples, channels, ...), a folder of pictures or sounds, "
        "FILE.py:NAME, a function that returns data, or the table of a forecaster",
    )
    made.add_argument(
        "--method",
        nargs="+",
        choices=METHODS,
        default=list(METHODS),
        metavar="METHOD",
        help=f"some of {', '.join(METHODS)}; all unless given",
    )
    made.add_argument(
        "--layer",
        nargs="+",
        metavar="NAME",
        help="as in net.named_modules(); three of the convolutions unless given; `--layer ?` "
        "lists them",
    )
    made.add_argument("--unit", nargs="+", type=int, metavar="N",
                      help="channels of the layers; the first 16 unless given")  # fmt: skip
    made.add_argument("--examples", type=int, default=4, metavar="N",
                      help="inputs whose outputs are explained (4)")  # fmt: skip
    made.add_argument("--sample_rate", type=int, metavar="HZ", help="of sounds")
    made.add_argument("--future", help="table of the covariates to come, of a forecaster")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of the synthesis (0)")
    return made


def run(name: str, arguments: Sequence[str]) -> None:
    """Runs ``tcn explain``; what is wrong is said without a traceback."""
    made = parser()
    given = made.parse_args(arguments)
    given.command = shlex.join(["tcn", name, *arguments])
    try:
        _check(given)
        check_extra(f"tcn {name}", "explain", "captum", "matplotlib", "tqdm")
        _explain(given)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        made.exit(1, f"tcn {name}: {error}\n")


def _check(given: Namespace) -> None:
    """Looks at the options, before PyTorch is loaded."""
    if Path(given.page).suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"page: {given.page!r} does not end in .html; name a page")
    for option in ("checkpoint", "folder"):
        place = getattr(given, option)
        if place is not None and not Path(place).exists():
            raise ValueError(f"{option}: {place!r} is not there; give the path of one")
    if given.examples < 1:
        raise ValueError(f"examples: {given.examples} is not 1 or more")


def _explain(given: Namespace) -> None:
    if given.folder is not None and (Path(given.folder) / "forecaster.json").is_file():
        from tcn.commands.explained_forecasts import explain_forecaster

        print(explain_forecaster(given))
        return
    from tcn.commands.subject import subject_of
    from tcn.explain.report import Choice, layers_of, look

    subject = subject_of(given)
    if given.layer == ["?"]:
        print("\n".join(layers_of(subject.net)))
        return
    choice = Choice(
        layers=given.layer, units=given.unit, methods=given.method, examples=given.examples,
        seed=given.seed, class_names=subject.class_names, sample_rate=subject.sample_rate,
        progress=True,
    )  # fmt: skip
    facts = subject.facts | {"command": f"`{given.command}`"}
    print(look(subject.net, subject.data, given.page, choice=choice, facts=facts))
