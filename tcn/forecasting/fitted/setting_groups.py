"""What can be set before there is data, by what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sklearn.base import BaseEstimator

from tcn.forecasting.frames.columns import Columns
from tcn.layers import SequenceModule


@dataclass(eq=False, repr=False, kw_only=True)
class ColumnSettings(BaseEstimator):
    """Which column of a frame is what.

    Attributes:
        futr_exog_list: columns known for the future too.
        hist_exog_list: columns known for the past alone.
        stat_exog_list: columns of the static frame that are numbers.
        categorical_list: columns of the static frame that name categories.
        id_col: name of the column of series.
        time_col: name of the column of times.
        target_col: name of the column to forecast, or several for a multivariate forecast.
    """

    futr_exog_list: Sequence[str] = ()
    hist_exog_list: Sequence[str] = ()
    stat_exog_list: Sequence[str] = ()
    categorical_list: Sequence[str] = ()
    id_col: str = "unique_id"
    time_col: str = "ds"
    target_col: str | Sequence[str] = "y"

    @property
    def columns(self) -> Columns:
        """Names and roles of the columns."""
        target = self.target_col
        return Columns(
            id=self.id_col,
            time=self.time_col,
            target=(target,) if isinstance(target, str) else tuple(target),
            futr=tuple(self.futr_exog_list),
            hist=tuple(self.hist_exog_list),
            stat=(*self.stat_exog_list, *self.categorical_list),
            categorical=tuple(self.categorical_list),
        )


@dataclass(eq=False, repr=False, kw_only=True)
class NetSettings(BaseEstimator):
    """The net.

    Attributes:
        model: ``"tcn"`` (residual, dilated, causal), ``"lstm"``, ``"gru"``,
            ``"large_kernel"`` (:class:`tcn.models.LargeKernel`), or a net of
            :mod:`tcn.models`, of which a copy is trained.
        width: channels of every level, or hidden width of a recurrent net.
        layers: levels; None: for a TCN as many as see the whole look-back, otherwise one.
        kernel_size: taps of the TCN's convolutions.
        dropout: share of values dropped in training.
        skip: ``"linear"`` map of the look-back, that of ``hist_exog_list`` included, ``"last"``
            value or ``"none"``: what the net's answer is added to.
    """

    model: str | SequenceModule = "tcn"
    width: int = 16
    layers: int | None = None
    kernel_size: int = 3
    dropout: float = 0.2
    skip: str = "linear"


@dataclass(eq=False, repr=False, kw_only=True)
class TrainingSettings(BaseEstimator):
    """How it is trained, and where.

    Attributes:
        max_steps: optimizer steps.
        batch_size: windows per step.
        learning_rate: at the start; it falls to 0 along a cosine.
        weight_decay: of AdamW.
        early_stop_patience_steps: validations without improvement after which training ends;
            None: never. Without it, too, the weights of the best validation are kept.
        val_check_steps: steps from one validation to the next.
        accelerator: see ``pytorch_lightning.Trainer``.
        progress: whether a bar is shown in training.
        seed: of everything random.
    """

    max_steps: int = 1000
    batch_size: int = 128
    learning_rate: float = 5e-3
    weight_decay: float = 0.0
    early_stop_patience_steps: int | None = None
    val_check_steps: int = 100
    accelerator: str = "auto"
    progress: bool = False
    seed: int = 1
