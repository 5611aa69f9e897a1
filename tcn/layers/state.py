"""What a module remembers between the chunks of a stream."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

State: TypeAlias = Tensor | tuple["State | None", ...]
"""A tensor, or a tuple of states; ``()`` if nothing is remembered.

None stands for a part that no step has reached yet, as it does for a whole net at the start.
"""
