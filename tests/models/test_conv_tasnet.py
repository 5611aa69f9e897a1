"""Conv-TasNet against torchaudio's, the contract, and what its outputs depend on."""

from typing import Any

import pytest
import torch

from tcn.inference import StreamSession
from tcn.models import ConvTasNet
from tcn.models.conv_tasnet import SharedDecoder
from tcn.testing import check_sequence_module

SMALL: dict[str, Any] = {"filters": 6, "kernel_size": 4, "channels": 5, "hidden": 7, "layers": 2}


def theirs(**arguments: int) -> torch.nn.Module:
    models = pytest.importorskip("torchaudio.models")
    torch.manual_seed(0)
    return models.ConvTasNet(**arguments).eval()


@pytest.mark.parametrize("time", [4000, 4001, 4007])
def test_the_outputs_are_those_of_torchaudio(time: int) -> None:
    other = theirs()
    net = ConvTasNet.from_torchaudio(other.state_dict()).eval()
    sound = torch.randn(2, 1, time, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(net(sound), other(sound), rtol=0, atol=1e-5)
    # Counted in torchaudio's conv_tasnet_base; Luo & Mesgarani 2019, table II says 5.1 million.
    assert sum(each.numel() for each in net.parameters()) == 4_984_881


def test_other_sizes_and_their_gradients_are_those_of_torchaudio() -> None:
    other = theirs(
        num_sources=3, enc_kernel_size=4, enc_num_feats=6, msk_kernel_size=3, msk_num_feats=5,
        msk_num_hidden_feats=7, msk_num_layers=3, msk_num_stacks=2,
    )  # fmt: skip
    net = ConvTasNet.from_torchaudio(other.state_dict(), stacks=2).double()
    other = other.double()
    sound = torch.randn(2, 1, 37, dtype=torch.float64)
    gradients = []
    for each in (net, other):
        x = sound.clone().requires_grad_()
        each(x).square().sum().backward()
        gradients.append(x.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("causal", [True, False])
def test_the_contract(causal: bool) -> None:
    net = ConvTasNet(2, **SMALL, stacks=1, causal=causal)
    check_sequence_module(net)
    assert net.causal is causal


@pytest.mark.slow
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kernel_size", [2, 6])
@pytest.mark.parametrize(("sources", "stacks"), [(1, 2), (3, 1), (2, 2)])
def test_the_contract_of_other_sizes(
    kernel_size: int, sources: int, stacks: int, causal: bool
) -> None:
    sizes = SMALL | {"kernel_size": kernel_size}
    net = ConvTasNet(sources, **sizes, stacks=stacks, causal=causal)
    check_sequence_module(net)
    assert net.causal is causal


def test_a_causal_net_hears_a_frame_before_it_says_where_it_was() -> None:
    # By the drawing of frames: the filters of 4 samples, the last of which is not after the output.
    net = ConvTasNet(**SMALL, stacks=1, causal=True).double().eval()
    assert net.delay == 3
    sound = torch.randn(1, 1, 24, dtype=torch.float64, requires_grad=True)
    separated = net.separate(sound)
    assert separated.shape == (1, 2, 24)
    torch.testing.assert_close(separated[..., :-3], net(sound)[..., 3:])
    (gradient,) = torch.autograd.grad(separated[0, 0, 9], sound)
    seen = gradient[0, 0].nonzero().flatten().tolist()
    assert max(seen) <= 9 + net.delay
    assert max(seen) >= 9


def test_blocks_of_any_length_are_the_whole() -> None:
    net = ConvTasNet(**SMALL, stacks=2, causal=True).eval()
    sound = torch.randn(1, 1, 50)
    with torch.inference_mode():
        whole = net(sound)
        session = StreamSession(net)
        parts = [session.push(piece) for piece in sound.split([1, 7, 2, 20, 20], dim=-1)]
    found = torch.cat([part for part in parts if part.shape[-1]], dim=-1)
    torch.testing.assert_close(found, whole[..., : found.shape[-1]], rtol=1e-4, atol=1e-5)
    assert found.shape[-1] == 50


def test_sources_share_the_decoder() -> None:
    decoder = SharedDecoder(3, 2, 4, stride=2)
    assert decoder.weight.shape == (3, 1, 4)
    frames = torch.randn(1, 6, 5)
    one, two = (
        torch.nn.functional.conv_transpose1d(part, decoder.weight, stride=2)[..., :10]
        for part in frames.split(3, dim=1)
    )
    torch.testing.assert_close(decoder(frames), torch.cat([one, two], dim=1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kernel_size": 5}, "kernel_size: 5 is odd; give an even number"),
        ({"taps": 2}, "taps: 2 is even; give an odd number, such as 3, or causal=True"),
        ({"sources": 0}, "sources"),
        ({"layers": 0}, "layers"),
        ({"causal": 1}, "causal"),
    ],
)
def test_what_cannot_work_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        ConvTasNet(**SMALL | wrong)


def test_weights_of_another_net_are_refused() -> None:
    weights = theirs().state_dict()
    with pytest.raises(ValueError, match="stacks: 5 do not divide 24 blocks"):
        ConvTasNet.from_torchaudio(weights, stacks=5)
    decoder = weights.pop("decoder.weight")
    with pytest.raises(ValueError, match=r"no tensor for decoder\.weight.*torchaudio's net"):
        ConvTasNet.from_torchaudio(weights)
    with pytest.raises(ValueError, match=r"decoder\.weight has shape"):
        ConvTasNet.from_torchaudio(weights | {"decoder.weight": decoder[:3]})
    with pytest.raises(ValueError, match=r"x: .* channels"):
        ConvTasNet(**SMALL)(torch.zeros(1, 2, 20))
