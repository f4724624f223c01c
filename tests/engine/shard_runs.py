"""Runs of a tiny Swin in one process and in several, for tests that compare them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image
from processes import in_processes
from tiny import TINY_CONFIG

from simmim_mm.engine.config import load_config
from simmim_mm.engine.launch import train

ROOT = Path(__file__).parents[2]
SHARDED = 'model_wrapper_cfg.type=FullyShardedDataParallel'

TINY = (
    TINY_CONFIG
    + """
# The norm of the gradients is about 1, so that they are clipped.
optim_wrapper = dict(precision='fp32', clip_grad=dict(max_norm=0.1))
train_cfg = dict(max_epochs=2)
param_scheduler = dict(end=2, warmup=1)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=1))
custom_hooks = [dict(type='ReconstructionHook', interval=1, num_images=2)]
"""
)


def write_config(folder: Path, photographs: dict, text: str = '') -> Path:
    """Fills a folder with eight images and the config of a tiny Swin.

    Args:
        folder: An empty one.
        photographs: By name.
        text: What the config has besides; ``{data_root!r}`` is the folder of the images.
    """
    (folder / 'images').mkdir()
    for number, name in enumerate(['astronaut', 'coffee', 'chelsea', 'rocket'] * 2):
        image = Image.fromarray(photographs[name]).crop((5 * number, 10, 5 * number + 250, 260))
        image.resize((60, 50)).save(folder / 'images' / f'{number}.png')
    base = ROOT / 'configs' / 'simmim_swin_base.py'
    (folder / 'tiny.py').write_text(
        (TINY + text).format(base=base, data_root=str(folder / 'images'), batch_size=4, num_workers=0)
    )
    return folder


def run(folder: Path, name: str, number: int, *options: str, **kwargs) -> Path:
    """Trains in a number of processes with a batch of four in all."""
    options = (f'train_dataloader.batch_size={4 // number}', *options)
    launcher = 'none' if number == 1 else 'pytorch'
    arguments = dict(work_dir=str(folder / name), cfg_options=list(options), launcher=launcher, **kwargs)

    def job() -> None:
        train(load_config(str(folder / 'tiny.py'), **arguments))

    in_processes(number, job)
    return folder / name


def logged(work_dir: Path, name: str) -> list[float]:
    rows = [json.loads(line) for file in sorted(work_dir.glob('*/vis_data/scalars.json')) for line in file.open()]
    return [row[name] for row in rows if name in row]


def checkpoint(work_dir: Path, epoch: int = 2) -> dict:
    return torch.load(work_dir / f'epoch_{epoch}.pth', weights_only=False)


def assert_same_tensors(one: dict, two: dict, **tolerance: float) -> None:
    """Keys in order, and plain tensors of the same numbers."""
    assert list(one) == list(two)
    for key, value in one.items():
        assert type(two[key]) is type(value) is torch.Tensor
        torch.testing.assert_close(two[key], value, msg=lambda text, key=key: f'{key}: {text}', **tolerance)


def assert_same_runs(one: Path, two: Path) -> None:
    """Weights and state of the optimiser after the last epoch."""
    one, two = checkpoint(one), checkpoint(two)
    # Adam divides by the root of second moments, which makes much of the rounding of tiny gradients.
    assert_same_tensors(one['state_dict'], two['state_dict'], rtol=1e-3, atol=2e-6)
    states, others = one['optimizer']['state'], two['optimizer']['state']
    assert list(states) == list(others)
    for number, values in states.items():
        assert_same_tensors(values, others[number], rtol=1e-3, atol=1e-8)
    assert one['optimizer']['param_groups'] == two['optimizer']['param_groups']
    assert one['meta']['iter'] == two['meta']['iter'] == 4
