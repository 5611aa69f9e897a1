"""``make sanitize``: the kernels under AddressSanitizer and UndefinedBehaviorSanitizer.

Builds them apart from the usual build, then runs the tests of this folder and the fuzz of the whole
C interface with them; any report of a sanitizer ends the run.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE, TARGET = ROOT / "tcn" / "native" / "source", ROOT / "build" / "sanitized"
LIBRARY = TARGET / "_kernels.so"
CALLS = 10_000
COMPILER = shlex.split(os.environ.get("CXX", "g++"))
FLAGS = [
    "-std=c++17",
    "-O1",
    "-g1",
    "-fPIC",
    "-fopenmp",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-Wno-psabi",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
]
# Tests that compile, check the registration or start processes say nothing of the kernels; those
# that differentiate numerically or compare rounding call the same code again, and take minutes.
LEFT_OUT = " and ".join(
    f"not {name}"
    for name in (
        "compile",
        "own_checks",
        "test_library",
        "counter",
        "fuzz",
        "contract",
        "memory_is",
        "gradcheck",
        "pytorchs_own_checks",
        "long_wide_and_deep",
        "net_equals",
        "refused_before_a_pointer",
        "float32_rounding",
        "second_derivatives",
        "gradients_per_example",
        "test_transforms",
    )
)


def build() -> None:
    """The library, from those sources that are newer than their objects."""
    TARGET.mkdir(parents=True, exist_ok=True)
    headers = max(path.stat().st_mtime for path in SOURCE.glob("*.h"))
    objects = []
    for source in sorted(SOURCE.glob("*.cpp")):
        target = TARGET / f"{source.stem}.o"
        objects.append(target)
        newest = max(headers, source.stat().st_mtime)
        if not target.exists() or target.stat().st_mtime < newest:
            subprocess.run([*COMPILER, *FLAGS, "-c", source, "-o", target], check=True)
    subprocess.run([*COMPILER, *FLAGS, "-shared", *objects, "-o", LIBRARY], check=True)


def environment() -> dict[str, str]:
    """The sanitizers' runtime first; what Python and PyTorch never free is not of interest."""
    preload = [runtime("libasan.so"), runtime("libubsan.so")]
    return {
        **os.environ,
        "LD_PRELOAD": " ".join(preload),
        # Too much memory is what the kernels have to cope with.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=8192",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TCN_SANITIZED_KERNELS": str(LIBRARY),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }


def runtime(name: str) -> str:
    """Where the compiler has it."""
    command = [*COMPILER, f"-print-file-name={name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> int:
    """Builds and runs; says how long each part took."""
    steps = {
        "tests": [
            "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", LEFT_OUT,
            str(Path(__file__).parent),
        ],
        "fuzz": [str(Path(__file__).with_name("fuzz.py")), "--calls", str(CALLS)],
    }  # fmt: skip
    begin = time.monotonic()
    build()
    print(f"sanitize: built in {time.monotonic() - begin:.0f} s", flush=True)
    for name, arguments in steps.items():
        begin = time.monotonic()
        command = [sys.executable, *arguments]
        ended = subprocess.run(command, env=environment(), cwd=ROOT, check=False)
        print(f"sanitize: {name} took {time.monotonic() - begin:.0f} s", flush=True)
        if ended.returncode:
            print(f"sanitize: {name} failed", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
