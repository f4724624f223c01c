"""The residual stream in bf16: what it is between blocks, and how far the loss is from the plain one."""

import copy

import pytest
import torch

from simmim_mm.acceleration import accelerate
from simmim_mm.registry import MODELS

ENCODERS = ['SwinTransformer', 'SwinTransformerV2', 'VisionTransformer', 'BEiTViT', 'ConvNeXt']


def build(backbone):
    model = MODELS.build(dict(type='SimMIM', backbone=backbone, img_size=64))
    model.init_weights()
    return model


def loss_of(model):
    torch.manual_seed(1)
    images, mask = torch.randn(4, 3, 64, 64), torch.rand(4, 2, 2) < 0.5
    with torch.autocast('cpu', torch.bfloat16):
        return model.loss(images, mask)['loss']


@pytest.mark.parametrize('name', ENCODERS)
def test_what_goes_into_blocks_and_is_added_in_them_is_bf16(tiny_encoders, name):
    """Of Swin and ViT the sum inside a block too; parameters and gradients stay fp32; the loss moves a little."""
    plain = build(tiny_encoders[name])
    model = copy.deepcopy(plain)
    report = accelerate(model, 'off', bf16_residual=True)
    blocks = [m for m in model.backbone.modules() if hasattr(m, '_forward_pre_hooks') and m._forward_pre_hooks]
    assert report['bf16_residual'].startswith(f'{len(blocks)} blocks')
    seen = []
    for block in blocks:
        block.register_forward_pre_hook(lambda module, args: seen.append(args[0].dtype))
    sums = 'Swin' in name or name == 'VisionTransformer'
    if sums:
        blocks[-1].register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    loss = loss_of(model)
    loss.backward()
    assert set(seen) == {torch.bfloat16}
    assert len(seen) == len(blocks) + sums
    assert {parameter.grad.dtype for parameter in model.parameters() if parameter.grad is not None} == {torch.float32}
    assert loss.item() == pytest.approx(loss_of(plain).item(), rel=0.01)


def test_without_autocast_training_is_refused_and_evaluation_is_plain(tiny_encoders):
    """An option that would do nothing is an error."""
    plain = build(tiny_encoders['SwinTransformer'])
    model = copy.deepcopy(plain)
    accelerate(model, 'off', bf16_residual=True)
    images = torch.randn(1, 3, 64, 64)
    with pytest.raises(ValueError, match="precision='bf16'"):
        model.loss(images, torch.ones(1, 2, 2, dtype=torch.bool))
    model.eval()
    plain.eval()
    assert torch.equal(model(images)[0], plain(images)[0])


def test_no_known_block_is_refused(tiny_encoders):
    with pytest.raises(ValueError, match='bf16_residual=True finds no block'):
        accelerate(build(tiny_encoders['ResNet']), 'off', bf16_residual=True)
