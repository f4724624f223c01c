"""Fine-tuning as a person does it: from a run of pre-training to a tested classifier, detector and segmenter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mmdet
import mmseg
import pytest
import torch

from simmim_mm.demo.shapes_dataset import Counts, make_shapes_dataset
from simmim_mm.engine.config import load_config
from simmim_mm.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'transfer'
ENVIRONMENT = {**os.environ, 'PYTHONPATH': f'{ROOT}:{os.environ.get("PYTHONPATH", "")}', 'OMP_NUM_THREADS': '1'}
TWO_STEPS = [
    'train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'param_scheduler.warmup=0',
    'default_hooks.checkpoint.interval=2', 'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False',
]  # fmt: skip
METRICS = {'classification': 'accuracy/top1', 'detection': 'coco/segm_mAP', 'segmentation': 'mIoU'}


@pytest.fixture(scope='module')
def workplace(tmp_path_factory) -> Path:
    """The painted shapes, and a file of the encoder that the demo pre-trains."""
    folder = tmp_path_factory.mktemp('work')
    make_shapes_dataset(str(folder / 'data' / 'shapes'), counts=Counts(0, 2, 1, 4, 2))
    cfg = load_config(str(ROOT / 'configs' / 'demo' / 'shapes.py'))
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    state = {f'backbone.{key}': value for key, value in backbone.named_parameters()}
    torch.save(state, folder / 'backbone.pth')
    return folder


def run(*command: str, cwd: Path, status: int = 0) -> str:
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, timeout=300, check=False)
    output = result.stdout + result.stderr
    assert result.returncode == status, output[-5000:]
    return output


def metrics_of(work_dir: Path) -> dict:
    """What the newest test wrote."""
    return json.loads(max(work_dir.glob('*/*.json'), key=os.path.getmtime).read_text())


@pytest.mark.parametrize('task', METRICS)
def test_train_evaluate_save_and_test_again(workplace, task):
    """Two iterations and a validation; then the saved checkpoint, loaded by test.py, has the same metrics."""
    config, run_dir = str(CONFIGS / task / 'swin_shapes.py'), workplace / task
    output = run(
        sys.executable, str(ROOT / 'tools' / 'train.py'), config, '--pretrained', 'backbone.pth',
        '--work-dir', str(run_dir), '--cfg-options', *TWO_STEPS, cwd=workplace,
    )  # fmt: skip
    assert 'weights of backbone.pth are in' in output
    scalars = max(run_dir.glob('*/vis_data/scalars.json')).read_text().splitlines()
    validated = next(json.loads(line) for line in reversed(scalars) if METRICS[task] in line)
    checkpoint = str(run_dir / 'iter_2.pth')
    run(
        sys.executable, str(ROOT / 'tools' / 'test.py'), config, checkpoint, '--work-dir', str(run_dir / 'test'),
        cwd=workplace,
    )  # fmt: skip
    tested = metrics_of(run_dir / 'test')
    assert tested[METRICS[task]] == pytest.approx(validated[METRICS[task]], nan_ok=True)


@pytest.mark.parametrize(('task', 'host'), [('detection', mmdet), ('segmentation', mmseg)])
def test_the_hosts_own_tools_run_the_configs(workplace, tmp_path, task, host):
    """By the train script that mmdet and mmseg install, which knows of this package by ``custom_imports`` alone."""
    script = Path(host.__file__).parent / '.mim' / 'tools' / 'train.py'
    options = [*TWO_STEPS, 'model.backbone.init_cfg.checkpoint=backbone.pth']
    options += [f'{name}_dataloader.persistent_workers=False' for name in ('val', 'test')]
    output = run(
        sys.executable, str(script), str(CONFIGS / task / 'swin_shapes.py'), '--work-dir', str(tmp_path),
        '--cfg-options', *options, cwd=workplace,
    )  # fmt: skip
    assert 'weights of backbone.pth are in' in output
    assert (tmp_path / 'iter_2.pth').exists()


def test_a_checkpoint_of_another_model_is_refused(workplace):
    """MMEngine would test what fits and leave the rest random."""
    torch.save({'state_dict': {'backbone.norm2.weight': torch.ones(3)}}, workplace / 'other.pth')
    config = str(CONFIGS / 'classification' / 'swin_shapes.py')
    output = run(sys.executable, str(ROOT / 'tools' / 'test.py'), config, 'other.pth', cwd=workplace, status=2)
    assert "'other.pth' is not of the model in this config" in output
    output = run(
        sys.executable, str(ROOT / 'tools' / 'train.py'), config, '--pretrained', 'other.pth',
        '--cfg-options', *TWO_STEPS, cwd=workplace, status=2,
    )  # fmt: skip
    assert "'other.pth' does not fit this SwinTransformer" in output
