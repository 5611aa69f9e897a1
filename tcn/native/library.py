"""Finds and loads the compiled kernels."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch  # its OpenMP runtime has to be there first, so that both share its threads

logger = logging.getLogger(__name__)

INSTRUCTION_SETS = ("baseline", "avx2", "avx512")


def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where there are none; the log says once which it is.

    ``TCN_NATIVE=0`` turns them off; ``TCN_INSTRUCTION_SET=baseline|avx2|avx512`` sets an upper
    limit.

    Raises:
        ValueError: if one of the two environment variables has another value.
    """
    return None if _switched_off else _load()


_switched_off = 0


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Within it PyTorch does the work, in every thread: to compare one with the other."""
    global _switched_off
    _switched_off += 1
    try:
        yield
    finally:
        _switched_off -= 1


@functools.cache
def _load() -> ctypes.CDLL | None:
    if not _switched_on():
        logger.info("native kernels: switched off by TCN_NATIVE=0, PyTorch does the work")
        return None
    path = _built()
    if path is None:
        logger.info("native kernels: not built (no C++ compiler at installation?), using PyTorch")
        return None
    try:
        kernels = ctypes.CDLL(str(path))
    except OSError as error:
        logger.info("native kernels: %s does not load (%s), using PyTorch", path, error)
        return None
    limit = os.environ.get("TCN_INSTRUCTION_SET", INSTRUCTION_SETS[-1])
    if limit not in INSTRUCTION_SETS:
        raise ValueError(
            f"TCN_INSTRUCTION_SET: {limit!r} is not one of {', '.join(INSTRUCTION_SETS)}"
        )
    chosen = kernels.tcn_set_instruction_set(INSTRUCTION_SETS.index(limit))
    logger.info("native kernels: %s", INSTRUCTION_SETS[chosen])
    return kernels


def _switched_on() -> bool:
    value = os.environ.get("TCN_NATIVE", "1")
    if value not in ("0", "1"):
        raise ValueError(f"TCN_NATIVE: {value!r}; 1 (the default) uses the kernels, 0 does not")
    return value == "1"


def _built() -> Path | None:
    paths = [Path(__file__).with_name(f"_kernels{suffix}") for suffix in EXTENSION_SUFFIXES]
    return next((path for path in paths if path.exists()), None)


@contextlib.contextmanager
def flushing_denormals() -> Iterator[None]:
    """Within it numbers below 1e-38 are zero to this thread and those that share its work.

    Where a processor has no such mode, and to other threads where there is no library, they stay
    what they are. Where they were zero before, they are so afterwards.
    """
    before = bool(torch.tensor(DENORMAL) * 1 == 0)
    if not before:
        _flush_denormals(True)
    try:
        yield
    finally:
        if not before:
            _flush_denormals(False)


def _flush_denormals(on: bool) -> None:
    if (kernels := library()) is not None:
        kernels.tcn_flush_denormals_everywhere(int(on), torch.get_num_threads())
    torch.set_flush_denormal(on)


DENORMAL = 1e-39


def serves(x: torch.Tensor) -> bool:
    """Whether kernels for float32 can be used for ``x``, and what it is part of, at this moment."""
    # Under autocast PyTorch computes in bfloat16, which is what was asked for.
    return x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu") and runs(x)


def runs(x: torch.Tensor) -> bool:
    """Whether a kernel can be run where ``x`` is and by what runs at this moment."""
    if x.device.type != "cpu":
        return False
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        return False  # an exported graph has to run without this package
    # torch.func (vmap, jvp, ...) takes functions apart in ways that PyTorch's own operators know.
    if torch.compiler.is_compiling():
        return EXPECTED
    return not torch._C._are_functorch_transforms_active() and library() is not None


EXPECTED = _switched_on() and _built() is not None
"""Whether :func:`library` should return one: what a graph that is being compiled goes by."""
