"""Finds and loads the compiled kernels."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import logging
import os
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import torch  # its OpenMP runtime has to be there first, so that both share its threads
from torch.autograd import forward_ad

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
    """A context in which PyTorch does the work, in every thread, for comparison."""
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
    if not _fits(kernels):
        logger.info("native kernels: %s is of another version: build it anew; using PyTorch", path)
        return None
    _declare(kernels)
    limit = os.environ.get("TCN_INSTRUCTION_SET", INSTRUCTION_SETS[-1])
    if limit not in INSTRUCTION_SETS:
        raise ValueError(
            f"TCN_INSTRUCTION_SET: {limit!r} is not one of {', '.join(INSTRUCTION_SETS)}"
        )
    chosen = kernels.tcn_set_instruction_set(INSTRUCTION_SETS.index(limit))
    logger.info("native kernels: %s", INSTRUCTION_SETS[chosen])
    return kernels


INTERFACE = 4
"""Counted up here and in source/instruction_set.cpp when what is handed over changes its form: a
library that was built before would take the numbers for others."""


def _fits(kernels: ctypes.CDLL) -> bool:
    version = getattr(kernels, "tcn_interface", None)
    return version is not None and version() == INTERFACE


def _declare(kernels: ctypes.CDLL) -> None:
    """The arguments, without which ctypes would pass whole numbers as 32 bits."""
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    signatures: dict[str, list[Any]] = {
        "set_instruction_set": [number],
        "flush_denormals": [number],
        "flush_denormals_everywhere": [number, number],
        "convolve": [*[pointer] * 6, number],
        "convolve_backward": [*[pointer] * 12, number],
        "dropout": [pointer, pointer, number, pointer, number],
        "dropout_bfloat16": [pointer, pointer, number, pointer, number],
        "recur": [pointer, number],
        "recur_backward": [pointer, pointer, number],
    }
    for name, arguments in signatures.items():
        getattr(kernels, f"tcn_{name}").argtypes = arguments


def call(function: Callable[..., int], *arguments: Any) -> None:
    """A call of a kernel, whose result says how it ended.

    Raises:
        MemoryError: if there was not enough memory for what it needs besides its result.
        ValueError: if a size is out of range; the caller has checked them, with a better message.
    """
    outcome = function(*arguments)
    if outcome == NO_MEMORY:
        raise MemoryError("no memory for the rows of a native kernel; pass fewer or shorter ones")
    if outcome:
        raise ValueError(
            "sizes: out of range for a native kernel; pass smaller ones, or fewer threads"
        )


NO_MEMORY = 2  # as in source/calling.h


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
    """A context in which numbers below 1e-38 are zero to this thread and those that share its work.

    Where a processor has no such mode, and to other threads where there is no library, they stay
    what they are. Where they were zero before, they are so afterwards.
    """
    before = flushes_denormals()
    if not before:
        _flush_denormals(True)
    try:
        yield
    finally:
        if not before:
            _flush_denormals(False)


def flushes_denormals() -> bool:
    """Whether numbers below 1e-38 are zero to this thread."""
    return bool(torch.tensor(DENORMAL) * 1 == 0)


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
    if torch.compiler.is_compiling():
        return EXPECTED
    return not transformed() and library() is not None


def transformed() -> bool:
    """Whether functions are taken apart at this moment in ways that PyTorch's own operators know.

    Those of torch.func (vmap, jvp, ...), and forward-mode differentiation.
    """
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0


EXPECTED = _switched_on() and _built() is not None
"""Whether :func:`library` should return one: what a graph that is being compiled goes by."""
