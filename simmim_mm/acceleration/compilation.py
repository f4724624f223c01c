"""Lever ``compile``: ``torch.compile`` of encoder, decoder and loss as one function of tensors, or of their blocks.

MMEngine's ``compile`` wraps the whole training step: autocast, backward pass and optimiser, which break the graph. What
is compiled here takes images, mask and the positions of the hidden cells, and returns the loss. What the host has to
know, such as how many cells are hidden, is found out before; what it makes of the loss comes after.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch._dynamo import exc

from simmim_mm.acceleration.blocks import BLOCKS, blocks_of
from simmim_mm.acceleration.swap import swap_classes
from simmim_mm.masking import Cells, hidden_cells
from simmim_mm.models.maskers import VisibleMasker
from simmim_mm.models.simmim import SimMIM

# Graphs for one piece of code: sizes of images, kinds of blocks. PyTorch's default is 8, and Swin has 7 kinds.
MOST_GRAPHS = 64
# How PyTorch says that it cannot compile; the second one is not in all versions that are supported.
REFUSALS = (exc.TorchDynamoException, getattr(exc, 'FailOnRecompileLimitHit', exc.TorchDynamoException))
# Tests put another one here.
BACKEND: str | Callable = 'inductor'


class CompiledSimMIM(SimMIM):
    """SimMIM whose loss is compiled. Predictions and validation are the plain path."""

    compile_value: Any = True

    def loss(self, inputs: Tensor, mask: Tensor, other_mask: Tensor | None = None) -> dict[str, Tensor]:
        """The training loss; see the base class. If PyTorch cannot compile it, the plain path, with a warning."""
        if self.compile_value is not False:
            try:
                return self._compiled_loss(inputs, mask)
            except REFUSALS as error:
                self._give_up(error)
        return super().loss(inputs, mask, other_mask)

    def grid_of(self, image_hw: Sequence[int]) -> tuple[int, int]:
        """As the base class; a new size is tried on the encoder uncompiled."""
        if tuple(image_hw) in self._probed_sizes or not hasattr(torch.compiler, 'set_stance'):  # since PyTorch 2.6
            return super().grid_of(image_hw)
        with torch.compiler.set_stance('force_eager'):
            return super().grid_of(image_hw)

    def _compiled_loss(self, inputs: Tensor, mask: Tensor) -> dict[str, Tensor]:
        if self.compile_value == 'regions':
            return super().loss(inputs, mask)
        cells = hidden_cells(self.head.scored(mask), self.grid_of((inputs.shape[-2], inputs.shape[-1])))
        # One number of hidden cells is a constant of the graph. If there is another one, a second graph takes any.
        number = self._numbers.setdefault(tuple(inputs.shape), len(cells.positions))
        if number != len(cells.positions):
            self._numbers[tuple(inputs.shape)] = -1
            torch._dynamo.maybe_mark_dynamic(cells.positions, 0)
        mode = None if self.compile_value is True else self.compile_value
        return _compiled(mode, BACKEND)(self, inputs, mask, cells.positions, cells.grid_hw)

    def _give_up(self, error: Exception) -> None:
        reason = ' '.join(str(error).split('\n')[:2])
        others = "; acceleration.compile='regions' may" if self.compile_value != 'regions' else ''
        print_log(
            f'acceleration.compile={self.compile_value!r} does not work with this model{others}. It goes on without. '
            f'PyTorch: {type(error).__name__}: {reason}',
            logger='current',
            level=logging.WARNING,
        )
        self.compile_value = False
        for block in blocks_of(self):
            block._compiled_call_impl = None


def _loss(
    model: SimMIM, inputs: Tensor, mask: Tensor, positions: Tensor, grid_hw: tuple[int, int]
) -> dict[str, Tensor]:
    """Hides, encodes, decodes and scores: what :meth:`SimMIM.loss` does once the hidden cells are known."""
    cells = Cells(positions, grid_hw)
    features, hidden = model.masker.encode(model.backbone, inputs, mask)
    prediction = model.neck(features, hidden, cells)
    return model.head.loss(prediction, inputs, hidden, cells)


@cache
def _compiled(mode: str | None, backend: str | Callable) -> Callable:
    """One for all models: none of them holds what is compiled, so they are copied and saved as ever."""
    return torch.compile(_loss, **_settings(mode, backend))


def _settings(mode: str | None, backend: str | Callable) -> dict[str, Any]:
    settings: dict[str, Any] = {'fullgraph': True, 'dynamic': False, 'backend': backend}
    if mode is not None and backend == 'inductor':
        settings['mode'] = mode
    if 'recompile_limit' in inspect.signature(torch.compile).parameters:  # since PyTorch 2.12 or so
        settings['recompile_limit'] = MOST_GRAPHS
    return settings


def apply(model: nn.Module, value: Any) -> str:
    """Changes the model's class, and with ``'regions'`` how its blocks are called."""
    if type(model) is not SimMIM:
        return f'does not apply: {type(model).__name__} is not SimMIM'
    if model.companion is not None:
        return 'does not apply: a companion compares images of all processes, which no graph holds'
    if isinstance(model.masker, VisibleMasker):
        return 'does not apply: VisibleMasker asks for the number of visible cells amid the encoder'
    if value == 'regions':
        blocks = blocks_of(model)
        if not blocks:
            return f'does not apply: no block is known in this model (known: {", ".join(BLOCKS)}); use compile=True'
        for block in blocks:
            block.compile(**_settings(None, BACKEND))
    swap_classes(model, {SimMIM: CompiledSimMIM})
    model.compile_value = value
    model._numbers = {}
    # Sizes of images are tried again, uncompiled, so that the other levers make there what they keep for each size.
    model._probed_sizes = set()
    if value == 'regions':
        kinds = len({type(block) for block in blocks})
        return f'{len(blocks)} blocks of {kinds} classes are compiled when they are first used'
    return 'encoder, decoder and loss are compiled as one graph in the first step'
