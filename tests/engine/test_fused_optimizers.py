"""Fused optimisers, against PyTorch's plain ones."""

from __future__ import annotations

import copy

import pytest
import torch

from simmim_mm.engine import MergedGroupsConstructor, PrecisionOptimWrapper
from simmim_mm.engine import precision as precision_module


def build(model, wrapper=None, **optimizer):
    cfg = dict(type='PrecisionOptimWrapper', precision='fp32', optimizer={'type': 'AdamW', 'lr': 1e-2, **optimizer})
    return MergedGroupsConstructor({**cfg, **(wrapper or {})}, dict(flat_decay_mult=0.0))(model)


def network(dtype=torch.float32):
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3)).to(dtype)


def train(model, optim, steps=20):
    for number in range(steps):
        inputs = torch.linspace(-1, 1, 20).reshape(4, 5).to(next(model.parameters()).dtype) + number / 10
        optim.update_params(model(inputs).square().mean())


def test_fused_equals_plain():
    """Twenty steps with clipping and weight decay: in fp64 to 1e-12, as each update rounds elsewhere."""
    model = network(torch.float64)
    plain = copy.deepcopy(model)
    clip = dict(clip_grad=dict(max_norm=0.1))
    optim, reference = (
        build(model, clip, weight_decay=0.1),
        build(plain, copy.deepcopy(clip), fused=False, weight_decay=0.1),
    )
    assert all(group['fused'] for group in optim.param_groups)
    assert not any(group['fused'] for group in reference.param_groups)
    train(model, optim)
    train(plain, reference)
    for parameter, expected in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('settings', [dict(fused=False), dict(foreach=True), dict(differentiable=True)])
def test_the_config_decides(settings):
    optim = build(network(), **settings)
    assert not any(group['fused'] for group in optim.param_groups)


def test_without_settings_of_parameters_and_without_a_fused_form():
    cfg = dict(type='PrecisionOptimWrapper', precision='fp32')
    model = network()
    optim = MergedGroupsConstructor({**cfg, 'optimizer': dict(type='AdamW', lr=1.0)})(model)
    assert optim.param_groups[0]['fused']
    optim = MergedGroupsConstructor({**cfg, 'optimizer': dict(type='RMSprop', lr=1.0)})(model)
    assert 'fused' not in optim.param_groups[0]


def test_devices_without_a_fused_form():
    optim = build(network().to('meta'))
    assert not any(group['fused'] for group in optim.param_groups)


@pytest.mark.parametrize('fused', [None, False])
def test_a_resumed_run_keeps_its_own_choice(fused):
    """State of a plain optimiser goes on in a fused one, and the other way round, with equal steps."""
    model = network(torch.float64)
    choice = {} if fused is None else dict(fused=fused)
    other = dict(fused=False) if fused is None else {}
    optim = build(model, **other)
    train(model, optim, 3)
    resumed = copy.deepcopy(model)
    continued = build(resumed, **choice)
    continued.load_state_dict(copy.deepcopy(optim.state_dict()))
    assert all(bool(group['fused']) is (fused is None) for group in continued.param_groups)
    train(model, optim, 3)
    train(resumed, continued, 3)
    for parameter, expected in zip(resumed.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-12, atol=1e-12)


def test_fp16_resumes_a_plain_state(monkeypatch):
    """The scaler hands a fused optimiser the overflow, which a plain one refuses. On the CPU, for a GPU."""
    monkeypatch.setattr(precision_module, 'choose_precision', lambda precision, device_type: 'fp16')
    model = network()
    plain = build(model, dict(loss_scale=dict(init_scale=8.0)), fused=False)
    train(model, plain, 2)
    optim = build(model, dict(loss_scale=dict(init_scale=8.0)))
    optim.load_state_dict(plain.state_dict())
    before = copy.deepcopy(model.state_dict())
    optim.update_params(model(torch.full((1, 5), torch.inf)).sum())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    train(model, optim, 1)
    assert not torch.equal(model[0].weight, before['0.weight'])


def test_clipping_takes_all_gradients_at_once():
    """PyTorch's foreach form, on CPUs as on GPUs: one operation for all gradients, not one for each."""
    model = network()
    optim = build(model, dict(clip_grad=dict(max_norm=1e-3)), weight_decay=0.1)
    with torch.profiler.profile() as profile:
        train(model, optim, 1)
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts['aten::_foreach_norm'] == 1
    assert counts['aten::_foreach_mul_'] == 1
    assert counts['aten::_fused_adamw_'] == 2  # the two groups


def test_clipping_by_value_logs_nothing():
    model = network()
    optim = build(model, dict(clip_grad=dict(type='value', clip_value=1e-9)), weight_decay=0.0)
    assert isinstance(optim, PrecisionOptimWrapper)
    optim.message_hub.log_scalars.pop('train/grad_value', None)
    train(model, optim, 1)
    assert 'train/grad_value' not in optim.message_hub.log_scalars
