"""Sound to sound: what is counted, and a device that is learned, saved and played again."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from tcn.audio import (
    DCOffset,
    ErrorToSignal,
    SoundPairs,
    SoundRegression,
    load_nam,
    load_sound,
    play,
    save_nam,
    save_sound,
)
from tcn.commands import main
from tcn.commands.training import build
from tcn.inference import StreamSession
from tcn.inference.pretrained import load_checkpoint
from tcn.layers import Conv1d
from tcn.models import Capture, NAMBlock, NAMFiLM, NAMStack, NAMWaveNet, nam_a2
from tcn.training import Batch

nan = float("nan")


def test_loss_and_metric_by_hand() -> None:
    task = SoundRegression(Conv1d(1, 1, 1), losses=[ErrorToSignal(2.0), DCOffset(10.0)])
    output = torch.tensor([[[9.0, 1, -1, 0]], [[9.0, 2, 0, 2]]])
    batch = Batch(output, torch.tensor([[[nan, 1, -2, 2]], [[nan, 2, 0, 2]]]))
    loss, weight = task.loss(output, batch)
    # 2 * 5/9 and 10 * (1/3)^2 / 3 of the first row, nothing of the second
    assert loss.item() == pytest.approx((10 / 9 + 10 / 27) / 2)
    assert weight == 2
    for rows in ([0], [1]):  # an epoch of two batches: (5 + 0) / (9 + 8)
        part = Batch(output[rows], batch.y[rows])
        task.val_esr.update(output[rows, :, 1:], part.y[..., 1:])
    assert task.val_esr.compute().item() == pytest.approx(5 / 17)
    assert task.monitor == ("val_esr", "min")


def test_what_is_refused() -> None:
    net, x = Conv1d(1, 1, 1), torch.zeros(1, 1, 4)
    with pytest.raises(TypeError, match=r"net: a Capture begins in silence"):
        SoundRegression(Capture(net))
    with pytest.raises(ValueError, match=r"losses: none; give at least one"):
        SoundRegression(net, losses=[])
    with pytest.raises(TypeError, match=r"losses: 'esr' is not a list"):
        SoundRegression(net, losses="esr")
    with pytest.raises(TypeError, match=r"losses: 3 is not a SoundLoss"):
        SoundRegression(net, losses=[3])
    task = SoundRegression(net)
    with pytest.raises(ValueError, match=r"y: NaN at or behind step 1"):
        task.loss(x, Batch(x, torch.tensor([[[nan, 1, nan, 1]]])))
    with pytest.raises(ValueError, match=r"y: NaN at or behind step 4"):
        task.loss(x, Batch(x, torch.full((1, 1, 4), nan)))
    with pytest.raises(ValueError, match=r"lengths: padded sounds"):
        task.loss(x, Batch(x, x, torch.tensor([3])))


def test_the_second_architecture_has_its_size() -> None:
    """As published: 12,146 and 1,871 weights in a file, the scale among them; 6,347 steps."""
    for channels, weights in ((8, 12_146), (3, 1_871)):
        net = nam_a2(channels)
        assert sum(parameter.numel() for parameter in net.parameters()) == weights - 1
        assert net.receptive_field == 6_347


@pytest.mark.requires_data("nam")
def test_the_second_architecture_is_that_of_the_files(data_dir: Path) -> None:
    for channels, width in ((8, None), (3, 0.1)):
        theirs = load_nam(data_dir / "nam" / "A2.nam", width=width)
        ours = nam_a2(channels, scale=theirs.net.scale)
        ours.load_state_dict(theirs.net.state_dict())
        x = torch.randn(1, 1, 200)
        assert torch.equal(Capture(ours).eval()(x), theirs(x))


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Lightning, about few batches
def test_a_device_is_learned_saved_and_played_again(tmp_path: Path) -> None:
    """A device that a net can be: a small one with other weights."""
    torch.manual_seed(3)
    device = Capture(Conv1d(1, 1, 5), sample_rate=8000).eval()
    dry = 0.3 * torch.randn(1, 12_000)
    save_sound(tmp_path / "dry.wav", dry.clamp(-1, 1), sample_rate=8000)
    wet = play(device, dry.clamp(-1, 1)).clamp(-1, 1)
    save_sound(tmp_path / "wet.wav", wet, sample_rate=8000)
    data = SoundPairs(
        dry=tmp_path / "dry.wav", wet=tmp_path / "wet.wav", sample_rate=8000, length=500, context=4
    )
    task = SoundRegression(
        Conv1d(1, 1, 5), optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.03)
    )
    trainer = pl.Trainer(
        max_epochs=60, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(task, data)
    (found,) = trainer.test(task, data, verbose=False)
    assert found["test_esr"] < 1e-3
    learned = Capture(task.net, sample_rate=8000).eval()
    again = load_nam(save_nam(learned, tmp_path / "learned.nam"))
    x = 0.3 * torch.randn(1, 1, 700)
    torch.testing.assert_close(again(x), learned(x), rtol=0, atol=1e-6)
    session = StreamSession(again)
    blocks = torch.cat([session.push(part) for part in x.split(64, -1)], -1)
    torch.testing.assert_close(blocks, learned(x).detach(), rtol=0, atol=1e-6)


CONFIG = """
trainer:
  max_epochs: 1
  limit_train_batches: 2
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
model:
  class_path: tcn.audio.SoundRegression
  init_args:
    net: {class_path: tcn.models.nam_a2, init_args: {channels: 2}}
    losses:
      - class_path: tcn.audio.ErrorToSignal
        init_args: {quiet: 0.01}
      - class_path: tcn.audio.MultiResolutionSTFT
        init_args: {weight: 0.001, windows: [[64, 16, 64]]}
