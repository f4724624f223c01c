"""Whole runs through the tools, on a tiny model and a handful of photographs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import TINY_CONFIG

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, 'PYTHONPATH': f'{ROOT}:{os.environ.get("PYTHONPATH", "")}', 'OMP_NUM_THREADS': '1'}

TINY = (
    TINY_CONFIG
    + """
optim_wrapper = dict(precision='fp32')
train_cfg = dict(max_epochs=2)
param_scheduler = dict(end=2, warmup=1)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
custom_hooks = [dict(type='ReconstructionHook', interval=1, num_images=2), dict(type='UnreadableImagesHook')]
{more}
"""
)


@pytest.fixture
def tiny_config(tmp_path, image_folder):
    def make(batch_size=4, num_workers=0, num_images=8, data_root=None, more=''):
        path = tmp_path / 'tiny.py'
        base = ROOT / 'configs' / 'simmim_swin_base.py'
        data_root = data_root or image_folder(num_images)
        fields = dict(base=base, batch_size=batch_size, num_workers=num_workers, data_root=data_root, more=more)
        path.write_text(TINY.format(**fields))
        return str(path)

    return make


def run(*command: str, status: int = 0, cwd: Path = ROOT) -> str:
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, timeout=300, check=False)
    output = result.stdout + result.stderr
    assert result.returncode == status, output[-5000:]
    return output


def train(*args: str, **kwargs) -> str:
    return run(sys.executable, str(ROOT / 'tools' / 'train.py'), *args, **kwargs)


def losses(work_dir: Path) -> list[float]:
    """Logged losses of the newest run."""
    newest = max(work_dir.glob('*/vis_data/scalars.json'))
    rows = [json.loads(line) for line in newest.read_text().splitlines()]
    return [row['loss'] for row in rows if 'loss' in row]


def test_a_run_leaves_checkpoints_pictures_and_no_warnings_of_ours(tiny_config, tmp_path):
    config = tiny_config(num_workers=2)
    output = train(config, '--work-dir', str(tmp_path / 'run'))
    state = torch.load(tmp_path / 'run' / 'epoch_2.pth', weights_only=False)['state_dict']
    assert {'masker.mask_token', 'neck.decoder.0.weight', 'backbone.patch_embed.projection.weight'} <= set(state)
    assert [path.name for path in sorted((tmp_path / 'run' / 'reconstructions').iterdir())] == [
        'iter_2.png',
        'iter_4.png',
    ]
    assert list((tmp_path / 'run').glob('*/vis_data/vis_image/reconstruction_*.png'))
    assert not (tmp_path / 'run' / 'unreadable_images.txt').exists()
    assert 'eta:' in output
    assert 'registry tree' not in output  # MMEngine's warning about a scope without a registry
    picture = tmp_path / 'out.png'
    checkpoint = str(tmp_path / 'run' / 'epoch_2.pth')
    arguments = [config, checkpoint, str(tmp_path / 'images'), '--out', str(picture)]
    assert str(picture) in run(sys.executable, 'tools/show_reconstructions.py', *arguments)
    assert picture.stat().st_size > 1000
    # A checkpoint of another model is refused.
    arguments += ['--cfg-options', 'model.backbone.arch.embed_dims=32']
    output = run(sys.executable, 'tools/show_reconstructions.py', *arguments, status=2)
    assert 'is not of the model in this config' in output


def test_resume_goes_on_where_the_run_stopped(tiny_config, tmp_path):
    config = tiny_config()
    train(config, '--work-dir', str(tmp_path / 'whole'))
    stop = ['--cfg-options', 'train_cfg.max_epochs=1']
    train(config, '--work-dir', str(tmp_path / 'parts'), *stop)
    output = train(config, '--work-dir', str(tmp_path / 'parts'), '--resume')
    assert 'resumed epoch: 1, iter: 2' in output
    whole, parts = (
        torch.load(tmp_path / name / 'epoch_2.pth', weights_only=False)['state_dict'] for name in ('whole', 'parts')
    )
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_two_processes_equal_one_with_the_same_global_batch(tiny_config, tmp_path):
    config = tiny_config(batch_size=4)
    train(config, '--work-dir', str(tmp_path / 'one'), '--cfg-options', 'train_cfg.max_epochs=1')
    config = tiny_config(batch_size=2)
    port = {**ENVIRONMENT, 'PORT': str(20000 + os.getpid() % 20000), 'PYTHON': sys.executable}
    command = ['bash', str(ROOT / 'tools' / 'dist_train.sh'), config, '2', '--work-dir', str(tmp_path / 'two')]
    result = subprocess.run(
        [*command, '--cfg-options', 'train_cfg.max_epochs=1'],
        capture_output=True, text=True, env=port, cwd=tmp_path, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, (result.stdout + result.stderr)[-5000:]
    one, two = losses(tmp_path / 'one'), losses(tmp_path / 'two')
    assert len(one) == len(two) == 2
    # The first loss is of the same samples and masks; the second shows that gradients were averaged too.
    assert two == pytest.approx(one, rel=1e-5)


def test_unreadable_files_are_listed_and_too_many_stop_the_run(tiny_config, tmp_path, image_folder):
    folder = Path(image_folder(8))
    (folder / 'broken.jpg').write_bytes(b'\xff\xd8\xff\xe0 no jpeg')
    allow = 'train_dataloader.dataset.max_unreadable=0.5'
    config = tiny_config(batch_size=3, num_workers=2, data_root=str(folder))
    output = train(config, '--work-dir', str(tmp_path / 'run'), '--cfg-options', allow)
    lines = (tmp_path / 'run' / 'unreadable_images.txt').read_text().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f'{folder}/broken.jpg\t')
    assert 'Files that were not used: 1 (of 9 training files)' in output
    assert f'1 damaged or cut off, such as {folder}/broken.jpg: ' in output
    none = ['--cfg-options', 'train_dataloader.dataset.max_unreadable=0']
    output = train(config, '--work-dir', str(tmp_path / 'strict'), *none, status=2)
    assert 'error: 1 of the 9 images' in output
    assert 'Traceback' not in output.rpartition('error:')[2]
    assert 'broken.jpg' in (tmp_path / 'strict' / 'unreadable_images.txt').read_text()


def test_the_demo_makes_photographs_and_reports(tmp_path):
    """Two iterations of the demo, from another folder."""
    short = ['--cfg-options', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'train_dataloader.batch_size=4']
    output = run(sys.executable, str(ROOT / 'tools' / 'demo.py'), *short, 'param_scheduler.warmup=1', cwd=tmp_path)
    assert '156 photographs for training and 28 held out' in output
    assert 'mean colour of the visible pixels' in output
    assert 'local mean of the visible neighbours' in output
    assert (tmp_path / 'work_dirs' / 'simmim_demo' / 'reconstructions' / 'iter_2.png').exists()
    endings = {path.name.split('_', 2)[-1][2:] for path in (tmp_path / 'data').rglob('*.*')}
    assert len(endings) >= 12


def test_a_mmdet_style_config_finds_our_classes(tmp_path):
    """With ``custom_imports`` and full names, from another default scope."""
    script = (
        'from mmengine.config import Config\n'
        'from mmengine.registry import MODELS, init_default_scope\n'
        f'cfg = Config.fromfile({str(tmp_path / "mmdet.py")!r})\n'
        'init_default_scope(cfg.default_scope)\n'
        'print(type(MODELS.build(cfg.model)).__module__)\n'
    )
    (tmp_path / 'mmdet.py').write_text(
        "default_scope = 'mmdet'\n"
        "custom_imports = dict(imports=['simmim_mm'], allow_failed_imports=False)\n"
        "model = dict(type='simmim_mm.L1Loss')\n"
    )
    assert 'simmim_mm.models.losses' in run(sys.executable, '-c', script)


def test_fewer_images_than_a_batch_are_refused_with_a_size_that_fits(tiny_config, tmp_path):
    config = tiny_config(batch_size=256, num_images=3)
    output = train(config, '--work-dir', str(tmp_path / 'run'), status=2)
    assert 'error: 3 training images do not fill one batch of 256' in output
    assert 'train_dataloader.batch_size=3' in output


def test_a_crop_that_does_not_fit_the_encoder_is_refused_at_the_first_batch(tiny_config, tmp_path):
    """64 px at build time, 96 px in the pipeline: windows of 2 do not divide the last map of 3x3."""
    config = tiny_config()
    options = ['train_dataloader.dataset.pipeline.1.size=96']
    output = train(config, '--work-dir', str(tmp_path / 'run'), '--cfg-options', *options, status=2)
    assert 'error: window_size=2 does not divide the 3x3 feature map that SwinTransformer makes of a 96x96' in output


def test_masks_of_a_config_are_shown(tiny_config, tmp_path):
    picture = tmp_path / 'masks.png'
    arguments = [tiny_config(), str(tmp_path / 'images'), '--out', str(picture), '--num-masks', '2']
    assert str(picture) in run(sys.executable, 'tools/show_masks.py', *arguments)
    arguments += ['--cfg-options', 'train_dataloader.dataset.pipeline.3.mask_patch_size=30']
    output = run(sys.executable, 'tools/show_masks.py', *arguments, status=2)
    assert 'error: mask_patch_size=30 does not divide the image side 64; use one of 4, 8, 16, 32, 64' in output


def test_tensorboard_gets_the_pictures(tiny_config, tmp_path):
    """Through MMEngine's visualizer, as any of its backends does."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = tiny_config(more="visualizer = dict(vis_backends=[dict(type='TensorboardVisBackend')])")
    train(config, '--work-dir', str(tmp_path / 'run'))
    (folder,) = {path.parent for path in (tmp_path / 'run').rglob('events.out.tfevents.*')}
    events = EventAccumulator(str(folder), size_guidance={'images': 0}).Reload()
    assert [event.step for event in events.Images('reconstruction')] == [2, 4]
    assert 'loss' in events.Tags()['scalars']


