"""The published recipe, held against the authors' code as written down by hand (microsoft/SimMIM)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from simmim_mm.compat import meta_device
from simmim_mm.engine import CosineWithWarmupLR
from simmim_mm.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'


def learning_rates(cfg: Config, epoch_length: int, num_epochs: int, batch_size: int | None = None) -> list[float]:
    """The rate of every iteration, as MMEngine steps the config's schedulers."""
    lr = cfg.optim_wrapper.optimizer.lr
    if batch_size is not None:
        lr *= batch_size / cfg.auto_scale_lr.base_batch_size
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedulers = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
    built = [
        PARAM_SCHEDULERS.build(
            # MMEngine's Runner fills in the end of training.
            {'end': num_epochs, **scheduler} if scheduler.type == 'CosineWithWarmupLR' else dict(scheduler),
            default_args=dict(optimizer=optimizer, epoch_length=epoch_length),
        )
        for scheduler in schedulers
    ]
    rates = []
    for _ in range(epoch_length * num_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in built:
            scheduler.step()
    return rates


def test_the_100_epoch_schedule_is_the_published_one():
    cfg = Config.fromfile(CONFIGS / 'simmim_swin_base.py')
    epoch_length = 7
    rates = learning_rates(cfg, epoch_length, 100)
    for step, rate in enumerate(rates):
        # BASE_LR 2e-4, WARMUP_LR 1e-6, MIN_LR 1e-5 at batch 512, times 2048 / 512; timm's cosine over all steps.
        if step < 10 * epoch_length:
            published = 4e-6 + step * (8e-4 - 4e-6) / (10 * epoch_length)
        else:
            published = 4e-5 + 0.5 * (8e-4 - 4e-5) * (1 + math.cos(math.pi * step / (100 * epoch_length)))
        assert rate == pytest.approx(published, rel=1e-12)


def test_the_800_epoch_schedule_is_the_published_one_up_to_one_iteration_of_the_warm_up():
    cfg = Config.fromfile(CONFIGS / 'simmim_swin_base_800e.py')
    epoch_length = 5
    rates = learning_rates(cfg, epoch_length, 800)
    slope = (4e-4 - 2e-6) / (10 * epoch_length)
    for step, rate in enumerate(rates):
        if step < 10 * epoch_length:
            # MMEngine's LinearLR arrives one iteration early.
            assert abs(rate - (2e-6 + slope * step)) <= 1.001 * slope
        else:
            assert rate == pytest.approx(4e-4 if step < 700 * epoch_length else 4e-5)


def test_auto_scale_lr_scales_the_whole_schedule():
    cfg = Config.fromfile(CONFIGS / 'simmim_swin_base.py')
    full, half = learning_rates(cfg, 3, 100), learning_rates(cfg, 3, 100, batch_size=1024)
    assert half == pytest.approx([rate / 2 for rate in full])


def test_a_warm_up_longer_than_the_schedule_is_refused():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    with pytest.raises(ValueError, match='warmup=20 of CosineWithWarmupLR must be shorter'):
        CosineWithWarmupLR(optimizer, end=10, warmup=20)


@pytest.mark.parametrize(
    'name', ['simmim_swin_base.py', 'simmim_swin_large_800e.py', 'simmim_demo.py', 'simmim_swinv2_base_800e.py']
)
def test_the_parameters_without_weight_decay_are_the_authors(name):
    cfg = Config.fromfile(CONFIGS / name)
    with meta_device():
        model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert len(optimizer.param_groups) == 2
    decay = {id(parameter): group['weight_decay'] for group in optimizer.param_groups for parameter in group['params']}
    for parameter_name, parameter in model.named_parameters():
        # get_pretrain_param_groups and no_weight_decay* of the authors' optimizer.py and swin_transformer.py.
        exempt = (
            parameter.ndim == 1
            or parameter_name.endswith('.bias')
            or parameter_name.endswith(('mask_token', 'absolute_pos_embed'))
            or any(key in parameter_name for key in ('relative_position_bias_table', 'cpb_mlp', 'logit_scale'))
        )
        assert decay[id(parameter)] == (0.0 if exempt else 0.05), parameter_name


@pytest.mark.parametrize('size', ['small', 'base', 'large'])
def test_the_authors_vit_decays_its_mask_token_and_its_position_biases(size):
    """Their `no_weight_decay` of it names the class token alone, beside biases and what has one dimension."""
    cfg = Config.fromfile(CONFIGS / f'simmim_vit_{size}_relpos_800e.py')
    with meta_device():
        model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    decay = {id(parameter): group['weight_decay'] for group in optimizer.param_groups for parameter in group['params']}
    for name, parameter in model.named_parameters():
        exempt = parameter.ndim == 1 or name == 'backbone.cls_token'
        assert decay[id(parameter)] == (0.0 if exempt else 0.05), name


def test_other_settings_of_the_authors_vit():
    """MODEL.VIT of simmim_pretrain__vit_base__img224__800ep and of their defaults."""
    cfg = Config.fromfile(CONFIGS / 'simmim_vit_base_relpos_800e.py')
    backbone, pipeline = cfg.model.backbone, cfg.train_dataloader.dataset.pipeline
    assert (backbone.img_size, cfg.model.img_size, pipeline[1].size, backbone.patch_size) == (224, 224, 224, 16)
    assert (backbone.drop_path_rate, backbone.layer_scale_init_value) == (0.1, 0.1)
    assert pipeline[2:] == Config.fromfile(CONFIGS / 'simmim_swin_base.py').train_dataloader.dataset.pipeline[2:]
    assert (pipeline[1].scale, pipeline[1].ratio) == ((0.67, 1.0), (3 / 4, 4 / 3))


def test_other_settings_of_the_base_recipe():
    cfg = Config.fromfile(CONFIGS / 'simmim_swin_base.py')
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.betas, optimizer.eps, optimizer.weight_decay) == (
        'AdamW',
        (0.9, 0.999),
        1e-8,
        0.05,
    )
    assert cfg.optim_wrapper.clip_grad.max_norm == 5.0
    assert cfg.model.backbone.drop_path_rate == 0.0
    assert cfg.auto_scale_lr.base_batch_size == 2048
    crop, mask = (cfg.train_dataloader.dataset.pipeline[index] for index in (1, 3))
    assert (crop.size, crop.scale, crop.ratio) == (192, (0.67, 1.0), (3 / 4, 4 / 3))
    assert (mask.mask_patch_size, mask.mask_ratio) == (32, 0.6)


