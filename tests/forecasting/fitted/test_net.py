"""The net of a forecaster: what each input may change, and what it must not."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import Tensor

from tcn.forecasting.fitted.backbones import BACKBONES, backbone_of
from tcn.forecasting.fitted.net import ForecastNet
from tcn.forecasting.fitted.setting_groups import NetSettings
from tcn.forecasting.fitted.sizes import Sizes
from tcn.forecasting.live.streaming import StreamedNet
from tcn.forecasting.windows.batch import WindowBatch
from tcn.layers import Conv1d, SequenceModule
from tcn.models import LSTM, TCN

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def batch_of(sizes: Sizes, *, windows: int = 3, seed: int = 0, position: int = 999) -> WindowBatch:
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(windows, *shape, generator=draw)

    past = (sizes.targets, sizes.input_size)
    horizon = (sizes.targets, sizes.h)
    categories = [torch.randint(1, n + 1, (windows, 1), generator=draw) for n in sizes.categories]
    return WindowBatch(
        target=3 + normal(*past),
        observed=torch.ones(windows, *past, dtype=torch.bool),
        exogenous=normal(sizes.past, sizes.input_size),
        future=normal(sizes.future, sizes.h),
        static=normal(sizes.static),
        categories=torch.cat([torch.empty(windows, 0, dtype=torch.long), *categories], dim=1),
        horizon=normal(*horizon),
        horizon_observed=torch.ones(windows, *horizon, dtype=torch.bool),
        series=torch.arange(windows),
        position=torch.full((windows,), position),
    )


def made(model: str, sizes: Sizes, **settings: int) -> SequenceModule:
    """A backbone of that name without dropout."""
    return backbone_of(NetSettings(model=model, **settings, dropout=0.0), sizes)


def net_of(
    sizes: Sizes, model: str = "tcn", *, window_scaler: str = "standard", skip: str = "linear"
) -> ForecastNet:
    """A net all of whose weights are away from where they begin."""
    torch.manual_seed(0)
    backbone = made(model, sizes, width=6, kernel_size=2)
    net = ForecastNet(backbone, sizes, window_scaler=window_scaler, skip=skip).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return net


def points(net: ForecastNet, batch: WindowBatch) -> Tensor:
    answer = net(batch)
    return net.restore(answer.raw[:, 0], answer.statistics)


def test_what_the_encoder_says_of_a_step_with_a_known_future_is_bounded() -> None:
    # By hand: a hyperbolic tangent leaves small numbers and brings huge ones to the bound; the
    # answer to them is what a net without a bound answers to the bound itself.
    sizes = Sizes(h=2, input_size=5, past=1, future=1)
    net, batch = net_of(sizes), batch_of(sizes)
    constants, past = torch.zeros(3, 0), batch.target
    sign = torch.randn(3, 16, generator=torch.Generator().manual_seed(1)).sign()

    def answer(code: Tensor, bound: float | None) -> Tensor:
        net.code_bound = bound
        return net.decode(code, past, batch, constants)

    torch.testing.assert_close(answer(1e4 * sign, 2.0), answer(2 * sign, None), **CLOSE)
    torch.testing.assert_close(answer(1e-4 * sign, 2.0), answer(1e-4 * sign, None), **CLOSE)
    assert not torch.allclose(answer(1e4 * sign, None), answer(2 * sign, None))


@pytest.mark.parametrize("model", BACKBONES)
@pytest.mark.parametrize("skip", ["linear", "last", "none"])
def test_before_training_the_answer_is_that_of_the_skip(model: str, skip: str) -> None:
    # By hand: the head begins at 0, so what is left is the skip: the window's mean, or last value.
    sizes = Sizes(h=4, input_size=5)
    backbone = made(model, sizes, width=3, kernel_size=2)
    net = ForecastNet(backbone, sizes, window_scaler="standard", skip=skip)
    with torch.no_grad():
        net.encoder.head.bias.zero_()
    batch = batch_of(sizes)
    expected = batch.target[..., -1:] if skip == "last" else batch.target.mean(-1, keepdim=True)
    torch.testing.assert_close(points(net, batch), expected.expand(-1, -1, 4), **CLOSE)


def test_a_linear_skip_can_repeat_the_season() -> None:
    # By hand: the weights pick the value of one season (3 steps) ago.
    sizes = Sizes(h=3, input_size=6)
    net = ForecastNet(TCN(1, [2], 2), sizes, window_scaler="last", skip="linear")
    with torch.no_grad():
        net.encoder.head.bias.zero_()
        net.skip.weight[:, 3:] = torch.eye(3)
    batch = batch_of(sizes)
    torch.testing.assert_close(points(net, batch), batch.target[..., 3:], **CLOSE)


def test_a_linear_skip_reads_what_is_known_for_the_past_alone() -> None:
    # By hand: the first of two targets falls by 7 in step 2 where an announcement stood two rows
    # ago; the covariate known for the future too, which comes second, has no part in it.
    sizes = Sizes(h=3, input_size=4, targets=2, past=2, future=1)
    backbone = made("tcn", sizes, width=3, kernel_size=2)
    net = ForecastNet(backbone, sizes, window_scaler="identity", skip="linear")
    assert net.hist_skip is not None
    with torch.no_grad():
        net.hist_skip.weight[1, 2] = -7.0
    batch = batch_of(sizes)
    expected = torch.zeros(3, 2, 3)
    expected[:, 0, 1] = -7 * batch.exogenous[:, 0, 2]
    torch.testing.assert_close(points(net, batch), expected, **CLOSE)


@pytest.mark.parametrize("model", BACKBONES)
@pytest.mark.parametrize("window_scaler", ["standard", "robust", "mean", "last", "revin"])
def test_a_window_in_other_units_has_its_forecast_in_those(model: str, window_scaler: str) -> None:
    # The symmetry that window scalers are for; "mean" has no shift, "last" no factor.
    sizes = Sizes(h=4, input_size=7, targets=2)
    net = net_of(sizes, model, window_scaler=window_scaler)
    batch = batch_of(sizes)
    factor = 1.0 if window_scaler == "last" else 20.0
    shift = 0.0 if window_scaler == "mean" else 500.0
    moved = batch._replace(target=batch.target * factor + shift)
    expected = points(net, batch) * factor + shift
    torch.testing.assert_close(points(net, moved), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model", BACKBONES)
@given(known=st.integers(1, 8), noise=st.floats(-1e6, 1e6))
@examples(max_examples=8)
def test_padding_before_a_short_series_is_invisible(model: str, known: int, noise: float) -> None:
    sizes = Sizes(h=2, input_size=9, past=2, future=1)
    net = net_of(sizes, model)
    batch = batch_of(sizes, position=known - 1)
    padding = torch.arange(9) < 9 - known
    batch = batch._replace(observed=batch.observed & ~padding)
    other = batch._replace(
        target=batch.target.masked_fill(padding, noise),
        exogenous=batch.exogenous.masked_fill(padding, noise),
    )
    torch.testing.assert_close(net(batch).raw, net(other).raw, rtol=0, atol=0)


def test_an_amount_of_padding_changes_nothing() -> None:
    # Another implementation: a net of a shorter look-back with the same backbone.
    short, long = Sizes(h=2, input_size=5), Sizes(h=2, input_size=12)
    net = net_of(long, window_scaler="standard", skip="none")
    other = ForecastNet(net.encoder.backbone, short, window_scaler="standard").eval()
    other.encoder.load_state_dict(net.encoder.state_dict())
    batch = batch_of(short, position=4)
    pad = torch.nn.functional.pad
    padded = batch._replace(
        target=pad(batch.target, (7, 0), value=9.0),
        observed=pad(batch.observed, (7, 0)),
        exogenous=pad(batch.exogenous, (7, 0)),
    )
    torch.testing.assert_close(points(net, padded), points(other, batch), **CLOSE)


def test_what_is_not_observed_changes_nothing_and_is_told_to_the_net() -> None:
    sizes = Sizes(h=2, input_size=8, masked=True)
    net = net_of(sizes)
    batch = batch_of(sizes)
    batch.observed[:, :, [2, 5]] = False
    other = batch._replace(target=batch.target.masked_fill(~batch.observed, 77.0))
    torch.testing.assert_close(net(batch).raw, net(other).raw, rtol=0, atol=0)
    inputs = net.inputs(*[batch.target, batch.observed], batch.exogenous, batch.static)
    torch.testing.assert_close(inputs[:, 1], batch.observed[:, 0].float())


@pytest.mark.parametrize("model", BACKBONES)
def test_the_known_future_of_a_step_changes_this_step_alone(model: str) -> None:
    sizes = Sizes(h=5, input_size=6, past=3, future=2, outputs=3, locations=(1,))
    net = net_of(sizes, model)
    batch = batch_of(sizes)
    future = batch.future.clone()
    future[:, :, 2] += 1
    changed = (net(batch._replace(future=future)).raw != net(batch).raw).flatten(0, 2).any(0)
    assert changed.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("model", BACKBONES)
def test_every_input_is_read(model: str) -> None:
    sizes = Sizes(h=3, input_size=6, past=2, future=1, static=2, categories=(3, 12))
    net = net_of(sizes, model)
    batch = batch_of(sizes)
    before = net(batch).raw
    for name in ("target", "exogenous", "future", "static"):
        changed = batch._replace(**{name: getattr(batch, name) + 1.5 * torch.rand(1)})
        if name == "target":
            changed = changed._replace(target=batch.target.flip(-1))
        assert (net(changed).raw != before).flatten(1).any(1).all(), name
    for column in range(2):
        categories = batch.categories.clone()
        categories[:, column] = categories[:, column] % sizes.categories[column] + 1
        assert (net(batch._replace(categories=categories)).raw != before).any()


def test_a_category_that_was_never_seen_says_nothing() -> None:
    sizes = Sizes(h=2, input_size=4, categories=(5,))
    torch.manual_seed(0)
    backbone = made("tcn", sizes, width=3, layers=1, kernel_size=2)
    net = ForecastNet(backbone, sizes)
    unseen = net.constants(torch.empty(1, 0), torch.zeros(1, 1, dtype=torch.long))
    assert not unseen.any()


def test_static_covariates_condition_the_levels_of_a_tcn() -> None:
    sizes = Sizes(h=2, input_size=9, static=2, categories=(4,))
    net = made("tcn", sizes, width=3, kernel_size=3)
    assert net.in_channels == 1
    assert sum(m.reads_condition for m in net.modules() if hasattr(m, "reads_condition")) == 2


@pytest.mark.parametrize(("input_size", "levels"), [(5, 1), (6, 2), (13, 2), (336, 7)])
def test_depth_follows_from_the_look_back(input_size: int, levels: int) -> None:
    # By hand: two convolutions of 3 taps per level see 1 + 4 * (2^levels - 1) steps.
    sizes = Sizes(h=1, input_size=input_size)
    net = made("tcn", sizes, width=2, kernel_size=3)
    assert net.receptive_field == 1 + 4 * (2**levels - 1)


@pytest.mark.parametrize("model", BACKBONES)
@pytest.mark.parametrize("position", [999, 4])
def test_a_streamed_net_answers_as_the_net_does(model: str, position: int) -> None:
    sizes = Sizes(h=3, input_size=8, past=1, future=1, static=1)
    net = net_of(sizes, model)
    streamed = StreamedNet(net, 1)
    for seed in range(3):
        batch = batch_of(sizes, windows=1, seed=seed, position=position)
        torch.testing.assert_close(streamed(batch).raw, net(batch).raw, **CLOSE)


@pytest.mark.parametrize("model", ["tcn", "lstm"])
def test_a_horizon_may_be_longer_than_the_look_back(model: str) -> None:
    sizes = Sizes(h=30, input_size=4, targets=2, outputs=3)
    assert net_of(sizes, model)(batch_of(sizes)).raw.shape == (3, 3, 2, 30)


def test_an_acausal_net_can_be_handed_in() -> None:
    sizes = Sizes(h=2, input_size=8)
    net = ForecastNet(TCN(1, [3, 3], 3, causal=False), sizes).eval()
    batch = batch_of(sizes, windows=1)
    assert net(batch).raw.shape == (1, 1, 1, 2)
    torch.testing.assert_close(StreamedNet(net, 1)(batch).raw, net(batch).raw)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sizes(h=0, input_size=3), "h: 0 must be at least 1"),
        (lambda: ForecastNet(TCN(1, [2], 2), Sizes(h=1, input_size=2), skip="all"), "skip: 'all'"),
        (
            lambda: ForecastNet(TCN(1, [2], 2), Sizes(h=1, input_size=2), code_bound=0.0),
            "code_bound: 0.0 must be",
        ),
        (
            lambda: ForecastNet(LSTM(1, 2), Sizes(h=1, input_size=2, past=3)),
            r"in_channels=1, but there are 4 to read: 1 of the target, 3 of covariates",
        ),
        (
            lambda: ForecastNet(TCN(2, [2], 2), Sizes(h=1, input_size=2, static=2)),
            "build it with in_channels=3",
        ),
        (
            lambda: backbone_of(NetSettings(model="rnn"), Sizes(h=1, input_size=2)),
            "model: 'rnn' is not one of 'tcn', 'lstm', 'gru'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_module_that_is_no_sequence_module_is_refused() -> None:
    with pytest.raises(TypeError, match="backbone: Linear is not"):
        ForecastNet(torch.nn.Linear(1, 1), Sizes(h=1, input_size=2))


def test_a_tcn_begins_with_the_weights_of_the_published_forecasts() -> None:
    # Those of a plain convolution, whatever the default of the class.
    sizes = Sizes(targets=1, input_size=4, h=1)
    torch.manual_seed(0)
    backbone = made("tcn", sizes, width=5, layers=1, kernel_size=3)
    first = next(m for m in backbone.modules() if isinstance(m, Conv1d))
    torch.manual_seed(0)
    expected = torch.nn.Conv1d(first.in_channels, 5, 3).weight
    torch.testing.assert_close(first.weight, expected)


def test_so_it_does_where_its_levels_are_counted_first() -> None:
    """The net that is built to count them draws as many random numbers as it always has."""
    sizes = Sizes(targets=1, input_size=10, h=1)
    torch.manual_seed(0)
    backbone = made("tcn", sizes, width=5, kernel_size=3)
    torch.manual_seed(0)
    TCN(1, [1, 1], 3, initialization="pytorch")  # sees 13 steps
    expected = TCN(sizes.channels, [5, 5], 3, initialization="pytorch")
    torch.testing.assert_close(backbone.state_dict(), expected.state_dict(), rtol=0, atol=0)
