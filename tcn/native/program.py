"""A net in native form: what :class:`tcn.native.stream.Builder` hands over to the library.

Every whole number crosses into C with 64 bits, and C checks it again before it makes it narrower;
what it refuses comes back as a number, never as an exception.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Sequence
from ctypes import POINTER, byref, c_float, c_int, c_int64, c_void_p
from typing import Any

from tcn.native.library import library
from tcn.native.rows import NO_MEMORY, StreamRows


class NativeActivation(ctypes.Structure):
    """``GivenActivation`` of stream.h."""

    _fields_ = (("function", c_int64), ("parameters", c_float * 3))


class NativeOperation(ctypes.Structure):
    """``Operation`` of stream.h."""

    _fields_ = (
        *((name, c_int64) for name in (
            "kind", "source", "other", "target", "in_channels", "out_channels", "kernel_size",
            "dilation", "shift", "groups",
        )),
        ("epsilon", c_float),
        ("activation", NativeActivation),
        ("after", NativeActivation),
        ("weight", c_void_p),
        ("weights", c_int64),
        ("bias", c_void_p),
        ("biases", c_int64),
    )  # fmt: skip


class Interface(ctypes.Structure):
    """``Interface`` of stream.h."""

    _fields_ = tuple(
        (name, c_int64)
        for name in (
            "frame_size", "input", "in_channels", "output", "out_channels", "condition",
            "condition_channels", "vocabulary", "ahead",
        )
    )  # fmt: skip


class StreamProgram:
    """A net in native form; made by :meth:`tcn.native.stream.Builder.build`.

    It never changes, and may be used by any number of threads.

    Attributes:
        in_channels: channels of the input; 1 if it is tokens.
        out_channels: channels of the output.
        condition_channels: channels of the condition; 0 if there is none.
        vocabulary: number of tokens; 0 if the input is not tokens.
    """

    def __init__(
        self,
        kernels: ctypes.CDLL,
        operations: ctypes.Array[NativeOperation],
        interface: Interface,
        states: Any,
    ) -> None:
        """Packs the operations' weights.

        Raises:
            MemoryError: if there is no memory for them.
            ValueError: if the operations do not fit each other.
        """
        self.in_channels: int = interface.in_channels
        self.out_channels: int = interface.out_channels
        self.condition_channels: int = interface.condition_channels
        self.vocabulary: int = interface.vocabulary
        self.states = states
        self.kernels = kernels
        handle = c_void_p()
        refusal = kernels.tcn_stream_program(
            operations, len(operations), byref(interface), byref(handle)
        )
        if refusal == NO_MEMORY:
            raise MemoryError("no memory for the packed weights of a native stream")
        if refusal:
            raise ValueError("operations: they do not fit each other; write them with a Builder")
        self.handle = handle.value
        weakref.finalize(self, kernels.tcn_stream_delete_program, self.handle)

    def rows(self, count: int) -> StreamRows:
        """The state of ``count`` fresh rows.

        Raises:
            ValueError: if ``count`` is below 1.
            MemoryError: if there is no memory for them.
        """
        return StreamRows(self, count)


@functools.cache
def kernels_of_streams() -> ctypes.CDLL | None:
    """The library, its functions declared."""
    kernels = library()
    if kernels is None:
        return None
    handle, index, count = c_void_p, c_void_p, c_int64
    push = [handle, c_void_p, c_void_p, c_int64, index, count, c_int64, c_void_p, c_int]
    sample = [handle, c_void_p, c_void_p, c_void_p, c_int64, c_void_p, c_int]
    made = POINTER(c_void_p)
    signatures: dict[str, tuple[Any, Sequence[Any]]] = {
        "program": (c_int, [POINTER(NativeOperation), count, POINTER(Interface), made]),
        "delete_program": (None, [handle]),
        "rows": (c_int, [handle, count, made]),
        "delete_rows": (None, [handle]),
        "push": (c_int, push),
        "push_finite": (c_int, [handle, c_void_p, c_int64, c_void_p]),
        "threads": (c_int, [handle, c_int64, c_int]),
        "sample": (c_int, sample),
        "sample_values": (c_int, [*sample, c_void_p]),
        "exchange": (c_int, [handle, c_int64, index, count, c_void_p, c_int64, c_int]),
        "reset": (c_int, [handle, index, count]),
        "copy": (c_int, [handle, index, index, count]),
        "keep_beginning": (c_int, [handle, c_int64]),
        "begin": (c_int, [handle, index, count]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(kernels, f"tcn_stream_{name}")
        function.restype, function.argtypes = result, arguments
    return kernels
