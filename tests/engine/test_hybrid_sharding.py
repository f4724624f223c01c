"""HSDP: copies of a model that several processes share each, against one process."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from processes import in_processes
from shard_runs import SHARDED, assert_same_runs, assert_same_tensors, logged, run, write_config
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from simmim_mm.engine.config import load_config
from simmim_mm.engine.launch import build_runner
from simmim_mm.engine.sharding import FullyShardedDataParallel
from simmim_mm.engine.sharding.states import CopyIntoShards, gather, shard_like

SHARD_SIZE = 'model_wrapper_cfg.shard_size={}'.format


@pytest.fixture(scope='module')
def folder(tmp_path_factory, photographs) -> Path:
    """A folder with a config of a tiny Swin and images."""
    return write_config(tmp_path_factory.mktemp('hybrid'), photographs)


@pytest.fixture(scope='module')
def one(folder) -> Path:
    """A plain run of one process."""
    return run(folder, 'one', 1)


@pytest.fixture(scope='module')
def four(folder) -> Path:
    """The same in four processes, two of which share a copy."""
    return run(folder, 'four', 4, SHARDED, SHARD_SIZE(2))


def test_two_copies_in_two_parts_equal_one_process(one, four):
    for name in ('loss', 'grad_norm'):
        assert len(logged(one, name)) == 4
        assert logged(four, name) == pytest.approx(logged(one, name), rel=1e-5)
    assert_same_runs(one, four)
    (log,) = four.glob('*/*.log')
    assert 'over 2 processes, in 2 copies, in 4 parts' in log.read_text()


@pytest.mark.parametrize(('start', 'number', 'shard_size'), [('one', 4, 2), ('four', 2, 1), ('four', 1, None)])
def test_a_run_goes_on_with_other_copies(folder, one, four, start, number, shard_size):
    options = [SHARDED, SHARD_SIZE(shard_size)] if shard_size else []
    resumed = run(folder, f'{start}_on_{number}', number, *options, resume=str(folder / start / 'epoch_1.pth'))
    assert logged(resumed, 'loss') == pytest.approx(logged(one, 'loss')[2:], rel=1e-5)
    assert_same_runs(one, resumed)


def test_levers_and_accumulated_gradients(folder):
    """Blocks computed twice, and two batches for one step."""
    options = ('optim_wrapper.accumulative_counts=2', 'optim_wrapper.clip_grad=None')
    single = run(folder, 'levers_one', 1, *options)
    copies = run(
        folder, 'levers_four', 4, SHARDED, SHARD_SIZE(2), 'acceleration.activation_checkpointing=True', *options
    )
    assert logged(copies, 'loss') == pytest.approx(logged(single, 'loss'), rel=1e-5)
    assert_same_runs(single, copies)


@pytest.mark.parametrize('shard_size', [1, 2, 4])
def test_each_process_keeps_its_part(shard_size):
    """Gradients and weights are the mean over all processes, whatever the shards; rows are those of the rank."""

    def job() -> bool:
        torch.distributed.init_process_group('gloo')
        torch.manual_seed(0)
        model, rank = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3)), torch.distributed.get_rank()
        images = torch.randn(4, 6)
        expected = model(images).square().mean()
        gradients = torch.autograd.grad(expected, list(model.parameters()))
        wrapper = FullyShardedDataParallel(model, shard_size=shard_size)
        whole = {name: value.detach().clone() for name, value in model.state_dict().items()}
        wrapper.shard('cpu', 'fp32')
        wrapper(images[rank : rank + 1]).square().mean().backward()
        for (name, part), gradient in zip(model.named_parameters(), gradients, strict=True):
            for found, value in ((part.detach(), whole[name]), (part.grad, gradient)):
                rows = value.chunk(shard_size)
                place = rank % shard_size
                own = rows[place] if place < len(rows) else value[:0]
                torch.testing.assert_close(found.to_local(), own)
        return True

    assert in_processes(4, job) == [True] * 4


def test_rows_of_copies_are_put_together():
    """Rows that the processes do not divide, and fewer rows than processes, as PyTorch shares them out."""

    def job() -> int:
        torch.distributed.init_process_group('gloo')
        checked = 0
        for copies, shared in ((2, 2), (4, 1), (1, 4)):
            mesh = init_device_mesh('cpu', (copies, shared))
            for shape in ((7, 2), (2, 3), (1,)):
                whole = torch.arange(float(math.prod(shape))).reshape(shape)
                like = distribute_tensor(whole, mesh, [Replicate(), Shard(0)])
                found = shard_like(whole, like)
                zeros = distribute_tensor(torch.zeros(shape), mesh, [Replicate(), Shard(0)])
                with torch.no_grad(), CopyIntoShards():
                    zeros.copy_(whole)
                for part in (found, zeros):
                    assert torch.equal(part.to_local(), like.to_local())
                    assert part.placements == like.placements
                    assert_same_tensors({'a': whole}, gather({'a': part}, True), rtol=0, atol=0)
                    checked += 1
        return checked

    assert in_processes(4, job) == [18] * 4


def test_sizes_that_cannot_be_are_refused_before_anything_is_built(folder):
    cases = {
        'shard_size=2 does not divide the number of processes, 3; use one of 1, 3, or delete it': 2,
        'shard_size=6 does not divide': 6,
        'shard_size=0 of model_wrapper_cfg must be a whole number from 1': 0,
        'shard_size=1.0 of model_wrapper_cfg must be a whole number': 1.0,
        'shard_size=True of model_wrapper_cfg must be a whole number': True,
    }

    def job() -> int:
        for message, value in cases.items():
            cfg = load_config(str(folder / 'tiny.py'), work_dir=str(folder / 'refused'), launcher='pytorch')
            cfg.model_wrapper_cfg = dict(type='FullyShardedDataParallel', shard_size=value)
            with pytest.raises(ValueError, match=message):
                build_runner(cfg)
        return len(cases)

    assert in_processes(3, job) == [5] * 3
    with pytest.raises(ValueError, match='does not divide the number of processes, 1; use one of 1, or'):
        FullyShardedDataParallel(nn.Linear(1, 1), shard_size=2)
