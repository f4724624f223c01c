"""The configs of encoders: sizes as published, and whole models built without memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from simmim_mm.compat import meta_device
from simmim_mm.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
NAMES = sorted(path.stem for path in CONFIGS.glob('*.py'))

# Config -> settings of the published classifier that differ; its parameters, with the layer for 1000 classes (width *
# 1000 + 1000); the last digit that was published. From the metafiles of mmpretrain 1.3, unless a line says otherwise.
PUBLISHED = {
    'simmim_swin_tiny': ({'img_size': 224, 'window_size': 7}, 28_290_000, 10_000),
    'simmim_swin_small': ({'img_size': 224, 'window_size': 7}, 49_610_000, 10_000),
    'simmim_swin_base': ({}, 87_750_176, 1),
    'simmim_swin_large_800e': ({'img_size': 224, 'window_size': 7, 'stage_cfgs': {}}, 196_530_000, 10_000),
    'simmim_swinv2_tiny_800e': ({}, 28_350_000, 10_000),
    'simmim_swinv2_small_800e': ({}, 49_730_000, 10_000),
    'simmim_swinv2_base_800e': ({}, 87_920_000, 10_000),
    'simmim_swinv2_large_800e': ({}, 196_740_000, 10_000),
    'simmim_swinv2_huge_800e': ({}, 658_000_000, 1_000_000),  # arXiv 2111.09883
    'simmim_swinv2_giant_800e': ({}, 3_000_000_000, 100_000_000),  # arXiv 2111.09883
    'simmim_vit_small': ({'img_size': 224}, 22_050_664, 1),  # that of DeiT-S
    'simmim_vit_base': ({'img_size': 224}, 86_567_656, 1),
    'simmim_vit_large': ({'img_size': 384}, 304_715_752, 1),
    # BEiT-B, which has the table of position biases in each block and not once.
    'simmim_vit_base_relpos_800e': ({'use_shared_rel_pos_bias': False, 'use_rel_pos_bias': True}, 86_530_984, 1),
    'simmim_convnext_tiny': ({}, 28_589_128, 1),
    'simmim_convnext_small': ({}, 50_223_688, 1),
    'simmim_convnext_base': ({}, 88_591_464, 1),
    'simmim_convnextv2_tiny': ({}, 28_635_496, 1),
    'simmim_convnextv2_base': ({}, 88_717_800, 1),
    'simmim_resnet50': ({}, 25_560_000, 10_000),
    'simmim_resnet101': ({}, 44_550_000, 10_000),
    'simmim_hivit_base': ({'img_size': 224}, 79_051_000, 1_000),
    'simmim_pcpvt_small': ({}, 24_110_000, 10_000),
    'simmim_timm_pvtv2_b2': ({}, 25_400_000, 100_000),  # arXiv 2106.13797
}


# Config -> millions of parameters, in the table of encoders.
DOCUMENTED = dict(
    re.findall(
        r'^\|[^|]*\| \[(\w+)\.py\]\([^|]*\| ([\d.]+) \|', (ROOT / 'docs' / 'encoders.md').read_text(), re.MULTILINE
    )
)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def build(name: str):
    with meta_device():
        return MODELS.build(Config.fromfile(CONFIGS / f'{name}.py').model)


@pytest.mark.parametrize('name', NAMES)
def test_every_config_builds_without_memory_and_reconstructs_images_of_its_size(name):
    """On the meta device: the largest has three billion parameters. What it would compute has the images' shape."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    model = build(name)
    assert all(parameter.is_meta for parameter in model.parameters())
    size = cfg.model.img_size
    height, width = (size, size) if isinstance(size, int) else size
    h, w = height // model.layout.stride, width // model.layout.stride
    with meta_device():
        images = torch.zeros(2, model.data_preprocessor.channels, height, width)
        mask = torch.ones(2, h, w, dtype=torch.bool)
        assert model.reconstruct(images, mask).images.shape == images.shape
    if name in DOCUMENTED:
        assert f'{count(model.backbone) / 1e6:.1f}' == DOCUMENTED[name]


def test_the_table_of_encoders_has_every_config_of_one():
    assert set(PUBLISHED) <= set(DOCUMENTED) <= set(NAMES)


@pytest.mark.parametrize('name', sorted(PUBLISHED))
def test_encoders_have_the_published_number_of_parameters(name):
    settings, published, digit = PUBLISHED[name]
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cfg.model.backbone.update(settings)
    with meta_device():
        backbone = MODELS.build(cfg.model.backbone)
        side = cfg.model.backbone.get('img_size', 224)
        width = backbone(torch.zeros(1, 3, side, side))[-1].shape[1]
    assert abs(count(backbone) + 1000 * width + 1000 - published) <= digit / 2


@pytest.mark.parametrize(
    ('name', 'published'),
    [
        ('simmim_swin_base', 89_874_104),
        # There, the last stage has windows of 12 too: tables of 23 x 23, not 11 x 11, for 48 heads in both blocks.
        ('simmim_swin_large_800e', 199_920_372 - 2 * 48 * (23**2 - 11**2)),
    ],
)
def test_whole_models_have_the_number_of_parameters_of_mmpretrains_metafile(name, published):
    """With decoder and mask token."""
    assert count(build(name)) == published


@pytest.mark.parametrize(('size', 'millions'), [('small', 49), ('base', 87), ('large', 195), ('huge', 655)])
def test_encoders_of_swin_v2_have_the_sizes_of_the_authors_model_hub(size, millions):
    """Its table of models pre-trained with SimMIM, without a classifier; it cuts the digits off, or rounds them."""
    parameters = count(build(f'simmim_swinv2_{size}_800e').backbone)
    assert millions * 1e6 <= parameters + 0.5e6 < (millions + 1.5) * 1e6


def test_the_wide_resnet_is_four_times_as_wide():
    """Convolutions have 16 times the weights, those of the images 4 times, norms 4 times."""
    narrow, wide = (dict(build(name).backbone.named_parameters()) for name in ('simmim_resnet50', 'simmim_resnet50x4'))
    assert set(narrow) == set(wide)
    for name, parameter in narrow.items():
        factor = 4 if parameter.ndim == 1 or name == 'conv1.weight' else 16
        assert wide[name].numel() == factor * parameter.numel(), name


def test_numbers_are_computed_on_the_meta_device_where_the_host_reads_them():
    """Drop path rates are read off a `torch.linspace`; all else is without memory. Outside, nothing has changed."""
    with meta_device():
        assert [rate.item() for rate in torch.linspace(0, 1, 3)] == [0, 0.5, 1]
        assert torch.linspace(0, 1, 3, device='meta').is_meta
        assert torch.zeros(10**12).is_meta
        assert MODELS.build(Config.fromfile(CONFIGS / 'simmim_vit_base.py').model.backbone).layers[11].ffn.dropout_layer
    assert not torch.zeros(1).is_meta


def test_recomputing_features_changes_no_gradient(build_model, tiny_encoders):
    """`with_cp` of the two largest Swin V2: the same loss and gradients, from less memory."""
    images, mask = torch.randn(2, 3, 64, 64), torch.tensor([[[True, False], [False, True]]] * 2)
    plain = build_model(backbone=tiny_encoders['SwinTransformerV2'])
    model = build_model(backbone=dict(with_cp=True, **tiny_encoders['SwinTransformerV2']))
    model.load_state_dict(plain.state_dict(), strict=False)
    losses = [each.loss(images, mask)['loss'] for each in (plain, model)]
    assert torch.equal(*losses)
    for loss in losses:
        loss.backward()  # the host's way of recomputing works with nothing else
    for first, second in zip(plain.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(first.grad, second.grad)
