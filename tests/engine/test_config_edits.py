"""Options for fine-tuning, and what they do to a config."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from simmim_mm.engine.config import load_config

CONFIGS = Path(__file__).parents[2] / 'configs'
CLASSIFIER = str(CONFIGS / 'transfer' / 'classification' / 'swin_base_few_labels_1pct.py')
DETECTOR = str(CONFIGS / 'transfer' / 'detection' / 'mask_rcnn_swin_base_coco.py')


def test_pretrained_reaches_the_backbone(tmp_path):
    (tmp_path / 'backbone.pth').touch()
    cfg = load_config(DETECTOR, pretrained=str(tmp_path / 'backbone.pth'))
    assert cfg.model.backbone.init_cfg.checkpoint == str(tmp_path / 'backbone.pth')
    assert load_config(DETECTOR, pretrained='none').model.backbone.init_cfg.checkpoint is None


def test_pretrained_without_file_or_place_is_refused():
    with pytest.raises(FileNotFoundError, match="--pretrained 'gone.pth' is no file"):
        load_config(DETECTOR, pretrained='gone.pth')
    with pytest.raises(ValueError, match=r'--pretrained does not fit .*simmim_swin_base.py'):
        load_config(str(CONFIGS / 'simmim_swin_base.py'), pretrained='none')


def test_data_root_reaches_all_that_stands_in_the_same_folder():
    """Training data inside a wrapper, validation and test data, and the metric's annotations."""
    cfg = load_config(CLASSIFIER, data_root='elsewhere')
    assert cfg.train_dataloader.dataset.dataset.data_root == 'elsewhere'
    assert cfg.val_dataloader.dataset.data_root == cfg.test_dataloader.dataset.data_root == 'elsewhere'
    cfg = load_config(DETECTOR, data_root='elsewhere')
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator.ann_file == 'elsewhere/annotations/instances_val2017.json'


def test_data_root_leaves_other_folders_alone():
    cfg = load_config(str(CONFIGS / 'simmim_demo.py'), data_root='elsewhere')
    assert cfg.train_dataloader.dataset.data_root == 'elsewhere'
    assert cfg.val_dataloader.dataset.data_root == 'data/simmim_demo/held_out'


@pytest.mark.parametrize('name', ['mmdet.SwinTransformer', 'SwinTransformer'])
def test_backbones_that_read_files_themselves_are_refused(tmp_path, name):
    """They would pass over the check that the config asks for."""
    cfg = Config.fromfile(DETECTOR)
    cfg.model.backbone.type = name
    cfg.dump(tmp_path / 'config.py')
    with pytest.raises(ValueError, match=r'mmdet.SwinTransformer reads checkpoints itself'):
        load_config(str(tmp_path / 'config.py'))
