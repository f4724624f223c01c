"""Weights from a file are all in the backbone, whatever the host initialises besides, or nothing goes on."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from mmengine.registry import MODELS, WEIGHT_INITIALIZERS, init_default_scope

MAPS = dict(out_indices=(0, 1, 2, 3))


def save(tmp_path, backbone: dict, name: str = 'backbone.pth', prefix: str = 'backbone.', buffers: bool = False) -> str:
    """A file of random weights, unlike any that an initialisation draws."""
    model = MODELS.build(backbone)
    kept = {name for name, _ in model.named_parameters()}
    state = {
        f'{prefix}{key}': torch.rand_like(value) + 1 if key in kept else value.clone()
        for key, value in model.state_dict().items()
        if buffers or key in kept or 'running' in key or 'num_batches' in key
    }
    torch.save({'state_dict': {**state, 'masker.mask_token': torch.zeros(1)}}, tmp_path / name)
    return str(tmp_path / name)


def pretrained(backbone: dict, checkpoint: str | None, **options) -> dict:
    return {**backbone, 'init_cfg': dict(type='simmim_mm.CheckedPretrained', checkpoint=checkpoint, **options)}


def in_a_model(scope: str, backbone: dict) -> torch.nn.Module:
    """As part of a model that a host initialises as a whole."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        init_default_scope(scope)
    if scope == 'mmpretrain':
        return MODELS.build(dict(type='ImageClassifier', backbone=backbone, neck=dict(type='GlobalAveragePooling')))
    if scope == 'mmdet':
        head = dict(type='RetinaHead', num_classes=2, in_channels=128, stacked_convs=1)
        return MODELS.build(dict(type='RetinaNet', backbone=backbone, bbox_head=head, neck=None))
    head = dict(type='FCNHead', in_channels=128, in_index=-1, channels=8, num_classes=2)
    return MODELS.build(dict(type='EncoderDecoder', backbone=backbone, decode_head=head))


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
def test_every_weight_of_every_encoder_arrives(encoder, tmp_path, scope):
    """After the host's ``init_weights``, each tensor of the backbone equals the file's."""
    checkpoint = save(tmp_path, encoder)
    model = in_a_model(scope, pretrained(encoder, checkpoint))
    model.init_weights()
    file = torch.load(checkpoint)['state_dict']
    state = model.backbone.state_dict()
    assert len(file) > 20
    for key, value in file.items():
        if key.startswith('backbone.'):
            assert torch.equal(state[key[len('backbone.') :]], value), key


def test_parts_that_are_new_are_initialised_and_the_rest_arrives(tiny_swin, tmp_path):
    """The norms of the other maps are 1 and 0; all else is the file's."""
    checkpoint = save(tmp_path, tiny_swin())
    model = MODELS.build(pretrained(tiny_swin(**MAPS), checkpoint, new=['norm0', 'norm1', 'norm2']))
    model.init_weights()
    state = model.state_dict()
    for key, value in torch.load(checkpoint)['state_dict'].items():
        if key.startswith('backbone.'):
            assert torch.equal(state[key[len('backbone.') :]], value), key
    assert (model.norm1.weight == 1).all()
    assert (model.norm1.bias == 0).all()


def test_positions_are_resized_by_the_host(tiny_encoders, tmp_path):
    """A ViT at another image size gets positions of the new size, and everything else as it is."""
    vit = tiny_encoders['VisionTransformer']
    checkpoint = save(tmp_path, vit)
    model = MODELS.build(pretrained({**vit, 'img_size': 96}, checkpoint))
    model.init_weights()
    assert model.pos_embed.shape == (1, 37, 32)
    assert model.pos_embed.min() > 0.5  # drawn anew, half would be below 0


def test_none_means_random_weights(tiny_swin, tmp_path):
    """The same weights as without the initialiser from the same seed; or those of ``scratch``."""
    states = []
    for init_cfg in (None, dict(type='simmim_mm.CheckedPretrained', checkpoint=None)):
        torch.manual_seed(3)
        model = MODELS.build(tiny_swin(init_cfg=init_cfg))
        model.init_weights()
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    scratch = [dict(type='Constant', layer='LayerNorm', val=0.5), dict(type='TruncNormal', layer='Linear', std=0.02)]
    model = MODELS.build(pretrained(tiny_swin(), None, scratch=scratch))
    model.init_weights()
    assert (model.norm3.weight == 0.5).all()
    assert model.stages[3].blocks[0].ffn.layers[1].weight.std().item() == pytest.approx(0.02, rel=0.05)


