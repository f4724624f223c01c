"""Encoding visible tokens alone, against the backbone's own layers run on each image's visible tokens."""

import copy

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from simmim_mm.masking import expand
from simmim_mm.registry import MODELS

DECODER = dict(type='TransformerDecoder', embed_dims=16, depth=1, num_heads=2)
VIT = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)


def vit(**kwargs):
    cfg = dict(type='mmpretrain.VisionTransformer', arch=VIT, img_size=64, patch_size=16, out_type='featmap')
    return {**cfg, **kwargs}


def beit(**kwargs):
    cfg = dict(use_rel_pos_bias=False, use_shared_rel_pos_bias=True, layer_scale_init_value=0.1)
    return vit(type='mmpretrain.BEiTViT', **{**cfg, **kwargs})


BACKBONES = {
    'ViT': vit(),
    'ViT without class token': vit(with_cls_token=False),
    'ViT without final norm': vit(final_norm=False),
    'ViT with norm before': vit(pre_norm=True),
    'ViT with several outputs': vit(out_indices=[0, 1, 2]),
    'BEiT': beit(),
    'BEiT with absolute positions': beit(use_abs_pos_emb=True, use_shared_rel_pos_bias=False),
    'BEiT with a final norm': beit(final_norm=True),
}


def build(backbone, **kwargs):
    model = MODELS.build(
        dict(type='SimMIM', backbone=backbone, img_size=64, masker=dict(type='VisibleMasker'), neck=DECODER, **kwargs)
    )
    model.init_weights()
    for name, parameter in model.named_parameters():
        if 'position_bias' in name or 'pos_embed' in name or 'cls_token' in name:
            torch.nn.init.normal_(parameter)  # so that mistakes about positions show
    return model


def masks(num=2, side=4, hidden=9):
    order = torch.rand(num, side * side).argsort(dim=1)
    return (order < hidden).view(num, side, side)


def by_hand(backbone, image, visible):
    """The layers of a backbone on the visible tokens of one image, as its own forward goes through them."""
    tokens, _ = backbone.patch_embed(image[None])
    num_extra = backbone.num_extra_tokens
    if backbone.cls_token is not None:
        tokens = torch.cat([backbone.cls_token, tokens], dim=1)
    if backbone.pos_embed is not None:
        tokens = tokens + backbone.pos_embed
    if hasattr(backbone, 'pre_norm'):
        tokens = backbone.pre_norm(tokens)
    stays = torch.cat([torch.ones(num_extra, dtype=torch.bool), visible.flatten()])
    tokens = tokens[:, stays]
    biases = getattr(backbone, 'rel_pos_bias', None)
    arguments = ()
    if hasattr(backbone, 'use_rel_pos_bias'):
        arguments = (None if biases is None else biases()[:, stays][:, :, stays],)
    for layer in backbone.layers:
        tokens = layer(tokens, *arguments)
    if backbone.final_norm:
        tokens = backbone.ln1(tokens)
    return tokens[0, num_extra:]


