"""The net of large kernels: its patches, its size, and its place in a forecaster."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tcn.forecasting import Forecaster
from tcn.models import LargeKernel


@given(
    input_size=st.integers(1, 40),
    patch_size=st.integers(1, 12),
    stride=st.integers(1, 12),
    kernel_size=st.integers(1, 60),
)
@examples(max_examples=25)
def test_any_sizes_work_and_every_step_of_the_latest_patch_is_read(
    input_size: int, patch_size: int, stride: int, kernel_size: int
) -> None:
    net = LargeKernel(
        2, input_size, channels=3, patch_size=patch_size, stride=stride, kernel_size=kernel_size
    ).eval()
    x = torch.randn(2, 2, input_size, requires_grad=True)
    y = net(x)
    assert y.shape == (2, net.out_channels, 1)
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    read = (gradient != 0).any(dim=(0, 1))
    # With a stride beyond the patch steps between patches are skipped, never the latest.
    assert read[-patch_size:].all()
    assert read.all() or stride > patch_size


def test_patches_end_with_the_look_back() -> None:
    # By hand: 10 steps in patches of 4 every 3: 1-4, 4-7, 7-10, no padding; 11 steps need 2 zeros.
    assert LargeKernel(1, 10, patch_size=4, stride=3).padding == 0
    assert LargeKernel(1, 11, patch_size=4, stride=3).padding == 2
    assert LargeKernel(1, 11, channels=5, patch_size=4, stride=3).out_channels == 5 * 4


def test_the_number_of_parameters_is_that_of_the_paper_s_block() -> None:
    # By hand, C channels: depthwise 51 + 5 taps each and two batch norms of 2 C; pointwise
    # C x 2C + 2C and 2C x C + C; stem 8 C + C and a batch norm of 2 C.
    C = 32
    net = LargeKernel(1, 336, channels=C)
    block = C * (51 + 5) + 2 * 2 * C + (C * 2 * C + 2 * C) + (2 * C * C + C)
    assert sum(p.numel() for p in net.parameters()) == block + 9 * C + 2 * C
    assert net.out_channels == C * 83


def test_a_block_that_says_nothing_is_the_identity() -> None:
    net = LargeKernel(1, 16, channels=3).eval()
    with torch.no_grad():
        narrow = net.blocks[0].body.narrow
        narrow.weight.zero_()
        narrow.bias.zero_()
    patches = torch.randn(2, 3, 3)
    torch.testing.assert_close(net.blocks(patches), patches)


def test_it_says_why_it_does_not_stream() -> None:
    net = LargeKernel(1, 16).eval()
    assert net.receptive_field == 16
    with pytest.raises(TypeError, match="see the look-back as a whole"):
        net.step(torch.randn(1, 1, 16))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LargeKernel(1, 0), "input_size: 0 must be at least 1"),
        (lambda: LargeKernel(1, 9, stride=0), "stride: 0 must be at least 1"),
        (lambda: LargeKernel(1, 9, dropout=1.0), r"dropout: 1.0 is not in"),
        (lambda: LargeKernel(1, 9)(torch.randn(1, 1, 8)), "x: 8 steps, but .* input_size=9"),
    ],
)
def test_what_cannot_work_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_forecaster_takes_it_by_name(tmp_path) -> None:
    step = np.arange(200)
    df = pd.DataFrame({"unique_id": "a", "ds": step, "y": np.sin(step * 2 * np.pi / 12)})
    forecaster = Forecaster(
        6, 24, model="large_kernel", skip="none", width=8, max_steps=150, dropout=0.0,
        learning_rate=1e-2, accelerator="cpu",
    ).fit(df[:180])  # fmt: skip
    result = forecaster.predict()
    assert list(result.columns) == ["unique_id", "ds", "LargeKernel"]
    np.testing.assert_allclose(result["LargeKernel"], df["y"][180:186], atol=0.2)
    loaded = Forecaster.load(forecaster.save(tmp_path / "saved"))
    pd.testing.assert_frame_equal(loaded.predict(), result)
    updated = loaded.update(df[180:181])
    expected = forecaster.predict(df[:181])
    np.testing.assert_allclose(updated["LargeKernel"], expected["LargeKernel"], rtol=1e-5)
    # A series shorter than the look-back reads zeros before it.
    assert np.isfinite(forecaster.predict(df[170:180])["LargeKernel"]).all()
