"""Weight norm: direction and size of each filter as separate parameters.

Source: Salimans & Kingma 2016, section 2: ``weight = weight_g * weight_v / |weight_v|``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class WeightNormalized(nn.Module):
    """A convolution whose ``weight`` may be kept as ``weight_g`` and ``weight_v``."""

    weight_g: nn.Parameter
    weight_v: nn.Parameter

    @property
    def weight(self) -> Tensor:
        """The weight that convolves, ``(out_channels, in_channels / groups, *kernel_size)``.

        Under weight norm it is computed anew at every access: change it by :meth:`set_weight`.
        """
        if self.is_weight_normalized:
            return torch._weight_norm(self.weight_v, self.weight_g, 0)
        weight = self._parameters.get("weight")
        if weight is None:  # pruning puts a plain tensor in the parameter's place
            weight = vars(self).get("computed_weight")
        if weight is None:  # while nn.Conv1d is being constructed
            raise AttributeError(f"{type(self).__name__} has no weight yet")
        return weight

    @weight.setter
    def weight(self, weight: Tensor) -> None:
        vars(self)["computed_weight"] = weight

    @weight.deleter
    def weight(self) -> None:
        vars(self).pop("computed_weight", None)

    @property
    def is_weight_normalized(self) -> bool:
        """Whether the parameters are ``weight_g`` and ``weight_v`` instead of ``weight``."""
        return "weight_g" in self._parameters

    def normalize_weight(self) -> None:
        """Splits ``weight`` into size ``weight_g`` and direction ``weight_v``, same function."""
        weight = self.weight.detach()
        del self._parameters["weight"]
        self.weight_g = nn.Parameter(filter_norm(weight))
        self.weight_v = nn.Parameter(weight)

    def fold_weight(self) -> None:
        """Turns ``weight_g`` and ``weight_v`` back into one ``weight``, same function."""
        if self.is_weight_normalized:
            weight = self.weight.detach()
            del self.weight_g, self.weight_v
            self.register_parameter("weight", nn.Parameter(weight))

    @torch.no_grad()
    def set_weight(self, weight: Tensor) -> None:
        """Makes ``weight`` the weight that convolves, weight-normalized or not.

        Raises:
            ValueError: if the shape is not that of :attr:`weight`.
        """
        if weight.shape != self.weight.shape:
            raise ValueError(
                f"weight: shape {tuple(weight.shape)}, expected {tuple(self.weight.shape)}"
            )
        if self.is_weight_normalized:
            self.weight_v.copy_(weight)
            self.weight_g.copy_(filter_norm(weight))
        else:
            self.weight.copy_(weight)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Accepts the keys of both of PyTorch's weight norms, and folded or unfolded weights."""
        for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
            key = f"{prefix}parametrizations.weight.{new}"
            if key in state_dict:
                state_dict[prefix + old] = state_dict.pop(key)
        names = [prefix + name for name in ("weight", "weight_g", "weight_v")]
        weight, size, direction = names
        if self.is_weight_normalized and weight in state_dict:
            state_dict[direction] = state_dict.pop(weight)
            state_dict[size] = filter_norm(state_dict[direction])
        elif not self.is_weight_normalized and size in state_dict and direction in state_dict:
            parts = state_dict.pop(direction), state_dict.pop(size)
            state_dict[weight] = torch._weight_norm(*parts, 0)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def fold_weight_norm(module: nn.Module) -> nn.Module:
    """Folds the weight norm of every convolution in ``module``, in place: same outputs, faster."""
    for child in module.modules():
        if isinstance(child, WeightNormalized):
            child.fold_weight()
    return module


def filter_norm(weight: Tensor) -> Tensor:
    """Euclidean norm of each output channel's filter, shaped to broadcast over ``weight``."""
    axes = tuple(range(1, weight.dim()))
    return torch.linalg.vector_norm(weight, dim=axes, keepdim=True)
