"""FSDP2: two real processes against one, and the files that they leave."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from processes import in_processes
from shard_runs import SHARDED, assert_same_runs, assert_same_tensors, checkpoint, logged, run, write_config
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from simmim_mm.engine.checkpoints import load_model
from simmim_mm.engine.config import load_config
from simmim_mm.engine.launch import train
from simmim_mm.engine.sharding import FullyShardedDataParallel
from simmim_mm.engine.sharding.states import CopyIntoShards, gather, shard_like
from simmim_mm.engine.sharding.units import sharding_units
from simmim_mm.registry import MODELS
from simmim_mm.transfer.export import export_backbone


@pytest.fixture(scope='module')
def folder(tmp_path_factory, photographs) -> Path:
    """A folder with a config of a tiny Swin and eight images."""
    return write_config(tmp_path_factory.mktemp('sharding'), photographs)


@pytest.fixture(scope='module')
def one(folder) -> Path:
    """A plain run of one process."""
    return run(folder, 'one', 1)


@pytest.fixture(scope='module')
def two(folder) -> Path:
    """The same with shards in two."""
    return run(folder, 'two', 2, SHARDED)


def test_two_processes_with_shards_equal_one(one, two):
    for name in ('loss', 'grad_norm'):
        assert len(logged(one, name)) == 4
        assert logged(two, name) == pytest.approx(logged(one, name), rel=1e-5)
    assert_same_runs(one, two)
    assert (two / 'reconstructions' / 'iter_4.png').stat().st_size > 1000


@pytest.mark.parametrize('options', [(), ('model_wrapper_cfg.static_graph=True',)], ids=['ddp', 'static_graph'])
def test_two_processes_with_whole_models_equal_one(folder, one, options):
    whole = run(folder, f'ddp_{len(options)}', 2, *options)
    assert logged(whole, 'loss') == pytest.approx(logged(one, 'loss'), rel=1e-5)
    assert_same_runs(one, whole)


def test_a_static_graph_in_a_run_that_accumulates(folder):
    options = ['model_wrapper_cfg.static_graph=True', 'optim_wrapper.accumulative_counts=2']
    with pytest.raises(AssertionError, match='static_graph=True does not go with .*accumulative_counts=2'):
        run(folder, 'static', 2, *options)


@pytest.mark.parametrize(('start', 'number'), [('one', 2), ('two', 1), ('two', 2)])
def test_a_run_goes_on_with_another_number_of_processes(folder, one, two, start, number):
    options = [SHARDED] if number == 2 else []
    resumed = run(folder, f'{start}_on_{number}', number, *options, resume=str(folder / start / 'epoch_1.pth'))
    assert logged(resumed, 'loss') == pytest.approx(logged(one, 'loss')[2:], rel=1e-5)
    assert_same_runs(one, resumed)


def test_the_files_are_plain_checkpoints(folder, two):
    """What ``show_reconstructions.py`` and ``export_backbone.py`` do with them."""
    path, state = str(two / 'epoch_2.pth'), checkpoint(two)['state_dict']
    model = load_model(load_config(str(folder / 'tiny.py')), path)
    assert_same_tensors(model.state_dict(), state, rtol=0, atol=0)
    assert export_backbone(path, str(folder / 'exported.pth'), 'mmpretrain').ok
    exported = torch.load(folder / 'exported.pth', weights_only=True)['state_dict']
    table = 'stages.0.blocks.0.attn.w_msa.relative_position_bias_table'
    assert torch.equal(exported[f'backbone.{table}'], state[f'backbone.{table}'])


def test_a_run_starts_from_weights(folder, one, two):
    """The first loss is that of the model that the weights were taken from."""
    start = f'load_from={one / "epoch_2.pth"}'
    single = run(folder, 'from_one', 1, start, 'train_cfg.max_epochs=1', 'param_scheduler.warmup=0')
    options = ('train_cfg.max_epochs=1', 'param_scheduler.warmup=0', SHARDED)
    shards = run(folder, 'from_two', 2, start, *options)
    assert logged(shards, 'loss') == pytest.approx(logged(single, 'loss'), rel=1e-5)
    assert abs(logged(single, 'loss')[0] - logged(one, 'loss')[0]) > 1e-4


def test_levers_and_accumulated_gradients(folder, one):
    """Blocks computed twice, and two batches of two images for one step: the same gradients."""
    options = ('acceleration.activation_checkpointing=True', 'optim_wrapper.accumulative_counts=2')
    single = run(folder, 'levers_one', 1, 'optim_wrapper.accumulative_counts=2')
    shards = run(folder, 'levers_two', 2, SHARDED, *options)
    assert logged(shards, 'loss') == pytest.approx(logged(single, 'loss'), rel=1e-5)
    assert logged(single, 'loss')[1:] != pytest.approx(logged(one, 'loss')[1:], rel=1e-5)
    assert_same_runs(single, shards)


def test_bf16_keeps_weights_in_fp32(folder, one):
    bf16 = run(folder, 'bf16', 2, SHARDED, 'optim_wrapper.precision=bf16')
    assert logged(bf16, 'loss') == pytest.approx(logged(one, 'loss'), rel=2e-2)
    assert logged(bf16, 'loss') != pytest.approx(logged(one, 'loss'), rel=1e-7)
    saved = checkpoint(bf16)
    floats = [value for value in saved['state_dict'].values() if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float32}
    assert any(not torch.equal(value, value.bfloat16().float()) for value in floats)


def test_what_shards_cannot_do_is_refused(folder):
    cases = {
        "device='meta' of EMAHook.*delete device": dict(custom_hooks=[dict(type='EMAHook', device='meta')]),
        "no loss scaler.*precision='bf16'": dict(optim_wrapper=dict(type='AmpOptimWrapper')),
        "needs runner_type='simmim_mm.ShardedRunner'": dict(runner_type='Runner'),
    }

    def job() -> None:
        for message, changes in cases.items():
            cfg = load_config(str(folder / 'tiny.py'), work_dir=str(folder / 'refused'), launcher='pytorch')
            cfg.merge_from_dict(changes)
            cfg.model_wrapper_cfg = dict(type='simmim_mm.FullyShardedDataParallel')
            cfg.train_dataloader.batch_size = 2
            with pytest.raises(ValueError, match=message):
                train(cfg)

    in_processes(2, job)


def test_options_are_checked():
    with pytest.raises(ValueError, match="param_dtype='fp16' is unknown; use 'auto' or 'fp32'"):
        FullyShardedDataParallel(nn.Linear(1, 1), param_dtype='fp16')
    with pytest.raises(ValueError, match='reshard_after_forward'):
        FullyShardedDataParallel(nn.Linear(1, 1), reshard_after_forward=1)
    model = nn.Linear(2, 3)
    assert FullyShardedDataParallel(model)(torch.ones(1, 2)).shape == (1, 3)


def test_rows_of_processes_are_put_together():
    """Rows that the processes do not divide, fewer rows than processes, and no rows of a number."""

    def job() -> list[bool]:
        torch.distributed.init_process_group('gloo')
        mesh = init_device_mesh('cpu', (3,))
        equal = []
        for shape in ((7, 2), (2, 3), (3,), (1,)):
            whole = torch.arange(float(math.prod(shape))).reshape(shape)
            expected = distribute_tensor(whole, mesh, [Shard(0)])
            found = shard_like(whole, expected)
            zeros = distribute_tensor(torch.zeros(shape), mesh, [Shard(0)])
            with torch.no_grad(), CopyIntoShards():
                zeros.copy_(whole)
            equal += [torch.equal(part.to_local(), expected.to_local()) for part in (found, zeros)]
            equal.append(torch.equal(gather({'a': [found]}, True)['a'][0], whole))
        return equal

    assert in_processes(3, job) == [[True] * 12] * 3


def test_units_are_blocks_or_stages(tiny_encoders):
    for name, number in (('SwinTransformer', 8), ('VisionTransformer', 2), ('ConvNeXt', 4)):
        backbone = MODELS.build(tiny_encoders[name])
        units = sharding_units(backbone)
        assert len(units) == number
        assert len({type(unit) for unit in units}) == 1
    backbone = MODELS.build(tiny_encoders['ResNet'])
    stages = [backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]
    assert [unit for unit in sharding_units(backbone) if isinstance(unit, nn.Sequential)] == stages
