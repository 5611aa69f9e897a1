"""Builds the native kernels; everything else about the package is in pyproject.toml."""

from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("tcn/native/source")

setup(
    ext_modules=[
        Extension(
            "tcn.native._kernels",
            sources=sorted(map(str, SOURCE.glob("*.cpp"))),
            depends=sorted(map(str, SOURCE.glob("*.h"))),
            language="c++",
            extra_compile_args=[
                "-std=c++17",
                "-O3",
                "-fopenmp",
                "-ffp-contract=fast",
                "-fno-math-errno",
                "-fvisibility=hidden",
                "-Wall",
                "-Wno-psabi",
            ],
            extra_link_args=["-fopenmp"],
            optional=True,  # without a compiler the package installs all the same, and uses PyTorch
        )
    ]
)
