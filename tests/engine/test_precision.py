"""Mixed precision, against PyTorch's own pieces put together by hand."""

from __future__ import annotations

import pytest
import torch

from simmim_mm.engine import PrecisionOptimWrapper
from simmim_mm.engine import precision as module
from simmim_mm.engine.precision import choose_precision


def wrapper(model: torch.nn.Module, **kwargs) -> PrecisionOptimWrapper:
    return PrecisionOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), **kwargs)


def test_bf16_computes_in_bf16_and_updates_fp32_weights():
    model = torch.nn.Linear(4, 4)
    optim = wrapper(model, precision='bf16')
    with optim.optim_context(model):
        output = model(torch.ones(2, 4))
    optim.update_params(output.float().mean())
    assert output.dtype == torch.bfloat16
    assert model.weight.dtype == torch.float32


def test_fp32_equals_a_plain_step():
    model, plain = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    plain.load_state_dict(model.state_dict())
    optim = wrapper(model, precision='fp32', clip_grad=dict(max_norm=0.01))
    with optim.optim_context(model):
        loss = model(torch.ones(2, 4)).square().mean()
    optim.update_params(loss)
    plain(torch.ones(2, 4)).square().mean().backward()
    torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.01)
    torch.optim.SGD(plain.parameters(), lr=0.1).step()
    assert torch.equal(model.weight, plain.weight)


@pytest.mark.parametrize(
    ('precision', 'device', 'bf16', 'expected'),
    [
        ('auto', 'cuda', True, 'bf16'),
        ('auto', 'cuda', False, 'fp32'),
        ('auto', 'cpu', True, 'bf16'),
        ('auto', 'cpu', False, 'fp32'),
        ('amp', 'cuda', False, 'fp16'),
        ('amp', 'cuda', True, 'bf16'),
        ('amp', 'cpu', False, 'bf16'),
        ('fp16', 'cuda', True, 'fp16'),
        ('fp32', 'cuda', True, 'fp32'),
    ],
)
def test_the_choice_follows_the_device(monkeypatch, precision, device, bf16, expected):
    monkeypatch.setattr(module, 'has_bf16', lambda device_type: bf16)
    assert choose_precision(precision, device) == expected


@pytest.mark.parametrize(('precision', 'message'), [('fp16', 'does not train on a CPU'), ('half', 'is unknown')])
def test_what_a_device_cannot_do_is_refused(precision, message):
    with pytest.raises(ValueError, match=message):
        choose_precision(precision, 'cpu')


def test_fp16_leaves_out_a_step_that_overflows_and_saves_its_scale(monkeypatch):
    """The scaler's arithmetic on the CPU stands in for a GPU's."""
    monkeypatch.setattr(module, 'choose_precision', lambda precision, device_type: 'fp16')
    model = torch.nn.Linear(2, 1, bias=False)
    optim = wrapper(model, precision='fp16', loss_scale=dict(init_scale=8.0))
    before = model.weight.detach().clone()
    optim.update_params(model(torch.tensor([[float('inf'), 1.0]])).sum())
    assert torch.equal(model.weight, before)
    assert optim.loss_scaler.get_scale() == 4.0
    optim.update_params(model(torch.tensor([[1.0, 2.0]])).sum())
    assert torch.allclose(model.weight, before - 0.1 * torch.tensor([[1.0, 2.0]]))
    other = wrapper(model, precision='fp16')
    other.load_state_dict(optim.state_dict())
    assert other.loss_scaler.get_scale() == 4.0


@pytest.mark.parametrize(
    ('hip', 'capability', 'expected'),
    [(None, (7, 5), False), (None, (8, 0), True), (None, (9, 0), True), ('6.2', (7, 5), True)],
)
def test_gpus_that_emulate_bf16_do_not_count(monkeypatch, hip, capability, expected):
    """By NVIDIA's compute capability: Turing is 7.5, Ampere 8.0, Hopper 9.0."""
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda: capability)
    monkeypatch.setattr(torch.version, 'hip', hip)
    assert module.has_bf16('cuda') is expected
