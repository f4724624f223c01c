"""Every config in configs/ablations takes a step, and changes what it says and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from training_step import CONFIGS, one_step

from simmim_mm.engine.config import load_config

ABLATIONS = sorted(path.stem for path in (CONFIGS / 'ablations').glob('*.py'))
PAGE = Path(__file__).parents[2] / 'docs' / 'ablations.md'
# File name -> the setting of the reference that it changes.
CHANGED = {
    'mask_': 'train_dataloader.dataset.pipeline',
    'head_': 'model.neck',
    'target_': 'model.head',
    'area_': 'model.head.area',
}
# Of a Swin-B that takes seconds a step, one that takes milliseconds; stages, windows and strides stay.
TINY = dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])


@pytest.fixture(scope='module')
def reference() -> Config:
    return load_config(str(CONFIGS / 'simmim_swin_base.py'))


def differences(ours: object, theirs: object, path: str = '') -> set[str]:
    """Paths of the settings in which two configs differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return set().union(*(differences(ours.get(key), theirs.get(key), f'{path}.{key}') for key in {*ours, *theirs}))
    return set() if ours == theirs else {path.lstrip('.')}


@pytest.mark.parametrize('name', ABLATIONS)
def test_an_ablation_changes_one_thing(name, reference):
    """In 5 to 15 lines, of which the first says which; all other settings are the reference's."""
    text = (CONFIGS / 'ablations' / f'{name}.py').read_text()
    assert 5 <= len(text.splitlines()) <= 15
    assert re.match(r'"""Ablation of the [a-z ]+ \(table [1-5] of arXiv 2111.09886\): .+\n', text)
    assert f'configs/ablations/{name}.py' in text
    cfg = load_config(str(CONFIGS / 'ablations' / f'{name}.py'))
    changed = differences(cfg.to_dict(), reference.to_dict()) - {'work_dir'}
    prefix = next(value for key, value in CHANGED.items() if name.startswith(key))
    assert changed
    assert all(path.startswith(prefix) for path in changed)
    if name.startswith('mask_'):
        ours, theirs = (each.train_dataloader.dataset.pipeline for each in (cfg, reference))
        assert [step for step in ours if step not in theirs] == [ours[3]]


@pytest.mark.parametrize('name', ABLATIONS)
def test_an_ablation_takes_a_step(name, prepare, image_folder, tmp_path):
    """On photographs, with a small Swin of the same strides and windows."""
    cfg = load_config(str(CONFIGS / 'ablations' / f'{name}.py'))
    cfg.model.backbone.arch = TINY
    prepare(cfg)
    runner = one_step(cfg, image_folder(2), str(tmp_path / 'run'), name)
    assert runner.iter == 1


@pytest.fixture
def prepare(colour_file, teacher):
    """Makes what a config wants to be made first, in small."""

    def fill_in(cfg: Config) -> None:
        target = cfg.model.head.target
        if 'clusters' in target:
            target.clusters = colour_file(np.random.default_rng(0).uniform(0, 255, (512, 3)))
        if 'tokenizer' in target:
            parts = teacher(cfg=dict(type='mmpretrain.DALL-E', n_hid=4, vocab_size=16))
            target.tokenizer, target.checkpoint = parts['teacher'], parts['checkpoint']

    return fill_in


def test_every_file_stands_in_the_page():
    """docs/ablations.md maps rows to files; ranges are written as first ... last."""
    text = PAGE.read_text()
    for name in ABLATIONS:
        family = re.sub(r'\d+_r\d+$|_r\d+$|_\d+$', '', name)
        assert family in text, name
    for stem in re.findall(r'`([a-z]+_[a-z0-9_]+)\.py`', text):
        assert (CONFIGS / f'{stem}.py').exists() or (CONFIGS / 'ablations' / f'{stem}.py').exists(), stem


def test_all_ratios_of_the_page_have_files():
    """The grid of table 1, by hand."""
    grid = {f'mask_random{cell}_r{ratio}' for cell in (4, 8, 16, 64) for ratio in (20, 40, 60, 80)}
    grid |= {f'mask_random32_r{ratio}' for ratio in np.delete(np.arange(10, 100, 10), 5)}
    assert grid <= set(ABLATIONS)
