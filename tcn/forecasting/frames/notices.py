"""Warnings that point to the caller's line, not into the library."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import tcn

_HERE = str(Path(tcn.__file__).parent)


def warn(message: str) -> None:
    """Warns at the line that called the library, which Python then shows once for each message."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)
