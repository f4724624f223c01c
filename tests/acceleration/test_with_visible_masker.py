"""The levers of the presets on encoders that compute visible tokens alone."""

import copy

import pytest
import torch

from simmim_mm.acceleration import LEVERS, accelerate
from simmim_mm.registry import MODELS

# What has no preset, and compiling, which would take the time of the whole file.
OFF = {name: False for name, lever in LEVERS.items() if 'compile' in name or not lever.presets}


@pytest.mark.parametrize('name', ['SwinTransformer', 'SwinTransformerV2', 'VisionTransformer', 'BEiTViT'])
@pytest.mark.parametrize('more', [{}, dict(activation_checkpointing=True)], ids=['exact', 'and checkpoints'])
def test_the_exact_preset_changes_nothing(tiny_encoders, name, more):
    """Loss and gradients to float rounding."""
    plain = MODELS.build(
        dict(
            type='SimMIM',
            backbone=tiny_encoders[name],
            img_size=64,
            masker=dict(type='VisibleMasker'),
            neck=dict(type='TransformerDecoder', embed_dims=16, depth=1, num_heads=2),
        )
    )
    plain.init_weights()
    for key, parameter in plain.named_parameters():
        if 'position_bias' in key:
            torch.nn.init.normal_(parameter)
    plain = plain.double()
    model = copy.deepcopy(plain)
    accelerate(model, 'exact', **{**OFF, **more})
    images = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    mask = torch.tensor([[[1, 0], [0, 0]], [[0, 0], [1, 0]], [[0, 0], [0, 1]]], dtype=torch.bool)
    losses = [each.loss(images, mask)['loss'] for each in (plain, model)]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-6, atol=0)
    for loss in losses:
        loss.backward()
    gradients = {key: parameter.grad for key, parameter in model.named_parameters()}
    for key, parameter in plain.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(gradients[key], parameter.grad, rtol=1e-5, atol=1e-7, msg=key)