data:
  class_path: tcn.audio.SoundPairs
  init_args: {dry: dry.wav, wet: wet.wav, sample_rate: 8000, length: 400, context: 6346}
"""


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Lightning, about few batches
def test_from_recordings_to_a_file_that_plays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tcn fit`, `tcn export amp.nam`, `tcn play`."""
    monkeypatch.chdir(tmp_path)
    dry = 0.3 * torch.randn(1, 70_000, generator=torch.Generator().manual_seed(5)).clamp(-3, 3)
    save_sound("dry.wav", dry, sample_rate=8000)
    save_sound("wet.wav", dry.tanh(), sample_rate=8000)
    Path("config.yaml").write_text(CONFIG)
    main(["fit", "--config", "config.yaml"])
    (checkpoint,) = tmp_path.rglob("best.ckpt")
    trained = ["--config", "config.yaml", "--ckpt_path", str(checkpoint)]
    main(["export", *trained, "amp.nam"])
    assert "its outputs are those of the net" in capsys.readouterr().out
    net = load_checkpoint(build("config.yaml").model.net, checkpoint)
    device = load_nam("amp.nam")
    assert device.sample_rate == 8000
    assert device.receptive_field == 6_347
    main(["play", "--model", "amp.nam", "--in", "dry.wav", "--out", "out.wav", "--clip"])
    heard = load_sound("dry.wav").samples
    with torch.no_grad():
        expected = Capture(net, sample_rate=8000).eval()(heard[None])[0].clamp(-1, 1)
    torch.testing.assert_close(load_sound("out.wav").samples, expected, rtol=0, atol=4e-5)
    with pytest.raises(SystemExit):
        main(["export", *trained, "again.nam", "--streaming"])
    assert "--streaming: every .nam file streams" in capsys.readouterr().err
    assert not Path("again.nam").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Lightning, about few batches
def test_a_device_with_a_knob(tmp_path: Path) -> None:
    """The second channel is the knob: it conditions every block, by addition and by scaling.

    tanh(4 k x). The mean over k, the best that a net without the knob could learn, is 14.6 % off.
    """
    torch.manual_seed(2)
    sound = 0.5 * torch.randn(1, 24_000).clamp(-2, 2)
    knob = torch.rand(1, 240).repeat_interleave(100, -1)
    save_sound(tmp_path / "dry.wav", torch.cat([sound, knob]), sample_rate=8000)
    save_sound(tmp_path / "wet.wav", (4 * knob * sound).tanh(), sample_rate=8000)
    data = SoundPairs(
        dry=tmp_path / "dry.wav",
        wet=tmp_path / "wet.wav",
        sample_rate=8000,
        length=400,
        context=2,
        batch_size=4,
    )
    blocks = [
        NAMBlock(
            Conv1d(6, 6, 2), Conv1d(2, 6, 1, bias=False), nn.Tanh(), residual=Conv1d(6, 6, 1),
            films=[("activation_pre", NAMFiLM(6, 2))],
        )
        for _ in range(2)
    ]  # fmt: skip
    net = NAMWaveNet([NAMStack(Conv1d(2, 6, 1), blocks, Conv1d(6, 1, 1))])
    task = SoundRegression(net, optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.02))
    trainer = pl.Trainer(
        max_epochs=15, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(task, data)
    (found,) = trainer.test(task, data, verbose=False)
    assert found["test_esr"] < 0.03
    x = torch.cat([sound[:, :300], torch.full((1, 300), 0.7)])[None]
    session = StreamSession(net.eval())
    live = torch.cat([session.push(part) for part in x.split(64, -1)], -1)
    with torch.no_grad():
        torch.testing.assert_close(live, net(x), rtol=0, atol=1e-6)
        turned = net(torch.cat([x[:, :1], 0.1 * x[:, 1:]], 1))
    assert (turned - live).square().sum() / live.square().sum() > 0.1
