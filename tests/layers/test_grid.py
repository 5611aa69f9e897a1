"""Grids of needed positions against sets of positions worked out one by one."""

import itertools

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from tcn.layers import Add, Chain, Context, Conv1d
from tcn.layers.grid import Grid


def positions(grid: Grid) -> set[tuple[int, ...]]:
    """Every position that a grid names, by its definition."""
    axes = [
        [size - 1 - m * step for m in range(count)] for size, step, count in zip(*grid, strict=True)
    ]
    assert all(p >= 0 for axis in axes for p in axis)
    assert all(len(set(axis)) == len(axis) for axis in axes)
    return set(itertools.product(*axes))


@st.composite
def a_grid(draw: st.DrawFn, sizes: tuple[int, ...]) -> Grid:
    grid = Grid.last(sizes)
    for _ in range(draw(st.integers(0, 3))):
        grid = grid.reaching(*draw(taps(len(sizes))))
    return grid


def taps(ndim: int) -> st.SearchStrategy:
    per_axis = lambda low, high: st.tuples(*[st.integers(low, high)] * ndim)  # noqa: E731
    return st.tuples(per_axis(1, 4), per_axis(1, 6), per_axis(0, 1))


SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=2).map(tuple)


def under_the_taps(at: set, kernel, dilation, shift) -> set[tuple[int, ...]]:
    """The positions that a causal convolution reads for the outputs at ``at``; none before 0."""
    ranges = [range(k) for k in kernel]
    return {
        tuple(p - s - m * d for p, s, m, d in zip(place, shift, tap, dilation, strict=True))
        for place in at
        for tap in itertools.product(*ranges)
    }


def smallest_grid(sizes: tuple[int, ...], needed: set) -> set[tuple[int, ...]]:
    """The coarsest even spacing from the last position that holds all needed ones."""
    axes = []
    for axis, size in enumerate(sizes):
        values = {place[axis] for place in needed if place[axis] >= 0}
        candidates = (
            [p for p in range(size - 1, min(values) - 1, -1) if (size - 1 - p) % step == 0]
            for step in range(size, 0, -1)
        )
        axes.append(next(c for c in candidates if values <= set(c)))
    return set(itertools.product(*axes))


def test_the_drawing_of_the_module() -> None:
    # Two convolutions with taps at 0 and 4, then 0 and 2: 7 reads 3 and 7, those 1, 3, 5 and 7.
    last = Grid.last((8,))
    level3 = last.reaching((2,), (4,), (0,))
    level2 = level3.reaching((2,), (2,), (0,))
    assert [positions(g) for g in (last, level3, level2)] == [
        {(7,)}, {(3,), (7,)}, {(1,), (3,), (5,), (7,)},
    ]  # fmt: skip
    assert positions(level2.reaching((2,), (1,), (0,))) == positions(Grid.whole((8,)))


@given(SIZES.flatmap(lambda sizes: st.tuples(a_grid(sizes), taps(len(sizes)))))
def test_reaching_holds_what_the_taps_read(drawn: tuple) -> None:
    want, (kernel, dilation, shift) = drawn
    have = positions(want.reaching(kernel, dilation, shift))
    read = under_the_taps(positions(want), kernel, dilation, shift)
    assert {place for place in read if min(place) >= 0} <= have


@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 9), st.integers(0, 1))
def test_reaching_from_the_last_holds_no_more_than_an_even_grid_must(
    size: int, kernel: int, dilation: int, shift: int
) -> None:
    assume(size > (kernel - 1) * dilation + shift)  # cut at the first position it may be coarser
    have = Grid.last((size,)).reaching((kernel,), (dilation,), (shift,))
    read = under_the_taps({(size - 1,)}, (kernel,), (dilation,), (shift,))
    expected = smallest_grid((size,), read | {(size - 1,)})
    assert positions(have) == expected


@given(SIZES.flatmap(lambda sizes: st.tuples(a_grid(sizes), a_grid(sizes))))
def test_union_is_the_smallest_grid_that_holds_both(drawn: tuple[Grid, Grid]) -> None:
    one, other = drawn
    union = one.union(other)
    both = positions(one) | positions(other)
    assert both <= positions(union)
    assert positions(union) == positions(other.union(one))
    assert positions(union) == smallest_grid(one.sizes, both)


@given(SIZES.flatmap(lambda sizes: st.tuples(a_grid(sizes), taps(len(sizes)))))
def test_take_picks_the_named_positions(drawn: tuple) -> None:
    want, reached = drawn
    have = want.reaching(*reached).union(want)
    # A tensor whose values are its positions, one channel per axis.
    whole = torch.stack(torch.meshgrid(*map(torch.arange, want.sizes), indexing="ij"))[None]
    at_have = have.take(whole, Grid.whole(want.sizes))
    taken = want.take(at_have, have)
    assert {tuple(p) for p in at_have[0].flatten(1).T.tolist()} == positions(have)
    assert {tuple(p) for p in taken[0].flatten(1).T.tolist()} == positions(want)
    assert taken.shape[2:] == want.counts


def test_take_leaves_axes_of_size_one_to_broadcast() -> None:
    mask = torch.ones(2, 1, 1, 6, dtype=torch.bool)
    assert Grid.last((4, 6)).take(mask, Grid.whole((4, 6))).shape == (2, 1, 1, 1)


class Counting(Conv1d):
    """A convolution that counts the positions it computes."""

    computed = 0

    def on_grid(self, x, have, want, context):
        y = super().on_grid(x, have, want, context)
        self.computed += y.shape[-1]
        return y


def test_a_dilated_stack_computes_a_few_positions_only() -> None:
    # Kernel 2, dilations 1 to 128 over 256 steps: 128 + 64 + ... + 1 = 255 outputs, not 8 * 256.
    convolutions = [Counting(1, 1, 2, dilation=2**i) for i in range(8)]
    net, want = Chain(*convolutions), Grid.last((256,))
    x, have = torch.randn(1, 1, 256), net.needs(Grid.last((256,)))
    y = net.on_grid(have.take(x, Grid.whole((256,))), have, want, Context())
    assert [conv.computed for conv in convolutions] == [128, 64, 32, 16, 8, 4, 2, 1]
    torch.testing.assert_close(y, net(x)[..., -1:])


def test_branches_of_other_dilations_meet_on_a_common_grid() -> None:
    # Taps 0, 4 beside 0, 6: every second position of the last seven.
    net = Add(Conv1d(1, 1, 2, dilation=4), Conv1d(1, 1, 2, dilation=6))
    assert positions(net.needs(Grid.last((20,)))) == {(19,), (17,), (15,), (13,)}
