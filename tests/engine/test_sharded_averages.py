"""EMAHook with FSDP2: against plain runs, and against the recurrences of the averages."""

from __future__ import annotations

from pathlib import Path

import mmengine.model  # noqa: F401  (registers the averages)
import pytest
import torch
from mmengine.registry import MODELS as HOST_MODELS
from processes import in_processes
from shard_runs import SHARDED, assert_same_tensors, logged, run, write_config
from torch import nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.debug import CommDebugMode

from simmim_mm.engine.sharding import FullyShardedDataParallel
from simmim_mm.engine.sharding.averages import update_locally
from simmim_mm.engine.sharding.states import gather

MOMENTUM = 0.3
BEGIN = 2

# Validation in the middle, and reconstructions before it.
AVERAGED = f"""
train_cfg['val_interval'] = 1
default_hooks['checkpoint'].update(by_epoch=False, max_keep_ckpts=9, save_best='val/hidden_l1', rule='less')
custom_hooks = [
    dict(type='ReconstructionHook', interval=1, num_images=2),
    dict(type='EMAHook', momentum={MOMENTUM}, begin_iter={BEGIN}, strict_load=True)]
val_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False, sampler=dict(type='SeededSampler', shuffle=False, seed=0),
    collate_fn=dict(type='simmim_mm.stack_samples'),
    dataset=dict(type='UnlabelledImages', data_root={{data_root!r}}, fixed=True, pipeline=[
        dict(type='LoadImage'), dict(type='CenterCrop', size=64), dict(type='RandomPatchMask', mask_patch_size=32),
        dict(type='PackMaskedImage')]))
val_cfg = dict()
val_evaluator = dict(type='MaskedReconstructionMetric')
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory, photographs) -> Path:
    """A folder with a config with EMAHook and validation, and images."""
    return write_config(tmp_path_factory.mktemp('averages'), photographs, AVERAGED)


@pytest.fixture(scope='module')
def one(folder) -> Path:
    """A plain run of one process."""
    return run(folder, 'one', 1)


@pytest.fixture(scope='module')
def two(folder) -> Path:
    """The same with shards in two, which reconstructions and validation leave gathered."""
    return run(folder, 'two', 2, SHARDED, 'model_wrapper_cfg.reshard_after_forward=False')


def at(work_dir: Path, iteration: int) -> dict:
    return torch.load(work_dir / f'iter_{iteration}.pth', weights_only=False)


def assert_same_averages(one: Path, other: Path, iteration: int = 4) -> None:
    """Averages are in ``state_dict``, and what is trained in ``ema_state_dict``."""
    one, other = at(one, iteration), at(other, iteration)
    for name in ('state_dict', 'ema_state_dict'):
        assert_same_tensors(one[name], other[name], rtol=1e-3, atol=2e-6)
    assert one['ema_state_dict']['steps'] == other['ema_state_dict']['steps'] == iteration - BEGIN + 1


def test_shards_equal_one_process(one, two):
    """Training, validation of the averages, training on: losses, metrics and files."""
    assert logged(two, 'loss') == pytest.approx(logged(one, 'loss'), rel=1e-5)
    assert len(logged(one, 'val/hidden_l1')) == 2
    assert logged(two, 'val/hidden_l1') == pytest.approx(logged(one, 'val/hidden_l1'), rel=1e-5)
    for iteration in (2, 4):
        assert_same_averages(one, two, iteration)
    (best,), (expected,) = (list(work_dir.glob('best_*.pth')) for work_dir in (two, one))
    assert best.name == expected.name


def test_averages_follow_the_recurrence(two):
    """Up to and at the first update a copy, and then (1 - m) a + m w."""
    average = None
    for iteration in (1, 2, 3, 4):
        saved = at(two, iteration)
        trained = {key.removeprefix('module.'): value for key, value in saved['ema_state_dict'].items()}
        trained.pop('steps')
        if iteration <= BEGIN:
            average = trained
        average = {
            key: (1 - MOMENTUM) * average[key].double() + MOMENTUM * value.double()
            if value.is_floating_point()
            else value
            for key, value in trained.items()
        }
        found = {key: saved['state_dict'][key].to(value.dtype) for key, value in average.items()}
        assert_same_tensors(average, found, rtol=1e-5, atol=1e-7)
    table = 'backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table'
    assert (saved['state_dict'][table] - trained[table]).abs().max() > 1e-5


@pytest.mark.parametrize(('start', 'options'), [('one', (2,)), ('two', (1,)), ('two', (4, 2))], ids=str)
def test_a_run_goes_on_with_another_number_of_processes(folder, one, two, start, options):
    number, *shard_size = options
    settings = [SHARDED] if number > 1 else []
    settings += [f'model_wrapper_cfg.shard_size={size}' for size in shard_size]
    path = folder / start / 'iter_2.pth'
    resumed = run(folder, f'{start}_on_{number}', number, *settings, resume=str(path))
    assert logged(resumed, 'loss') == pytest.approx(logged(one, 'loss')[2:], rel=1e-5)
    # The validation that was due when the file was written comes first.
    assert logged(resumed, 'val/hidden_l1') == pytest.approx(logged(one, 'val/hidden_l1'), rel=1e-5)
    assert_same_averages(one, resumed)


def test_weights_to_start_from_may_be_averages(folder, one):
    """mmpretrain's hook begins with the averages of a file, and validates both."""
    options = (
        f'load_from={one / "iter_4.pth"}',
        'custom_hooks.1.type=mmpretrain.EMAHook',
        'custom_hooks.1.evaluate_on_origin=True',
        'train_cfg.max_epochs=1',
        'param_scheduler.warmup=0',
    )
    single, shards = run(folder, 'from_one', 1, *options), run(folder, 'from_two', 2, SHARDED, *options)
    assert logged(shards, 'loss') == pytest.approx(logged(single, 'loss'), rel=1e-5)
    files = [next(work_dir.glob('best_*.pth')) for work_dir in (single, shards)]
    states = [torch.load(file, weights_only=False)['message_hub'] for file in files]
    origin = [state['log_scalars']['val/val/hidden_l1_origin'].data[0][-1] for state in states]
    assert origin[1] == pytest.approx(origin[0], rel=1e-5)
    assert abs(origin[0] - logged(single, 'val/hidden_l1')[0]) > 1e-6


