"""docs/masks.md tells the truth: its configs build, its table is what the tool prints, its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from simmim_mm.datasets import SampleIndex
from simmim_mm.datasets.transforms import MaskGenerator
from simmim_mm.registry import DATASETS, MODELS, TRANSFORMS
from simmim_mm.visualization.mask_distances import mean_distance

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / 'docs' / 'masks.md').read_text(encoding='utf-8')
CONFIGS = re.findall(r'```python\n(.*?)```', PAGE, re.DOTALL)


@pytest.mark.parametrize('number', range(len(CONFIGS)))
def test_configs_load_a_sample_and_build_a_model(number, tmp_path, image_folder):
    """On a folder of photographs, with a label map for each where one is asked for."""
    (tmp_path / 'config.py').write_text(
        CONFIGS[number].replace("'simmim_demo.py'", repr(f'{ROOT}/configs/simmim_demo.py'))
    )
    cfg = Config.fromfile(tmp_path / 'config.py')
    folder = image_folder(2)
    dataset = cfg.train_dataloader.dataset
    dataset.data_root = folder
    for step in dataset.pipeline:
        if step.type == 'LoadMap':  # photographs are label maps too: each colour a number
            step.update(folder=folder, image_root=folder)
    mask = DATASETS.build(dataset)[SampleIndex(0, seed=0, epoch=0)]['mask']
    assert 0 < mask.float().mean() < 1
    masker = cfg.model.masker
    assert MODELS.build(dict(image_channels=3, **masker) if 'fill' in masker else dict(embed_dims=4, **masker))


def test_every_mask_is_in_the_table():
    ours = {name for name, cls in TRANSFORMS.module_dict.items() if issubclass(cls, MaskGenerator)}
    assert set(re.findall(r'^\| `(\w+Mask)` \|', PAGE, re.MULTILINE)) >= {
        name for name in ours if TRANSFORMS.get(name).__module__.startswith('simmim_mm.')
    }


def test_pictures_are_there_and_small():
    pictures = re.findall(r'\]\((images/\w+\.png)\)', PAGE)
    assert len(pictures) == 2
    for picture in pictures:
        assert (ROOT / 'docs' / picture).stat().st_size < 300_000


@pytest.mark.parametrize(('name', 'cell', 'ratio'), [('RandomPatchMask', 32, 0.6), ('BlockwiseMask', 16, 0.3)])
def test_the_table_is_what_the_simulation_says(name, cell, ratio):
    """To the digit: the same seeds, the same masks."""
    (row,) = re.findall(rf'^\| {name} \| {cell} \| (.*) \|$', PAGE, re.MULTILINE)
    mean = mean_distance(name, cell, ratio, [{'img': np.zeros((192, 192, 3), np.uint8)}], num_draws=50)
    assert row.split(' | ')[round(10 * ratio) - 1] == f'{mean:.1f}'
