"""What a step keeps and computes, against a real step and against arithmetic."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from simmim_mm.acceleration import accelerate
from simmim_mm.planning import counts
from simmim_mm.planning.counts import build_without_memory, count

CONFIGS = Path(__file__).parents[2] / 'configs'
BATCH = 3


def bytes_saved(model, precision: str) -> int:
    """Brute force: a real forward pass at another batch than the counts are made of."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    saved = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    mask = torch.tensor([[[True, True], [True, False]]] * BATCH)  # ceil(0.6 * 4) cells of 32 px
    model.train()
    with counts._autocast(precision), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.loss(torch.rand(BATCH, 3, 64, 64), mask)
    return sum(size for size, _ in saved.values())


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
@pytest.mark.parametrize('name', ['SwinTransformer', 'ConvNeXt'])
def test_bytes_are_those_of_a_real_step(build_model, tiny_encoders, name, precision):
    model = build_model(backbone=tiny_encoders[name])
    kept = count(copy.deepcopy(model), precision=precision)
    assert bytes_saved(model, precision) == pytest.approx(kept.plain.fixed + BATCH * kept.plain.per_image, rel=5e-3)
    accelerate(model, 'off', activation_checkpointing=True)
    expected = kept.checkpointed.fixed + BATCH * kept.checkpointed.per_image
    assert bytes_saved(model, precision) == pytest.approx(expected, rel=5e-3)
    assert (
        kept.checkpointed.per_image < kept.checkpointed.per_image + kept.largest_block.per_image < kept.plain.per_image
    )


def test_operations_are_those_of_a_real_step(tiny_model):
    counted = count(copy.deepcopy(tiny_model), precision='fp32')
    mask = torch.tensor([[[True, True], [True, False]]] * BATCH)
    tiny_model.train()
    with FlopCounterMode(display=False) as flops:
        loss = tiny_model.loss(torch.rand(BATCH, 3, 64, 64), mask)['loss']
        assert flops.get_total_flops() == pytest.approx(BATCH * counted.forward)
        loss.backward()
    assert flops.get_total_flops() == pytest.approx(BATCH * (counted.forward + counted.backward))
    # Patches are embedded outside of blocks: 16 x 16 cells of 4 x 4 x 3 values, of which 16 channels are made.
    assert 0 < counted.recomputed <= counted.forward - 2 * 16 * 16 * (4 * 4 * 3) * 16


def test_operations_of_a_vit_by_hand(build_model, tiny_encoders):
    model = build_model(backbone=tiny_encoders['VisionTransformer'])
    tokens, width, hidden, layers = 4 * 4 + 1, 32, 64, 2
    products = 2 * tokens * width * (4 * width + 2 * hidden) + 2 * 2 * tokens**2 * width
    assert count(model, precision='fp32').recomputed == layers * products


def parameters(config: str) -> int:
    model = build_without_memory(Config.fromfile(CONFIGS / config).model)
    return sum(parameter.numel() for parameter in model.backbone.parameters())


def test_parameters_are_the_published_ones():
    # torchvision's swin_b has 87,768,224, of which the classifier has 1,025,000; windows of 6 have 121 offsets in
    # place of 169, for each of 376 heads.
    assert parameters('simmim_swin_base.py') == 87_768_224 - 1_025_000 - (169 - 121) * 376
    # Swin V2, table 8 (https://arxiv.org/abs/2111.09883): 3.0 billion.
    assert parameters('simmim_swinv2_giant_800e.py') == pytest.approx(3.0e9, rel=0.02)


def test_other_models_are_refused(build_model):
    with pytest.raises(ValueError, match='no model with a backbone'):
        build_without_memory({})
    with pytest.raises(ValueError, match='without a companion'):
        build_without_memory(Config.fromfile(CONFIGS / 'simmim_swin_base_contrastive.py').model)
