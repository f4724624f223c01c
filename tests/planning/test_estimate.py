"""Estimates against arithmetic with round numbers, and plans as tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from simmim_mm.engine.config import find_config
from simmim_mm.planning.counts import Counts, Kept
from simmim_mm.planning.estimate import Assumptions, estimate, possible
from simmim_mm.planning.hardware import GPUS, Gpu
from simmim_mm.planning.report import plan_run

CONFIGS = Path(__file__).parents[2] / 'configs'
BILLION = Counts(
    parameters=10**9,
    largest_unit=10**8,
    rest=10**7,
    forward=1e12,
    backward=2e12,
    recomputed=9e11,
    plain=Kept(1e9, 1e9),
    checkpointed=Kept(0, 1e8),
    largest_block=Kept(0, 5e7),
)
ROUND = Gpu(tflops=100, memory=100, memory_bandwidth=1000, link=100, network=10, sources=())
PERFECT = Assumptions(1.0, 1.0, 1.0)


def test_ddp_by_hand():
    plan = estimate(BILLION, ROUND, 8, 10, 'DDP', False, PERFECT)
    assert (plan.weights, plan.gradients, plan.optimizer, plan.buffers) == (4e9, 4e9, 8e9, 4e9)
    assert plan.activations == 11e9
    assert plan.memory == 31e9
    assert plan.largest_batch == 79  # 100 - 20 - 1 GB
    assert plan.compute == pytest.approx(0.3)
    assert plan.sent == 2 * 7 / 8 * 4e9
    assert plan.communication == pytest.approx(0.07)
    # The collectives hide behind the backward pass; AdamW moves 28 GB.
    assert plan.step == pytest.approx(0.3 + 0.028)


def test_fsdp_by_hand_between_machines():
    plan = estimate(BILLION, ROUND, 16, 10, 'FSDP2', True, PERFECT)
    assert (plan.weights, plan.gradients, plan.optimizer) == (0.25e9, 0.25e9, 0.5e9)
    assert plan.buffers == 2 * 1e8 * 8 + 1e7 * 8
    assert plan.activations == 10 * 1.5e8
    assert plan.compute == pytest.approx(0.1 + 0.2 + 0.09)
    assert plan.sent == 15 / 16 * (2 * 2e9 + 4e9)
    # Eight adapters of 10 GB/s are slower than the link of 100: 15/16 x 2 GB, and again with 15/16 x 4 GB, at 80 GB/s.
    assert plan.communication == pytest.approx(15 / 16 * 8e9 / 80e9)
    # That hides behind the computing. With adapters of 1 GB/s, weights arrive more slowly than they are used.
    assert plan.step == pytest.approx(0.39 + 0.028 / 16)
    slow = estimate(BILLION, ROUND._replace(network=1), 16, 10, 'FSDP2', True, PERFECT)
    assert slow.step == pytest.approx(15 / 16 * (2e9 + 6e9) / 8e9 + 0.028 / 16)


def test_hsdp_by_hand_between_machines():
    """The same, with a copy in each of the two machines."""
    plan = estimate(BILLION, ROUND, 16, 10, 'HSDP', True, PERFECT)
    assert (plan.weights, plan.gradients, plan.optimizer) == (0.5e9, 0.5e9, 1e9)
    assert plan.buffers == 2 * 1e8 * 8 + 1e7 * 8
    # Inside, 7/8 of 2 GB twice and of 4 GB; between the two, 2 x 1/2 of the eighth of 4 GB.
    assert plan.sent == 7 / 8 * (2 * 2e9 + 4e9) + 0.5e9
    assert plan.communication == pytest.approx(7e9 / 100e9 + 0.5e9 / 10e9)
    # All of it hides behind 0.1 s forward and 0.29 s backward.
    assert plan.step == pytest.approx(0.39 + 0.028 / 8)


def test_hsdp_waits_for_its_slowest_link():
    """Of the backward pass: 5.25 GB inside at 100 GB/s, or 0.75 GB between four machines at 1 GB/s."""
    slow = ROUND._replace(network=1)
    plan = estimate(BILLION, slow, 32, 1, 'HSDP', False, PERFECT)
    assert plan.step == pytest.approx(7 / 8 * 2e9 / 100e9 + 0.75 + 0.028 / 8)


def test_between_machines_no_way_is_faster_than_its_adapters():
    slow = ROUND._replace(network=1)
    ring = estimate(BILLION, slow, 16, 1, 'DDP', False, PERFECT)
    assert ring.communication == pytest.approx(2 * 15 / 16 * 4e9 / 8e9)
    # Two more GPUs in a second machine have two adapters. Faster adapters wait for the links inside.
    assert estimate(BILLION, slow, 10, 1, 'DDP', False, PERFECT).communication == pytest.approx(2 * 0.9 * 4e9 / 2e9)
    fast = ROUND._replace(network=50)
    assert estimate(BILLION, fast, 16, 1, 'DDP', False, PERFECT).communication == pytest.approx(
        2 * 15 / 16 * 4e9 / 1e11
    )


def test_hsdp_needs_several_whole_machines():
    numbers = (1, 4, 8, 12, 16, 24)
    assert [number for number in numbers if possible('HSDP', number)] == [16, 24]
    assert all(possible(strategy, number) for strategy in ('DDP', 'FSDP2') for number in numbers)


@pytest.mark.parametrize(('strategy', 'gpus'), [('DDP', 8), ('FSDP2', 8), ('HSDP', 16)])
@pytest.mark.parametrize('checkpointing', [False, True])
def test_the_largest_batch_is_the_last_that_fits(strategy, gpus, checkpointing):
    gpu = GPUS['h100']
    batch = estimate(BILLION, gpu, gpus, 1, strategy, checkpointing).largest_batch
    limit = Assumptions().memory_share * gpu.memory * 1e9
    assert estimate(BILLION, gpu, gpus, batch, strategy, checkpointing).memory <= limit
    assert estimate(BILLION, gpu, gpus, batch + 1, strategy, checkpointing).memory > limit


def test_one_gpu_sends_nothing():
    for strategy in ('DDP', 'FSDP2'):
        plan = estimate(BILLION, ROUND, 1, 1, strategy, False, PERFECT)
        assert plan.sent == plan.communication == 0


def test_a_plan_is_a_table(tiny_swin):
    cfg = Config(dict(model=dict(type='SimMIM', backbone=tiny_swin(), img_size=64)))
    lines = plan_run(cfg, [1, 8, 16], 'a100', batch_per_gpu=4, epochs=2, images=1000).splitlines()
    table = [[cell.strip() for cell in line.strip('|').split('|')] for line in lines if line.startswith('|')]
    head, rows = table[0], [dict(zip(table[0], row, strict=True)) for row in table[2:]]
    assert [(row['GPUs'], row['strategy'], row['checkpointing']) for row in rows] == [
        (number, strategy, checkpointing)
        for number, strategies in (('1', 'DDP FSDP2'), ('8', 'DDP FSDP2'), ('16', 'DDP FSDP2 HSDP'))
        for strategy in strategies.split() for checkpointing in ('no', 'yes')
    ]  # fmt: skip
    assert {row['fits'] for row in rows} == {'yes'}
    assert len(head) == 15
    assert any('312 TFLOPS' in line for line in lines)
    assert any(line.startswith('Published: https://www.nvidia.com') for line in lines)
    assert any(line.startswith('Assumed, not measured: 30%') for line in lines)


@pytest.mark.parametrize(
    ('train_cfg', 'epochs', 'images', 'words'),
    [
        (dict(max_iters=500), None, 500 * 64, 'batch 64, 500 iterations.'),
        (dict(max_iters=500), 3, 3000, 'batch 64, 3 epochs of 1,000 images.'),
        (dict(max_epochs=7), None, 7000, 'batch 64, 7 epochs of 1,000 images.'),
        ({}, None, 100_000, '100 epochs of 1,000 images (the config names no length: --epochs)'),
    ],
)
def test_the_hours_are_those_of_the_run(tiny_swin, train_cfg, epochs, images, words):
    model = dict(type='SimMIM', backbone=tiny_swin(), img_size=64)
    cfg = Config(dict(model=model, train_cfg=train_cfg, auto_scale_lr=dict(base_batch_size=64)))
    slow = Assumptions(mfu=1e-8)  # so that hours are not rounded to nothing
    text = plan_run(cfg, [1], epochs=epochs, images=1000, assumptions=slow)
    assert words in text
    head, _, row = [line.strip('|').split('|') for line in text.splitlines() if line.startswith('|')][:3]
    cells = {name.strip(): cell.strip().replace(',', '') for name, cell in zip(head, row, strict=True)}
    assert float(cells['hours']) == pytest.approx(images / 64 * float(cells['step ms']) / 3.6e6, rel=0.02, abs=0.05)


def test_names_are_checked(tiny_swin):
    with pytest.raises(ValueError, match='--gpu h900 is unknown; use one of a100'):
        plan_run(Config(), [8], 'h900')
    with pytest.raises(FileNotFoundError, match="'swin_huge' is no config file, and .*swin_base"):
        find_config('swin_huge')
    assert find_config('swin_base').endswith('simmim_swin_base.py')
    assert find_config('swinv2_giant').endswith('simmim_swinv2_giant_800e.py')