def damage(kind: str, state: dict) -> dict:
    """One way in which a file does not fit."""
    state = {key: value for key, value in state.items() if key.startswith('backbone.')}
    first = next(iter(state))
    if kind == 'a missing key':
        del state[first]
    elif kind == 'an unknown key':
        state['backbone.stages.2.blocks.9.norm1.weight'] = torch.ones(64)
    elif kind == 'another shape':
        state[first] = torch.ones(7)
    elif kind == 'no prefix':
        state = {key[len('backbone.') :]: value for key, value in state.items()}
    elif kind == 'the authors prefix':
        state = {key.replace('backbone.', 'encoder.'): value for key, value in state.items()}
    elif kind == 'another window':
        state = {key: torch.ones(49, value.shape[1]) if 'bias_table' in key else value for key, value in state.items()}
    return state


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('a missing key', r'1 weights are missing \(such as patch_embed'),
        ('an unknown key', r"1 are unknown \(such as stages.2.blocks.9.norm1.weight\); name .* unused=\['stages'\]"),
        ('another shape', r'1 have another shape \(such as patch_embed.*: \(7,\) instead of'),
        ('no prefix', "no key in .* begins with prefix='backbone.'; they begin with norm3, patch_embed, stages"),
        ('the authors prefix', 'they begin with encoder; convert the file with tools/convert_checkpoint.py'),
        ('another window', r'windows are of another size \(4 instead of 2\).*--window-size'),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tiny_swin, tmp_path, kind, message):
    """Each with what differs and what to do; MMEngine's ``Pretrained`` would go on with random weights."""
    checkpoint = save(tmp_path, tiny_swin())
    torch.save(damage(kind, torch.load(checkpoint)['state_dict']), checkpoint)
    model = MODELS.build(pretrained(tiny_swin(), checkpoint))
    with pytest.raises(ValueError, match=message):
        model.init_weights()


def test_a_missing_or_broken_file_is_refused(tmp_path):
    build = WEIGHT_INITIALIZERS.build
    with pytest.raises(FileNotFoundError, match='--pretrained FILE'):
        build(dict(type='simmim_mm.CheckedPretrained', checkpoint=str(tmp_path / 'no.pth')))
    (tmp_path / 'broken.pth').write_bytes(b'no checkpoint')
    with pytest.raises(ValueError, match='is a text, without weights'):
        build(dict(type='simmim_mm.CheckedPretrained', checkpoint=str(tmp_path / 'broken.pth')))


def test_a_new_part_that_is_nothing_of_the_backbone_is_refused(tiny_swin, tmp_path):
    """A slip of the pen would otherwise go unseen."""
    model = MODELS.build(pretrained(tiny_swin(), save(tmp_path, tiny_swin()), new=['norm7']))
    with pytest.raises(ValueError, match=r"new=\['norm7'\] .* is nothing of SwinTransformer"):
        model.init_weights()


def test_parts_that_are_not_wanted_may_be_named(tiny_swin, tmp_path):
    """A file of four norms into a backbone of one; without ``prefix`` too, and with the host's buffers in the file."""
    checkpoint = save(tmp_path, tiny_swin(**MAPS), prefix='', buffers=True)
    state = torch.load(checkpoint)['state_dict']
    del state['masker.mask_token']
    torch.save(state, checkpoint)
    options = dict(prefix=None, unused=['norm0', 'norm1', 'norm2'])
    model = MODELS.build(pretrained(tiny_swin(), checkpoint, **options))
    model.init_weights()
    assert torch.equal(model.norm3.weight, state['norm3.weight'])


def test_a_copy_made_before_the_initialisation_does_not_matter(tiny_swin, tmp_path):
    """MMEngine copies init_cfg when it builds; the config that a person wrote stays as it was."""
    cfg = pretrained(tiny_swin(), save(tmp_path, tiny_swin()))
    before = copy.deepcopy(cfg)
    MODELS.build(cfg).init_weights()
    assert cfg == before
