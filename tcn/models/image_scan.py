"""Images read by nets for sequences."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from tcn.layers import SequenceModule
from tcn.saving.description import recorded

Order = Literal["rows", "pixels"]


class ImageScan(nn.Module):
    """A net for sequences that reads an image from its top left to its bottom right.

    ::

        by rows:   step t is the row t          (batch, channels, H, W) -> (batch, channels * W, H)
        by pixels: step t is a single pixel     (batch, channels, H, W) -> (batch, channels, H * W)

    By pixels this is the sequential MNIST of Le et al. 2015, arXiv:1504.00941, section 4.3; by rows
    a step sees a whole line and the sequence is as short as the image is high. The result is what
    the net returns, such as ``(batch, classes)`` behind ``readout="last"``.

    ::

        net = ImageScan(SequenceModel(TCN(28, [64] * 3, 3), 10, readout="last"), "rows")
        logits = net(torch.randn(8, 1, 28, 28))
    """

    @recorded
    def __init__(self, net: SequenceModule, order: Order = "rows") -> None:
        """Wraps a net.

        Args:
            net: for sequences, with as many input channels as a step has numbers.
            order: ``"rows"`` or ``"pixels"``.

        Raises:
            TypeError: if ``net`` is not a net for sequences.
            ValueError: if it is one for images, or the order has another name.
        """
        super().__init__()
        if not isinstance(net, SequenceModule):
            raise TypeError(
                f"net: {type(net).__name__} is not a SequenceModule; give a net such as "
                "SequenceModel(TCN(28, [64] * 3, 3), 10, readout='last')"
            )
        if net.ndim != 1:
            raise ValueError(
                f"net: {type(net).__name__} has ndim={net.ndim} and reads images itself; use it as "
                "it is, or build it with ndim=1"
            )
        if order not in get_args(Order):
            raise ValueError(f"order: {order!r} is none of {', '.join(get_args(Order))}")
        self.net = net
        self.order = order
        self.out_channels = net.out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Reads ``(batch, channels, height, width)``.

        Raises:
            ValueError: if ``x`` has other axes, or a step other channels than the net reads.
        """
        if x.dim() != 4:
            raise ValueError(
                f"x: shape {tuple(x.shape)}; expected (batch, channels, height, width)"
            )
        steps = x.flatten(2) if self.order == "pixels" else x.transpose(2, 3).flatten(1, 2)
        wanted = getattr(self.net, "in_channels", steps.shape[1])
        if steps.shape[1] != wanted:
            raise ValueError(
                f"x: shape {tuple(x.shape)} has {steps.shape[1]} numbers a step in the order of "
                f"{self.order}, but the net reads {wanted}; build it with "
                f"in_channels={steps.shape[1]}"
            )
        return self.net(steps)
