"""Which stretch of a recording is for training, validation and test: test is its end."""

from tcn.data.loading import Split
from tcn.layers.validation import check_share


def stretch(steps: int, shares: tuple[float, float], split: Split) -> tuple[int, int]:
    """The first step of a split, and the first behind it.

    Args:
        steps: of the recording.
        shares: of validation and of test.
        split: which.
    """
    test = round(steps * (1 - shares[1]))
    validation = round(steps * (1 - sum(shares)))
    places: dict[Split, tuple[int, int]] = {
        "train": (0, validation), "validation": (validation, test), "test": (test, steps)
    }  # fmt: skip
    return places[split]


def check_shares(validation: float, test: float) -> None:
    """Refuses shares that leave a split empty.

    Raises:
        TypeError: a share is not a number.
        ValueError: a share is not above 0, or both together are not below 1.
    """
    for name, share in (("validation_share", validation), ("test_share", test)):
        check_share(name, share)
        if not share:
            raise ValueError(f"{name} is 0: give a share above 0")
    if validation + test >= 1:
        raise ValueError(
            f"test_share: {test} and validation_share: {validation} leave nothing for training; "
            "give shares such as 0.1"
        )
