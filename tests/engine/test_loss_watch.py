"""A loss that rises, on curves that are made up and in runs."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from guard_runs import float_folder, guarded_run

from simmim_mm.engine import LossWatchHook
from simmim_mm.engine.guards.loss_watch import LossWatch

INTERVAL = 100


def curve(num=6000, seed=0, noise=0.02, end=0.35, heavy=False):
    """A pre-training curve: steep at first, then flat, with noise of batches; or with outliers (Student's t)."""
    rng = np.random.default_rng(seed)
    steps = np.arange(num)
    smooth = end + 0.5 * np.exp(-steps / 150) + 0.1 * np.exp(-steps / 2000)
    drawn = rng.standard_t(5, num) if heavy else rng.standard_normal(num)
    return smooth * (1 + noise * drawn)


def alarms(values, interval=INTERVAL, conditions=lambda step: {}, watch=None):
    """What is said, with the iteration at which it is said."""
    watch = watch or LossWatch()
    said = []
    for begin in range(0, len(values), interval):
        end = min(begin + interval, len(values))
        said += [(end, alarm.kind) for alarm in watch.look(values[begin:end], conditions(end))]
    return said


@pytest.mark.parametrize('interval', [1, 7, 20, 100])
@pytest.mark.parametrize('heavy', [False, True])
def test_noise_raises_no_alarm(interval, heavy):
    """Twenty runs each, from the first iteration on, with 2 % of noise, and 5 % without outliers."""
    for seed in range(20):
        for noise in (0.02,) if heavy else (0.02, 0.05):
            assert alarms(curve(3000, seed, noise, heavy=heavy), interval) == [], (seed, noise)


def test_a_warm_up_that_begins_flat_and_a_sharp_drop_raise_none():
    flat = np.concatenate([np.full(1500, 0.9), np.linspace(0.9, 0.4, 500), np.full(2000, 0.4)])
    rng = np.random.default_rng(0)
    assert alarms(flat * (1 + 0.01 * rng.standard_normal(len(flat)))) == []


def test_a_spike_is_seen_at_the_next_look():
    values = curve()
    values[4321] = 1.2
    assert alarms(values) == [(4400, 'spike')]
    values[4321] = 0.5  # a third above
    assert alarms(values) == []


def test_spikes_in_a_swarm_are_said_once():
    values = curve()
    values[4321:4700:50] = 1.5
    assert alarms(values) == [(4400, 'spike')]


def test_a_step_up_is_seen_within_two_looks_and_once():
    values = curve()
    values[3000:] *= 1.2
    assert alarms(values) == [(3200, 'rise')]


def test_a_slow_rise_is_seen_again_and_again():
    """From 0.35 to 0.7 in 3000 iterations: the first time when it is about a tenth higher, which is 300 later."""
    values = curve()
    values[3000:] *= np.linspace(1, 2, 3000)
    said = alarms(values)
    assert {kind for _, kind in said} == {'rise'}
    assert 3300 <= said[0][0] <= 3800
    assert 2 <= len(said) <= 7


def test_a_run_that_blows_up_is_seen():
    values = curve()
    values[3000:3060] *= np.exp(np.arange(60) / 10)
    values[3060:] = np.nan
    assert alarms(values) == [(3100, 'spike')]


@pytest.mark.parametrize('named', [True, False])
def test_a_change_of_conditions_is_no_rise(named):
    """A mask ratio that changes at iteration 3000 from 0.4 to 0.6; without being told it is a rise."""
    values = curve()
    values[3000:] *= 1.25
    said = alarms(values, conditions=lambda step: {'mask_ratio': 0.4 if step <= 3000 else 0.6} if named else {})
    assert said == ([] if named else [(3200, 'rise')])
    values[5000:] *= 1.25  # under the new conditions
    said = alarms(values, conditions=lambda step: {'mask_ratio': 0.4 if step <= 3000 else 0.6} if named else {})
    assert (5200, 'rise') in said


def test_conditions_that_change_all_the_time():
    """A ratio that goes from 0.3 to 0.9 over the run, and takes the loss with it."""
    values = curve() * np.linspace(1, 2, 6000)
    assert alarms(values, conditions=lambda step: {'mask_ratio': 0.3 + 0.6 * step / 6000}) == []


def test_losses_below_zero():
    """Likelihoods: shares of a loss near zero say nothing, its noise does."""
    rng = np.random.default_rng(0)
    values = np.linspace(1, -1, 6000) + 0.1 * rng.standard_normal(6000)
    assert alarms(values) == []
    values[4000:] += 0.6
    assert [kind for _, kind in alarms(values)] == ['rise']


@pytest.mark.parametrize('cut', [2950, 3100, 4400])
def test_a_resumed_watch_says_the_same(cut):
    """Cut at a look, the state is plain data."""
    values = curve()
    values[3000:] *= 1.2
    values[4321] = 2.0
    watch = LossWatch()
    cut = cut // INTERVAL * INTERVAL
    first = alarms(values[:cut], watch=watch)
    resumed = LossWatch()
    resumed.load_state_dict(watch.state_dict())
    second = [(cut + step, kind) for step, kind in alarms(values[cut:], watch=resumed)]
    assert first + second == alarms(values) == [(3200, 'rise'), (4400, 'spike')]


def watched(folder, work_dir, caplog, values, begin=0, change=None, **hub):
    """A run whose losses are replaced by those of a curve; what the hook warned of."""

    def prepare(cfg):
        cfg.default_hooks.logger.interval = 20
        cfg.default_hooks.checkpoint = dict(type='SafeCheckpointHook', by_epoch=False, interval=100)
        if change is not None:
            change(cfg)

    runner = guarded_run(folder, work_dir, iters=len(values), change=prepare)

    def train_step(data, optim_wrapper):
        for name, changed in hub.items():
            runner.message_hub.update_scalar(f'train/{name}', changed(runner.iter))
        return {'loss': torch.tensor(float(values[runner.iter]))}

    runner.model.train_step = train_step
    runner.logger.setLevel(logging.WARNING)
    runner.logger.addHandler(caplog.handler)
    caplog.clear()
    runner.train()
    return [record.getMessage() for record in caplog.records if 'loss' in record.getMessage()]


def test_a_run_warns_with_numbers_and_advice(tmp_path, caplog):
    folder = float_folder(tmp_path / 'images')
    values = curve(400, noise=0.01)
    values[260:] = values[240:260].mean() * 1.3
    (warned,) = watched(folder, tmp_path / 'run', caplog, values)
    assert warned.startswith('Iteration 300: the loss has risen to ')
    assert '(+23 %' in warned
    assert 'optim_wrapper.optimizer.lr' in warned
    assert 'docs/guards.md' in warned
    values = curve(400, noise=0.01)
    values[333] = 9.0
    (warned,) = watched(folder, tmp_path / 'spike', caplog, values)
    assert warned.startswith('Iteration 340: the loss jumped to 9, ')


def test_a_run_knows_the_mask_ratio(tmp_path, caplog):
    folder = float_folder(tmp_path / 'images')
    values = curve(400, noise=0.01)
    values[260:] *= 1.3
    ratio = {'mask_ratio': lambda step: 0.4 if step < 260 else 0.6}
    assert watched(folder, tmp_path / 'run', caplog, values, **ratio) == []
    assert len(watched(folder, tmp_path / 'other', caplog, values)) == 1


def test_a_resumed_run_warns_of_the_same(tmp_path, caplog):
    """Interrupted between the rise and the alarm, which needs two levels."""
    folder = float_folder(tmp_path / 'images')
    values = curve(400, noise=0.01)
    values[285:] = values[240:260].mean() * 1.3
    expected = watched(folder, tmp_path / 'whole', caplog, values)
    assert len(expected) == 1
    watched(folder, tmp_path / 'run', caplog, values[:300])

    def resume(cfg):
        cfg.resume, cfg.load_from = True, str(tmp_path / 'run' / 'iter_300.pth')

    assert watched(folder, tmp_path / 'run', caplog, values, change=resume) == expected


@pytest.mark.parametrize('settings', [dict(rise=0), dict(rise=-1.0), dict(spike='a'), dict(spike=float('nan'))])
def test_shares_are_positive_numbers(settings):
    with pytest.raises(ValueError, match=r'of LossWatchHook must be a positive number'):
        LossWatchHook(**settings)
