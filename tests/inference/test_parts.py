"""Pools and up-samplings where nets are shipped: built by name, and in a session of many rows."""

from typing import Any

import pytest
import torch

from tcn.inference import StreamSession
from tcn.inference.construction import construct
from tcn.layers import AveragePool1d, Chain, Conv1d, MaxPool1d, Upsample


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MaxPool1d", {"kernel_size": 3, "stride": 2, "padding": None}),
        ("AveragePool2d", {"kernel_size": [2, 3], "padding": ["same", "causal"]}),
        ("PyramidPool", {"levels": [1, 2], "pool": "average"}),
        ("Upsample", {"factor": 2, "mode": "linear"}),
        ("LocalResponseNorm", {"size": 5, "alpha": 5e-4, "k": 2.0}),
        ("LocallyConnected1d", {"in_channels": 2, "out_channels": 3, "sizes": 8, "kernel_size": 3}),
        ("LocallyConnected2d", {
            "in_channels": 2, "out_channels": 3, "sizes": [8, 9], "kernel_size": 3,
            "padding": "same",
        }),
    ],
)  # fmt: skip
def test_a_description_leads_to_the_layer(name: str, arguments: dict[str, Any]) -> None:
    # That every class and argument of the layers can stand in a saved net.
    layer = construct({"class": name, "arguments": arguments}, "net")
    assert type(layer).__name__ == name


def test_a_session_gives_the_whole_to_every_row() -> None:
    net = Chain(
        Conv1d(2, 3, 2), MaxPool1d(3, stride=2), AveragePool1d(2, stride=1),
        Upsample(2, mode="linear"),
    ).eval()  # fmt: skip
    net.in_channels, net.out_channels = 2, 3
    x = torch.randn(2, 2, 12)
    session = StreamSession(net, batch_size=2)
    outputs = [session.push(chunk) for chunk in x.split([4, 1, 5, 2], -1)]
    torch.testing.assert_close(torch.cat(outputs, -1), net(x))
