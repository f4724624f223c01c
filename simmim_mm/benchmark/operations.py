"""How many operations a training step asks for."""

from __future__ import annotations

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from simmim_mm.benchmark.candidates import Setup
from simmim_mm.masking import Cells, hidden_cells


def step_operations(setup: Setup) -> int:
    """Counts what the network itself needs for one batch, forward and backward: the same number for all candidates.

    Matrix products, convolutions and attention count; one multiplication and one addition are two. The decoder counts
    for the hidden cells alone, which are all that the loss asks for; what a candidate computes beyond (whole maps,
    activations once more) is no use and does not count. Nothing is computed: the count is made on the meta device.

    Args:
        setup: Model and batch.

    Returns:
        Operations of a step.
    """
    model = copy.deepcopy(setup.reference).to('meta')
    model.train()  # returns None
    images, mask = setup.batch
    grid_hw = model.grid_of(images.shape[-2:])
    cells = Cells(hidden_cells(model.head.scored(mask), grid_hw).positions.to('meta'), grid_hw)
    seen = mask if getattr(model.masker, 'leaves_hidden_empty', False) else mask.to('meta')
    with FlopCounterMode(display=False) as counter:
        features, hidden = model.masker.encode(model.backbone, torch.empty(images.shape, device='meta'), seen)
        model.neck(features, hidden.to('meta'), cells).sum().backward()
    return counter.get_total_flops()
