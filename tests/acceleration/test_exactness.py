"""What the levers of the preset `exact` leave as it was: loss, every gradient, keys."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from tiny import build_model, tiny_encoders, tiny_swin

from simmim_mm.acceleration import LEVERS, accelerate
from simmim_mm.registry import MODELS

# The allocator is a setting of the whole process.
ASIDE = {'allocator': False}
ENCODERS = ['SwinTransformer', 'SwinTransformerV2', 'VisionTransformer', 'BEiTViT', 'ConvNeXt', 'ConvNeXt V2', 'ResNet']


def encoders():
    """The tiny encoders; Swin V2 with two blocks a stage, of which the second has shifted windows."""
    arch = dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8], extra_norm_every_n_blocks=2)
    return tiny_encoders() | {'SwinTransformerV2': tiny_encoders()['SwinTransformerV2'] | dict(arch=arch)}


def perturbed(model, dtype=torch.float64):
    """Weights away from the initial ones, of which many are equal or zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model.to(dtype).train()


def batch(hw=(64, 64), dtype=torch.float64):
    torch.manual_seed(1)
    mask = torch.zeros(2, hw[0] // 32, hw[1] // 32, dtype=torch.bool)
    mask[0, 0, 1] = mask[1, :, 0] = True
    return torch.randn(2, 3, *hw, dtype=dtype), mask


def loss_and_gradients(model, images, mask):
    """The loss in the model's precision: the head's own would be in fp32."""
    features, hidden = model.masker.encode(model.backbone, images, mask)
    loss = (model.neck(features, hidden) ** 2).mean()
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return loss, dict(zip(dict(model.named_parameters()), gradients, strict=True))


def assert_same(model, reference, images, mask, tolerance):
    loss, gradients = loss_and_gradients(model, images, mask)
    expected, references = loss_and_gradients(reference, images, mask)
    torch.testing.assert_close(loss, expected, rtol=tolerance, atol=0)
    for name, gradient in gradients.items():
        if references[name] is None:
            assert gradient is None, name
            continue
        scale = references[name].abs().max().item()
        torch.testing.assert_close(
            gradient, references[name], rtol=0, atol=tolerance * scale, msg=lambda text, name=name: f'{name}: {text}'
        )


@pytest.fixture(scope='module')
def plain():
    """Models of one encoder are built once; tests change copies."""
    models = {}

    def get(name):
        if name not in models:
            models[name] = perturbed(build_model(backbone=encoders()[name]))
        return copy.deepcopy(models[name])

    return get


@pytest.mark.parametrize('name', ENCODERS)
def test_the_preset_is_exact(plain, name):
    """Loss and gradients in fp64, and the keys."""
    reference, model = plain(name), plain(name)
    keys = list(model.state_dict())
    accelerate(model, 'exact', **ASIDE)
    assert list(model.state_dict()) == keys
    assert_same(model, reference, *batch(), tolerance=1e-10)


@pytest.mark.parametrize('name', ['SwinTransformer', 'SwinTransformerV2'])
@pytest.mark.parametrize('lever', ['windows', 'attention', 'merging'])
def test_each_lever_of_windows_is_exact_alone(plain, name, lever):
    """With shifted windows, several of them, and their mask: 64x128 pixels have 2x4 tokens at last."""
    reference, model = plain(name), plain(name)
    value = LEVERS[lever].presets['exact']
    reports = accelerate(model, 'off', **{lever: value})
    assert list(reports) == [lever]
    assert not reports[lever].startswith('does not apply')
    assert_same(model, reference, *batch((64, 128)), tolerance=1e-10)


def test_fp32(plain):
    """As it runs without bf16: to 1e-5."""
    reference, model = plain('SwinTransformer').float(), plain('SwinTransformer').float()
    accelerate(model, 'exact', **ASIDE)
    images, mask = batch(dtype=torch.float32)
    torch.testing.assert_close(
        model.loss(images, mask)['loss'], reference.loss(images, mask)['loss'], rtol=1e-5, atol=0
    )
    assert_same(model, reference, images, mask, tolerance=1e-5)


@pytest.mark.parametrize('name', ['SwinTransformer', 'SwinTransformerV2', 'VisionTransformer', 'BEiTViT', 'ConvNeXt'])
def test_autocast_is_as_close_to_fp64(plain, name):
    """In bf16, both are off; the accelerated loss and gradients are not farther from the truth than the plain ones."""
    exact, reference, model = plain(name), plain(name).float(), plain(name).float()
    accelerate(model, 'exact', **ASIDE)
    images, mask = batch()
    _, truth = loss_and_gradients(exact, images, mask)
    distances = []
    for candidate in (reference, model):
        with torch.autocast('cpu', torch.bfloat16):
            _, gradients = loss_and_gradients(candidate, images.float(), mask)
        squares = [(gradients[key] - truth[key]).square().sum() for key in truth if truth[key] is not None]
        distances.append(torch.stack(squares).sum().sqrt().item())
    assert distances[1] < 1.25 * distances[0]


@pytest.mark.parametrize('name', ['SwinTransformer', 'SwinTransformerV2'])
def test_image_sizes_in_turn(plain, name):
    """What is kept for one size is not used for another."""
    reference, model = plain(name), plain(name)
    accelerate(model, 'exact', **ASIDE)
    for hw in ((64, 64), (128, 64), (64, 64)):
        assert_same(model, reference, *batch(hw), tolerance=1e-10)


def test_padded_windows():
    """Maps that windows do not tile, and maps smaller than a window, are padded as the host pads them."""
    backbone = tiny_swin(window_size=3, pad_small_map=True)
    reference = perturbed(build_model(backbone=backbone))
    model = copy.deepcopy(reference)
    accelerate(model, 'exact', **ASIDE)
    assert_same(model, reference, *batch((64, 96)), tolerance=1e-10)


def test_odd_maps_are_padded_before_merging():
    """Merging 2x2 of a map with an odd side."""
    reference = perturbed(build_model(backbone=tiny_swin(window_size=3, pad_small_map=True)))
    model = copy.deepcopy(reference)
    accelerate(model, 'off', merging=True)
    torch.manual_seed(2)
    for stage, other in zip(model.backbone.stages[:3], reference.backbone.stages[:3], strict=True):
        tokens = torch.randn(2, 5 * 7, stage.embed_dims, dtype=torch.float64)
        (merged, grid_hw), (expected, expected_hw) = (s.downsample(tokens, (5, 7)) for s in (stage, other))
        assert grid_hw == expected_hw == (3, 4)
        torch.testing.assert_close(merged, expected, rtol=1e-12, atol=1e-12)


def test_copies_and_checkpoints(plain):
    """A deep copy is as fast and has weights of its own; weights go to and from the plain model."""
    reference, model = plain('SwinTransformer'), plain('SwinTransformer')
    accelerate(model, 'exact', **ASIDE)
    twin = copy.deepcopy(model)
    blocks = [pickle.loads(pickle.dumps(m.backbone.stages[0].blocks[1])) for m in (model, twin)]
    assert {type(m) for block in blocks for m in block.modules()} == {
        type(m) for m in model.backbone.stages[0].blocks[1].modules()
    }
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.1)
    assert_same(model, reference, *batch(), tolerance=1e-10)
    reference.load_state_dict(twin.state_dict())
    assert_same(twin, reference, *batch(), tolerance=1e-10)


