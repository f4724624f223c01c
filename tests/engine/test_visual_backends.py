"""What a run logs reaches TensorBoard too: all scalars, at their steps, and the pictures."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import TINY_CONFIG, tiny_vit

from simmim_mm.engine.config import load_config
from simmim_mm.engine.launch import train
from simmim_mm.registry import VISBACKENDS

ROOT = Path(__file__).parents[2]
# As docs/monitoring.md has it.
MORE = """
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(vis_backends=vis_backends)
custom_hooks = [
    dict(type='ReconstructionHook', by_epoch=False, interval=2, num_images=2),
    dict(type='RepresentationHook', by_epoch=False, interval=2)]
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=4, val_interval=2)
train_dataloader = dict(train_dataloader, sampler=dict(type='InfiniteSeededSampler'))
param_scheduler = dict(warmup=1, by_epoch=False, convert_to_iter_based=False)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(by_epoch=False, interval=100))
log_level = 'ERROR'
"""


@pytest.fixture(scope='module')
def run(tmp_path_factory, photographs) -> Path:
    """Four iterations, with validation, features and pictures after each second one; its work dir."""
    root = tmp_path_factory.mktemp('run')
    (root / 'images').mkdir()
    for number in range(12):
        crop = Image.fromarray(photographs['coffee']).crop((9 * number, 10, 9 * number + 200, 210))
        crop.resize((64, 64)).save(root / 'images' / f'{number}.png')
    base = ROOT / 'configs' / 'simmim_swin_base.py'
    text = TINY_CONFIG.format(base=base, batch_size=2, num_workers=0, data_root=str(root / 'images'))
    (root / 'tiny.py').write_text(text + MORE)
    cfg = load_config(str(root / 'tiny.py'), work_dir=str(root / 'work'), held_out=0.5, precision='fp32')
    cfg.model.backbone = tiny_vit()
    train(cfg)
    return root / 'work'


@pytest.fixture(scope='module')
def tensorboard(run) -> EventAccumulator:
    (folder,) = run.glob('*/vis_data')
    return EventAccumulator(str(folder), size_guidance=dict(images=0)).Reload()


def test_all_scalars_at_all_steps(run, tensorboard):
    (path,) = run.glob('*/vis_data/scalars.json')
    expected: dict[str, dict[int, float]] = {}
    for row in map(json.loads, path.read_text().splitlines()):
        for name, value in row.items():
            # TensorBoard's x-axis is the step, and the host tells it nothing else of an iteration.
            if name not in ('step', 'iter'):
                expected.setdefault(name, {})[row['step']] = value
    assert {'loss', 'lr', 'grad_norm', 'val/hidden_l1', 'val/psnr', 'val/ssim', 'val/rankme'} <= expected.keys()
    assert expected.keys() <= set(tensorboard.Tags()['scalars'])
    for name, values in expected.items():
        found = {event.step: event.value for event in tensorboard.Scalars(name)}
        assert found == pytest.approx(values, rel=1e-5), name
    assert sorted(expected['loss']) == [1, 2, 3, 4]
    # A loop that counts iterations validates at iterations; the host would call them all epoch 0.
    assert sorted(expected['val/hidden_l1']) == sorted(expected['val/rankme']) == [2, 4]


def test_the_pictures(run, tensorboard):
    events = tensorboard.Images('reconstruction')
    assert [event.step for event in events] == [2, 4]
    for event in events:
        with Image.open(run / 'reconstructions' / f'iter_{event.step}.png') as picture:
            assert (event.width, event.height) == picture.size
            expected = np.asarray(picture.convert('RGB'))
        path = run / 'from_tensorboard.png'
        path.write_bytes(event.encoded_image_string)
        with Image.open(path) as picture:
            assert np.array_equal(np.asarray(picture.convert('RGB')), expected)


def test_mlflow_takes_pictures_by_their_names(tmp_path):
    """With what it does of ``log_image``: it lets Pillow find out the format by the ending of the name."""

    def log_image(image, artifact_file):
        Image.fromarray(image).save(tmp_path / artifact_file)

    backend = VISBACKENDS.build(dict(type='MLflowVisBackend', save_dir=str(tmp_path)))
    backend._mlflow = SimpleNamespace(log_image=log_image, MlflowException=RuntimeError)
    backend._env_initialized = True
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    for step in (10, 20):
        backend.add_image('reconstruction', picture + step, step)
    for step in (10, 20):
        with Image.open(tmp_path / f'reconstruction_{step}.png') as stored:
            assert np.array_equal(np.asarray(stored), picture + step)
