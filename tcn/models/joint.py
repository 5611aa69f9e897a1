"""A backbone with a joint output: all keys of a chord together, see :mod:`tcn.outputs.joint`."""

from __future__ import annotations

from tcn.layers import SequenceModule
from tcn.models.sequence import SequenceModel
from tcn.outputs import NADE
from tcn.saving.description import recorded


class JointModel(SequenceModel):
    """``backbone -> head -> NADE``: at every step a distribution over whole vectors of 0 and 1.

    Maps ``(batch, in_channels, time)`` to raw numbers ``(batch, keys + hidden, time)``, which
    ``net.output`` reads: :meth:`NADE.loss`, :meth:`NADE.sample`. To compose:
    ``generate(net, prompt, steps, output=net.output)``.
    """

    @recorded
    def __init__(
        self, backbone: SequenceModule, keys: int, *, hidden: int = 100, dropout: float = 0.0
    ) -> None:
        """Puts a joint output on a backbone.

        Args:
            backbone: a :class:`TCN`, :class:`LSTM`, ... with ``in_channels`` and ``out_channels``.
            keys: values of a vector, such as the 88 keys of a piano.
            hidden: units of the output that carry from key to key.
            dropout: share of these units dropped in training.

        Raises:
            TypeError: if the backbone is not a :class:`tcn.layers.SequenceModule`.
            ValueError: if a size is below 1 or ``dropout`` not in [0, 1).
        """
        nade = NADE(keys, hidden, dropout=dropout)
        super().__init__(backbone, nade.size)
        self.nade = nade  # under this name its weights have always been saved
        self.keys = keys

    @property
    def output(self) -> NADE:
        """What the raw numbers of a step mean."""
        return self.nade
