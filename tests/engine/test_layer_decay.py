"""Layer-wise learning rates, held against the authors' groups and against the hosts' own constructors."""

from __future__ import annotations

import warnings

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from simmim_mm.compat import meta_device
from simmim_mm.engine.layer_decay import layer_rule

# What the authors' code makes of their own models: for each layer, from stem to head, the number of values with and
# without weight decay. `get_finetune_param_groups` of microsoft/SimMIM (Swin-T w7; ViT-Ti, mean pooling, layer scale, a
# position bias in each block) and of microsoft/Swin-Transformer (SwinV2-T w7), all with 1000 classes at 224 px.
AUTHORS = {
    'swin': [
        (4608, 288), (110592, 1755), (184320, 2523), (442368, 3510), (737280, 5046), *[(1769472, 7020)] * 5,
        (2949120, 10092), (7077888, 14040), (7077888, 14040), (768000, 2536),
    ],
    'swinv2': [
        (4608, 288), (110592, 4227), (184320, 4611), (442368, 6918), (737280, 7686), *[(1769472, 12300)] * 5,
        (2949120, 13836), (7077888, 23064), (7077888, 23064), (768000, 2536),
    ],
    'vit': [(147456, 384), *[(444564, 2688)] * 12, (192000, 1384)],
}  # fmt: skip
SWIN_EXEMPT = {name: dict(decay_mult=0.0) for name in ('relative_position_bias_table', 'cpb_mlp', 'logit_scale')}
SWINV2 = dict(type='mmpretrain.SwinTransformerV2', arch='tiny', window_size=7, img_size=224)
MODELS_OF_THE_AUTHORS = {
    'swin': (dict(type='mmpretrain.SwinTransformer', arch='tiny'), 768, SWIN_EXEMPT, 0.9),
    'swinv2': (SWINV2, 768, SWIN_EXEMPT, 0.75),
    'vit': (
        dict(
            type='mmpretrain.BEiTViT',
            arch=dict(embed_dims=192, num_layers=12, num_heads=3, feedforward_channels=768),
            use_abs_pos_emb=False,
            use_rel_pos_bias=True,
            layer_scale_init_value=0.1,
            out_type='avg_featmap',
        ),
        192,
        {'cls_token': dict(decay_mult=0.0)},
        0.65,
    ),
}


def classifier(backbone: dict, width: int) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        init_default_scope('mmpretrain')
    pooled = backbone.get('out_type') == 'avg_featmap'
    return MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            backbone=backbone,
            neck=None if pooled else dict(type='mmpretrain.GlobalAveragePooling'),
            head=dict(type='mmpretrain.LinearClsHead', num_classes=1000, in_channels=width),
        )
    )


def optimizer_of(model: nn.Module, **paramwise_cfg) -> torch.optim.Optimizer:
    cfg = dict(
        optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.05),
        constructor='simmim_mm.LayerDecayConstructor',
        paramwise_cfg=paramwise_cfg,
    )
    return build_optim_wrapper(model, cfg).optimizer


def rates_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    rates = {id(parameter): group['lr'] for group in optimizer.param_groups for parameter in group['params']}
    return {name: rates[id(parameter)] for name, parameter in model.named_parameters()}


@pytest.mark.parametrize('name', AUTHORS)
def test_groups_are_the_authors(name):
    """The number of values with and without weight decay at each learning rate equals that of the authors' code."""
    backbone, width, exempt, rate = MODELS_OF_THE_AUTHORS[name]
    with meta_device():
        model = classifier(backbone, width)
    optimizer = optimizer_of(model, layer_decay_rate=rate, flat_decay_mult=0.0, custom_keys=exempt)
    sizes = {
        (group['lr'], group['weight_decay']): sum(parameter.numel() for parameter in group['params'])
        for group in optimizer.param_groups
    }
    depth = len(AUTHORS[name])
    assert len(sizes) == len(optimizer.param_groups) == 2 * depth
    for layer, published in enumerate(AUTHORS[name]):
        scale = rate ** (depth - 1 - layer)
        found = [
            sum(size for (lr, wd), size in sizes.items() if lr == pytest.approx(scale) and wd == decay)
            for decay in (0.05, 0.0)
        ]
        assert tuple(found) == published, f'layer {layer}'


HOSTS = {
    'Swin': (dict(type='mmpretrain.SwinTransformer', arch='base'), ('norm3',)),
    'ViT': (dict(type='mmpretrain.VisionTransformer', arch='base'), ('ln1',)),
    'BEiT': (dict(type='mmpretrain.BEiTViT', arch='base'), ('ln1',)),
    'ConvNeXt-T': (dict(type='mmpretrain.ConvNeXt', arch='tiny'), ('norm3',)),
    'ConvNeXt-B': (dict(type='mmpretrain.ConvNeXt', arch='base'), ('norm3',)),
    'ResNet-50': (dict(type='mmpretrain.ResNet', depth=50), ()),
    'ResNet-101': (dict(type='mmpretrain.ResNet', depth=101), ()),
    'ResNet-152': (dict(type='mmpretrain.ResNet', depth=152), ()),
}


@pytest.mark.parametrize('name', HOSTS)
def test_layers_are_those_of_mmpretrain(name):
    """Each parameter of a backbone is in the layer that mmpretrain's ``get_layer_depth`` puts it in."""
    with meta_device():
        backbone = MODELS.build(HOSTS[name][0])
    layer_of, num_layers = layer_rule(backbone)
    for parameter, _ in backbone.named_parameters():
        expected = backbone.get_layer_depth(f'backbone.{parameter}', 'backbone.')
        assert (layer_of(parameter), num_layers) == expected, parameter


