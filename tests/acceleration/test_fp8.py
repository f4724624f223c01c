"""FP8 in emulation, against quantising by hand; and a tiny model beside one in bf16."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import ExponentialMovingAverage
from processes import in_processes
from torch import nn

from simmim_mm.acceleration import accelerate, check_acceleration, fp8
from simmim_mm.acceleration.blocks import blocks_of
from simmim_mm.acceleration.fp8 import RECIPES, convert, device_refusal
from simmim_mm.engine.sharding import FullyShardedDataParallel
from simmim_mm.registry import MODELS

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
ENCODERS = ['SwinTransformer', 'SwinTransformerV2', 'VisionTransformer', 'BEiTViT', 'ConvNeXt', 'HiViT', 'PCPVT']

NO_FP8 = device_refusal(torch.device('cuda')) if torch.cuda.is_available() else 'there is no GPU'


def rounded(x: torch.Tensor, dtype: torch.dtype, dim: int | None = None) -> torch.Tensor:
    """What FP8 keeps of a matrix: scaled so that its largest value is the largest of 8 bits.

    With a dimension, each line along it has a scale, a power of two, rounded down, as in torchao's rowwise recipes.
    """
    x = x.double()
    largest = x.abs().max() if dim is None else x.abs().amax(dim, keepdim=True)
    scale = (torch.finfo(dtype).max / largest.clamp(min=1e-12)).float()
    if dim is not None:
        scale = 2.0 ** scale.log2().floor()
    return (x.float() * scale).to(dtype).double() / scale.double()


def by_hand(recipe, x, weight, gradient):
    """Output, and gradients of input and weight, of (n, C), (D, C) and (n, D)."""
    if recipe == 'tensorwise':
        x8, w8, g8 = rounded(x, E4M3), rounded(weight, E4M3), rounded(gradient, E5M2)
        return x8 @ w8.t(), g8 @ w8, g8.t() @ x8
    out = rounded(x, E4M3, 1) @ rounded(weight, E4M3, 1).t()
    if recipe == 'rowwise':
        grad_weight = rounded(gradient, E4M3, 0).t() @ rounded(x, E4M3, 0)
        return out, rounded(gradient, E4M3, 1) @ rounded(weight, E4M3, 0), grad_weight
    scale = 2.0 ** (448 / weight.abs().max().double()).log2().floor()
    w8 = (weight.float() * scale).to(E4M3).double() / scale
    return out, rounded(gradient, E4M3, 1) @ w8, gradient.double().t() @ x.double()


def one_layer(recipe: str, linear: nn.Linear, emulate: bool = True) -> nn.Linear:
    """A linear layer, as the lever changes those of a ViT's block."""

    class TransformerEncoderLayer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = linear

    assert convert(nn.Sequential(TransformerEncoderLayer()), recipe, emulate).startswith('1 of 1')
    return linear


