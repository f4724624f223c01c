"""Swin on visible tokens alone, against the whole Swin whose attention is kept from hidden keys."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from simmim_mm.acceleration import accelerate
from simmim_mm.masking import expand
from simmim_mm.registry import MODELS

DECODER = dict(type='TransformerDecoder', embed_dims=16, depth=1, num_heads=2)
V2 = dict(
    type='mmpretrain.SwinTransformerV2',
    arch=dict(embed_dims=16, depths=[2, 2, 2], num_heads=[1, 2, 4], extra_norm_every_n_blocks=2),
    img_size=96,
    out_indices=(2,),
    drop_path_rate=0.0,
)


def v1(**kwargs):
    arch = dict(embed_dims=16, depths=[2, 2, 2], num_heads=[1, 2, 4])
    cfg = dict(type='mmpretrain.SwinTransformer', arch=arch, img_size=96, out_indices=(2,), drop_path_rate=0.0)
    return {**cfg, 'window_size': 3, **kwargs}


# 96 px: maps of 24, 12 and 6 tokens, of which a cell of 16 px has 4, 2 and 1 a side.
BACKBONES = {
    'windows that divide cells': v1(window_size=2),
    'windows that cut through cells': v1(window_size=3),
    'a window as large as the last map': v1(window_size=6),
    'absolute positions, all stages': v1(use_abs_pos_embed=True, out_indices=(0, 1, 2)),
    'V2': {**V2, 'window_size': 3},
    'V2 with a window for each stage': {**V2, 'window_size': [6, 4, 2]},
}


def build(backbone, **kwargs):
    model = MODELS.build(
        dict(type='SimMIM', backbone=backbone, img_size=96, masker=dict(type='VisibleMasker'), neck=DECODER, **kwargs)
    )
    model.init_weights()
    for name, parameter in model.named_parameters():
        if any(part in name for part in ('bias', 'logit_scale', 'pos_embed', 'cpb_mlp', 'qkv')):
            nn.init.normal_(parameter, std=0.5)  # so that attention is far from uniform
    return model


def masks(num=3, hidden=20, side=6):
    return (torch.rand(num, side**2).argsort(dim=1) < hidden).view(num, side, side)


class KeptFromKeys(nn.Module):
    """A softmax that gives hidden keys no weight."""

    hidden: torch.Tensor

    def forward(self, scores):
        """(B * windows, heads, N, N), with the keys of each window."""
        return scores.masked_fill(self.hidden[:, None, None, :], -1e9).softmax(dim=-1)


def keep_from_hidden_keys(backbone, mask):
    """Lets a plain backbone compute everything, without any weight for hidden keys."""

    def find_keys(module, args):
        height, width = args[1]
        hidden = expand(mask, (height, width))[..., None].float()
        window = module.window_size
        if module.shift_size and min(height, width) > window:
            hidden = hidden.roll((-module.shift_size, -module.shift_size), dims=(1, 2))
        module.w_msa.softmax.hidden = module.window_partition(hidden, window).flatten(1).bool()

    for module in backbone.modules():
        if hasattr(module, 'w_msa'):
            module.w_msa.softmax = KeptFromKeys()
            module.register_forward_pre_hook(find_keys)


@pytest.mark.parametrize('name', BACKBONES)
def test_visible_features_are_those_of_attention_without_hidden_keys(name):
    """And gradients of the parameters with them; in hidden cells there is the learned token. In fp64."""
    model = build(BACKBONES[name]).double()
    plain = MODELS.build(BACKBONES[name]).double()
    plain.load_state_dict(model.backbone.state_dict(), strict=False)  # V2 makes its own buffers
    images, mask = torch.randn(3, 3, 96, 96, dtype=torch.float64), masks()
    keep_from_hidden_keys(plain, mask)
    features, expected = (
        each.movedim(1, -1) for each in (model.masker.encode(model.backbone, images, mask)[0], plain(images)[-1])
    )
    torch.testing.assert_close(features[~mask], expected[~mask], rtol=1e-10, atol=1e-10)
    assert torch.equal(features[mask], model.masker.mask_token[0].expand(mask.sum(), -1))
    weights = torch.randn_like(features[~mask])
    for each in (features, expected):
        (each[~mask] * weights).sum().backward()
    gradients = dict(plain.named_parameters())
    for key, parameter in model.backbone.named_parameters():
        if gradients[key].grad is None:
            assert parameter.grad is None, key
            continue
        torch.testing.assert_close(parameter.grad, gradients[key].grad, rtol=1e-8, atol=1e-8, msg=key)


@pytest.mark.parametrize('name', ['windows that cut through cells', 'V2'])
def test_no_feature_depends_on_a_hidden_pixel(name):
    """By the gradient of all features with respect to the pixels."""
    model = build(BACKBONES[name])
    images, mask = torch.randn(3, 3, 96, 96, requires_grad=True), masks()
    features, _ = model.masker.encode(model.backbone, images, mask)
    (features * torch.randn_like(features)).sum().backward()
    touched = (images.grad != 0).any(dim=1)
    assert not touched[expand(mask, (96, 96))].any()
    assert touched[expand(~mask, (96, 96))].any(dim=-1).all()


@pytest.mark.parametrize('name', ['windows that cut through cells', 'V2'])
def test_nothing_hidden_gives_the_plain_features(name):
    """And without a mask the backbone is the plain one, before and after."""
    model = build(BACKBONES[name])
    plain = MODELS.build(BACKBONES[name])
    assert {f'backbone.{key}' for key in plain.state_dict()} == {
        key for key in model.state_dict() if key.startswith('backbone.')
    }
    plain.load_state_dict(model.backbone.state_dict(), strict=False)  # V2 makes its own buffers
    images = torch.randn(2, 3, 96, 96)
    features, _ = model.masker.encode(model.backbone, images, masks(2, hidden=0))
    torch.testing.assert_close(features, plain(images)[-1], rtol=1e-5, atol=1e-5)
    assert torch.equal(model(images)[-1], plain(images)[-1])


def test_the_encoder_computes_what_is_visible_alone():
    """Operations outside of attention fall with the number of cells: 16 of 36 are visible."""
    model = build(v1())
    counts = []
    for mask in (masks(), None):
        with FlopCounterMode(display=False) as counter:
            images = torch.randn(3, 3, 96, 96)
            model.backbone(images) if mask is None else model.masker.encode(model.backbone, images, mask)
        counts.append(sum(num for op, num in counter.get_flop_counts()['Global'].items() if 'mm' in str(op)))
    # Products of queries and keys count too; groups are not all full.
    assert counts[0] / counts[1] == pytest.approx(16 / 36, rel=0.1)


def test_checkpointed_blocks_find_their_tokens_again():
    """The masks of the pass are gone by the time of the backward pass."""
    plain = build(v1())
    model = copy.deepcopy(plain)
    accelerate(model, 'off', activation_checkpointing=True)
    images, mask = torch.randn(3, 3, 96, 96), masks()
    for each in (plain, model):
        each.loss(images, mask)['loss'].backward()
    for expected, parameter in zip(plain.parameters(), model.parameters(), strict=True):
        assert torch.equal(parameter.grad, expected.grad)


def test_a_copy_drops_by_its_own_masks():
    model = build(v1())
    twin = copy.deepcopy(model)
    images, mask = torch.randn(3, 3, 96, 96), masks()
    expected = model.masker.encode(model.backbone, images, mask)[0]
    assert torch.equal(twin.masker.encode(twin.backbone, images, mask)[0], expected)
    assert twin.masker._dropper is not model.masker._dropper


@pytest.mark.parametrize(
    ('backbone', 'mask', 'message'),
    [
        (v1(), masks(2, 72, side=12), 'finer than the 6x6 last feature map'),
        (v1(), masks(2, 36), 'nothing is visible'),
        (v1(), torch.cat([masks(1, 3), masks(1, 5)]), 'from 31 to 33 visible cells'),
    ],
)
def test_masks_that_do_not_fit_are_refused(backbone, mask, message):
    model = build(backbone)
    with pytest.raises(ValueError, match=message):
        model.loss(torch.randn(2, 3, 96, 96), mask)


@pytest.mark.parametrize(
    ('backbone', 'message'),
    [
        (v1(window_size=5, pad_small_map=True), 'VisibleMasker does not pad'),
        (v1(stage_cfgs=dict(downsample_cfg=dict(kernel_size=3, stride=2, padding='same'))), 'VisibleMasker needs 2x2'),
    ],
)
def test_backbones_that_do_not_fit_are_refused_when_built(backbone, message):
    with pytest.raises(ValueError, match=message):
        build(backbone)
