"""A net behind the features of sound: samples in, what the net returns out."""

from __future__ import annotations

from torch import Tensor

from tcn.layers import BatchNorm, Chain, Context, MelSpectrogram, SequenceModule, SpecAugment, State
from tcn.layers.module import Pointwise
from tcn.saving.description import recorded


class SoundModel(Chain):
    """``sound -> features -> batch norm -> SpecAugment, in training -> net``.

    Maps ``(batch, 1, time)`` samples to what the net returns. The net is one for sequences with a
    channel for each feature, or one for images of one channel, which sees features as their height.
    If features and net are causal, sound streams through in blocks of any length.

    ::

        mels = MelSpectrogram(8000, 40, window_size=200, hop=80)
        net = SoundModel(SequenceModel(TCN(40, [32] * 4, 3), 10, readout="mean"), features=mels)
        net(torch.randn(2, 1, 8000)).shape  # (2, 10)
    """

    @recorded
    def __init__(
        self,
        net: SequenceModule,
        *,
        features: MelSpectrogram,
        spec_augment: SpecAugment | None = None,
    ) -> None:
        """Puts the parts together.

        Args:
            net: the net.
            features: what is made of samples.
            spec_augment: what is left out of the features in training.

        Raises:
            TypeError: if a part is of another class.
            ValueError: if the net takes another number of channels than there are features, or as a
                net for images other than one.
        """
        if not isinstance(net, SequenceModule):
            raise TypeError(f"net: {type(net).__name__} is not a SequenceModule; give a net of tcn")
        if not isinstance(features, MelSpectrogram):
            raise TypeError(
                f"features: {type(features).__name__} is neither MelSpectrogram nor MFCC; give one"
            )
        if spec_augment is not None and not isinstance(spec_augment, SpecAugment):
            raise TypeError(f"spec_augment: {type(spec_augment).__name__} is not a SpecAugment")
        wanted = features.out_channels if net.ndim == 1 else 1
        if net.in_channels != wanted:
            raise ValueError(
                f"net: {type(net).__name__} takes {net.in_channels} channels; expected {wanted}, "
                + ("the number of features" if net.ndim == 1 else "of an image of features")
            )
        super().__init__(
            features=features,
            normalization=BatchNorm(features.out_channels),
            **({} if spec_augment is None else {"spec_augment": spec_augment}),
            **({} if net.ndim == 1 else {"image": AsImage()}),
            net=net,
        )
        self.ndim = 1
        self.in_channels = 1
        self.out_channels = net.out_channels

    @property
    def readout_name(self) -> str | None:
        """That of the net, if it says one."""
        return getattr(self.net, "readout_name", None)


class AsImage(Pointwise):
    """``(batch, channels, time)`` as an image of one channel, ``(batch, 1, channels, time)``."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """The same numbers."""
        return x.unsqueeze(1)

    def context_after(self, context: Context, state: State | None) -> Context:
        """A mask for each step is one for its column."""
        mask = None if context.mask is None else context.mask.unsqueeze(2)
        return context._replace(mask=mask)
