"""Hidden cells without waiting for the device."""

from __future__ import annotations

import torch
from tiny import build_model
from torch.utils._python_dispatch import TorchDispatchMode

from simmim_mm.acceleration import accelerate
from simmim_mm.masking import hidden_cells


class _Asked(TorchDispatchMode):
    """Notes of which tensors the non-zero positions are asked: on a GPU, this waits."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if 'nonzero' in str(func):
            self.shapes.append(args[0].untyped_storage().data_ptr())
        return func(*args, **(kwargs or {}))


def test_the_mask_of_the_host_is_asked():
    """Not the one on the device."""
    mask = torch.rand(3, 2, 2) < 0.6
    device_mask = mask.clone()
    device_mask.on_host = mask
    with _Asked() as asked:
        cells = hidden_cells(device_mask, (2, 2))
    assert asked.shapes == [mask.untyped_storage().data_ptr()]
    assert torch.equal(cells.positions, hidden_cells(device_mask.clone(), (2, 2)).positions)


def test_the_lever_hands_the_mask_on():
    """From the loader's batch through the preprocessor to the loss, finer and coarser masks alike."""
    model = build_model()
    accelerate(model, 'off', cells=True)
    for side in (2, 4):
        mask = torch.rand(2, side, side) < 0.6
        data = dict(inputs=torch.zeros(2, 3, 64, 64, dtype=torch.uint8), mask=mask, img_path=['a', 'b'])
        batch = model.data_preprocessor(data, training=True)
        assert batch['mask'].on_host is mask
        with _Asked() as asked:
            model(**batch, mode='loss')
        assert len(asked.shapes) == 1
