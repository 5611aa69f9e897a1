"""Packages that an extra brings: the one place that says which extra is missing."""

import sys
from importlib.util import find_spec


def need(who: str, extra: str, *packages: str) -> None:
    """Refuses to go on without packages that ``pip install "tcn[extra]"`` brings.

    To be called before they are imported, at the top of a package or in the function that needs
    them; nothing is loaded by it.

    Args:
        who: what needs them, such as ``"tcn.training"``.
        extra: its name in ``pyproject.toml``.
        packages: by the names under which they are imported.

    Raises:
        ModuleNotFoundError: naming the extra and the packages.
    """
    missing = [package for package in packages if not _is_there(package)]
    if missing:
        raise ModuleNotFoundError(
            f'{who} needs the extra {extra!r}: pip install "tcn[{extra}]" '
            f"(missing: {', '.join(missing)})",
            name=missing[0],
        )


def _is_there(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None
