"""``attention='triton'`` on whole models: the operator in the blocks of Swin and Swin V2, and where it stands back.

On a CPU the operator has a plain path, so that all but the kernels is tested here.
"""

from __future__ import annotations

import copy

import pytest
import torch
from mmpretrain.models.utils import ShiftWindowMSA
from tiny import tiny_encoders

from simmim_mm.acceleration import accelerate
from simmim_mm.acceleration.window_attention import is_interpreted, swin
from simmim_mm.registry import MODELS

# Under the interpreter, kernels would run on the CPU, for minutes.
pytestmark = pytest.mark.skipif(is_interpreted(), reason='the kernels are tested by themselves')


@pytest.fixture
def no_refusal(monkeypatch):
    monkeypatch.setattr(swin, 'device_refusal', lambda device: None)


def drawn(network):
    """Weights with which scores differ between heads and places, but not so much that they amplify rounding."""
    network.init_weights()
    for name, parameter in network.named_parameters():
        if 'position_bias_table' in name or 'cpb_mlp' in name:
            torch.nn.init.normal_(parameter, std=0.5)
        elif 'qkv.weight' in name:
            torch.nn.init.normal_(parameter, std=0.15)
    return network


def step(network, images):
    """All maps, one after the other, and gradients of all parameters."""
    network.zero_grad()
    features = torch.cat([maps.flatten() for maps in network(images)])
    (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
    return features.detach(), {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


@pytest.mark.usefixtures('no_refusal')
@pytest.mark.parametrize('size', [(64, 64), (64, 128)], ids=str)
@pytest.mark.parametrize('name', ['SwinTransformer', 'SwinTransformerV2'])
def test_models_keep_features_and_gradients(name, size):
    plain = drawn(MODELS.build({**tiny_encoders()[name], 'out_indices': (0, 1, 2, 3)}))
    fast = copy.deepcopy(plain)
    report = accelerate(fast, 'off', windows=True, attention='triton')['attention']
    number = sum(isinstance(module, swin.KernelAttention) for module in fast.modules())
    assert number == sum(isinstance(module, ShiftWindowMSA) for module in plain.modules()) > 3
    assert f'{number} of them by triton' in report
    assert fast.state_dict().keys() == plain.state_dict().keys()
    images = torch.randn(2, 3, *size)
    wanted, wanted_grads = step(plain, images)
    got, got_grads = step(copy.deepcopy(fast), images)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    for key, grad in wanted_grads.items():
        torch.testing.assert_close(got_grads[key], grad, rtol=1e-3, atol=1e-4 * grad.abs().max().item(), msg=key)


@pytest.mark.usefixtures('no_refusal')
def test_maps_that_do_not_tile_are_padded_as_before():
    block = ShiftWindowMSA(32, num_heads=2, window_size=4, shift_size=2, pad_small_map=True)
    torch.nn.init.normal_(block.w_msa.qkv.bias)  # padded tokens are this, and are attended to
    fast = copy.deepcopy(block)
    accelerate(fast, 'off', windows=True, attention='triton')
    tokens = torch.randn(2, 5 * 7, 32)
    torch.testing.assert_close(fast(tokens, (5, 7)), block(tokens, (5, 7)), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures('no_refusal')
def test_fp64_takes_the_plain_path():
    block = ShiftWindowMSA(32, num_heads=2, window_size=4, shift_size=2).double()
    fast = copy.deepcopy(block)
    accelerate(fast, 'off', windows=True, attention='triton')
    tokens = torch.randn(2, 64, 32, dtype=torch.float64)
    torch.testing.assert_close(fast(tokens, (8, 8)), block(tokens, (8, 8)), rtol=1e-9, atol=1e-12)


def test_cpus_pass_it_over_with_a_reason():
    network = drawn(MODELS.build(tiny_encoders()['SwinTransformer']))
    report = accelerate(network, 'off', windows=True, attention='triton')['attention']
    assert 'by auto; none by triton: ' in report
    assert 'Triton is not installed' in report or 'the model is on cpu, and it is for CUDA devices' in report
    assert not any(isinstance(module, swin.KernelAttention) for module in network.modules())


@pytest.mark.usefixtures('no_refusal')
def test_what_the_kernels_cannot_take_is_left_to_the_others():
    large = ShiftWindowMSA(32, num_heads=1, window_size=17)
    small = ShiftWindowMSA(32, num_heads=1, window_size=4)
    report = accelerate(torch.nn.Sequential(large, small), 'off', windows=True, attention='triton')['attention']
    assert report.startswith('2 attentions')
    assert '1 of them by triton; not where a window has 289 tokens' in report
    assert large(torch.randn(1, 289, 32), (17, 17)).shape == (1, 289, 32)


@pytest.mark.usefixtures('no_refusal')
def test_needs_the_lever_of_windows():
    network = MODELS.build(tiny_encoders()['SwinTransformer'])
    report = accelerate(network, 'off', attention='triton')['attention']
    assert 'none by triton: it needs windows of Swin, without attention dropout, and the lever windows' in report
