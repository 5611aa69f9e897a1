"""C files under other compilers and settings than those that check them."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tcn.inference import export
from tcn.inference.c_check import Stream, compiled
from tcn.layers import Chain, Conv1d, FiLM, SequenceModule
from tcn.models import GRU, TCN, Capture, SequenceModel
from tcn.native import flushes_denormals

FAST = ("-std=c11", "-Ofast", "-Wall", "-Wextra", "-Werror")

NETS: list[Callable[[], SequenceModule]] = [
    lambda: SequenceModel(GRU(1, 5), 1),
    lambda: TCN(1, [6, 6], 2, block="gated", norm="rms"),
    lambda: Chain(Conv1d(1, 4, 2), nn.GELU(), Conv1d(4, 4, 3, groups=4), nn.ELU()),
    lambda: Chain(Conv1d(1, 4, 2), nn.Mish(), nn.Hardtanh(-0.5, float("inf")), nn.Hardswish()),
]


@pytest.mark.parametrize("number", range(len(NETS)))
def test_fast_math_changes_nothing_that_is_heard(number: int, tmp_path: Path) -> None:
    """Programs for sound are often built with it; it takes ``(x + c) - c`` for ``x``."""
    net = NETS[number]().eval()
    library = compiled(export(net, tmp_path / "net.c"), "net", tmp_path, options=FAST)
    assert not flushes_denormals()  # loading it changes nothing for the rest of the program
    x = torch.randn(1, 1, 300) * 3
    y = net(x)[0]
    torch.testing.assert_close(Stream(library, "net", len(y)).process(x[0]), y, rtol=0, atol=1e-5)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
def test_headers_stand_in_a_program_in_cpp(tmp_path: Path) -> None:
    """Both a net with a condition and one that begins in silence, in one plug-in."""
    amplifier = Capture(TCN(1, [4, 1], 3)).eval()
    film = Chain(Conv1d(1, 6, 2), FiLM(6, 3), nn.Tanh(), Conv1d(6, 1, 1, groups=1)).eval()
    export(amplifier, tmp_path / "amplifier.h")
    export(film, tmp_path / "class.h")
    (tmp_path / "main.cpp").write_text(
        """
#include <cstdio>
#include "amplifier.h"
#include "class.h"
static amplifier_state a;
static class_state b;
int main()
{
    const float in[3] = {0.5f, -1.0f, 0.25f};
    float out[3];
    amplifier_init(&a);
    amplifier_process(&a, in, out, 3);
    std::printf("%.6f %.6f %.6f\\n", out[0], out[1], out[2]);
    class_init(&b);
    class_condition(&b, in);
    class_process(&b, in, out, 3);
    std::printf("%.6f %.6f %.6f\\n", out[0], out[1], out[2]);
}
"""
    )
    strict = ["g++", "-O1", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    subprocess.run([*strict, "-o", "main", "main.cpp", "-lm"], cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    found = torch.tensor([[float(word) for word in line.split()] for line in said.splitlines()])
    x = torch.tensor([[[0.5, -1.0, 0.25]]])
    expected = torch.cat([amplifier(x)[0], film(x, condition=x[0])[0]])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
