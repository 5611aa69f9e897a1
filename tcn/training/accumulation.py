"""Makes gradient accumulation give the step of one batch that holds all the rows."""

from torch.optim import Optimizer


class Accumulation:
    """The weights of the batches of one optimizer step, such as how many valid steps each holds.

    Lightning takes the plain mean of their losses, so a step of a short batch would count for more
    than a step of a long one. The total weight is known only after the last batch. So each loss is
    weighted relative to the first, and the gradients are corrected at the end::

        loss_1 * 1,  loss_2 * w_2 / w_1,  ...      Lightning divides all by their number n
        gradients * n * w_1 / (w_1 + w_2 + ...)    the factor is 1 where all weigh the same
    """

    def __init__(self) -> None:
        self._weights: dict[int, float] = {}
        self._batch = 0
        self._count = 1

    def begin(self, batch_idx: int, weight: float, *, count: int) -> None:
        """Notes the weight of batch ``batch_idx`` of an epoch; ``count`` batches make a step."""
        if batch_idx % count == 0:
            self._weights.clear()
        self._weights[batch_idx] = weight
        self._batch, self._count = batch_idx, count

    @property
    def share(self) -> float:
        """The factor that multiplies the loss of this batch before its gradient is taken."""
        if self._count == 1 or not self._weights:
            return 1.0
        return self._weights[self._batch] / self._first

    def set_right(self, optimizer: Optimizer) -> None:
        """Turns the summed gradients into means over everything that the batches hold."""
        total = sum(self._weights.values())
        factor = self._count * self._first / total if self._count > 1 and total else 1.0
        if factor == 1.0:
            return
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)

    @property
    def _first(self) -> float:
        """The first weight above 0; an empty batch has no gradient."""
        return next((weight for weight in self._weights.values() if weight), 1)
