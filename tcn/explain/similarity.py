"""How alike a net and a brain find pairs of inputs: dissimilarities, compared by rsatoolbox.

A row of patterns is what a layer returns for one condition, such as a picture. The dissimilarities
of all pairs of conditions have the same shape for every layer, net, person and species, which is
what makes them comparable (Kriegeskorte et al. 2008; Khaligh-Razavi & Kriegeskorte 2014).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tcn.explain.dissimilarity import Array, as_array, check_one_of
from tcn.extras import need
from tcn.layers.validation import check_positive

COMPARISONS = ("tau-a", "spearman", "rho-a", "corr", "cosine", "corr_cov", "cosine_cov")
OVER = ("both", "conditions", "subjects")


class Comparison(NamedTuple):
    """How well dissimilarities of models agree with those of brains.

    Attributes:
        names: of the models.
        values: ``(models,)``, the agreement with each subject, averaged over these.
        errors: ``(models,)``, standard errors by bootstrap; NaN without one.
        ceiling: the least and the most that the best model of these brains would reach. Below:
            each subject compared with the mean of the others; above: with the mean of all.
        method: how two matrices are compared.
    """

    names: tuple[str, ...]
    values: Array
    errors: Array
    ceiling: tuple[float, float]
    method: str

    @property
    def best(self) -> str:
        """The name of the model that agrees most."""
        return self.names[int(self.values.argmax())]


def compare(
    models: Mapping[str, ArrayLike],
    brains: ArrayLike,
    *,
    method: str = "tau-a",
    subjects: Sequence[Hashable] | None = None,
    bootstrap: int = 0,
    over: str = "both",
    seed: int = 0,
) -> Comparison:
    """Compares dissimilarities of models with those of brains.

    Args:
        models: ``(conditions, conditions)`` by name.
        brains: ``(matrices, conditions, conditions)``, or one without the first axis.
        method: of ``rsatoolbox.rdm.compare``: ``"tau-a"`` (Kendall's, right where a model has
            ties), ``"spearman"``, ``"rho-a"``, ``"corr"``, ``"cosine"``, ``"corr_cov"`` or
            ``"cosine_cov"`` (whitened).
        subjects: whose each brain matrix is; those of one subject, such as its sessions, are
            averaged first. None: each is of another.
        bootstrap: samples; 0 gives no standard errors. They take a while: about a millisecond per
            sample, model and subject for 92 conditions, three times as long over both.
        over: what is drawn anew: ``"conditions"``, ``"subjects"`` or ``"both"`` (the variances of
            three bootstraps combined, Schuett et al. 2023).
        seed: of the bootstrap; the global state of NumPy's random numbers is put back.

    Raises:
        TypeError: the models are not by name.
        ValueError: matrices do not fit each other or are not dissimilarities, a method is not
            known, or there is nothing to draw subjects from.

    Source: Nili et al. 2014 (ceiling, tau-a); Schuett et al. 2023 (bootstrap).

    ::

        one = dissimilarities_of(torch.randn(9, 20))
        compare({"itself": one}, [one, one, one]).values  # 1
    """
    need("tcn.explain", "explain", "rsatoolbox")
    from rsatoolbox.inference import boot_noise_ceiling
    from rsatoolbox.rdm import compare as agreement

    check_one_of("method", method, COMPARISONS)
    check_one_of("over", over, OVER)
    if bootstrap:
        check_positive("bootstrap", [bootstrap])
    if not isinstance(models, Mapping):
        raise TypeError(f"models: {type(models).__name__}; give dissimilarities by name, a dict")
    brain = _brain_matrices(brains, subjects)
    fixed = [_model(name, rdm, brain.n_cond) for name, rdm in models.items()]
    if not fixed:
        raise ValueError("models: none given; give dissimilarities by name")
    values = [np.mean(agreement(model.rdm_obj, brain, method)) for model in fixed]
    several = brain.n_rdm > 1
    with _quietly():
        ceiling = boot_noise_ceiling(brain, method) if several else (np.nan, np.nan)
    errors = np.full(len(fixed), np.nan)
    if bootstrap:
        if not several and over != "conditions":
            raise ValueError(f'over: {over!r} with one subject; use over="conditions"')
        errors = _standard_errors(fixed, brain, method, bootstrap, over, seed)
    limits = (float(ceiling[0]), float(ceiling[1]))
    return Comparison(tuple(models), np.array(values), errors, limits, method)


def arrangement(rdm: ArrayLike, *, axes: int = 2) -> Array:
    """Points whose distances are as like the dissimilarities as a few axes allow.

    Classical multidimensional scaling. What :func:`dissimilarities` gives are squared distances
    (one minus a correlation is half of one, between standardized patterns), and are taken for
    such; of other dissimilarities hand in the squares.

    Args:
        rdm: ``(conditions, conditions)``.
        axes: of the points.

    Returns:
        ``(conditions, axes)``, the widest axis first, centered, the largest coordinate of each
        axis positive.

    Raises:
        ValueError: ``rdm`` is not a matrix of dissimilarities, or has fewer conditions than axes.

    Source: Torgerson 1952.

    ::

        arrangement([[0, 9], [9, 0]], axes=1)  # 1.5, -1.5: three apart
    """
    check_positive("axes", [axes])
    squares = _matrices("rdm", rdm)[0]
    if axes > len(squares):
        raise ValueError(f"axes: {axes} for {len(squares)} conditions; give at most as many")
    centered = squares - squares.mean(0)
    centered = -0.5 * (centered - centered.mean(1, keepdims=True))
    values, vectors = np.linalg.eigh(centered)
    points: Array = vectors[:, ::-1][:, :axes] * np.sqrt(np.maximum(values[::-1][:axes], 0))
    largest = np.abs(points).argmax(0)
    return points * np.where(points[largest, range(axes)] < 0, -1, 1)


def _matrices(name: str, given: ArrayLike, conditions: int | None = None) -> Array:
    """Dissimilarities as ``(matrices, conditions, conditions)``, checked."""
    found = as_array(given)
    found = found[None] if found.ndim == 2 else found
    if found.ndim != 3 or found.shape[1] != found.shape[2] or found.shape[1] < 2:
        raise ValueError(
            f"{name}: shape {np.shape(given)}; give dissimilarities (conditions, conditions) of at "
            "least two conditions"
        )
    if conditions is not None and found.shape[1] != conditions:
        raise ValueError(
            f"{name}: {found.shape[1]} conditions, the brains have {conditions}; give the same ones"
        )
    if not np.isfinite(found).all() or not np.allclose(found, found.transpose(0, 2, 1)):
        raise ValueError(f"{name}: not symmetric, or not finite; give dissimilarities")
    if np.abs(np.diagonal(found, axis1=1, axis2=2)).max() > 1e-6 * np.abs(found).max():
        raise ValueError(f"{name}: the diagonal is not 0; give dissimilarities, not similarities")
    return found


def _model(name: str, given: ArrayLike, conditions: int) -> Any:
    """A model of rsatoolbox without parameters."""
    from rsatoolbox.model import ModelFixed

    return ModelFixed(name, _matrices(f"models[{name!r}]", given, conditions)[0])


def _brain_matrices(brains: ArrayLike, subjects: Sequence[Hashable] | None) -> Any:
    """Brain matrices as rsatoolbox takes them, one of each subject."""
    from rsatoolbox.rdm import RDMs

    found = _matrices("brains", brains)
    whose = list(range(len(found))) if subjects is None else list(subjects)
    if len(whose) != len(found):
        raise ValueError(f"subjects: {len(whose)} for {len(found)} brain matrices; give one each")
    theirs = [[rdm for rdm, of in zip(found, whose, strict=True) if of == each]
              for each in dict.fromkeys(whose)]  # fmt: skip
    return RDMs(np.stack([np.mean(each, axis=0) for each in theirs]))


def _standard_errors(
    models: list[Any], brain: Any, method: str, samples: int, over: str, seed: int
) -> Array:
    from rsatoolbox import inference

    with _drawn_from(seed), _quietly():
        if over == "both":
            found = inference.eval_dual_bootstrap(models, brain, method=method, N=samples)
        else:
            draw: Any = {
                "conditions": inference.eval_bootstrap_pattern,
                "subjects": inference.eval_bootstrap_rdm,
            }[over]
            found = draw(models, brain, method=method, N=samples, boot_noise_ceil=False)
    return np.atleast_1d(found.get_sem())


@contextmanager
def _quietly() -> Iterator[None]:
    """Without rsatoolbox's progress bar, and its word that ceilings of tau come from mean ranks."""
    with redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Noise ceiling for tau")
        yield


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """NumPy's global random numbers, from which rsatoolbox draws, begin at a seed inside."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