def test_resnets_that_mmpretrain_refuses_are_divided_too():
    """ResNet-18 by hand: stages of two blocks, of which the third stage's are one layer."""
    with meta_device():
        backbone = MODELS.build(dict(type='mmpretrain.ResNet', depth=18))
    layer_of, num_layers = layer_rule(backbone)
    stem = dict.fromkeys(('conv1.weight', 'bn1.bias'), 0)
    stages = {f'layer{stage}.{block}.conv1.weight': stage for stage in (1, 2, 3, 4) for block in (0, 1)}
    assert {name: layer_of(name) for name in (*stem, *stages)} == {**stem, **stages}
    assert num_layers == 6


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
@pytest.mark.parametrize('backbone', ['SwinTransformer', 'ResNet'])
def test_the_other_hosts_backbones_are_divided_as_mmpretrains(scope, backbone):
    """mmdet's and mmseg's classes name their parameters in the same way."""
    sizes = (
        dict(depth=50) if backbone == 'ResNet' else dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24))
    )
    with meta_device():
        theirs = MODELS.build(dict(type=f'{scope}.{backbone}', **sizes))
        same = MODELS.build(
            dict(type=f'mmpretrain.{backbone}', **(dict(depth=50) if 'depth' in sizes else dict(arch='tiny')))
        )
    (layer_of, count), (expected, expected_count) = layer_rule(theirs), layer_rule(same)
    shared = {name for name, _ in theirs.named_parameters()} & {name for name, _ in same.named_parameters()}
    assert len(shared) > 100
    assert count == expected_count
    assert all(layer_of(name) == expected(name) for name in shared)


def test_mmsegs_beit_is_divided_block_by_block():
    with meta_device():
        backbone = MODELS.build(dict(type='mmseg.BEiT', embed_dims=32, num_layers=4, num_heads=2, img_size=64))
    layer_of, num_layers = layer_rule(backbone)
    assert num_layers == 6
    assert layer_of('layers.3.attn.relative_position_bias_table') == 4
    assert [layer_of(name) for name in ('cls_token', 'patch_embed.projection.weight', 'layers.0.gamma_1')] == [0, 0, 1]


def test_hivit_is_divided_block_by_block(tiny_encoders):
    """mmpretrain's own rule looks for ``layers``, which HiViT calls ``blocks``, and so puts all of it in one layer."""
    backbone = MODELS.build(tiny_encoders['HiViT'])
    layer_of, num_layers = layer_rule(backbone)
    blocks = {int(name.split('.')[1]): layer_of(name) for name, _ in backbone.named_parameters() if 'blocks.' in name}
    assert blocks == {block: block + 1 for block in range(len(backbone.blocks))}
    assert num_layers == len(backbone.blocks) + 2


def test_heads_keep_the_full_rate_and_a_multiplier_comes_on_top(tiny_swin):
    """A rate by hand for parameters in five places; those of a neck and a head are not the backbone's."""
    model = classifier(tiny_swin(), 128)
    optimizer = optimizer_of(model, layer_decay_rate=0.5, custom_keys={'head': dict(lr_mult=10.0)})
    rates = rates_of(model, optimizer)
    assert rates['head.fc.weight'] == 10
    assert rates['backbone.norm3.weight'] == 1
    assert rates['backbone.stages.3.blocks.1.norm1.weight'] == 0.5
    assert rates['backbone.stages.0.downsample.reduction.weight'] == 0.5**7
    assert rates['backbone.patch_embed.projection.weight'] == 0.5**9
    assert len(optimizer.param_groups) == 11


def test_a_rate_of_1_is_the_plain_constructor(tiny_swin):
    """The same groups as without layer decay."""
    model = classifier(tiny_swin(), 128)
    optimizer = optimizer_of(model, layer_decay_rate=1, flat_decay_mult=0.0)
    cfg = dict(
        optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.05),
        constructor='simmim_mm.MergedGroupsConstructor',
        paramwise_cfg=dict(flat_decay_mult=0.0),
    )
    plain = build_optim_wrapper(model, cfg).optimizer
    settings = [
        sorted((group['lr'], group['weight_decay'], len(group['params'])) for group in built.param_groups)
        for built in (optimizer, plain)
    ]
    assert settings[0] == settings[1]


@pytest.mark.parametrize('rate', [0, -0.9, 1.1, float('nan'), '0.9', None, True])
def test_rates_out_of_range_are_refused(tiny_swin, rate):
    with pytest.raises(ValueError, match='must be a number above 0 and at most 1'):
        optimizer_of(classifier(tiny_swin(), 128), layer_decay_rate=rate)


def test_options_of_other_constructors_are_refused(tiny_swin):
    """mmdet's and mmseg's constructors call the rate otherwise; MMEngine's would ignore it."""
    with pytest.raises(ValueError, match='holds decay_rate, num_layers, which has no effect'):
        optimizer_of(classifier(tiny_swin(), 128), decay_rate=0.9, num_layers=12)


def test_what_has_no_known_layers_is_refused(tiny_encoders):
    model = classifier(tiny_encoders['PCPVT'], 128)
    with pytest.raises(ValueError, match='how PCPVT is divided into layers is not known'):
        optimizer_of(model, layer_decay_rate=0.9)
    with pytest.raises(ValueError, match='Linear has no backbone'):
        optimizer_of(nn.Linear(2, 2), layer_decay_rate=0.9)
