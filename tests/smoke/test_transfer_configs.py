"""Every fine-tuning config builds as it stands, and takes a step with an encoder that is made smaller.

The encoders of the configs are too large to train here. They are built whole without memory, and their steps are taken
with the widths and depths of SMALLER, on tiny images of the painted shapes, by the config's own optimiser, data
pipeline, losses and schedule.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from simmim_mm.compat import meta_device
from simmim_mm.demo.shapes_dataset import Counts, make_shapes_dataset
from simmim_mm.engine.config import load_config

CONFIGS = Path(__file__).parents[2] / 'configs'
TRANSFER = sorted(path for path in (CONFIGS / 'transfer').rglob('*.py'))
NAMES = [str(path.relative_to(CONFIGS / 'transfer')) for path in TRANSFER]

# Widths of the four stages, or of the ViT, of each class of encoders.
FOUR = [16, 32, 64, 128]
SMALLER = {
    'SwinTransformer': dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8]),
    'SwinTransformerV2': dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8], extra_norm_every_n_blocks=0),
    'BEiTViT': dict(embed_dims=64, num_layers=12, num_heads=2, feedforward_channels=64),
    'VisionTransformer': dict(embed_dims=64, num_layers=12, num_heads=2, feedforward_channels=64),
    'ConvNeXt': dict(depths=[1, 1, 3, 1], channels=FOUR),
}


@pytest.fixture(scope='module')
def shapes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('shapes')
    make_shapes_dataset(str(folder), counts=Counts(0, 3, 1, 4, 2))
    return folder


def shrink(part: dict, widths: dict[int, int]) -> None:
    """Replaces the encoder's widths in a part that takes its features: an int, or a list of them."""
    for key in ('in_channels', 'embed_dim', 'input_features'):
        if key in part:
            found = part[key]
            part[key] = [widths.get(w, w) for w in found] if isinstance(found, list) else widths.get(found, found)


def make_smaller(cfg: Config) -> None:
    """A tiny encoder with the config's options, and the widths of what follows."""
    backbone = cfg.model.backbone
    kind = backbone.type.rpartition('.')[2]
    if not isinstance(backbone.arch, str):
        return  # the demo's own
    with meta_device():
        full = MODELS.build({key: value for key, value in backbone.items() if key != 'init_cfg'})
    backbone.arch = ConfigDict(SMALLER[kind])
    if kind in ('BEiTViT', 'VisionTransformer'):
        table = {full.embed_dims: 64}
    else:
        widths = full.channels if kind == 'ConvNeXt' else [full.embed_dims * 2**stage for stage in range(4)]
        table = dict(zip(widths, FOUR, strict=True))
    necks = cfg.model.get('neck') or []
    parts = [*(necks if isinstance(necks, list) else [necks])]
    if cfg.default_scope != 'mmdet':  # a detector's heads follow its neck
        parts += [cfg.model[key] for key in ('head', 'decode_head', 'auxiliary_head') if key in cfg.model]
    for part in parts:
        shrink(part, table)


def point_at_shapes(cfg: Config, folder: Path) -> None:
    """Reads the painted shapes, as the config's task has them, through the config's own pipelines."""
    task = {'mmpretrain': 'objects', 'mmdet': 'scenes', 'mmseg': 'scenes'}[cfg.default_scope]
    for loader, part in ((cfg.train_dataloader, 'train'), (cfg.val_dataloader, 'val')):
        loader.num_workers, loader.persistent_workers, loader.pin_memory = 0, False, False
        loader.batch_size = 2
        dataset = loader.dataset
        while 'data_root' not in dataset:
            dataset = dataset.dataset
        dataset.data_root = str(folder / task)
        if task == 'objects':
            pipeline = dataset.pipeline
            if dataset.type == 'CIFAR10':  # holds images, not files
                pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=32), *pipeline]
            data_root = dataset.data_root
            dataset.clear()
            dataset.update(type='CustomDataset', data_root=data_root, data_prefix=part, pipeline=pipeline)
        elif cfg.default_scope == 'mmdet':
            dataset.update(
                ann_file=f'annotations/{part}.json', data_prefix=dict(img=f'images/{part}/'), filter_cfg=None
            )
        else:
            dataset.reduce_zero_label = dataset.type == 'ADE20KDataset'
            dataset.type = 'BaseSegDataset'
            dataset.img_suffix = '.jpg'
            dataset.data_prefix = dict(img_path=f'images/{part}', seg_map_path=f'labels/{part}')
            dataset.metainfo = dict(classes=[str(index) for index in range(9)])


