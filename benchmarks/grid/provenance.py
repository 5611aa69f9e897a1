"""Where a number was made, and with what."""

import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.grid.runs import ROOT

CODE = (".", ":!benchmarks/results")  # results are made by the code and do not change it


def commit(folder: Path = ROOT) -> dict[str, Any] | None:
    """The git commit of ``folder``, and whether tracked files other than results differ from it;
    ``None`` without git.
    """
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", *CODE)
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"hash": head, "dirty": changes != ""}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    return finished.stdout.strip()


def versions() -> dict[str, str]:
    """Versions of everything that decides the numbers."""
    import torch

    found = {"python": platform.python_version(), "torch": str(torch.__version__)}
    for package in ("pytorch-lightning", "numpy", "tcn"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    return found


def origin(
    command: str, threads: int, packages: Sequence[str] = (), *, workers: int = 1
) -> dict[str, Any]:
    """The origin of a file of measurements, with the versions of these packages too."""
    further = {name: importlib.metadata.version(name) for name in packages}
    return {
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(threads, workers),
        "versions": versions() | further,
    }


def machine(threads: int, workers: int) -> dict[str, Any]:
    """The machine, and how much of it a run could use: ``threads``, next to ``workers`` - 1 others.

    Memory is in bytes. The GPU is named if torch sees one.
    """
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "cpu": cpu_name(),
        "cores": available_cores(),
        "threads": threads,
        "workers": workers,
        "memory": total_memory(),
        "platform": platform.platform(),
        "gpu": gpu,
    }


def available_cores() -> int:
    """Cores this process may use; in a container these can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def total_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def peak_memory() -> int:
    """The peak memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def cpu_name() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
