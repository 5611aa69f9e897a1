"""A C file compiled, run, and compared with the net that it was written from."""

from __future__ import annotations

import ctypes
import math
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tcn.inference.agreement import TOLERANCES
from tcn.inference.c_source import BLOCK
from tcn.layers import SequenceModule
from tcn.native import flushes_denormals
from tcn.native.stream import Written

STRICT = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror")


def compiler_command() -> list[str]:
    """The command of the C compiler.

    Raises:
        RuntimeError: there is none.
    """
    said = shlex.split(os.environ.get("CC", ""))
    found = said or [name for name in ("cc", "gcc", "clang") if shutil.which(name)][:1]
    if not found or shutil.which(found[0]) is None:
        raise RuntimeError(
            f"export: no C compiler ({' '.join(said) or 'cc, gcc, clang'}), and a file is compiled "
            "before it is called done; install one, or name it in the environment variable CC"
        )
    return found


def compiled(
    file: Path, prefix: str, folder: Path, *, header: bool = False, options: Sequence[str] = STRICT
) -> ctypes.CDLL:
    """The file as a library.

    Raises:
        RuntimeError: there is no compiler, or it refuses the file.
    """
    library, stub = folder / f"{prefix}.so", folder / f"{prefix}-built.c"
    names = [f"{prefix}_{name}" for name in ("size", "init", "reset", "process", "condition")]
    text = file.read_text(encoding="utf-8")
    # A header's functions cannot be called from outside: another file includes it and passes on.
    if header:
        text = text.replace("static inline size_t", "size_t")
        for name in names:
            text = text.replace(f"static inline void {name}(", f"void {name}(")
    stub.write_text(text, encoding="utf-8")
    command = [*compiler_command(), *options, "-shared", "-fPIC"]
    files = ["-o", str(library), str(stub), "-lm"]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or "in silence").splitlines()[0]
        raise RuntimeError(
            f"export: {' '.join(command)} refuses the file ({said}); nothing was written"
        )
    return _loaded(library)


def _loaded(library: Path) -> ctypes.CDLL:
    """The library, with the process as it was.

    GCC below 13 puts into a library built with ``-Ofast`` or ``-ffast-math`` code that makes the
    thread that loads it take numbers below 1e-38 for zero from then on.
    """
    before = flushes_denormals()
    try:
        return ctypes.CDLL(str(library))
    finally:
        if flushes_denormals() != before:
            torch.set_flush_denormal(before)


class Stream:
    """A compiled file and one state, for tests and comparisons."""

    def __init__(self, library: ctypes.CDLL, prefix: str, out_channels: int) -> None:
        self._library, self._prefix, self.out_channels = library, prefix, out_channels
        size = self._call("size")
        size.restype = ctypes.c_size_t
        self._state = torch.empty(size(), dtype=torch.uint8)
        self.begin("init")

    def _call(self, name: str) -> ctypes._NamedFuncPointer:
        return getattr(self._library, f"{self._prefix}_{name}")

    def begin(self, name: str = "reset") -> None:
        """Begins anew."""
        self._call(name)(ctypes.c_void_p(self._state.data_ptr()))

    def condition(self, condition: Tensor) -> None:
        """Sets what the net is conditioned on, ``(channels,)``."""
        given = condition.contiguous()
        state = ctypes.c_void_p(self._state.data_ptr())
        self._call("condition")(state, ctypes.c_void_p(given.data_ptr()))

    def process(self, x: Tensor) -> Tensor:
        """``(channels, time)`` to ``(out_channels, time)``."""
        given = x.t().contiguous()
        result = torch.empty(len(given), self.out_channels)
        pointers = [ctypes.c_void_p(t.data_ptr()) for t in (self._state, given, result)]
        self._call("process")(*pointers, ctypes.c_size_t(len(given)))
        return result.t()


@torch.no_grad()
def compare(net: SequenceModule, found: Written, file: Path, prefix: str, *, header: bool) -> None:
    """Runs the file in chunks, and again after a reset.

    Raises:
        RuntimeError: it differs from the net.
    """
    assert found.input is not None
    field = net.receptive_field
    assert not isinstance(field, tuple)
    length = 3 * BLOCK + 7 + (min(int(field), 5000) if math.isfinite(field) else 0)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(1, found.input.channels, length, generator=draw)
    condition = None
    if found.condition is not None:
        condition = torch.randn(1, found.condition.channels, generator=draw)
    expected = net(x) if condition is None else net(x, condition=condition)
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(file, prefix, Path(folder), header=header)
        stream = Stream(library, prefix, found.output.channels)
        if condition is not None:
            stream.condition(condition[0])
        for attempt in ("the file", "the file after a reset"):
            chunks = x[0].split([1, BLOCK, 7, length - BLOCK - 8], dim=1)
            y = torch.cat([stream.process(chunk) for chunk in chunks], dim=1)
            y = y[:, -1] if expected.dim() == 2 else y
            difference = (y - expected[0]).abs().max().item()
            largest = expected.abs().max().item()
            if not difference <= TOLERANCES[torch.float32] * max(1.0, largest):
                raise RuntimeError(
                    f"export: {attempt} differs from the net by {difference:.2g} in outputs up to "
                    f"{largest:.2g}; nothing was written"
                )
            stream.begin()