AVERAGES = [
    dict(type='ExponentialMovingAverage', momentum=0.2),
    dict(type='ExponentialMovingAverage', momentum=0.2, update_buffers=True),
    dict(type='MomentumAnnealingEMA', momentum=0.1, gamma=3, interval=2),
    dict(type='StochasticWeightAverage'),
]


def small_model() -> nn.Module:
    """Rows that two processes do not share evenly, a tied weight, buffers, and a frozen part."""
    torch.manual_seed(0)
    tied = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    tied[1].weight = tied[0].weight
    return nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), tied, nn.Linear(5, 1).requires_grad_(False))


def change(model: nn.Module, step: int) -> None:
    """Other weights; of shards, each process changes its own."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-0.5 - step)


def follow(model: nn.Module, average: nn.Module, forward: nn.Module) -> list[dict]:
    """Averages of weights that change, after each of five steps."""
    states = []
    for step in range(5):
        forward(torch.full((4, 3), float(step)) + torch.arange(12.0).view(4, 3))  # moves the statistics of the norm
        if hasattr(model, 'reshard'):
            model.reshard()
        change(model, step)
        comm = CommDebugMode()
        with comm:
            average.update_parameters(model)
        assert comm.get_total_counts() == 0
        states.append({key: value.clone() for key, value in gather(average.state_dict(), True).items()})
    return states


@pytest.mark.parametrize(('number', 'shard_size'), [(2, None), (4, 2)])
def test_averages_of_shards_are_those_of_whole_models(number, shard_size):
    """The host's kinds, with none of their numbers sent."""

    def job() -> int:
        torch.distributed.init_process_group('gloo')
        for cfg in AVERAGES:
            wrapper = FullyShardedDataParallel(small_model(), shard_size=shard_size)
            wrapper.shard('cpu', 'fp32', copies=True)
            average = HOST_MODELS.build({**cfg, 'model': wrapper.module})
            parts = [value for value in average.module.parameters() if isinstance(value, DTensor)]
            assert len(parts) == len(list(small_model().parameters()))
            assert not any(value.requires_grad for value in parts)
            assert sum(value.to_local().numel() for value in parts) < 0.7 * sum(value.numel() for value in parts)
            update_locally(average)
            found = follow(wrapper.module, average, wrapper)
            model = small_model()
            expected = follow(model, HOST_MODELS.build({**cfg, 'model': model}), model)
            for one, two in zip(expected, found, strict=True):
                assert_same_tensors(one, two, rtol=1e-6, atol=1e-7)
        return len(AVERAGES)

    assert in_processes(number, job) == [4] * number


def test_stochastic_averages_are_means():
    """The reference above, by its formula: after n updates, the mean of n models."""
    model = small_model()
    average = HOST_MODELS.build(dict(type='StochasticWeightAverage', model=model))
    seen = []
    for step in range(4):
        change(model, step)
        average.update_parameters(model)
        seen.append(model[0].weight.detach().clone())
        torch.testing.assert_close(average.module[0].weight, torch.stack(seen).mean(0))


def test_a_copy_computes_what_its_model_does():
    """After a pass that leaves weights gathered, too."""

    def job() -> bool:
        torch.distributed.init_process_group('gloo')
        wrapper = FullyShardedDataParallel(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1)), False)
        wrapper.shard('cpu', 'bf16', copies=True)
        images = torch.rand(4, 3)
        wrapper.eval()
        with torch.no_grad():
            expected = wrapper(images)
            average = HOST_MODELS.build(dict(type='ExponentialMovingAverage', model=wrapper.module))
            return expected.dtype == torch.bfloat16 and torch.equal(average(images), expected)

    assert in_processes(2, job) == [True, True]
