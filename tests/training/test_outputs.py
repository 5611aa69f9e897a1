"""Tasks of nets that say what their numbers mean: the output's own loss, over what counts."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader

from tcn.commands.training import build
from tcn.models import TCN, SequenceModel
from tcn.outputs import (
    MASE,
    NADE,
    AdaptiveSoftmax,
    Bernoulli,
    Categorical,
    Logistics,
    Normal,
    Output,
    StudentT,
)
from tcn.training import (
    Batch,
    Classification,
    JointMultiLabel,
    LanguageModel,
    MultiLabel,
    Regression,
)
from tests.training.running import adding_config, measured


def model(head: Output | int, targets: int | None = None, **arguments) -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(TCN(2, [4, 4], 2), head=head, targets=targets, **arguments)


@given(
    targets=st.sampled_from([None, 1, 3]),
    readout=st.sampled_from(["every", "last", "mean"]),
    seed=st.integers(0, 99),
)
def test_the_loss_is_that_of_the_values_that_count(
    targets: int | None, readout: str, seed: int
) -> None:
    """Row by row, without its padding and its NaN, through the output itself."""
    net = model(StudentT(), targets, readout=readout)
    generator = torch.Generator().manual_seed(seed)
    x, lengths = torch.randn(3, 2, 6, generator=generator), torch.tensor([6, 2, 4])
    channels = () if targets is None else (targets,)
    time = (6,) if readout == "every" else ()
    y = torch.randn(3, *channels, *time, generator=generator)
    y.view(-1)[0] = torch.nan
    loss, weight = Regression(net, missing="ignore").loss(net(x, lengths), Batch(x, y, lengths))
    losses = []
    for row, length in enumerate(lengths.tolist()):
        raw = net.raw(net(x[row : row + 1, :, :length]))
        target = y[row : row + 1, ..., :length] if time else y[row : row + 1]
        known = ~target.isnan()
        losses.append(StudentT().losses(raw, target, known)[known])
    expected = torch.cat(losses)
    assert weight == len(expected)
    assert loss.item() == pytest.approx(expected.mean().item() if len(expected) else 0, rel=1e-5)


def test_measured_and_predicted_is_the_point_forecast() -> None:
    """Normal: its location, the first of the two raw numbers."""
    task = Regression(model(Normal()))
    batch = Batch(torch.randn(2, 2, 5), torch.randn(2, 5))
    location = task.net(batch.x)[:, 0]
    results = measured(task, batch)
    assert task.monitor == ("val_loss", "min")
    assert torch.equal(task.predict_step(batch, 0).y, location)
    mse = (location - batch.y).square().mean().item()
    assert results["test_mse"] == pytest.approx(mse, rel=1e-5)
    loss = Normal().loss(task.net(batch.x), batch.y).item()
    assert results["test_loss"] == pytest.approx(loss, rel=1e-5)


def test_it_learns_a_spread() -> None:
    """Targets of deviation 3: the entropy of a normal distribution is log(3 sqrt(2 pi e))."""
    torch.manual_seed(0)
    task = Regression(model(Normal(), 1), optimizer=lambda p: torch.optim.Adam(p, lr=0.05))
    x = torch.randn(16, 2, 30)
    data = DataLoader([Batch(x, 3 * torch.randn(16, 1, 30))], batch_size=None)
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, max_epochs=150,
    )  # fmt: skip
    trainer.fit(task, data)
    assert trainer.callback_metrics["train_loss"].item() == pytest.approx(2.52, abs=0.08)


def test_a_target_that_the_output_cannot_give_is_named() -> None:
    net = model(Logistics(2))
    with pytest.raises(ValueError, match="values such as 2, and output 'logistics' is for values"):
        Regression(net).loss(
            net(torch.zeros(1, 2, 3)), Batch(torch.zeros(0), torch.full((1, 3), 2))
        )


@pytest.mark.parametrize("task", [Classification, LanguageModel])
def test_classes_of_an_adaptive_softmax(task: type) -> None:
    """Its features are not logits: loss and accuracy are those of its own probabilities."""
    of = AdaptiveSoftmax(4, 9, [3, 6], division=2)
    net = SequenceModel(TCN(2, [4, 4], 2), head=of)
    batch = Batch(torch.randn(2, 2, 5), torch.randint(9, (2, 5)))
    results = measured(task(net), batch)
    probabilities = of.probabilities(net(batch.x))
    expected = -probabilities.gather(1, batch.y[:, None]).log().mean().item()
    assert results["test_loss"] == pytest.approx(expected, rel=1e-5)
    right = (probabilities.argmax(1) == batch.y).float().mean().item()
    assert results["test_accuracy"] == pytest.approx(right)
    assert torch.allclose(task(net).predict(net(batch.x)), probabilities)


def test_channels_that_say_they_are_yes_or_no_are_those_that_say_nothing() -> None:
    said, silent = model(Bernoulli(), targets=4), model(4)
    silent.load_state_dict(said.state_dict())
    batch = Batch(torch.randn(2, 2, 5), torch.randint(2, (2, 4, 5)).float())
    assert measured(MultiLabel(said), batch) == measured(MultiLabel(silent), batch)


def test_a_joint_head_is_trained_as_a_joint_model() -> None:
    net = model(NADE(3, 2))
    batch = Batch(torch.randn(2, 2, 5), torch.randint(2, (2, 3, 5)).float())
    nll = net.output.loss(net(batch.x), batch.y).item()
    assert measured(JointMultiLabel(net), batch)["test_nll"] == pytest.approx(nll, rel=1e-5)


@pytest.mark.parametrize(
    ("task", "head", "message"),
    [
        (Regression, Categorical(3), "'categorical', which is not for numbers; use .*Classific"),
        (Regression, MASE(), "'mase', which is not for targets without a past; use head='mae'"),
        (Regression, NADE(3), "'nade', which is not for single numbers; use .*JointMultiLabel"),
        (Classification, Normal(), "'normal', which is not for classes; use .*Regression"),
        (LanguageModel, Normal(), "'normal', which is not for classes"),
        (MultiLabel, Normal(), r"'normal', which is not for channels of yes .*head=Bernoulli\(\)"),
        (MultiLabel, NADE(3), "'nade', which is not for channels .*; use .*JointMultiLabel"),
        (JointMultiLabel, Bernoulli(), "SequenceModel says nothing of channels together"),
    ],
)
def test_another_task_is_named(task: type, head: Output, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        task(model(head))


def test_an_attribute_of_that_name_that_is_no_output_says_nothing() -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output = nn.Conv1d(2, 1, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.output(x)

    task, batch = Regression(Other()), Batch(torch.randn(2, 2, 5), torch.randn(2, 1, 5))
    expected = (task.net(batch.x) - batch.y).square().mean().item()
    assert measured(task, batch)["test_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("student_t", StudentT()),
        ("{class_path: tcn.outputs.Logistics, init_args: {components: 3}}", Logistics(3)),
    ],
)
def test_a_config_names_an_output(text: str, expected: Output, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(adding_config(f"head: {text}", "length: 20"))
    assert build(config).model.net.output == expected


@pytest.mark.parametrize("readout", ["last", "mean"])
def test_whole_vectors_of_sequences_of_several_lengths(readout: str) -> None:
    net = model(NADE(3, 2), readout=readout)
    batch = Batch(torch.randn(2, 2, 5), torch.randint(2, (2, 3)).float(), torch.tensor([5, 2]))
    nll = net.output.loss(net(batch.x, batch.lengths), batch.y).item()
    assert measured(JointMultiLabel(net), batch)["test_nll"] == pytest.approx(nll, rel=1e-5)


def test_weights_are_those_of_the_classes_and_not_of_the_features() -> None:
    of = AdaptiveSoftmax(4, 9, [3, 6], division=2)
    net = SequenceModel(TCN(2, [4, 4], 2), head=of)
    batch = Batch(torch.randn(2, 2, 5), torch.randint(9, (2, 5)))
    weights = torch.arange(1.0, 10.0)
    loss, _ = Classification(net, class_weights=weights).loss(net(batch.x), batch)
    expected = nn.functional.cross_entropy(of.logits(net(batch.x)), batch.y, weight=weights)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("task", "net", "batch", "message"),
    [
        (JointMultiLabel, model(NADE(3, 2)), torch.full((1, 3, 4), 2.0), "values such as 2 are"),
        (JointMultiLabel, model(NADE(3, 2)), torch.zeros(1, 2, 4), r"expected .* = \(1, 3, 4\)"),
        (MultiLabel, model(Bernoulli(), 3), torch.full((1, 3, 4), 7.0), "values such as 7 are"),
        (Classification, model(5), torch.full((1, 4), 5), "they lie between 0 and 4"),
    ],
)
def test_targets_that_do_not_fit_are_named(
    task: type, net: SequenceModel, batch: torch.Tensor, message: str
) -> None:
    x = torch.zeros(1, 2, 4)
    with pytest.raises(ValueError, match=message):
        task(net).loss(net(x), Batch(x, batch, torch.tensor([4])))


@pytest.mark.parametrize("task", [Classification, LanguageModel])
def test_several_channels_of_classes_are_refused(task: type) -> None:
    with pytest.raises(
        ValueError, match=r"net: its targets=2 channels of classes.*without targets"
    ):
        task(model(Categorical(5), 2))


@pytest.mark.parametrize("head", [NADE(3, 2), Bernoulli(), None])
def test_padding_of_images_counts_nowhere(head: Output | None) -> None:
    """Of two axes, the last is time: what is padded there is as if it were not there at all."""
    torch.manual_seed(0)
    net = SequenceModel(
        TCN(2, [4], 2, ndim=2, causal=False),
        3 if head is None else None,
        head=head,
        targets=3 if isinstance(head, Bernoulli) else None,
    )
    task = (JointMultiLabel if isinstance(head, NADE) else MultiLabel)(net)
    output, y = net(torch.randn(3, 2, 5, 6)), torch.randint(2, (3, 3, 5, 6)).float()
    tasks = [task] if head is not None else [task, Regression(net)]
    for each in tasks:
        loss, _ = each.loss(output, Batch(output, y, torch.tensor([4, 4, 4])))
        whole, _ = each.loss(output[..., :4], Batch(output, y[..., :4]))
        assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
