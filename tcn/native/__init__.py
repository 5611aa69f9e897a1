"""Kernels in plain C++, compiled with the package, for what PyTorch does slowly on a CPU.

    source/          the C++, compiled once per instruction set, chosen when it is loaded
    stream.py        a causal net as one call per chunk of a stream
    rows.py          the state of its rows, in native memory
    convolution.py   dilated convolution of few channels and what follows it, in one pass
    operators.py     its kernels as operators of PyTorch, with their gradients
    checks.py        what is checked before a kernel is given an address
    flops.py         what PyTorch's counter of operations counts for them
    reference.py     the same in a few lines of PyTorch

They know nothing of the layers and are accelerators only: wherever the library is missing (no
compiler at installation), or ``TCN_NATIVE=0`` is set, the PyTorch layers do the same work, and one
line of the log says so.
"""

from tcn.native.library import flushes_denormals, flushing_denormals, library, switched_off

__all__ = ["flushes_denormals", "flushing_denormals", "library", "switched_off"]
