"""Activation checkpointing against the plain run: nothing differs but what is kept in memory."""

import copy

import pytest
import torch

from simmim_mm.acceleration import accelerate
from simmim_mm.registry import MODELS

ENCODERS = ['SwinTransformer', 'SwinTransformerV2', 'VisionTransformer', 'BEiTViT', 'ConvNeXt', 'ConvNeXt V2']


def build(backbone, drop_path=0.5, **kwargs):
    model = MODELS.build(dict(type='SimMIM', backbone={**backbone, 'drop_path_rate': drop_path}, img_size=64, **kwargs))
    model.init_weights()
    return model


def step(model):
    """Loss and gradients of a step whose drop path, masks and images are always the same."""
    torch.manual_seed(1)
    images, mask = torch.randn(4, 3, 64, 64), torch.rand(4, 2, 2) < 0.5
    loss = model.loss(images, mask)['loss']
    model.zero_grad()
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


def kept_bytes(model):
    """Bytes of all tensors that the backward pass of a step finds kept, each storage once."""
    storages, parameters = {}, {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model.loss(torch.randn(4, 3, 64, 64), torch.rand(4, 2, 2) < 0.5)['loss']
        kept = sum(storages.values())
    loss.backward()
    return kept


@pytest.mark.parametrize('name', ENCODERS)
@pytest.mark.parametrize('value', [True, 2])
def test_loss_and_gradients_are_those_of_the_plain_run(tiny_encoders, name, value):
    """To the last bit, drop path included; keys too."""
    plain = build(tiny_encoders[name])
    model = copy.deepcopy(plain)
    accelerate(model, 'off', activation_checkpointing=value)
    assert list(model.state_dict()) == list(plain.state_dict())
    (expected, gradients), (loss, others) = step(plain), step(model)
    assert torch.equal(loss, expected)
    for key, gradient in gradients.items():
        assert (gradient is None and others[key] is None) or torch.equal(gradient, others[key]), key


def test_less_is_kept(tiny_encoders):
    """Half of the blocks save half as much; of a checkpointed block nothing but its input is left."""
    vit = tiny_encoders['VisionTransformer']
    deep = {**vit, 'arch': {**vit['arch'], 'num_layers': 8}}
    kept = []
    for value in (False, 2, True):
        model = build(deep, drop_path=0.0)
        accelerate(model, 'off', activation_checkpointing=value)
        kept.append(kept_bytes(model))
    assert kept[0] - kept[1] == pytest.approx((kept[0] - kept[2]) / 2, rel=0.01)
    inputs = 8 * 4 * 17 * 32 * 4  # blocks, images, tokens, width, bytes: what is left of the blocks
    outside = kept[2] - inputs
    assert outside > 0
    assert inputs < 0.1 * (kept[0] - outside)


def test_decoders_are_checkpointed_too(tiny_encoders):
    model = build(tiny_encoders['VisionTransformer'], neck=dict(type='TransformerDecoder', embed_dims=16, depth=3))
    report = accelerate(model, 'off', activation_checkpointing=True)
    assert report['activation_checkpointing'].startswith('5 of 5 blocks')


def test_copies_and_evaluation(tiny_encoders):
    """A copy trains by itself; without gradients nothing is computed twice."""
    plain = build(tiny_encoders['SwinTransformer'])
    model = copy.deepcopy(plain)
    accelerate(model, 'off', activation_checkpointing=True)
    twin = copy.deepcopy(model)
    assert torch.equal(step(twin)[0], step(plain)[0])
    calls = []
    model.backbone.stages[0].blocks[0].norm1.register_forward_hook(lambda *args: calls.append(1))
    with torch.no_grad():
        model(torch.randn(1, 3, 64, 64))
    assert len(calls) == 1
    step(model)
    assert len(calls) == 3


def test_visible_tokens_alone(tiny_encoders):
    """Tokens are dropped outside of the blocks: they are dropped once, with the first pass."""
    plain = build(
        tiny_encoders['VisionTransformer'],
        masker=dict(type='VisibleMasker'),
        neck=dict(type='TransformerDecoder', embed_dims=16, depth=1),
    )
    model = copy.deepcopy(plain)
    accelerate(model, 'off', activation_checkpointing=True)
    results = []
    for each in (plain, model):
        torch.manual_seed(0)
        mask = torch.tensor([[True, False], [False, True]]).expand(2, 2, 2)
        each.loss(torch.randn(2, 3, 64, 64), mask)['loss'].backward()
        results.append([parameter.grad for parameter in each.parameters() if parameter.grad is not None])
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


@pytest.mark.parametrize('value', [0, -1, 1.0, 'all', None, []])
def test_wrong_values_are_refused(tiny_model, value):
    with pytest.raises(ValueError, match='activation_checkpointing='):
        accelerate(tiny_model, 'off', activation_checkpointing=value)


def test_what_cannot_be_computed_twice_is_refused(tiny_encoders, tiny_swin):
    """Blocks that are not known, and blocks that do it themselves."""
    with pytest.raises(ValueError, match='finds no block'):
        accelerate(build(dict(type='mmpretrain.ResNet', depth=18), 0.0), 'off', activation_checkpointing=True)
    with pytest.raises(ValueError, match='with_cp=True'):
        accelerate(build(tiny_swin(with_cp=True)), 'off', activation_checkpointing=True)
