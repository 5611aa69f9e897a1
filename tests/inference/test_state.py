"""The state of a stream can be taken apart and put together again, by tensors and by rows."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tcn.inference.state import (
    check_fits,
    clone,
    flatten,
    from_tensors,
    names,
    put_rows,
    row_indices,
    skeleton,
    take_rows,
    to_tensors,
    unflatten,
)
from tcn.models import LSTM, TCN, SequenceModel

TREES = st.recursive(
    st.just(None) | st.just(()), lambda part: st.lists(part, max_size=3).map(tuple), max_leaves=8
)


def fill(tree: object, rows: int = 3) -> object:
    """A state of this form, with another number in every tensor."""
    count = iter(range(100))
    return unflatten([torch.full((rows, 2), float(next(count))) for _ in names(tree)], tree)


def same(a: object, b: object) -> bool:
    pairs = zip(flatten(a), flatten(b), strict=True)
    return skeleton(a) == skeleton(b) and all(torch.equal(x, y) for x, y in pairs)


@given(TREES)
def test_taken_apart_and_put_together(tree: object) -> None:
    state = fill(tree)
    assert same(unflatten(flatten(state), tree), state)
    assert same(from_tensors(to_tensors(state), skeleton(state)), state)
    assert list(to_tensors(state)) == names(state)


def test_names_are_places_in_the_tree() -> None:
    a, b = torch.zeros(1), torch.ones(1)
    assert to_tensors((a, ((), b))) == {"0": a, "1.1": b}
    assert names(a) == [""]


@pytest.mark.parametrize("net", [SequenceModel(TCN(1, [2, 3], 3), 2), LSTM(1, 3, layers=2)])
def test_rows_of_a_net(net: torch.nn.Module) -> None:
    x = torch.randn(4, 1, 9, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        state = net.step(x)[1]
        rows = torch.tensor([3, 1])
        changed = clone(state)
        put_rows(changed, rows, take_rows(state, torch.tensor([0, 1])))
        expected = net.step(x[[0, 1, 2, 0]])[1]
        assert same(changed, expected)


def test_what_does_not_fit_is_refused() -> None:
    state = (torch.zeros(3, 2), ())
    with pytest.raises(ValueError, match="another arrangement"):
        check_fits((torch.zeros(3, 2),), state, rows=3)
    with pytest.raises(ValueError, match=r"shape \(3, 1\) at '0', expected .* \(3, 2\)"):
        check_fits((torch.zeros(3, 1), ()), state, rows=3)
    with pytest.raises(ValueError, match="1 for a state of 2"):
        unflatten([torch.zeros(1)], (None, None))
    with pytest.raises(ValueError, match=r"missing \['1'\], unknown \['2'\]"):
        from_tensors({"0": torch.zeros(1), "2": torch.zeros(1)}, (None, None))
    with pytest.raises(TypeError, match="a list is neither"):
        skeleton(([torch.zeros(1)],))
    for function in (skeleton, flatten, to_tensors, clone):
        with pytest.raises(TypeError, match="a NoneType is neither a tensor nor a tuple"):
            function((torch.zeros(1), None))


@pytest.mark.parametrize(
    "rows",
    [
        [0, 2],
        (0, 2),
        range(0, 3, 2),
        torch.tensor([0, 2]),
        torch.tensor([True, False, True]),
        np.array([0, 2]),
        np.array([True, False, True]),
        [np.int64(0), np.int32(2)],
    ],
)
def test_rows_in_every_form(rows: object) -> None:
    assert row_indices(rows, 3).tolist() == [0, 2]
    for row in (1, torch.tensor(1), np.int64(1), np.array(1)):
        assert row_indices(row, 3).tolist() == [1]


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([0, 3], ValueError, "rows run from 0 to 2"),
        ([-1], ValueError, "rows run from 0 to 2"),
        ([1, 1], ValueError, "names a row twice"),
        ([], ValueError, "none named"),
        ([0.5], TypeError, "integers"),
        ([True, False, True], TypeError, "integers from 0, or by a mask: a bool tensor"),
        (np.array([0.0]), TypeError, "integers"),
        ("1", TypeError, "rows: '1'; rows are named by integers"),
        (slice(0, 1), TypeError, r"rows: slice\(0, 1, None\); rows are named by integers"),
        (torch.tensor([[1]]), ValueError, r"rows: of shape \(1, 1\); expected one axis"),
        (torch.tensor([True]), ValueError, r"expected one bool per row, shape \(3,\)"),
    ],
)
def test_wrong_rows(rows: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        row_indices(rows, 3)
