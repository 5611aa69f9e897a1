"""How well a layer predicts recorded cells, beside how well the recordings predict themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from tcn.explain.dissimilarity import Array, as_array, check_one_of
from tcn.extras import need
from tcn.layers.validation import check_positive

METHODS = ("pls", "ridge")
KEY = "recordings"
PENALTIES = np.logspace(-2, 6, 17)
"""Of ridge regression on standardized features; each site gets its best, by leave-one-out."""


class Predictivity(NamedTuple):
    """How well features predict the responses of recording sites to stimuli not fitted to.

    Attributes:
        median: of ``sites``: the figure that is usually reported.
        sites: ``(sites,)``, ``raw`` divided by the square root of ``reliability``; NaN where a site
            is not reliable at all.
        raw: ``(sites,)``, Pearson's r of predictions and mean responses, the mean over the folds.
        reliability: ``(sites,)``, of the mean over all trials: correlation of random halves of the
            trials, by Spearman's and Brown's formula; 1 where there is one trial.
    """

    median: float
    sites: Array
    raw: Array
    reliability: Array


def predictivity(
    features: ArrayLike | Tensor,
    recordings: ArrayLike | Tensor | str | Path,
    *,
    method: str = "pls",
    components: int = 25,
    folds: int = 10,
    halves: int = 20,
    seed: int = 0,
) -> Predictivity:
    """Predicts each recording site from the features of a layer, with cross-validation.

    Args:
        features: ``(stimuli, features)``, such as :func:`tcn.explain.patterns` gives; axes behind
            the first are taken for one.
        recordings: responses, ``(trials, stimuli, sites)``, or ``(stimuli, sites)`` where there is
            one trial or only the mean, which is then taken for free of noise. Or the path of a
            ``.npy`` file of one, or of a ``.npz`` file that holds it as ``recordings``.
        method: ``"pls"``, partial least squares, or ``"ridge"``, with the best penalty of each
            site. Features are standardized in both.
        components: of partial least squares.
        folds: parts of the stimuli, drawn at random, each predicted from the others.
        halves: random halvings of the trials that the reliability is averaged over.
        seed: of the folds and the halves.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: arrays do not fit each other or are not finite, there are too few stimuli for
            the folds or the components, or a site answers all stimuli of a fold alike.

    Source: Yamins & DiCarlo 2016, box 2; Schrimpf et al. 2018, section 2 (25 components, ten folds,
    median over sites).

    ::

        features, trials = torch.randn(60, 8), torch.randn(4, 60, 5)
        predictivity(features, trials + features[:, :5], method="ridge", folds=3).median  # near 1
    """
    need("tcn.explain", "explain", "sklearn")
    from sklearn.model_selection import KFold

    check_one_of("method", method, METHODS)
    check_positive("components", [components])
    check_positive("halves", [halves])
    x, trials = _checked(features, recordings, folds)
    if method == "pls":
        _check_components(components, x, folds)
    mean = trials.mean(0)
    found = []
    for train, test in KFold(folds, shuffle=True, random_state=seed).split(x):
        fitted = _regression(method, components).fit(x[train], mean[train])
        predicted = fitted.predict(x[test]).reshape(len(test), -1)
        found.append(_correlation(predicted, mean[test]))
    raw = np.mean(found, axis=0)
    reliability = split_half_reliability(trials, halves=halves, seed=seed)
    if (reliability <= 0).all():
        raise ValueError("recordings: no site answers alike twice; give more trials or other sites")
    root = np.sqrt(np.where(reliability > 0, reliability, np.nan))
    sites = raw / root
    return Predictivity(float(np.nanmedian(sites)), sites, raw, reliability)


def split_half_reliability(trials: ArrayLike | Tensor, *, halves: int = 20, seed: int = 0) -> Array:
    """How well the mean over all trials would correlate with that of as many new trials.

    Args:
        trials: ``(trials, stimuli, sites)``.
        halves: random halvings of the trials, averaged.
        seed: of the halvings.

    Returns:
        ``(sites,)``: ``2 r / (1 + r)`` of the correlation ``r`` of two halves, a little more where
        an odd number of trials leaves one out of both; 1 for one trial.

    Raises:
        ValueError: the trials have other axes.

    Source: Spearman 1910, Brown 1910; Schrimpf et al. 2018, section 2.

    ::

        split_half_reliability(np.random.randn(1, 9, 3) + np.zeros((4, 1, 1)))  # 1, 1, 1
    """
    given = as_array(trials)
    if given.ndim != 3:
        raise ValueError(f"trials: shape {given.shape}; give (trials, stimuli, sites)")
    count = len(given)
    if count < 2:
        return np.ones(given.shape[2])
    draw = np.random.default_rng(seed)
    r = np.zeros(given.shape[2])
    for _ in range(halves):
        order = draw.permutation(count)
        one, other = given[order[: count // 2]], given[order[count // 2 : count // 2 * 2]]
        r += _correlation(one.mean(0), other.mean(0)) / halves
    times = count / (count // 2)
    return times * r / (1 + (times - 1) * r)


def load_recordings(path: str | Path) -> Array:
    """Reads responses from a file.

    Args:
        path: a ``.npy`` file, or a ``.npz`` file that holds an array ``recordings``.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not such a file, or holds no such array.

    ::

        np.savez("cells.npz", recordings=np.random.randn(4, 60, 5))
        load_recordings("cells.npz").shape  # (4, 60, 5)
    """
    try:
        found: Any = np.load(path, allow_pickle=False)
        if isinstance(found, np.lib.npyio.NpzFile):
            with found:
                found = found[KEY]
    except KeyError as error:
        raise ValueError(f"recordings: {path} holds no array named {KEY!r}; save it so") from error
    except FileNotFoundError:
        raise
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"recordings: {path} is not a .npy or .npz file of numbers ({error}); write it with "
            f"np.savez(path, {KEY}=array)"
        ) from error
    return np.asarray(found)


def _checked(features: Any, recordings: Any, folds: int) -> tuple[Array, Array]:
    """Float64 ``(stimuli, features)`` and ``(trials, stimuli, sites)``."""
    if isinstance(recordings, str | Path):
        recordings = load_recordings(recordings)
    x = as_array(features)
    trials = as_array(recordings)
    trials = trials[None] if trials.ndim == 2 else trials
    if x.ndim < 2:
        raise ValueError(f"features: shape {x.shape}; give (stimuli, features)")
    if trials.ndim != 3 or trials.shape[1] != len(x) or 0 in trials.shape:
        raise ValueError(
            f"recordings: shape {np.shape(recordings)} for {len(x)} stimuli; give (trials, "
            "stimuli, sites) or (stimuli, sites)"
        )
    for name, array in (("features", x), ("recordings", trials)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: holds NaN or infinity; leave such stimuli or sites out")
    check_positive("folds", [folds])
    if folds < 2 or len(x) < 3 * folds:
        raise ValueError(
            f"folds: {folds} of {len(x)} stimuli; give 2 or more, with three stimuli each"
        )
    return x.reshape(len(x), -1), trials


def _check_components(components: int, x: Array, folds: int) -> None:
    most = min(x.shape[1], len(x) - -(-len(x) // folds))
    if components > most:
        raise ValueError(
            f"components: {components}, with {x.shape[1]} features and {len(x)} stimuli in {folds} "
            f"folds at most {most}"
        )


def _regression(method: str, components: int) -> Any:
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if method == "pls":
        return PLSRegression(components)
    return make_pipeline(StandardScaler(), RidgeCV(PENALTIES, alpha_per_target=True))


def _correlation(one: Array, other: Array) -> Array:
    """Pearson's r of each column."""
    a, b = one - one.mean(0), other - other.mean(0)
    spread = np.sqrt((a * a).sum(0) * (b * b).sum(0))
    if (flat := np.flatnonzero(spread == 0)).size:
        raise ValueError(
            f"recordings: site {flat[0]} answers all stimuli of a part alike, or is predicted to; "
            "leave it out, or give fewer folds"
        )
    found: Array = (a * b).sum(0) / spread
    return found