@pytest.mark.parametrize(
    'name',
    [
        'simmim_swin_large_800e.py',
        'simmim_swinv2_base_800e.py',
        'simmim_swinv2_huge_800e.py',
        'simmim_vit_base_relpos_800e.py',
        'simmim_vit_large_relpos_800e.py',
    ],
)
def test_the_800_epoch_recipes_share_one_schedule(name):
    reference, cfg = (Config.fromfile(CONFIGS / other) for other in ('simmim_swin_base_800e.py', name))
    assert cfg.param_scheduler == reference.param_scheduler
    assert cfg.optim_wrapper.optimizer == reference.optim_wrapper.optimizer
    assert cfg.train_cfg == reference.train_cfg


def test_blocks_of_swin_v2_start_as_the_identity():
    """The norms at the end of both branches are 0 (``_init_respostnorm``), all others 1."""
    cfg = Config.fromfile(CONFIGS / 'simmim_swinv2_base_800e.py')
    cfg.model.backbone.arch = 'tiny'
    model = MODELS.build(cfg.model)
    model.init_weights()
    block = model.backbone.stages[0].blocks[0]
    tokens = torch.randn(1, 48 * 48, 96)
    assert torch.equal(block(tokens, (48, 48)), tokens)
    assert (model.backbone.norm3.weight == 1).all()
    assert model.head.target.norm_size == 47
