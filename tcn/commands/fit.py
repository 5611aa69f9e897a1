"""``tcn fit``, ``validate``, ``test`` and ``predict``: what is checked before any loading."""

from collections.abc import Sequence

from tcn.commands.names import check_extra, check_options

PARTS = ("help", "config", "print_config", "seed_everything", "trainer", "model", "data")
OPTIONS = {
    "fit": (*PARTS, "checkpoint", "ckpt_path", "weights_only"),
    "validate": (*PARTS, "checkpoint", "ckpt_path", "weights_only", "verbose"),
    "test": (*PARTS, "checkpoint", "ckpt_path", "weights_only", "verbose"),
    "predict": (*PARTS, "checkpoint", "ckpt_path", "weights_only", "return_predictions"),
}
"""The first part of every option of each command; a test compares it with the parser's."""


def run(name: str, arguments: Sequence[str]) -> None:
    """Runs one of the four commands, or, without any of their names, what may stand before one."""
    if name in OPTIONS:
        check_options(f"tcn {name}", arguments, OPTIONS[name])
    check_extra(f"tcn {name}".strip(), "training", "jsonargparse", "pytorch_lightning")
    from tcn.commands.training import TCNCLI

    TCNCLI([*([name] if name in OPTIONS else []), *arguments])