def test_an_endless_sampler_for_epochs_is_refused(tiny_config, tmp_path):
    sampler = ['--cfg-options', 'train_dataloader.sampler.type=InfiniteSeededSampler']
    output = train(tiny_config(), '--work-dir', str(tmp_path / 'run'), *sampler, status=2)
    assert 'error: InfiniteSeededSampler has no end, and train_cfg counts epochs' in output


def test_a_checkpoint_that_does_not_fit_is_not_resumed(tiny_config, tmp_path):
    config = tiny_config()
    train(config, '--work-dir', str(tmp_path / 'run'))
    wider = ['--cfg-options', 'model.backbone.arch.embed_dims=32']
    output = train(config, '--work-dir', str(tmp_path / 'run'), '--resume', *wider, status=2)
    assert 'epoch_2.pth' in output
    assert 'is not of the model in this config' in output
    other = ['--cfg-options', 'model.head.loss.type=L2Loss']
    output = train(config, '--work-dir', str(tmp_path / 'run'), '--resume', *other, status=2)
    assert 'was trained with another model.head' in output
    for path in (tmp_path / 'run').glob('*.pth'):
        path.write_bytes(b'PK damaged')
    output = train(config, '--work-dir', str(tmp_path / 'run'), '--resume', status=2)
    assert 'epoch_2.pth is damaged' in output
    assert 'is whole; delete' in output


def test_python_m_runs_the_tools(tmp_path):
    assert 'usage: python -m simmim_mm {' in run(sys.executable, '-m', 'simmim_mm', status=2)
    assert 'config file' in run(sys.executable, '-m', 'simmim_mm', 'show_masks', '--help')
