"""The lever `compile`: one graph without breaks, with the loss and the gradients of the plain path."""

from __future__ import annotations

import copy
import logging
import pickle

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from tiny import build_model, tiny_encoders
from torch._dynamo.backends.common import aot_autograd

from simmim_mm.acceleration import accelerate, choose_levers, compilation
from simmim_mm.models import SimMIM


@pytest.fixture(autouse=True)
def graphs(monkeypatch):
    """The graphs that were made; they run without a compiler."""
    made = []

    def note(graph, inputs):
        made.append(graph)
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(
        compilation, 'BACKEND', aot_autograd(fw_compiler=note, bw_compiler=lambda graph, _: graph.forward)
    )
    yield made
    torch._dynamo.reset()


def small_model(**kwargs):
    """A ViT of one block."""
    arch = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32)
    return build_model(backbone=tiny_encoders()['VisionTransformer'] | dict(arch=arch), **kwargs)


def batch(hidden=3, hw=(64, 64), dtype=torch.float32):
    torch.manual_seed(1)
    mask = torch.zeros(2, hw[0] // 32, hw[1] // 32, dtype=torch.bool)
    mask.view(-1)[torch.randperm(mask.numel())[:hidden]] = True
    return torch.randn(2, 3, *hw, dtype=dtype), mask


def step(model, images, mask):
    loss = model(images, mask, mode='loss')['loss']
    return loss, dict(
        zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())), strict=True)
    )


def assert_same_step(model, reference, images, mask):
    loss, gradients = step(model, images, mask)
    expected, references = step(reference, images, mask)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    for name, gradient in gradients.items():
        scale = references[name].abs().max().item()
        torch.testing.assert_close(
            gradient, references[name], rtol=0, atol=2e-5 * scale, msg=lambda text, name=name: name + text
        )


ENCODERS = [
    'SwinTransformer',
    'SwinTransformerV2',
    'VisionTransformer',
    'BEiTViT',
    'ConvNeXt',
    'ConvNeXt V2',
    'ResNet',
    'PCPVT',
]


@pytest.mark.parametrize(('name', 'preset'), [(name, 'exact') for name in ENCODERS] + [('SwinTransformer', 'off')])
def test_one_graph_with_the_plain_loss_and_gradients(graphs, name, preset):
    """Of every family, with the other levers and without them; two steps use one graph."""
    reference = build_model(backbone=tiny_encoders()[name]).double()
    model = copy.deepcopy(reference)
    keys = list(model.state_dict())
    report = accelerate(model, preset, allocator=False, compile=True)['compile']
    images, mask = batch(dtype=torch.float64)
    assert not report.startswith('does not apply')
    assert list(model.state_dict()) == keys == list(reference.state_dict())
    if name != 'ResNet':  # whose statistics of batches would differ by a step
        assert_same_step(model, reference, images, mask)
    step(model, images, mask)
    step(model, images, ~mask if mask.sum() * 2 == mask.numel() else mask.flip(0))
    assert len(graphs) == 1
    assert model.compile_value is True  # nothing was given up


PARTS = {
    'CrossAttentionDecoder': dict(neck=dict(type='CrossAttentionDecoder', num_heads=4)),
    'SwinDecoder': dict(neck=dict(type='SwinDecoder')),
    'TransformerDecoder': dict(neck=dict(type='TransformerDecoder')),
    'DeconvDecoder': dict(neck=dict(type='DeconvDecoder')),
    'PixelMasker': dict(masker=dict(type='PixelMasker', fill='learned')),
    'HOGTarget': dict(head=dict(type='ReconstructionHead', target=dict(type='HOGTarget'))),
    'ColorBinTarget': dict(
        head=dict(type='ReconstructionHead', target=dict(type='ColorBinTarget'), loss=dict(type='CrossEntropyLoss'))
    ),
    'window norm': dict(
        head=dict(type='ReconstructionHead', target=dict(type='PixelTarget', norm='window', norm_size=7))
    ),
    'area': dict(head=dict(type='ReconstructionHead', area='all', loss=dict(type='GaussianNLLLoss'))),
}


@pytest.mark.parametrize('name', PARTS)
def test_other_parts(graphs, name):
    reference = small_model(**PARTS[name])
    model = copy.deepcopy(reference)
    accelerate(model, 'exact', allocator=False, compile=True)
    assert_same_step(model, reference, *batch())
    assert len(graphs) == 1
    assert model.compile_value is True


def test_a_number_of_hidden_cells_that_varies_makes_one_more_graph(graphs):
    """The first number is a constant; from the second on, one graph takes any. Each size of images has its own."""
    reference = build_model()
    model = copy.deepcopy(reference)
    accelerate(model, 'exact', allocator=False, compile=True)
    for hidden in (3, 3, 5, 4, 6, 7, 3):
        assert_same_step(model, reference, *batch(hidden))
    assert len(graphs) == 2
    assert_same_step(model, reference, *batch(3, (64, 128)))
    assert len(graphs) == 3
    for hidden in (0, 1):  # which PyTorch takes for constants
        assert_same_step(model, reference, *batch(hidden)) if hidden else model(*batch(hidden), mode='loss')