def smaller_images(value, size: int = 64):
    """The sizes of crops and images, wherever they stand in a config."""
    if isinstance(value, dict):
        for key, found in value.items():
            if key in ('scale', 'crop_size', 'size') and found not in (32,):
                value[key] = size if isinstance(found, int) else (size, size)
            else:
                smaller_images(found, size)
    elif isinstance(value, list | tuple):
        for part in value:
            smaller_images(part, size)


def one_step(cfg: Config, work_dir: Path, name: str) -> tuple[Runner, dict[str, torch.Tensor]]:
    cfg.work_dir, cfg.experiment_name = str(work_dir), name
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1)
    for scheduler in cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]:
        scheduler.pop('convert_to_iter_based', None)
        if 'warmup' in scheduler:
            scheduler.update(warmup=0, by_epoch=False)
        if 'start_factor' in scheduler:
            scheduler.start_factor = 1.0  # the first step would be too small to see
    for key in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{key}_{part}'] = None
    cfg.default_hooks.checkpoint = None
    cfg.log_level = 'ERROR'
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    after = runner.model.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values() if value.is_floating_point())
    return runner, {key: before[key] for key in after if before[key].shape == after[key].shape}


@pytest.mark.parametrize('name', NAMES)
def test_the_config_takes_a_step(name, shapes, tmp_path):
    """From a file of the backbone, every weight of which has to arrive; what is to learn changes, the rest does not."""
    cfg = load_config(str(CONFIGS / 'transfer' / name))
    init_default_scope(cfg.default_scope)
    with meta_device():
        full = MODELS.build(cfg.model)
    assert sum(parameter.numel() for parameter in full.parameters()) > (4e5 if 'shapes' in name else 5e7)
    make_smaller(cfg)
    point_at_shapes(cfg, shapes)
    if 'shapes' not in name:
        smaller_images([cfg.train_dataloader.dataset, cfg.model.get('data_preprocessor'), cfg.model.get('test_cfg')])
        if 'img_size' in cfg.model.backbone:
            cfg.model.backbone.img_size = 64
        if cfg.model.backbone.type.endswith('SwinTransformerV2'):
            cfg.model.backbone.update(window_size=[4, 4, 4, 2], pretrained_window_sizes=[3, 3, 3, 2])
        elif 'window_size' in cfg.model.backbone:
            cfg.model.backbone.update(window_size=2)
            cfg.model.backbone.pop('stage_cfgs', None)
        if cfg.default_scope == 'mmseg':
            cfg.model.decode_head.update(channels=16, pool_scales=(1, 2), num_classes=9)
            cfg.model.auxiliary_head.update(channels=16, num_classes=9)

    init_cfg = cfg.model.backbone.pop('init_cfg')
    assert init_cfg.type == 'simmim_mm.CheckedPretrained'
    source = MODELS.build(cfg.model.backbone)
    source.init_weights()
    new = init_cfg.get('new', [])
    state = {
        f'backbone.{key}': torch.full_like(value, 0.01)
        for key, value in source.named_parameters()
        if key.split('.')[0] not in new
    }
    torch.save(state, tmp_path / 'backbone.pth')
    init_cfg.checkpoint = str(tmp_path / 'backbone.pth')
    cfg.model.backbone.init_cfg = init_cfg

    runner, before = one_step(cfg, tmp_path / 'run', re.sub(r'\W', '_', name))
    after = runner.model.state_dict()
    for key in state:
        assert torch.equal(before[key], state[key]), key
    changed = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert any(not key.startswith('backbone.') for key in changed)
    learns = any(key.startswith('backbone.') for key in changed & set(state))
    assert learns is ('linear_probe' not in name)
    assert runner.iter == 1


@pytest.mark.parametrize('name', [name for name in NAMES if 'shapes' not in name])
def test_docstrings_say_how_to_run_and_what_to_expect(name):
    text = (CONFIGS / 'transfer' / name).read_text()
    assert f'configs/transfer/{name}' in text
    assert 'Result:' in text
    assert 'Weights:' in text