@pytest.mark.parametrize('name', BACKBONES)
def test_visible_features_are_those_of_the_layers_on_visible_tokens_alone(name):
    """And in the hidden cells there is the learned token."""
    model = build(BACKBONES[name]).eval()
    images, mask = torch.randn(2, 3, 64, 64), masks()
    features, hidden = model.masker.encode(model.backbone, images, mask)
    assert hidden is mask
    for image, feature, cells in zip(images, features, mask, strict=True):
        expected = by_hand(copy.deepcopy(model.backbone), image, ~cells)
        torch.testing.assert_close(feature[:, ~cells].T, expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(feature[:, cells].T, model.masker.mask_token[0].expand(9, -1))


@pytest.mark.parametrize('name', ['ViT', 'BEiT'])
def test_no_feature_depends_on_a_hidden_pixel(name):
    """By the gradient of all features with respect to the pixels; visible ones do have an effect."""
    model = build(BACKBONES[name])
    images, mask = torch.randn(2, 3, 64, 64, requires_grad=True), masks()
    features, _ = model.masker.encode(model.backbone, images, mask)
    (features * torch.randn_like(features)).sum().backward()
    touched = (images.grad != 0).any(dim=1)
    assert not touched[expand(mask, (64, 64))].any()
    assert touched[expand(~mask, (64, 64))].any(dim=-1).all()


def test_without_a_mask_the_backbone_is_the_plain_one():
    """Same keys, same outputs, after a masked pass too."""
    plain = MODELS.build(vit())
    model = build(vit())
    assert {key for key in model.state_dict() if key.startswith('backbone.')} == {
        f'backbone.{key}' for key in plain.state_dict()
    }
    plain.load_state_dict(model.backbone.state_dict())
    images = torch.randn(2, 3, 64, 64)
    model.loss(images, masks())
    assert torch.equal(model(images)[0], plain(images)[0])


def test_nothing_hidden_gives_the_plain_features():
    """A ratio of 0; the other end, where nothing is left but the class token, works too."""
    model = build(beit()).eval()
    images = torch.randn(2, 3, 64, 64)
    features, _ = model.masker.encode(model.backbone, images, masks(hidden=0))
    torch.testing.assert_close(features, model.backbone(images)[-1])
    features, _ = model.masker.encode(model.backbone, images, masks(hidden=16))
    assert torch.equal(features, model.masker.mask_token.view(1, -1, 1, 1).expand_as(features))


@pytest.mark.parametrize('decoder', [DECODER, dict(type='CrossAttentionDecoder', embed_dims=16, depth=1, num_heads=2)])
def test_training_reaches_every_parameter(decoder):
    """And the mask token has a gradient where the decoder reads it."""
    model = build(beit())
    model.neck = MODELS.build(dict(decoder, in_channels=32, out_channels=3, upscale=16))
    model.loss(torch.randn(2, 3, 64, 64), masks())['loss'].backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without <= {'masker.mask_token'} | {name for name in without if 'bias_table' in name}
    grad = model.masker.mask_token.grad
    assert (grad is not None and grad.abs().sum() > 0) == (decoder['type'] == 'TransformerDecoder')


def test_a_copy_drops_by_its_own_masks():
    """An EMA copy, whose hooks must not be those of the model."""
    model = build(beit())
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.masker.mask_token.fill_(7.0)
    images, mask = torch.randn(2, 3, 64, 64), masks()
    features, _ = twin.masker.encode(twin.backbone, images, mask)
    assert (features.movedim(1, -1)[mask] == 7.0).all()
    assert torch.equal(features.movedim(1, -1)[~mask], _visible(model, images, mask))


def _visible(model, images, mask):
    return model.masker.encode(model.backbone, images, mask)[0].movedim(1, -1)[~mask]


def test_an_error_in_a_pass_does_not_leave_the_backbone_masked():
    model = build(vit())
    images = torch.randn(2, 3, 64, 64)
    plain = model(images)[0]
    with pytest.raises(ValueError, match='from 6 to 16 visible cells'):
        model.loss(images, torch.cat([masks(1, hidden=0), masks(1, hidden=10)]))
    assert torch.equal(model(images)[0], plain)


def test_the_encoder_computes_what_is_visible_alone():
    """Operations of the layers fall with the number of tokens: 7 of 16 cells are visible, and the class token."""
    model = build(vit())
    counts = []
    for mask in (masks(), None):
        with FlopCounterMode(display=False) as counter:
            images = torch.randn(2, 3, 64, 64)
            model.backbone(images) if mask is None else model.masker.encode(model.backbone, images, mask)
        counts.append(counter.get_flop_counts()['Global'][torch.ops.aten.addmm])
    assert counts[0] / counts[1] == pytest.approx(8 / 17)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(neck=dict(type='LinearDecoder')), 'LinearDecoder predicts each cell from its own feature'),
        (dict(neck=None), 'TransformerDecoder'),
        (dict(neck=dict(type='DeconvDecoder', widths=[])), 'DeconvDecoder predicts each cell'),
        (dict(backbone=dict(type='mmpretrain.ResNet', depth=18)), 'cannot leave hidden tokens out of ResNet'),
        (dict(backbone=beit(use_rel_pos_bias=True, use_shared_rel_pos_bias=False)), 'use_shared_rel_pos_bias=True'),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(kwargs, message):
    cfg = dict(type='SimMIM', backbone=vit(), img_size=64, masker=dict(type='VisibleMasker'), neck=DECODER)
    with pytest.raises(ValueError, match=message):
        MODELS.build({**cfg, **kwargs})


@pytest.mark.parametrize('neck', [dict(type='DeconvDecoder', widths=[8]), dict(type='SwinDecoder', first_stage=3)])
def test_decoders_that_look_at_neighbours_are_taken(neck):
    model = MODELS.build(dict(type='SimMIM', backbone=vit(), img_size=64, masker=dict(type='VisibleMasker'), neck=neck))
    assert type(model.neck).__name__ == neck['type']


def test_the_copy_of_the_mask_in_the_memory_of_the_host_is_read():
    """Reading the mask of a device would wait for it: here, one that cannot be read stands for it."""
    model = build(vit()).eval()
    images, mask = torch.randn(2, 3, 64, 64), masks()
    expected, _ = model.masker.encode(model.backbone, images, mask)
    away = torch.empty_like(mask, device='meta')
    away.on_host = mask
    assert torch.equal(model.masker.encode(model.backbone, images, away)[0], expected)


def test_a_mask_that_is_finer_than_tokens_is_refused():
    model = build(vit())
    with pytest.raises(ValueError, match='finer than the 4x4 tokens of the stem'):
        model.loss(torch.randn(2, 3, 64, 64), masks(side=8, hidden=32))
