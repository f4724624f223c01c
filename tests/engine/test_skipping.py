"""Updates that are left out, one by one: optimisers, loss scaler, processes."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from guard_runs import Inject, float_folder, guarded_config, state_of
from processes import in_processes
from torch import nn

from simmim_mm.engine import PrecisionOptimWrapper
from simmim_mm.engine import precision as precision_module
from simmim_mm.engine.guards.failed_batch import read_failed_batch
from simmim_mm.engine.guards.gradients import any_not_finite
from simmim_mm.engine.guards.replay import replay
from simmim_mm.engine.guards.skipping import SkippingStep
from simmim_mm.engine.guards.step_guard import MOST_HELD, StepGuard
from simmim_mm.engine.launch import train
from simmim_mm.engine.sharding.states import gather

CPU = torch.device('cpu')


class Lion(torch.optim.Optimizer):
    """A published optimiser (arXiv 2302.06675) with one state, a tensor, as packages of others have it."""

    def __init__(self, params, lr):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group['params']:
                state = self.state[parameter]
                momentum = state.setdefault('exp_avg', torch.zeros_like(parameter))
                parameter.mul_(1 - group['lr'] * 0.1).sub_(momentum.lerp(parameter.grad, 0.1).sign_() * group['lr'])
                momentum.lerp_(parameter.grad, 0.01)


class CountsOnHost(Lion):
    """With a number of Python's."""

    def step(self, closure=None):
        super().step()
        for values in self.state.values():
            values['step'] = values.get('step', 0) + 1


def make(kind, model):
    if kind in (Lion, CountsOnHost):
        return kind(model.parameters(), lr=0.1)
    name, _, settings = kind.partition(' ')
    extra = dict(fused=True) if 'fused' in settings else {}
    extra |= dict(momentum=0.9) if name == 'SGD' else {}
    return getattr(torch.optim, name)(model.parameters(), lr=0.1, **extra)


def snapshot(model, optimiser):
    return copy.deepcopy([model.state_dict(), optimiser.state_dict()['state']])


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return all(map(same, one, other)) if isinstance(one, list) else one == other


KINDS = ['AdamW fused', 'AdamW', 'SGD fused', 'SGD', 'Adagrad fused', 'RMSprop', 'NAdam', Lion, CountsOnHost]


@pytest.mark.parametrize('kind', KINDS)
def test_a_step_that_is_left_out_changes_nothing(kind):
    """At first, when there are no states, and later; the steps between are those of PyTorch alone."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    plain = copy.deepcopy(model)
    optimiser, reference = make(kind, model), make(kind, plain)
    asked = []
    step = SkippingStep(optimiser, lambda flag: asked.append(flag) or bool(flag))
    for bad in (True, False, True, False, False, True):
        gradients = [torch.randn_like(parameter) for parameter in model.parameters()]
        for parameter, other, gradient in zip(model.parameters(), plain.parameters(), gradients, strict=True):
            parameter.grad = gradient * float('nan') if bad else gradient.clone()
            other.grad = gradient
        before = snapshot(model, optimiser)
        step(torch.tensor(bad))
        if bad:
            assert same(snapshot(model, optimiser), before)
        else:
            reference.step()
        assert same(snapshot(model, optimiser), snapshot(plain, reference))
    # Fused ones ask for steps that make states alone, and Adagrad makes them before.
    assert len(asked) == {'Adagrad fused': 0, 'AdamW fused': 2, 'SGD fused': 2}.get(kind, 6)


@pytest.mark.parametrize('kind', ['SGD', Lion])
def test_states_on_the_device_are_chosen_from(kind):
    """What an accelerator does with optimisers that take no flag, on the CPU."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimiser = make(kind, model)
    step = SkippingStep(optimiser, bool)
    for bad in (False, True, False):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, float('nan') if bad else 1.0)
        before = snapshot(model, optimiser)
        assert not step.counts_on_host(CPU)
        step.forgetting_new_states(torch.tensor(bad), lambda bad=bad: step._chosen(torch.tensor(bad)))
        assert same(snapshot(model, optimiser), before) is bad


@pytest.mark.parametrize(
    ('kind', 'expected'), [('RMSprop', False), (CountsOnHost, True), ('SGD', False), (Lion, False)]
)
def test_numbers_of_the_host_are_known(kind, expected):
    """Of which a device cannot put back the old ones. PyTorch keeps its counts on the host, so not on a GPU."""
    model = nn.Linear(3, 2)
    optimiser = make(kind, model)
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    step = SkippingStep(optimiser, bool)
    assert step.counts_on_host(CPU) is expected
    assert step.counts_on_host(torch.device('meta'))  # as if the parameters were there


@pytest.mark.parametrize('bad', [None, float('nan'), float('inf'), float('-inf')])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_gradients_are_looked_through(bad, dtype):
    gradients = [torch.full((4, 5), 1e30, dtype=dtype), torch.zeros(3, dtype=dtype), torch.zeros(0, dtype=dtype)]
    if bad is not None:
        gradients[0][2, 3] = bad
    assert any_not_finite(gradients, CPU).item() is (bad is not None)
    assert not any_not_finite([], CPU)


class AbsoluteError(nn.Module):
    """An image with a NaN where the network does not look, as in the hidden part: its gradients are all finite."""

    def __init__(self):
        super().__init__()
        self.network = nn.Linear(2, 2)

    def forward(self, image):
        return nn.functional.l1_loss(self.network(image[:, :2]), image[:, 2:])


