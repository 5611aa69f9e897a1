"""Packages that may be missing: the one place that says which, and what brings them."""

import sys
from importlib.util import find_spec


def need(who: str, extra: str | None, *packages: str) -> None:
    """Refuses to go on without packages that ``pip install "tcn[extra]"`` brings.

    To be called before they are imported, at the top of a package or in the function that needs
    them; nothing is loaded by it.

    Args:
        who: what needs them, such as ``"tcn.training"``.
        extra: its name in ``pyproject.toml``; None if no extra brings them.
        packages: by the names under which they are imported.

    Raises:
        ModuleNotFoundError: naming the extra and the packages, and how to install them.
    """
    missing = [package for package in packages if not _is_there(package)]
    if not missing:
        return
    if extra is None:
        message = f"{who} needs {', '.join(missing)}: pip install {' '.join(missing)}"
    else:
        message = (
            f'{who} needs the extra {extra!r}: pip install "tcn[{extra}]" '
            f"(missing: {', '.join(missing)})"
        )
    raise ModuleNotFoundError(message, name=missing[0])


def _is_there(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None
