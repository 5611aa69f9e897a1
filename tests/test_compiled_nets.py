"""`torch.compile(net)` goes in wherever a net does, and is looked through."""

import copy
import pickle
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

import tcn
from tcn.inference import (
    StreamSession,
    export,
    from_pretrained,
    generate,
    initial_state,
    save_pretrained,
)
from tcn.layers import Chain
from tcn.layers.compiled import compiled_method, uncompiled
from tcn.models import TCN, SequenceModel
from tcn.models.joint import JointModel
from tcn.models.language import TokenModel
from tcn.testing import check_sequence_module
from tcn.training import Batch, Classification, JointMultiLabel, LanguageModel, Regression
from tcn.training.language_model import Chunk, FirstChunk

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of Lightning, about tiny epochs


def compiled(net: nn.Module, calls: list | None = None) -> nn.Module:
    """With the graphs kept that are run, without a code generator."""

    def backend(graph, inputs):
        def run(*arguments):
            if calls is not None:
                calls.append(graph)
            return graph.forward(*arguments)

        return run

    return torch.compile(net, backend="eager" if calls is None else backend)


def words(**settings) -> SequenceModel:
    return SequenceModel(TCN(8, [8, 8], 2, **settings), 12, embedding=12)


def test_what_is_inside() -> None:
    net = TCN(2, [4], 2)
    assert uncompiled(net) is net
    assert uncompiled(compiled(net)) is net
    assert uncompiled(None) is None
    assert compiled_method(net, "step") == net.step


def test_language_model_refuses_a_compiled_net_that_sees_the_future() -> None:
    for bad in (words(causal=False), words(lookahead=2)):
        with pytest.raises(ValueError, match=r"SequenceModel sees . steps of the future"):
            LanguageModel(compiled(bad))
    LanguageModel(compiled(words()))


def test_tasks_look_inside() -> None:
    task = Classification(compiled(SequenceModel(TCN(2, [4], 2), 3, readout="every")))
    assert task.monitor == ("val_loss", "min")
    with pytest.raises(TypeError, match=r"net: SequenceModel says nothing of channels together"):
        JointMultiLabel(compiled(SequenceModel(TCN(2, [4], 2), 3)))
    joint = JointModel(TCN(5, [4], 2), 5, hidden=3)
    assert JointMultiLabel(compiled(joint)).net is joint


def test_every_door_of_inference_takes_a_compiled_net(tmp_path: Path) -> None:
    net = TCN(2, [4, 4], 2).eval()
    x = torch.randn(1, 2, 9)
    session = StreamSession(compiled(net), batch_size=1)
    torch.testing.assert_close(session.push(x), net(x))
    session.save(tmp_path / "a.safetensors")
    assert StreamSession.load(tmp_path / "a.safetensors", compiled(net)).net is net
    assert list(initial_state(compiled(net))) == list(initial_state(net))
    assert export(compiled(net), tmp_path / "net.pt2").exists()
    save_pretrained(compiled(net), tmp_path / "net")
    assert torch.equal(from_pretrained(tmp_path / "net")(x), net(x))
    language = words().eval()
    prompt = torch.tensor([[1, 2]])
    settings = {"prompt": prompt, "steps": 4, "seed": 0}
    assert torch.equal(generate(compiled(language), **settings), generate(language, **settings))


def test_every_door_of_a_net_takes_a_compiled_part(tmp_path: Path) -> None:
    inner = TCN(2, [4, 4], 2)
    model = SequenceModel(compiled(inner), 3)
    assert model.backbone is inner
    save_pretrained(model.eval(), tmp_path / "net")
    assert list(from_pretrained(tmp_path / "net").state_dict()) == list(model.state_dict())
    assert TokenModel(compiled(TCN(8, [8], 2)), 12).backbone.causal
    assert dict(Chain(compiled(inner), nn.ReLU()).named_children())["0"] is inner
    assert tcn.receptive_field(compiled(inner)) == tcn.receptive_field(inner)
    check_sequence_module(compiled(inner), compile_backend=None, export=False)


def test_forecaster_takes_a_compiled_net() -> None:
    from tcn.forecasting import Forecaster

    forecaster = Forecaster(h=2, input_size=4, model=compiled(TCN(3, [4], 2)))
    assert isinstance(forecaster.model, TCN)


def rows() -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(12, 2, 9, generator=generator), torch.randn(12, 3, generator=generator)
    return DataLoader(list(zip(x, y, strict=True)), batch_size=4)


def trainer(folder: Path, epochs: int) -> pl.Trainer:
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return pl.Trainer(max_epochs=epochs, accelerator="cpu", default_root_dir=folder, **quiet)


def regression(*, wrapped: bool, calls: list | None = None) -> Regression:
    torch.manual_seed(0)
    net = SequenceModel(TCN(2, [4], 2), 3, readout="last")
    return Regression(compiled(net, calls) if wrapped else net)


def test_the_compiled_net_is_trained_and_its_checkpoint_is_that_of_the_net(tmp_path: Path) -> None:
    calls: list = []
    task, plain = regression(wrapped=True, calls=calls), regression(wrapped=False)
    for each, name in ((task, "compiled"), (plain, "plain")):
        trainer_ = trainer(tmp_path / name, 1)
        trainer_.fit(each, rows())
        trainer_.save_checkpoint(tmp_path / f"{name}.ckpt")
    assert len(calls) == 3  # one graph a step
    found = torch.load(tmp_path / "compiled.ckpt", weights_only=True)["state_dict"]
    assert list(found) == list(plain.state_dict())
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(found[name], weight)
    for checkpoint in ("compiled.ckpt", "plain.ckpt"):
        for wrapped in (True, False):
            again = regression(wrapped=wrapped)
            trainer(tmp_path, 2).fit(again, rows(), ckpt_path=tmp_path / checkpoint)


def test_a_checkpoint_with_the_wrapper_in_its_names_loads() -> None:
    task = regression(wrapped=True)
    old = {f"net._orig_mod.{n}": w for n, w in task.net.state_dict().items()}
    for wrapped in (False, True):
        again = regression(wrapped=wrapped)
        again.load_state_dict(old)
        for name, weight in again.net.state_dict().items():
            assert torch.equal(weight, old[f"net._orig_mod.{name}"])


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = compiled(nn.Conv1d(2, 3, 1))

    def forward(self, x):
        return self.part(x)


def test_a_wrapper_inside_a_net_of_ones_own_keeps_its_names() -> None:
    task, again = Regression(Whole()), Regression(Whole())
    again.load_state_dict(task.state_dict())
    x = torch.randn(2, 2, 5)
    assert torch.equal(again(x), task(x))


def test_another_net_in_its_place_is_called() -> None:
    task = regression(wrapped=True)
    task.net = nn.Identity()
    assert task.called is task.net


def test_copies_call_their_own_net() -> None:
    task = regression(wrapped=True)
    for other in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
        assert uncompiled(other.called) is other.net
        assert other.net is not task.net


@pytest.mark.parametrize("chunks", [False, True])
def test_tokens_are_read_by_the_compiled_net(chunks: bool) -> None:
    calls: list = []
    net = TokenModel(TCN(8, [8], 2), 12)
    task, plain = LanguageModel(compiled(net, calls)), LanguageModel(net)
    x = torch.randint(12, (2, 7))
    batch = (FirstChunk if chunks else Batch)(x, x)
    losses = [each.training_step(batch, 0) for each in (task, plain)]
    torch.testing.assert_close(*losses)
    assert calls
    if chunks:
        losses = [each.training_step(Chunk(x, x), 1) for each in (task, plain)]
        torch.testing.assert_close(*losses)
