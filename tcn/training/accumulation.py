"""Gradients added up over several batches that give the step of one batch with all their rows."""

from torch.optim import Optimizer


class Accumulation:
    """What the batches of one optimizer step weigh, such as the valid steps of each.

    Lightning takes the plain mean of their losses, in which a step of a short batch counts for more
    than one of a long batch. How much there is in all is known after the last batch only. So each
    loss is weighed against the first one's weight, and the gradients are set right at the end::

        loss_1 * 1,  loss_2 * w_2 / w_1,  ...      all divided by their number n, by Lightning
        gradients * n * w_1 / (w_1 + w_2 + ...)    which is 1 where all weigh alike
    """

    def __init__(self) -> None:
        self._weights: dict[int, float] = {}
        self._batch = 0
        self._count = 1

    def begin(self, batch_idx: int, weight: float, *, count: int) -> None:
        """Notes what batch ``batch_idx`` of an epoch weighs; ``count`` of them make a step."""
        if batch_idx % count == 0:
            self._weights.clear()
        self._weights[batch_idx] = weight
        self._batch, self._count = batch_idx, count

    @property
    def share(self) -> float:
        """What the loss of this batch is multiplied by before its gradient is taken."""
        if self._count == 1 or not self._weights:
            return 1.0
        return self._weights[self._batch] / self._first

    def set_right(self, optimizer: Optimizer) -> None:
        """Turns the sums of the gradients into means over all that the batches hold."""
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
        """The first weight above 0; a batch that holds nothing has no gradient."""
        return next((weight for weight in self._weights.values() if weight), 1)
