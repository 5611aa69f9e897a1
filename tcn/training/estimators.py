"""Nets in scikit-learn's shape: ``fit``, ``predict``, ``score``, pipelines, searches.

::

    classifier = Classifier(max_steps=200, random_state=0).fit(X, y)  # X: (series, channel, time)
    classifier.predict_proba(X).shape  # (series, classes)

A whole series has one label, or one target. Series may be of different lengths: a list of arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state
from torch import Tensor, nn

from tcn.layers.validation import check_positive, check_probability
from tcn.models import GRU, LSTM, TCN, SequenceModel
from tcn.models.tcn import levels_for
from tcn.outputs.checks import check_number
from tcn.training.reproducibility import seeded
from tcn.training.series import Series, read_series, read_targets
from tcn.training.series_training import BATCH, train

MODELS = ("tcn", "lstm", "gru")
KERNEL_SIZE = 5
MOST_LEVELS = 6


class SeriesEstimator(BaseEstimator):
    """What both share: the net of a kind and size, its training, its answers.

    Attributes:
        net_: the trained net, whose inputs are scaled.
        scaling_: mean and deviation of every channel in training.
        channels_: how many there are.
        two_axes_: whether ``X`` was ``(series, time)`` in training; then as many steps are wanted
            ever after.
        n_features_in_: steps of a series where it was, otherwise channels.
        n_iter_: optimizer steps.
    """

    net_: SequenceModel

    def __init__(
        self,
        model: str = "tcn",
        *,
        width: int = 32,
        layers: int | None = None,
        dropout: float = 0.1,
        max_steps: int = 400,
        learning_rate: float = 3e-3,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        """Settings; nothing is computed.

        Args:
            model: ``"tcn"``, not causal and averaged over time, or ``"lstm"``, ``"gru"``, whose
                last step answers.
            width: channels of every layer.
            layers: of a TCN levels, each of which doubles the dilation; None: as many as its
                receptive field needs to span the longest series, up to six. Of LSTM and GRU the
                layers; None: one.
            dropout: share of values dropped in training.
            max_steps: of the optimizer (AdamW, one cycle), with 32 series each.
            learning_rate: the highest of the cycle.
            random_state: of weights, order and dropout; a number makes ``fit`` repeat itself.
        """
        self.model = model
        self.width = width
        self.layers = layers
        self.dropout = dropout
        self.max_steps = max_steps
        self.learning_rate = learning_rate
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.non_deterministic = self.random_state is None
        return tags

    def _check(self) -> None:
        if not isinstance(self.model, str):
            raise TypeError(
                f"model: a {type(self.model).__name__} is not a name, one of {', '.join(MODELS)}; "
                "a net of your own is trained by tcn.training.Classification or Regression"
            )
        if self.model not in MODELS:
            raise ValueError(f"model: {self.model!r} is not one of {', '.join(MODELS)}")
        check_positive("width", [self.width])
        check_positive("max_steps", [self.max_steps])
        check_probability("dropout", self.dropout)
        if self.layers is not None:
            check_positive("layers", [self.layers])
        check_number("learning_rate", self.learning_rate, above=0)

    @contextmanager
    def _all_or_none(self) -> Iterator[None]:
        """Stays what it was where a fit fails."""
        before = dict(vars(self))
        try:
            self._check()
            yield
        except BaseException:
            self.__dict__ = before
            raise

    def _fit(self, series: Series, targets: Tensor, out: int, loss: nn.Module) -> None:
        """Scales, builds and trains; the global random state stays as it is."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.scaling_, self.channels_ = series.scaling(), series.channels
        with seeded(seed), torch.inference_mode(False), torch.enable_grad():
            net = self._build(series.channels, series.longest, out).float()
            train(net, series, self.scaling_, targets, loss,
                   steps=int(self.max_steps), rate=float(self.learning_rate))  # fmt: skip
        self.net_ = net.eval()
        self.n_iter_ = int(self.max_steps)

    def _build(self, channels: int, longest: int, out: int) -> SequenceModel:
        if self.model == "tcn":
            levels = self.layers or min(levels_for(longest, KERNEL_SIZE), MOST_LEVELS)
            backbone: Any = TCN(channels, [self.width] * levels, KERNEL_SIZE, causal=False,
                                norm="layer", dropout=self.dropout)  # fmt: skip
            return SequenceModel(backbone, out, readout="mean")
        kind = LSTM if self.model == "lstm" else GRU
        backbone = kind(channels, self.width, self.layers or 1, dropout=self.dropout)
        return SequenceModel(backbone, out, readout="last")

    def _answers(self, X: Any) -> NDArray[np.float64]:
        """What the net says of every series, ``(series, numbers)``."""
        check_is_fitted(self)
        values = read_series(self, X, reset=False).values
        starts = range(0, len(values), 8 * BATCH)
        with torch.no_grad():
            parts = [
                self.net_(*self.scaling_.batch(values[start : start + 8 * BATCH]))
                for start in starts
            ]
        found: NDArray[np.float64] = torch.cat(parts).double().numpy()
        return found


