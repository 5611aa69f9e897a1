"""What happens to images that do not fit, from the data to the task."""

import pytest
import torch
from torch import Tensor

from tcn.models import AllConvolutional, LeNet5, small_resnet
from tcn.training import Batch, Classification
from tests.training.running import as_loader, trainer

LABELS = torch.tensor([0, 1])
COLOR = torch.zeros(2, 3, 32, 32)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (COLOR[:, :1], ValueError, r"shape \(2, 1, 32, 32\) does not fit .*; repeat the one chann"),
        (COLOR.movedim(1, -1), ValueError, "the channels seem to be last: use x.movedim"),
        (COLOR.byte(), TypeError, r"x: torch.uint8 for .*; use x.float\(\), and / 255 if"),
        (COLOR[..., :3], ValueError, r"\(2, 3, 32, 3\).* [49] of it: enlarge or pad"),
        (COLOR[0], ValueError, r"an axis is missing: x.unsqueeze\(0\) for the batch"),
    ],
    ids=["gray", "channels last", "bytes", "small", "one image"],
)
def test_images_that_do_not_fit_are_answered_with_the_cure(
    x: Tensor, error: type[Exception], message: str
) -> None:
    for net in (small_resnet(20), AllConvolutional()):
        with pytest.raises(error, match=message):
            trainer(max_epochs=1).fit(Classification(net), as_loader(Batch(x, LABELS)))


@pytest.mark.parametrize("labels", [torch.tensor([0, 10]), torch.tensor([-1, 3])])
def test_labels_out_of_range_are_refused(labels: Tensor) -> None:
    task = Classification(LeNet5(form="modern"))
    batch = Batch(torch.zeros(2, 1, 32, 32), labels)
    with pytest.raises(ValueError, match=r"target: classes from .*; they lie between 0 and 9"):
        trainer(max_epochs=1).fit(task, as_loader(batch))
    with pytest.raises(ValueError, match=r"target: classes from .*; they lie between 0 and 9"):
        trainer().test(task, as_loader(batch), verbose=False)


def test_labels_that_are_floats_are_refused() -> None:
    task = Classification(LeNet5(form="modern"))
    batch = Batch(torch.zeros(2, 1, 32, 32), LABELS.float())
    with pytest.raises(ValueError, match="targets that are floats are probabilities of the class"):
        trainer(max_epochs=1).fit(task, as_loader(batch))
