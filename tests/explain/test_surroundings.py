"""The same results wherever a net is asked: without gradients, in inference mode, on no device."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tcn.explain import (
    Ascent,
    Fields,
    Stretch,
    Units,
    activations,
    attribute,
    channel_mixture,
    effective_field,
    places,
    project,
    projections,
    strongest,
    synthesize,
)

X = torch.randn(3, 2, 24, generator=torch.Generator().manual_seed(0))
Asking = Callable[[nn.Module], Tensor]


def small() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv1d(2, 4, 5), nn.ReLU(), nn.Conv1d(4, 3, 3))


def _mixed(net: nn.Module) -> Tensor:
    ascent = Ascent(steps=3, mixture=channel_mixture(X))
    return synthesize(net, "2", 1, shape=(2, 24), ascent=ascent).inputs


def _started(net: nn.Module) -> Tensor:
    how = Ascent(steps=3, frequency=False)
    return synthesize(net, "2", Stretch(1, Units("center")), start=X * 1, ascent=how).inputs


ASKING: dict[str, Asking] = {
    "places": lambda net: torch.tensor(
        [[place.span[0].start, place.span[0].stop] for place in places(net, X, "2", 1)[0]]
    ),
    "fields": lambda net: torch.tensor([Fields(net, "2", X).span((9,))[0].stop]),
    "projections": lambda net: torch.stack(projections(net, X, "2", 1).projected),
    "project": lambda net: project(net, X, "2", 1),
    "attribute": lambda net: attribute(net, X, (1, 4)).values,
    "guided": lambda net: attribute(net, X, (1, 4), method="guided").values,
    "deeplift": lambda net: attribute(net, X, (1, 4), method="deeplift").values,
    "effective field": lambda net: effective_field(net, X).profiles[0],
    "synthesis": _mixed,
    "synthesis from a start": _started,
}


@pytest.mark.parametrize("name", ASKING)
@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_what_surrounds_a_call_changes_nothing(around: Callable[[], Any], name: str) -> None:
    """Expected is what comes out where nothing surrounds it."""
    net = small()
    expected = ASKING[name](net)
    with around():
        found = ASKING[name](net)
    assert expected.numel()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", sorted({*ASKING} - {"places", "fields"}))
def test_a_net_made_in_inference_mode_has_no_gradients(name: str) -> None:
    with torch.inference_mode():
        net = small()
    with pytest.raises(ValueError, match=r"net: .* made under torch.inference_mode.*deepcopy"):
        ASKING[name](net)
    torch.testing.assert_close(ASKING[name](copy.deepcopy(net)), ASKING[name](small()))


@pytest.mark.parametrize(
    "ask",
    [
        *ASKING.values(),
        lambda net: activations(net, X, ["2"])["2"],
        lambda net: strongest(net, X, "2").values,
    ],
)
def test_a_net_without_numbers_is_named(ask: Asking) -> None:
    with pytest.raises(ValueError, match=r"net: .* on the meta device.*to_empty"):
        ask(small().to("meta"))


@pytest.mark.parametrize("how", ["whole", "in place", "parts"])
def test_compiled_nets_are_seen_through(how: str) -> None:
    """Also where the compiler has traced a call without hooks before."""
    net, x = small(), X * 1
    expected = {name: ask(net) for name, ask in ASKING.items()}
    layer = "2"
    if how == "whole":
        net = torch.compile(net, backend="eager")
    elif how == "in place":
        net.compile(backend="eager")
    else:
        net[2], layer = torch.compile(net[2], backend="eager"), "2._orig_mod"
    net.eval()
    with torch.no_grad():
        net(x)
    torch.testing.assert_close(activations(net, x, [layer])[layer], small()(x))
    if how != "parts":
        for name, ask in ASKING.items():
            torch.testing.assert_close(ask(net), expected[name])


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("how", ["script", "trace", "freeze", "part"])
def test_scripted_nets_answer_and_their_layers_are_refused(how: str) -> None:
    net = small().eval()
    expected = attribute(net, X, (1, 4)).values
    scripted = torch.jit.trace(net, X) if how == "trace" else torch.jit.script(net)
    if how == "freeze":
        scripted = torch.jit.freeze(scripted)
    layer = "2"
    if how == "part":
        scripted, layer = nn.Sequential(scripted), "0.2"
        with pytest.raises(ValueError, match="layer: '0' is TorchScript"):
            activations(scripted, X, ["0"])
    torch.testing.assert_close(attribute(scripted, X, (1, 4)).values, expected, atol=1e-3, rtol=0)
    with pytest.raises(
        ValueError, match=f"layer: '{layer}' is TorchScript, .*give the net that was"
    ):
        strongest(scripted, X, layer)
