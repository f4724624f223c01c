"""Hidden cells without waiting for the device."""

from __future__ import annotations

import pytest
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


@pytest.mark.parametrize('side', [1, 2, 4, 8])
@pytest.mark.parametrize('area', ['hidden', 'all'])
def test_hidden_cells_alone_have_the_gradients_of_the_dense_form(monkeypatch, side, area):
    """The published loss on whole maps, written out; in fp64, for masks coarser and finer than the last map (2x2)."""
    monkeypatch.setattr(torch.Tensor, 'float', torch.Tensor.double)  # the head computes in fp32 whatever it is given
    model = build_model(head=dict(type='ReconstructionHead', area=area)).double()
    images, mask = torch.randn(3, 3, 64, 64, dtype=torch.float64), torch.rand(3, side, side) < 0.5
    mask[0, 0, 0] = True
    features, hidden = model.masker.encode(model.backbone, images, mask)
    weight = hidden.repeat_interleave(64 // side, 1).repeat_interleave(64 // side, 2).unsqueeze(1)
    weight = weight.double() if area == 'hidden' else torch.ones_like(weight, dtype=torch.float64)
    distance = (model.neck(features, hidden) - images).abs()
    dense = (distance * weight).sum() / (weight.sum() + 1e-5) / 3
    parameters = list(model.parameters())
    expected = torch.autograd.grad(dense, parameters)
    loss = model.loss(images, mask)['loss']
    torch.testing.assert_close(loss, dense, rtol=1e-7, atol=0)  # the sum of the weights is rounded to fp32
    for gradient, reference in zip(
        torch.autograd.grad(loss * (dense / loss).item(), parameters), expected, strict=True
    ):
        torch.testing.assert_close(gradient, reference, rtol=0, atol=1e-12 * reference.abs().max().item() + 1e-16)
