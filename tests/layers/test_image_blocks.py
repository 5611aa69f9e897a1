"""The blocks of image nets against their figures, written out in plain PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tcn.layers import BasicBlock, BottleneckBlock, DenseBlock, InceptionBlock, Transition

SAME = {"ndim": 2, "padding": "same"}


def layer(part: nn.Module, x: Tensor, *, padding: int, stride: int = 1) -> Tensor:
    """Convolution and batch norm in evaluation mode."""
    norm = part.norm
    y = F.conv2d(x, part.convolution.weight, None, stride, padding)
    return F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def before(part: nn.Module, x: Tensor, padding: int) -> Tensor:
    """Batch norm in evaluation mode, ReLU and convolution."""
    norm = part.norm
    x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    return F.conv2d(F.relu(x), part.convolution.weight, None, 1, padding)


def trained(block: nn.Module) -> nn.Module:
    """The block in evaluation mode, its norms no longer as they begin."""
    torch.manual_seed(0)
    for name, tensor in block.state_dict().items():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if "var" in name else tensor.normal_()
    return block.eval()


def test_basic_block() -> None:
    # He et al. 2016, figure 5 left, with the 1x1 convolution of option B on the shortcut.
    block, x = trained(BasicBlock(3, 4, stride=2, **SAME)), torch.randn(2, 3, 6, 6)
    body, shortcut = block.sum.body, block.sum.shortcut
    y = F.relu(layer(body.layer1, x, padding=1, stride=2))
    y = layer(body.layer2, y, padding=1) + layer(shortcut, x, padding=0, stride=2)
    torch.testing.assert_close(block(x), F.relu(y))


def test_basic_block_with_zeros_on_the_shortcut() -> None:
    block, x = (
        trained(BasicBlock(3, 5, stride=2, shortcut="zeros", **SAME)),
        torch.randn(2, 3, 6, 6),
    )
    body = block.sum.body
    y = layer(body.layer2, F.relu(layer(body.layer1, x, padding=1, stride=2)), padding=1)
    y[:, :3] += x[:, :, ::2, ::2]
    torch.testing.assert_close(block(x), F.relu(y))


def test_bottleneck_block() -> None:
    # Figure 5 right: a quarter of the width in the middle, which has the stride.
    block, x = trained(BottleneckBlock(8, 8, **SAME)), torch.randn(2, 8, 6, 6)
    body = block.sum.body
    y = F.relu(layer(body.layer1, x, padding=0))
    assert y.shape[1] == 2
    y = layer(body.layer3, F.relu(layer(body.layer2, y, padding=1)), padding=0)
    torch.testing.assert_close(block(x), F.relu(y + x))


def test_dense_block_and_transition() -> None:
    # Huang et al. 2017, section 3: every layer takes all that came before it.
    block, x = trained(DenseBlock(3, 2, 2, **SAME)), torch.randn(2, 3, 6, 6)
    y = x
    for part in block:
        new = before(part.new.grow, before(part.new.narrow, y, 0), 1)
        y = torch.cat([y, new], 1)
    torch.testing.assert_close(block(x), y)
    transition = trained(Transition(7, 3, **SAME))
    torch.testing.assert_close(transition(y), F.avg_pool2d(before(transition, y, 0), 2))


def test_inception_block() -> None:
    # Szegedy et al. 2015, figure 2b.
    block = trained(InceptionBlock(3, (1, 2, 3, 2, 1, 2), norm="batch", **SAME))
    x = torch.randn(2, 3, 6, 6)
    expected = [
        layer(block.point, x, padding=0),
        layer(block.small.look, F.relu(layer(block.small.narrow, x, padding=0)), padding=1),
        layer(block.large.look, F.relu(layer(block.large.narrow, x, padding=0)), padding=2),
        layer(block.pooled.narrow, F.max_pool2d(x, 3, 1, 1), padding=0),
    ]
    torch.testing.assert_close(block(x), F.relu(torch.cat(expected, 1)))