def test_regions(graphs):
    """A graph for each kind of block: in 4 stages, two blocks differ in the shift, but where there is one window."""
    reference = build_model()
    model = copy.deepcopy(reference)
    report = accelerate(model, 'exact', allocator=False, compile='regions')['compile']
    assert report.startswith('8 blocks')
    assert list(model.state_dict()) == list(reference.state_dict())
    assert_same_step(model, reference, *batch())
    number = len(graphs)
    assert number == 7
    assert_same_step(model, reference, *batch(5))  # not of the blocks' concern
    assert len(graphs) == number
    assert model.compile_value == 'regions'


COPIES = {
    'deepcopy': copy.deepcopy,
    'pickle': lambda model: pickle.loads(pickle.dumps(model)),
    'EMA': lambda model: ExponentialMovingAverage(model).module,
}


@pytest.mark.parametrize(('how', 'value'), [('deepcopy', True), ('pickle', True), ('EMA', True), ('EMA', 'regions')])
def test_copies_have_their_own_weights(how, value):
    """After the first step of the original, as EMAHook copies before and checkpoints after it."""
    model = small_model()
    accelerate(model, 'exact', allocator=False, compile=value)
    images, mask = batch()
    before = model(images, mask, mode='loss')['loss']
    other = COPIES[how](model)
    with torch.no_grad():
        other.masker.mask_token.normal_()
        other.neck.decoder[0].bias += 1
    expected = SimMIM.loss(other, images, mask)['loss']
    assert (expected - before).abs() > 1e-2
    torch.testing.assert_close(other(images, mask, mode='loss')['loss'], expected)
    torch.testing.assert_close(model(images, mask, mode='loss')['loss'], before)
    assert set(other.state_dict()) == set(model.state_dict())


def test_with_other_levers_that_change_blocks(graphs):
    """Blocks that are computed again, and a residual stream in bf16 under autocast."""
    reference = small_model()
    accelerate(reference, 'exact', allocator=False, activation_checkpointing=True, bf16_residual=True)
    model = small_model()
    model.load_state_dict(reference.state_dict())
    accelerate(model, 'exact', allocator=False, activation_checkpointing=True, bf16_residual=True, compile=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss, gradients = step(model, *batch())
        expected, references = step(reference, *batch())
    assert len(graphs) == 1
    torch.testing.assert_close(loss, expected, rtol=1e-2, atol=0)
    for name, gradient in gradients.items():
        assert torch.nn.functional.cosine_similarity(gradient.flatten(), references[name].flatten(), dim=0) > 0.98, name


@pytest.mark.parametrize('value', [True, 'regions'])
def test_what_cannot_be_compiled_runs_without(monkeypatch, value):
    """With a warning that names the option and the reason, once."""
    reference = small_model()
    model = copy.deepcopy(reference)

    def broken(graph, inputs):
        raise RuntimeError('no compiler here')

    monkeypatch.setattr(compilation, 'BACKEND', broken)
    accelerate(model, 'exact', allocator=False, compile=value)
    warnings = []
    monkeypatch.setattr(compilation, 'print_log', lambda text, logger, level: warnings.append((text, level)))
    for _ in range(2):
        assert_same_step(model, reference, *batch())
    assert len(warnings) == 1
    text, level = warnings[0]
    assert level == logging.WARNING
    assert f'acceleration.compile={value!r} does not work with this model' in text
    assert 'no compiler here' in text


def test_errors_of_users_stay_what_they_are():
    """A mask that does not fit is refused as on the plain path, compiled or not."""
    model = small_model()
    accelerate(model, 'exact', allocator=False, compile=True)
    with pytest.raises(ValueError, match='does not fit a grid'):
        model(torch.zeros(2, 3, 64, 64), torch.ones(2, 3, 3, dtype=torch.bool), mode='loss')


@pytest.mark.parametrize(
    ('changes', 'value', 'reason'),
    [
        (dict(companion=dict(type='ContrastiveCompanion')), True, 'a companion'),
        (dict(backbone=tiny_encoders()['ResNet']), 'regions', 'no block is known'),
    ],
)
def test_it_says_where_it_does_not_apply(changes, value, reason):
    report = accelerate(build_model(**changes), 'off', compile=value)['compile']
    assert report.startswith('does not apply')
    assert reason in report


def test_presets():
    """On CPUs no preset has it; on CUDA the one that says that it is for trying."""
    assert 'compile' not in choose_levers('cpu', 'max')
    assert 'compile' not in choose_levers('cuda', 'exact')
    assert choose_levers('cuda', 'max')['compile'] is True
