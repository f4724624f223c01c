"""What all droppers share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from simmim_mm.masking import visible_positions
from simmim_mm.models.maskers.fit import hidden_tokens
from simmim_mm.models.outputs import first_tensor, token_grid
from simmim_mm.models.stems import find_stem


class Task(NamedTuple):
    """What to drop in one pass.

    Attributes:
        mask: (B, h, w) bool, True means hidden.
        image_hw: (H, W) of the images.
        token: (D,) what stands at hidden places of the last map.
    """

    mask: Tensor
    image_hw: tuple[int, int]
    token: Tensor


class Dropper:
    """Takes hidden tokens out behind the stem of a backbone, and fills their places behind its last layer.

    Works through hooks that are bound methods, installed once, so the backbone stays the host's own class, and a deep
    copy of the model drops by its own masks. Outside :meth:`dropping`, the backbone behaves as ever.

    Args:
        backbone: The backbone to install the hooks on.

    Raises:
        ValueError: If something in the backbone needs all tokens.
    """

    def __init__(self, backbone: nn.Module) -> None:
        self._task: Task | None = None
        self._positions: Tensor | None = None
        self._grid_hw = (0, 0)
        find_stem(backbone).register_forward_hook(self._choose)

    @contextmanager
    def dropping(self, task: Task) -> Iterator[None]:
        """Drops tokens in the passes inside."""
        self._task = task
        try:
            yield
        finally:
            self._task = self._positions = None
            self._forget()

    def _forget(self) -> None:
        """Lets go of what else was kept for one pass."""

    def _choose(self, module: nn.Module, args: tuple, output: Any) -> None:
        """Forward hook of the stem: finds out which tokens stay."""
        if self._task is None:
            return
        tokens = first_tensor(output)
        self._grid_hw = token_grid(tokens, self._task.image_hw)
        self._prepare(hidden_tokens(self._task.mask, self._grid_hw, self._task.image_hw), tokens)

    def _prepare(self, hidden: Tensor, tokens: Tensor) -> None:
        """Sets ``_positions``, (B, n) of visible tokens in the stem's grid, in the order in which they are kept.

        Args:
            hidden: (B, h, w) bool, on the stem's grid.
            tokens: What the stem returned.
        """
        self._positions = visible_positions(hidden).to(tokens.device)


def take(tokens: Tensor, positions: Tensor) -> Tensor:
    """Takes tokens out of each image: (B, N, D) at (B, n) to (B, n, D)."""
    return tokens.gather(1, positions.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def put(tokens: Tensor, positions: Tensor, num_tokens: int, filling: Tensor) -> Tensor:
    """Puts tokens back to their places.

    Args:
        tokens: (B, n, D)
        positions: (B, n), where they belong.
        num_tokens: Places of an image (``N``).
        filling: (D,) for the other places.

    Returns:
        (B, N, D)
    """
    whole = filling.to(tokens.dtype).expand(len(tokens), num_tokens, -1)
    return whole.scatter(1, positions.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]), tokens)
