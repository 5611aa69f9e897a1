"""How different two inputs look, or sound, to a net."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tcn.explain.layers import check_layers, evaluate, frozen, recording
from tcn.layers.validation import check_positive

TINY = 1e-8
"""Added to squared lengths: where all channels are 0 there is no direction."""

Distance = Callable[[Tensor, Tensor], Tensor]
"""Of ``(batch, ...)`` and ``(batch, ...)``, ``(batch,)``."""


class PerceptualDistance(nn.Module):
    """The distance of two inputs in the layers of a net.

    What each layer returns is a vector per position, over the channels. It is made of length 1, and
    the squares of the differences are weighted, summed over the channels, averaged over the
    positions and summed over the layers. It is 0 for equal inputs, never negative, the same both
    ways, and for inputs of any size that the net takes, over time or over images.

    The net is evaluated as in evaluation mode and left as it was; gradients reach the inputs and
    the weights alone, so that the distance is a loss as well.

    Attributes:
        net: the net.
        layers: names of the layers.
        weights: a parameter ``(channels,)`` per layer that asks for no gradients, or empty if all
            channels count 1. Who trains them keeps them from falling below 0.

    Source: Zhang et al. 2018 (The unreasonable effectiveness of deep features as a perceptual
    metric), section 3 and equation 1.

    ::

        distance = PerceptualDistance(TCN(1, [8, 8], kernel_size=3), ["levels.0", "levels.1"])
        sound = torch.randn(2, 1, 400)
        distance(sound, sound + 0.1 * torch.randn(2, 1, 400))  # (2,)
    """

    def __init__(
        self, net: nn.Module, layers: Sequence[str], *, weights: Sequence[Tensor] | None = None
    ) -> None:
        """Takes the net as it is, in the place where it is.

        Args:
            net: any module, over time or over images.
            layers: see :func:`tcn.explain.activations`.
            weights: per layer one number per channel, none negative; None for 1 each.

        Raises:
            TypeError: ``layers`` is a text, or a name in it is none.
            ValueError: there is no layer or no such layer, one is named twice, the weights are not
                one per layer, or one is negative or not finite.
        """
        super().__init__()
        if isinstance(layers, str):
            raise TypeError(f"layers: {layers!r} is one name; give a list, [{layers!r}]")
        if not layers or len(set(layers)) < len(layers):
            raise ValueError(f"layers: {list(layers)}; name at least one, and each once")
        check_layers(net, layers)
        if weights is not None and len(weights) != len(layers):
            raise ValueError(f"weights: {len(weights)} for {len(layers)} layers; give one for each")
        self.net = net
        self.layers = list(layers)
        self.weights = nn.ParameterList()
        for layer, weight in zip(layers, weights or (), strict=weights is not None):
            _check_weight(layer, weight)
            self.weights.append(nn.Parameter(weight.detach().clone(), requires_grad=False))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The distance of each pair.

        Args:
            x: ``(batch, channels, ...)``, what the net takes.
            y: of the same shape.

        Returns:
            ``(batch,)``

        Raises:
            TypeError: an input is not a tensor.
            ValueError: the shapes differ, or the net does not take them.
        """
        return torch.stack(list(self.by_layer(x, y).values())).sum(0)

    def by_layer(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """The part of each layer, ``(batch,)``; their sum is the distance. See :meth:`forward`."""
        if isinstance(x, Tensor) and isinstance(y, Tensor) and x.shape != y.shape:
            raise ValueError(
                f"y: shape {tuple(y.shape)}, but x has {tuple(x.shape)}; give pairs of equal shape"
            )
        seen = []
        with recording(self.net, self.layers) as record, frozen(self.net):
            # One after the other: the same numbers in the same places round alike.
            for each in (x, y):
                evaluate(self.net, each)
                seen.append(record.take())
        parts = {}
        for number, layer in enumerate(self.layers):
            first, second = (_directions(layer, outputs[layer], len(x)) for outputs in seen)
            weight = self.weights[number] if len(self.weights) else None
            parts[layer] = _weighted(layer, (first - second).square(), weight)
        return parts


def _directions(layer: str, output: Tensor, examples: int) -> Tensor:
    """Vectors of length 1 over the channels, in float32 at least."""
    if output.dim() < 2 or len(output) != examples:
        raise ValueError(
            f"layer: {layer!r} returns {tuple(output.shape)} for {examples} examples; choose a "
            "layer that returns (batch, channels, ...)"
        )
    output = output.to(torch.promote_types(output.dtype, torch.float32))
    return output / (output.square().sum(1, keepdim=True) + TINY).sqrt()


def _weighted(layer: str, squares: Tensor, weight: Tensor | None) -> Tensor:
    """Summed over the channels, averaged over the positions: ``(batch,)``."""
    if weight is None:
        sums = squares.sum(1)
    elif len(weight) == squares.shape[1]:
        sums = torch.einsum("c,bc...->b...", weight.to(squares), squares)
    else:
        raise ValueError(
            f"weights: {len(weight)} for {layer!r}, which has {squares.shape[1]} channels; give "
            "one per channel"
        )
    return sums.flatten(1).mean(1) if sums.dim() > 1 else sums


def _check_weight(layer: str, weight: Tensor) -> None:
    if not isinstance(weight, Tensor) or weight.dim() != 1:
        found = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise ValueError(f"weights: {found} for {layer!r}; give a tensor (channels,)")
    if not (torch.isfinite(weight).all() and (weight >= 0).all()):
        raise ValueError(
            f"weights: {float(weight.min()):g} for {layer!r}; a distance needs finite numbers of "
            "at least 0"
        )


def two_alternative(
    distance: Distance,
    reference: Tensor,
    first: Tensor,
    second: Tensor,
    judged: Tensor,
    *,
    batch_size: int = 32,
) -> float:
    """How far a distance agrees with people who said which of two inputs is nearer to a third.

    Args:
        distance: of ``(batch, ...)`` and ``(batch, ...)``, ``(batch,)``.
        reference: ``(examples, ...)``
        first: likewise.
        second: likewise.
        judged: ``(examples,)``, the share of people who found ``second`` nearer, 0 to 1.
        batch_size: examples that are compared at a time.

    Returns:
        The mean share of people who agree with the distance; where it finds both equally near, a
        half. People agree with each other less than 1, and chance is a half.

    Raises:
        TypeError: ``batch_size`` is not an integer.
        ValueError: the numbers of examples differ, there are none, or a share is out of range.

    Source: Zhang et al. 2018, section 2.2 (two alternative forced choice).

    ::

        blank = torch.zeros(2, 1, 8)
        by_pixels = lambda x, y: (x - y).square().flatten(1).mean(1)
        two_alternative(by_pixels, blank, blank + 1, blank + 2, torch.tensor([0.2, 0.4]))  # 0.7
    """
    share = _shares("judged", judged, [reference, first, second])
    near = _measured(distance, reference, first, batch_size)
    far = _measured(distance, reference, second, batch_size)
    agreed = torch.where(near < far, 1 - share, share)
    agreed[near == far] = 0.5
    return float(agreed.mean())


def just_noticeable(
    distance: Distance, first: Tensor, second: Tensor, same: Tensor, *, batch_size: int = 32
) -> float:
    """How well a distance puts pairs that people take for the same before the others.

    Args:
        distance: of ``(batch, ...)`` and ``(batch, ...)``, ``(batch,)``.
        first: ``(examples, ...)``
        second: likewise.
        same: ``(examples,)``, the share of people who saw no difference, 0 to 1.
        batch_size: pairs that are compared at a time.

    Returns:
        The average precision of the pairs in the order of their distance: the area under precision
        over recall, each precision the highest at its recall or beyond. 1 is a perfect order.

    Raises:
        TypeError: ``batch_size`` is not an integer.
        ValueError: the numbers of examples differ, there are none, a share is out of range, or all
            pairs differ to everyone.

    Source: Zhang et al. 2018, section 2.3 (just noticeable differences).

    ::

        sounds = torch.randn(3, 1, 100)
        by_samples = lambda x, y: (x - y).square().flatten(1).mean(1)
        same = torch.tensor([1.0, 0.0, 0.0])
        just_noticeable(by_samples, sounds, sounds + same.view(3, 1, 1) - 1, same)  # 1.0
    """
    share = _shares("same", same, [first, second])
    if not share.any():
        raise ValueError("same: no one saw any pair as the same; give some that are")
    order = _measured(distance, first, second, batch_size).argsort(stable=True)
    hits = share[order].cumsum(0)
    precision = hits / torch.arange(1, len(hits) + 1)
    best_from_here = precision.flip(0).cummax(0).values.flip(0)
    return float((share[order] * best_from_here).sum() / hits[-1])


def _shares(name: str, share: Tensor, inputs: Sequence[Tensor]) -> Tensor:
    """Shares of people in float64, one per example."""
    counts = [len(each) for each in (share, *inputs)]
    if len(set(counts)) > 1 or not counts[0]:
        raise ValueError(f"{name}: {counts[0]} for {counts[1:]} inputs; give as many of each")
    if share.dim() != 1 or not ((share >= 0) & (share <= 1)).all():
        raise ValueError(
            f"{name}: {float(share.min()):g} to {float(share.max()):g} of shape "
            f"{tuple(share.shape)}; give shares of people (examples,) from 0 to 1"
        )
    return share.detach().double().cpu()


def _measured(distance: Distance, x: Tensor, y: Tensor, batch_size: int) -> Tensor:
    """The distance of each pair, so many at a time."""
    check_positive("batch_size", [batch_size])
    pairs = zip(x.split(batch_size), y.split(batch_size), strict=True)
    with torch.no_grad():
        return torch.cat([distance(*pair).cpu() for pair in pairs])
