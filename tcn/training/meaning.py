"""What a net says its numbers mean, and which task suits that."""

from torch import Tensor, nn

from tcn.layers.validation import is_integer
from tcn.models import PixelCNN, SequenceModel
from tcn.outputs import MASE, NADE, Bernoulli, Categorical, Output
from tcn.outputs.classes import OfClasses


def output_of(net: nn.Module) -> Output | None:
    """What ``net.output`` says; None if the net says nothing."""
    said = getattr(net, "output", None)
    return said if isinstance(said, Output) else None


def channels_of(net: nn.Module) -> int | None:
    """How many classes or channels a net returns, None if it does not say."""
    said = output_of(net)
    count = said.classes if isinstance(said, OfClasses) else getattr(net, "out_channels", None)
    return int(count) if is_integer(count) else None


def numbers_of(net: nn.Module) -> Output | None:
    """The output of a net whose targets are numbers; None: the numbers are the prediction.

    Raises:
        TypeError: the output is of classes or of whole vectors, or needs the past of a forecast.
    """
    said = output_of(net)
    if isinstance(said, OfClasses):
        raise TypeError(_other_task(said, "numbers", "tcn.training.Classification"))
    if said is not None and said.event is not None:
        raise TypeError(_other_task(said, "single numbers", "tcn.training.JointMultiLabel"))
    if isinstance(said, MASE):
        raise TypeError(_other_task(said, "targets without a past", "head='mae'"))
    return said


def check_classes_said(net: nn.Module) -> None:
    """Refuses a net that says its numbers are not of classes.

    Raises:
        TypeError: the output is of another kind; the message names it.
        ValueError: it has several channels of classes.
    """
    said = output_of(net)
    if said is not None and not isinstance(said, OfClasses):
        raise TypeError(_other_task(said, "classes", "tcn.training.Regression"))
    targets = net.targets if isinstance(net, SequenceModel) else None
    if targets is not None and targets > 1:
        raise ValueError(
            f"net: its targets={targets} channels of classes, and this task is for one; build it "
            "without targets"
        )


def check_channels_said(net: nn.Module) -> None:
    """Refuses a net that says its channels are not independent and yes or no.

    Raises:
        TypeError: the output is of another kind; the message names it.
    """
    said = output_of(net)
    if said is not None and not isinstance(said, Bernoulli):
        joint = isinstance(said, NADE)
        cure = "tcn.training.JointMultiLabel" if joint else "head=Bernoulli(), targets=channels"
        raise TypeError(_other_task(said, "channels of yes or no, each for itself", cure))


def classes_of(net: nn.Module, rows: Tensor) -> OfClasses:
    """The output that reads ``rows``, ``(n, channels, *axes)``; by default they are logits."""
    said = output_of(net)
    return said if isinstance(said, OfClasses) else Categorical(rows.shape[1])


def raw_of(net: nn.Module, output: Tensor) -> Tensor:
    """The net's output in the form that ``net.output`` reads."""
    if isinstance(net, PixelCNN):
        return net.per_value(output)
    return net.raw(output) if isinstance(net, SequenceModel) else output


def _other_task(said: Output, wanted: str, cure: str) -> str:
    return f"net: its output is {said.name!r}, which is not for {wanted}; use {cure}"