class Classifier(ClassifierMixin, SeriesEstimator):
    """Classifies whole series.

    As it comes, means of three seeds on the test parts of the UCR and UEA archives: JapaneseVowels
    98.3 %, BasicMotions and GunPoint 100 %; 4 to 31 seconds each on one thread of a busy machine.
    Width and steps were chosen on the training parts alone.

    ::

        X = np.random.randn(20, 1, 50)  # (series, channel, time); (series, time); or a list
        y = np.where(X.mean((1, 2)) > 0, "up", "down")
        Classifier(max_steps=50, random_state=0).fit(X, y).predict(X)

    Attributes:
        classes_: the labels, sorted.
    """

    def __init__(
        self,
        model: str = "tcn",
        *,
        width: int = 32,
        layers: int | None = None,
        dropout: float = 0.1,
        max_steps: int = 400,
        learning_rate: float = 3e-3,
        class_weight: str | dict[Any, float] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        """Settings; nothing is computed.

        Those of :class:`SeriesEstimator`, and ``class_weight``: weights of the classes in the loss,
        by label; with ``"balanced"`` rare ones weigh as much in all as frequent ones.
        """
        super().__init__(
            model, width=width, layers=layers, dropout=dropout, max_steps=max_steps,
            learning_rate=learning_rate, random_state=random_state,
        )  # fmt: skip
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on labeled series.

        Args:
            X: ``(series, time)``, ``(series, channel, time)``, or a list of ``(time,)`` or
                ``(channel, time)`` arrays of any lengths.
            y: ``(series,)`` labels of any type.

        Returns:
            The classifier.

        Raises:
            TypeError, ValueError: a setting or a shape does not fit, a value is NaN or infinite,
                or all labels are the same.
        """
        with self._all_or_none():
            series = read_series(self, X, reset=True)
            y = read_targets(series, y, numeric=False)
            check_classification_targets(y)
            self.classes_, labels = np.unique(y, return_inverse=True)
            if len(self.classes_) < 2:
                raise ValueError(
                    f"y: one class, {self.classes_.tolist()[0]!r}; a classifier needs series of "
                    "two or more"
                )
            loss = nn.CrossEntropyLoss(self._weights(y))
            self._fit(series, torch.from_numpy(labels), len(self.classes_), loss)
        return self

    def _weights(self, y: NDArray[Any]) -> Tensor | None:
        if self.class_weight is None:
            return None
        weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            raise ValueError(
                f"class_weight: {self.class_weight!r} gives weights of {weights.tolist()}; give "
                "finite numbers of at least 0, not all of them 0"
            )
        return torch.from_numpy(weights).float()

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities ``(series, classes)`` in the order of ``classes_``."""
        return F.softmax(torch.from_numpy(self._answers(X)), 1).numpy()

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable label of every series, ``(series,)``."""
        best = self._answers(X).argmax(1)
        found: NDArray[Any] = self.classes_[best]
        return found


class Regressor(RegressorMixin, SeriesEstimator):
    """Predicts a number, or several, of whole series.

    ::

        X = np.random.randn(20, 1, 50)
        Regressor(max_steps=50, random_state=0).fit(X, X.mean((1, 2))).predict(X)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Trains on series and their numbers.

        Args:
            X: see :meth:`Classifier.fit`.
            y: ``(series,)`` or ``(series, targets)``.

        Returns:
            The regressor.

        Raises:
            TypeError, ValueError: a setting or a shape does not fit, or a value is NaN or infinite.
        """
        with self._all_or_none():
            series = read_series(self, X, reset=True)
            y = read_targets(series, y, numeric=True)
            self._flat = y.ndim == 1
            targets = y.reshape(len(y), -1)
            self.target_location_ = targets.mean(0)
            spread = targets.std(0)
            self.target_scale_ = np.where(spread > 0, spread, 1.0)
            scaled = (targets - self.target_location_) / self.target_scale_
            self._fit(series, torch.from_numpy(scaled).float(), targets.shape[1], nn.MSELoss())
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The numbers of every series, shaped as ``y`` was."""
        found = self._answers(X) * self.target_scale_ + self.target_location_
        return found[:, 0] if self._flat else found