@pytest.mark.parametrize('recipe', RECIPES)
@pytest.mark.parametrize('shape', [(32,), (3, 5, 7)], ids=['16 rows divide', 'rows are added'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_layer_is_the_one_by_hand(recipe, shape, dtype):
    """Output, gradients of input, weight and bias. bf16 is what autocast says; the weight stays fp32."""
    torch.manual_seed(0)
    linear = one_layer(recipe, nn.Linear(48, 32))
    parameters = dict(linear.named_parameters())
    x = (torch.randn(*shape, 48) * 3).requires_grad_()
    gradient = torch.randn(*shape, 32).to(dtype) * 1e-4
    with torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
        out = linear(x)
    assert out.dtype == dtype
    assert out.shape == gradient.shape
    out.backward(gradient)
    assert dict(linear.named_parameters()) == parameters
    assert list(linear.state_dict()) == ['weight', 'bias']
    rows = x.detach().to(dtype).flatten(0, -2)
    expected = by_hand(recipe, rows, linear.weight.detach(), gradient.flatten(0, -2))
    found = (out.detach() - linear.bias.detach(), x.grad, linear.weight.grad)
    tolerance = 0.01 if dtype == torch.bfloat16 else 1e-5
    for name, value, reference in zip(('output', 'input', 'weight'), found, expected, strict=True):
        distance = (value.double().view_as(reference) - reference).norm() / reference.norm()
        assert distance < tolerance, name
    torch.testing.assert_close(linear.bias.grad, gradient.flatten(0, -2).float().sum(0), rtol=0.02, atol=1e-5)
    plain = F.linear(x, linear.weight, linear.bias)
    error = ((out - plain).norm() / plain.norm()).item()
    assert 0.005 < error < 0.1  # 3 bits of mantissa: it is FP8 that is computed


@pytest.mark.skipif(NO_FP8 is not None, reason=str(NO_FP8))
@pytest.mark.parametrize('recipe', RECIPES)
def test_the_hardware_multiplies_as_the_emulation(recipe):
    """Output and gradients, to the rounding of bf16."""
    results = []
    for emulate in (True, False):
        torch.manual_seed(0)
        linear = one_layer(recipe, nn.Linear(256, 128), emulate).cuda()
        x = torch.randn(3, 37, 256, device='cuda').requires_grad_()
        with torch.autocast('cuda', torch.bfloat16):
            out = linear(x)
        results.append((out, *torch.autograd.grad(out.float().square().sum(), [x, *linear.parameters()])))
    for emulated, found in zip(*results, strict=True):
        assert (found - emulated).float().norm() < 0.02 * emulated.float().norm()


def test_evaluation_is_plain():
    """What is evaluated is what will be exported."""
    linear = one_layer('tensorwise', nn.Linear(32, 16))
    linear.eval()
    x = torch.randn(4, 32)
    assert torch.equal(linear(x), F.linear(x, linear.weight, linear.bias))


def test_numbers_that_are_not_finite_stay_so():
    """For the guard of the steps, which has to see them."""
    linear = one_layer('tensorwise', nn.Linear(32, 16))
    for value in (math.nan, math.inf):
        x = torch.ones(16, 32)
        x[3, 4] = value
        assert not torch.isfinite(linear(x)).all()


def build(backbone: dict, img_size: int = 64) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(dict(type='SimMIM', backbone=backbone, img_size=img_size))
    model.init_weights()
    return model


def loss_of(model: nn.Module, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    images, mask = torch.randn(4, 3, 64, 64, generator=generator), torch.rand(4, 2, 2, generator=generator) < 0.5
    mask[:, 0, 0] = True
    with torch.autocast('cpu', torch.bfloat16):
        return model(images, mask=mask, mode='loss')['loss']


def fp8_layers(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if type(module).__name__ == 'FP8Linear']


@pytest.mark.parametrize('preset', ['off', 'exact'])
@pytest.mark.parametrize('name', ENCODERS)
def test_every_changed_layer_is_called(tiny_encoders, monkeypatch, name, preset):
    """In the host's blocks and in accelerated ones; keys stay, every parameter has its gradient, the loss is near."""
    plain = build(tiny_encoders[name])
    for key, parameter in plain.named_parameters():
        if key.endswith('gamma'):  # ConvNeXt's blocks begin with 1e-6 of what they compute
            torch.nn.init.constant_(parameter, 0.3)
    model = copy.deepcopy(plain)
    monkeypatch.setattr(fp8, 'device_refusal', lambda device: None)
    monkeypatch.setattr(fp8, 'convert', lambda model, recipe: convert(model, recipe, emulate=True))
    report = accelerate(model, preset, allocator=False, fp8='tensorwise')['fp8']
    layers = fp8_layers(model)
    assert report.startswith(f'{len(layers)} of ')
    assert {id(layer) for block in blocks_of(model.backbone) for layer in fp8_layers(block)} == set(map(id, layers))
    assert list(model.state_dict()) == list(plain.state_dict())
    called = []
    for layer in layers:
        layer.register_forward_hook(lambda module, args, output: called.append(id(module)))
    loss, reference = loss_of(model), loss_of(plain)
    assert set(called) == set(map(id, layers))
    assert loss.item() != reference.item()
    assert loss.item() == pytest.approx(reference.item(), rel=0.02)
    loss.backward()
    reference.backward()
    for (key, parameter), expected in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert (parameter.grad is None) == (expected.grad is None), key
        if parameter.grad is not None:
            assert parameter.grad.dtype == torch.float32
    gradients = [torch.cat([p.grad.flatten() for p in m.parameters() if p.grad is not None]) for m in (model, plain)]
    assert F.cosine_similarity(*gradients, dim=0) > 0.95


def test_sizes_that_are_no_multiples_are_left(tiny_encoders):
    """Of a ViT that is 40 wide, the MLP's layers of 40 and 64 too."""
    arch = dict(embed_dims=40, num_layers=1, num_heads=2, feedforward_channels=64)
    model = build(tiny_encoders['VisionTransformer'] | dict(arch=arch))
    before = [type(module) for module in model.modules()]
    assert convert(model, 'tensorwise', emulate=True).startswith('does not apply: no linear layer')
    assert [type(module) for module in model.modules()] == before
    resnet = build(tiny_encoders['ResNet'])
    assert convert(resnet, 'tensorwise', emulate=True).startswith('does not apply: no block is known')


def test_it_goes_with_checkpoints_copies_and_files(tiny_encoders, tmp_path):
    """Blocks that are computed again have the same loss; averages and pickles multiply in FP8 as well."""
    model = build(tiny_encoders['VisionTransformer'])
    convert(model, 'rowwise', emulate=True)
    again = copy.deepcopy(model)
    accelerate(again, 'off', activation_checkpointing=True)
    losses = [loss_of(each) for each in (model, again)]
    assert losses[0] == losses[1]
    for loss in losses:
        loss.backward()
    for parameter, expected in zip(again.parameters(), model.parameters(), strict=True):
        assert parameter.grad is None or torch.equal(parameter.grad, expected.grad)
    average = ExponentialMovingAverage(model).module
    assert len(fp8_layers(average)) == len(fp8_layers(model)) == 8
    loaded = pickle.loads(pickle.dumps(model.backbone))
    assert len(fp8_layers(loaded)) == 8
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    weights = torch.load(tmp_path / 'weights.pth', weights_only=True)
    assert {type(value) for value in weights.values()} == {torch.Tensor}
    build(tiny_encoders['VisionTransformer']).load_state_dict(weights)


@pytest.mark.parametrize('recipe', ['tensorwise', 'rowwise'])
def test_it_compiles_as_one_graph(tiny_encoders, recipe):
    """Forward and backward, without a break, in PyTorch's own compiler without code generation."""
    model = build(tiny_encoders['VisionTransformer'])
    convert(model, recipe, emulate=True)
    block = blocks_of(model)[0]
    compiled = torch.compile(block, backend='aot_eager', fullgraph=True)
    results = []
    for each in (block, compiled):
        x = torch.randn(2, 17, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
        with torch.autocast('cpu', torch.bfloat16):
            out = each(x)
        results.append((out, *torch.autograd.grad(out.float().square().sum(), [x, *block.parameters()])))
    for eager, graph in zip(*results, strict=True):
        torch.testing.assert_close(graph, eager, rtol=0.02, atol=0.02 * eager.abs().max().item())


def test_weights_may_be_shared_out(tiny_encoders):
    """By FSDP2 over two processes with the same images: loss and gradients are those of one process."""
    model = build(tiny_encoders['VisionTransformer'])
    convert(model, 'tensorwise', emulate=True)
    expected = loss_of(model)
    expected.backward()

    gradients = {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}

    def job() -> float:
        torch.distributed.init_process_group('gloo')
        own = build(tiny_encoders['VisionTransformer'])
        convert(own, 'tensorwise', emulate=True)
        wrapper = FullyShardedDataParallel(own)
        wrapper.shard('cpu', 'fp32')
        loss = loss_of(wrapper)
        loss.backward()
        found = {key: parameter.grad for key, parameter in own.named_parameters() if parameter.grad is not None}
        assert found.keys() == gradients.keys()
        assert all(type(gradient) is not torch.Tensor for gradient in found.values())  # parts of them
        for key, gradient in found.items():
            torch.testing.assert_close(gradient.full_tensor(), gradients[key], rtol=1e-3, atol=1e-6)
        return loss.item()

    assert in_processes(2, job) == pytest.approx([expected.item()] * 2, rel=1e-6)


def test_a_tiny_model_learns_as_in_bf16(tiny_encoders):
    """Twelve updates on one batch: the loss falls, and stays near that of bf16."""
    ends = []
    for recipe in (None, 'tensorwise', 'rowwise'):
        model = build(tiny_encoders['VisionTransformer'])
        if recipe is not None:
            convert(model, recipe, emulate=True)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        losses = []
        for _ in range(12):
            loss = loss_of(model)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.95 * losses[0]
        ends.append(losses[-1])
    assert ends[1:] == pytest.approx([ends[0]] * 2, rel=0.03)


def test_without_the_hardware_it_says_so(tiny_encoders, monkeypatch):
    """And changes nothing."""
    model = build(tiny_encoders['VisionTransformer'])
    before = [type(module) for module in model.modules()]
    report = accelerate(model, 'off', fp8=True)['fp8']
    assert report.startswith('does not apply: the model is on a device of type cpu; it needs compute capability 8.9')
    assert [type(module) for module in model.modules()] == before
    cuda = torch.device('cuda', 0)
    for capability, expected in (((8, 0), 'the device has compute capability 8.0'), ((8, 9), None), ((9, 0), None)):
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device, found=capability: found)
        refusal = device_refusal(cuda)
        assert refusal is None if expected is None else refusal.startswith(expected)


def test_wrong_values_and_a_missing_package(monkeypatch):
    for value in ('blockwise', 1, None):
        with pytest.raises(ValueError, match=r"fp8=.* is unknown; use one of False, True, 'tensorwise', 'rowwise'"):
            check_acceleration({'fp8': value})
    assert check_acceleration({'fp8': 'rowwise'}) == {'fp8': 'rowwise'}
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(ValueError, match=r"fp8='rowwise' needs torchao.*pip install 'simmim_mm\[fp8\]'"):
        check_acceleration({'fp8': 'rowwise'})