def test_evaluation(plain):
    """Predictions are the plain model's."""
    reference, model = plain('SwinTransformer'), plain('SwinTransformer')
    accelerate(model, 'exact', **ASIDE)
    for m in (reference, model):
        m.eval()
    with torch.no_grad():
        prediction, expected = (m.reconstruct(*batch()).images for m in (model, reference))
    torch.testing.assert_close(prediction, expected, rtol=1e-5, atol=1e-5)


def test_weights_are_initialised_as_before():
    """MMEngine draws weights after the levers are applied, and looks layers up by the names of their classes."""
    cfg = encoders()['SwinTransformerV2']
    cfg['init_cfg'] = [
        dict(type='TruncNormal', layer='Linear', std=0.02, bias=0.0),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        dict(type='simmim_mm.ResPostNormInit'),
    ]
    states = []
    for preset in ('off', 'exact'):
        torch.manual_seed(0)
        model = MODELS.build(dict(type='SimMIM', backbone=copy.deepcopy(cfg), img_size=64))
        accelerate(model, preset, **ASIDE)
        torch.manual_seed(0)
        model.init_weights()
        states.append(model.state_dict())
    for key, value in states[0].items():
        assert torch.equal(states[1][key], value), key
    assert not states[1]['backbone.stages.0.blocks.0.norm1.weight'].any()
