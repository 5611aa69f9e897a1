"""What layers return for whole data sets, as rows, and how dissimilar every two of them are."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from tcn.explain.inputs import Data, batches
from tcn.explain.layers import check_layers, evaluate, recording
from tcn.extras import need
from tcn.layers.validation import check_positive

Array = NDArray[Any]

DISSIMILARITIES = ("correlation", "euclidean")


def dissimilarities(
    net: nn.Module,
    data: Data,
    layers: Sequence[str],
    *,
    method: str = "correlation",
    batch_size: int = 16,
) -> dict[str, Array]:
    """The dissimilarity of every two examples of a data set, in every layer.

    What the layers return is put aside in temporary files, batch by batch, and read back one layer
    at a time: memory holds the activations of one batch, and the patterns of one layer.

    Args:
        net: any module.
        data: see :data:`tcn.explain.inputs.Data`; each example is a condition.
        layers: see :func:`tcn.explain.activations`.
        method: ``"correlation"``, one minus Pearson's r of two patterns, or ``"euclidean"``, the
            squared distance per unit of the pattern.
        batch_size: of data that are not in batches yet.

    Returns:
        Float64 ``(conditions, conditions)`` by layer, symmetric, 0 on the diagonal.

    Raises:
        ValueError: there is no such layer or method, there are fewer than two conditions, the
            examples have different sizes, or a pattern is constant, which correlates with nothing.

    Source: Kriegeskorte, Mur & Bandettini 2008; computed by ``rsatoolbox.rdm.calc_rdm``.

    ::

        net = TCN(1, [8, 8], kernel_size=3)
        found = dissimilarities(net, torch.randn(5, 1, 20), ["levels.0", "levels.1"])
        found["levels.1"].shape  # (5, 5)
    """
    check_one_of("method", method, DISSIMILARITIES)
    with _stored_patterns(net, data, layers, batch_size) as stored:
        return {
            layer: dissimilarities_of(read(), method=method, name=layer)
            for layer, read in stored.items()
        }


def patterns(
    net: nn.Module, data: Data, layers: Sequence[str], *, batch_size: int = 16
) -> dict[str, Array]:
    """What layers return for each example, as one row each.

    Returns:
        Float32 ``(examples, units)`` by layer, all axes behind the batch in one.

    Raises:
        ValueError: there is no such layer, or the examples have different sizes.

    ::

        net = TCN(1, [8, 8], kernel_size=3)
        patterns(net, torch.randn(5, 1, 20), ["levels.0"])["levels.0"].shape  # (5, 160)
    """
    with _stored_patterns(net, data, layers, batch_size) as stored:
        return {layer: read() for layer, read in stored.items()}


def dissimilarities_of(
    rows: ArrayLike | Tensor, *, method: str = "correlation", name: str = "rows"
) -> Array:
    """The dissimilarity of every two rows: of pixels, recordings, or patterns of a layer.

    Args:
        rows: ``(conditions, ...)``; axes behind the first are taken for one.
        method: see :func:`dissimilarities`.
        name: of what they are, for errors.

    Returns:
        Float64 ``(conditions, conditions)``.

    Raises:
        ValueError: as :func:`dissimilarities`.

    ::

        dissimilarities_of([[1, 2, 3], [2, 4, 6], [3, 2, 1]])[0]  # 0, 0, 2
    """
    need("tcn.explain", "explain", "rsatoolbox")
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import calc_rdm

    check_one_of("method", method, DISSIMILARITIES)
    table = as_array(rows)
    if table.ndim < 2 or len(table) < 2:
        raise ValueError(f"{name}: shape {table.shape}; give at least two conditions (rows)")
    table = table.reshape(len(table), -1)
    if not np.isfinite(table).all():
        raise ValueError(f"{name}: holds NaN or infinity; check the inputs and the weights")
    constant = np.flatnonzero(np.ptp(table, axis=1) == 0)
    if method == "correlation" and len(constant):
        raise ValueError(
            f"{name}: the pattern of condition {constant[0]} is constant and correlates with "
            'nothing; use method="euclidean" or leave the layer out'
        )
    rdms: Any = calc_rdm(Dataset(table), method=method)
    found: Array = rdms.get_matrices()[0]
    return found


@contextmanager
def _stored_patterns(
    net: nn.Module, data: Data, layers: Sequence[str], batch_size: int
) -> Iterator[dict[str, Callable[[], Array]]]:
    """The patterns of each layer in a file of its own, and how to read it."""
    check_positive("batch_size", [batch_size])
    if isinstance(layers, str) or not layers:
        raise ValueError(f"layers: {layers!r}; give a list with at least one name")
    check_layers(net, layers)
    widths: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="tcn-patterns-") as folder:
        paths = {layer: Path(folder) / f"{i}.float32" for i, layer in enumerate(layers)}
        with recording(net, layers) as record, torch.no_grad():
            for x in batches(data, batch_size):
                evaluate(net, x)
                for layer, y in record.take().items():
                    rows = _rows(layer, y, len(x))
                    if widths.setdefault(layer, rows.shape[1]) != rows.shape[1]:
                        raise ValueError(
                            f"data: {layer!r} returns {rows.shape[1]} numbers for an example, "
                            f"{widths[layer]} before; give examples of one size"
                        )
                    with paths[layer].open("ab") as file:
                        file.write(rows.tobytes())
        yield {
            layer: lambda layer=layer: np.fromfile(paths[layer], np.float32).reshape(  # type: ignore[misc]
                -1, widths[layer]
            )
            for layer in layers
        }


def _rows(layer: str, y: Tensor, examples: int) -> Array:
    if y.dim() < 2 or len(y) != examples:
        raise ValueError(
            f"layer: {layer!r} returns {tuple(y.shape)} for {examples} examples; choose a layer "
            "that returns (batch, units, ...)"
        )
    return np.ascontiguousarray(y.detach().flatten(1).float().cpu().numpy())


def as_array(values: ArrayLike | Tensor) -> Array:
    """Numbers or a tensor, wherever it is, as float64."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64)


def check_one_of(name: str, value: str, known: Sequence[str]) -> None:
    """Refuses a name that is not known.

    Raises:
        ValueError: naming those that are.
    """
    if value not in known:
        raise ValueError(f"{name}: {value!r} is not known; give one of {', '.join(known)}")