def scaled(monkeypatch, model, outcomes, **kwargs):
    """The fp16 arithmetic of the loss scaler, on the CPU."""
    monkeypatch.setattr(precision_module, 'choose_precision', lambda precision, device_type: 'fp16')
    optim = PrecisionOptimWrapper(
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True), precision='fp16', **kwargs
    )
    optim.guard = StepGuard(optim.optimizer, model, outcomes.append)
    return optim


def update(optim, model, image):
    optim.guard.begin(0, {})
    optim.update_params(model(image))
    optim.guard.settle()


@pytest.mark.parametrize('clip', [None, dict(max_norm=1.0)], ids=['not clipped', 'clipped'])
def test_overflows_of_a_loss_scaler_are_no_failures(monkeypatch, clip):
    """A loss of 1 that is scaled by 1e38 overflows backwards; the factor is halved as without a guard."""
    outcomes = []
    model = AbsoluteError()
    optim = scaled(monkeypatch, model, outcomes, loss_scale=dict(init_scale=3e38), clip_grad=clip)
    before = copy.deepcopy(model.state_dict())
    for _ in range(4):
        update(optim, model, torch.full((1, 4), 100.0))
    assert [outcome.applied for outcome in outcomes[:2]] == [False, False]
    assert not any(outcome.failed for outcome in outcomes)
    assert optim.loss_scaler.get_scale() < 3e38 / 3
    assert same(dict(model.state_dict()), dict(before)) is not any(outcome.applied for outcome in outcomes)


def test_a_loss_that_is_not_finite_is_a_failure_under_a_loss_scaler(monkeypatch):
    """Then the gradients are finite, of which a scaler alone would take a step."""
    outcomes, image = [], torch.tensor([[1.0, 2.0, float('nan'), 3.0]])
    plain = AbsoluteError()
    plain(image).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in plain.parameters())
    model = AbsoluteError()
    optim = scaled(monkeypatch, model, outcomes, loss_scale=dict(init_scale=8.0))
    before = snapshot(model, optim.optimizer)
    update(optim, model, image)
    assert outcomes[0].failed
    assert not outcomes[0].applied
    assert not outcomes[0].parts[0].finite
    assert outcomes[0].loss_scale == 8.0
    assert same(snapshot(model, optim.optimizer), before)


def test_gradients_that_overflow_without_a_factor_are_a_failure(monkeypatch):
    outcomes = []
    model = AbsoluteError()
    optim = scaled(monkeypatch, model, outcomes, loss_scale=dict(init_scale=2.0))
    model.network.weight.register_hook(lambda gradient: gradient * float('inf'))
    for _ in range(3):
        update(optim, model, torch.ones(1, 4) * 3)
    assert [(outcome.failed, outcome.loss_scale) for outcome in outcomes] == [(False, 2.0), (False, 1.0), (True, 0.5)]


def test_of_many_batches_the_last_are_kept():
    model, outcomes = AbsoluteError(), []
    optim = PrecisionOptimWrapper(
        torch.optim.SGD(model.parameters(), lr=0.1), precision='fp32', accumulative_counts=MOST_HELD + 4
    )
    optim.guard = StepGuard(optim.optimizer, model, outcomes.append)
    for number in range(MOST_HELD + 4):
        optim.guard.begin(number, number)
        assert sum(held.batch is not None for held in optim.guard._held) <= MOST_HELD
        image = torch.ones(1, 4)
        image[0, 3] = float('nan') if number in (1, 7) else 1.0
        optim.update_params(model(image))
    optim.guard.settle()
    assert outcomes[0].failed
    assert [(part.iteration, part.batch) for part in outcomes[0].parts if not part.finite] == [(7, 7)]
    assert len(outcomes[0].parts) == MOST_HELD


@pytest.mark.parametrize(
    'wrapper',
    [
        dict(type='MMDistributedDataParallel'),
        dict(type='FullyShardedDataParallel'),
        dict(type='FullyShardedDataParallel', shard_size=1),
    ],
    ids=['DDP', 'FSDP2', 'HSDP'],
)
@pytest.mark.parametrize('clip', [dict(max_norm=5.0), None], ids=['clipped', 'not clipped'])
def test_all_processes_leave_the_same_out(tmp_path, wrapper, clip):
    """The second of two has the NaN: the first one knows its files, and both end as if the batch had not been."""
    folder = float_folder(tmp_path / 'images')

    def job(name, hook, guarded):
        def change(cfg):
            cfg.launcher = 'pytorch'
            cfg.optim_wrapper.clip_grad = clip
            cfg.model_wrapper_cfg = dict(wrapper)
            if not guarded:
                cfg.default_hooks.finite_guard = None

        runner = train(guarded_config(folder, tmp_path / name, hook, iters=4, change=change))
        (hook,) = [hook for hook in runner.hooks if isinstance(hook, Inject)] or [None]
        torch.save(gather(state_of(runner), True), tmp_path / f'{name}_{runner.rank}.pth')
        return hook and hook.files

    files = in_processes(2, job, 'guarded', dict(type='Inject', where='image', iterations=[2], rank=1), True)
    in_processes(2, job, 'plain', dict(type='LeaveOut', iterations=[2]), False)
    for rank in range(2):
        ends = [torch.load(tmp_path / f'{name}_{rank}.pth') for name in ('guarded', 'plain')]
        assert same(*ends)
    (line,) = map(json.loads, (tmp_path / 'guarded' / 'skipped_steps.jsonl').read_text().splitlines())
    assert line['iter'] == 3
    assert line['files'] == {'1': files[1][2]}
    assert line['saved'].endswith('iter_3_rank_1.pth')
    saved = read_failed_batch(line['saved'])
    assert all(type(value) is torch.Tensor for value in saved['state_dict'].values())
    assert replay(line['saved']).culprit.what == 'images as loaded'
