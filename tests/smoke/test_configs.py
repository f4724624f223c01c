"""Every config in the repository builds and takes a step on real photographs."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from training_step import CONFIGS, one_step

from simmim_mm.engine.config import load_config

PRETRAINING = sorted(
    str(path.relative_to(CONFIGS)) for pattern in ('*.py', 'demo/*.py') for path in CONFIGS.glob(pattern)
)
# Configs that take no step here, for the time it takes, and the smaller encoder whose config differs in the size alone.
# tests/models/test_encoder_configs.py builds them all, and runs them without memory.
LARGER = {
    'simmim_convnext_base.py': 'simmim_convnext_tiny.py',
    'simmim_convnext_small.py': 'simmim_convnext_tiny.py',
    'simmim_convnextv2_base.py': 'simmim_convnextv2_tiny.py',
    'simmim_convnextv2_small.py': 'simmim_convnextv2_tiny.py',
    'simmim_resnet101.py': 'simmim_resnet50.py',
    'simmim_resnet50x4.py': 'simmim_resnet50.py',
    'simmim_swin_large_800e.py': 'simmim_swin_base_800e.py',
    'simmim_swin_small.py': 'simmim_swin_tiny.py',
    'simmim_swinv2_base_800e.py': 'simmim_swinv2_tiny_800e.py',
    'simmim_swinv2_giant_800e.py': 'simmim_swinv2_tiny_800e.py',
    'simmim_swinv2_huge_800e.py': 'simmim_swinv2_tiny_800e.py',
    'simmim_swinv2_large_800e.py': 'simmim_swinv2_tiny_800e.py',
    'simmim_swinv2_small_800e.py': 'simmim_swinv2_tiny_800e.py',
    'simmim_vit_base.py': 'simmim_vit_small.py',
    'simmim_vit_base_relpos_800e.py': 'simmim_vit_small_relpos_800e.py',
    'simmim_vit_large.py': 'simmim_vit_small.py',
    'simmim_vit_large_relpos_800e.py': 'simmim_vit_small_relpos_800e.py',
}

# Configs that take their step with a smaller encoder: its size is that of the config they inherit from.
SHRUNK = {
    'simmim_swin_base_visible.py': 'tiny',
    'simmim_vit_base_progressive.py': 'deit-tiny',
    'simmim_vit_base_visible.py': 'deit-tiny',
}


@pytest.fixture
def data_of(image_folder, cifar_folder, band_folder):
    """Makes two images or more of the kind that a config trains on: photographs, but for those that say otherwise."""
    makers = {'simmim_cifar10.py': cifar_folder, 'simmim_multispectral.py': lambda: band_folder(2)}
    return lambda name: makers.get(name, lambda: image_folder(2))()


@pytest.mark.parametrize('name', [name for name in PRETRAINING if name not in LARGER])
def test_the_config_takes_a_step(name, data_of, tmp_path):
    cfg = load_config(str(CONFIGS / name))
    if 'train_dataloader' not in cfg:
        pytest.fail(f'{name} is no pre-training config; it belongs in a folder of its own')
    if name in SHRUNK:
        cfg.model.backbone.arch = SHRUNK[name]
    runner = one_step(cfg, data_of(name), str(tmp_path / 'run'), name.replace('.', '_'))
    assert runner.iter == 1
    assert list((tmp_path / 'run' / 'reconstructions').glob('*.png'))


@pytest.mark.parametrize(('larger', 'smaller'), LARGER.items())
def test_what_takes_no_step_differs_from_what_does_in_its_size_alone(larger, smaller):
    """In widths, depths, windows, memory and images per GPU."""
    first, second = (Config.fromfile(CONFIGS / name).to_dict() for name in (larger, smaller))
    for cfg in (first, second):
        del cfg['train_dataloader']['batch_size']
        for key in ('arch', 'depth', 'stem_channels', 'base_channels', 'window_size', 'stage_cfgs', 'with_cp'):
            cfg['model']['backbone'].pop(key, None)
    assert first == second


def hops(path: Path) -> int:
    """The longest way from a config to one without a base."""
    return max((1 + hops(path.parent / base) for base in Config._get_base_files(str(path))), default=0)


@pytest.mark.parametrize('path', sorted(CONFIGS.rglob('*.py')), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_bases_are_at_most_two_hops_away(path):
    assert hops(path) <= 2


@pytest.mark.parametrize('name', [name for name in PRETRAINING if 'demo' not in name])
def test_docstrings_say_how_to_run_and_what_to_expect(name):
    text = (CONFIGS / name).read_text()
    assert f'configs/{name}' in text
    assert 'Result:' in text
