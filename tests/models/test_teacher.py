"""A frozen teacher stays as it was read, and out of sight."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper, build_optim_wrapper

from simmim_mm.models import FeatureTarget
from simmim_mm.models.outputs import last_map
from simmim_mm.registry import MODELS

MASK = torch.tensor([[[True, False], [False, True]]] * 2)
IMAGES = torch.linspace(-2, 2, 2 * 3 * 64 * 64).reshape(2, 3, 64, 64).sin()
RESNET = dict(type='mmpretrain.ResNet', depth=18, base_channels=8)  # with batch norms


@pytest.fixture(params=['VisionTransformer', 'ResNet'])
def model(request, build_model, teacher):
    parts = teacher(cfg=RESNET if request.param == 'ResNet' else None)
    return build_model(head=dict(type='ReconstructionHead', target=dict(type='FeatureTarget', **parts)))


def test_the_target_is_the_teachers_normalised_map(teacher, tiny_encoders):
    """Weights of the file, whole images; less the mean, over the deviation, of each position's feature."""
    parts = teacher()
    network = MODELS.build(tiny_encoders['VisionTransformer'])
    state = torch.load(parts['checkpoint'])['state_dict']
    network.load_state_dict({key.removeprefix('backbone.'): value for key, value in state.items()})
    network.eval()
    with torch.no_grad():
        features = last_map(network(IMAGES), network)
    plain, normalised = (FeatureTarget(3, (64, 64), norm=norm, **parts) for norm in (None, 'layer'))
    assert (plain.channels, plain.stride) == (32, 16)
    assert torch.equal(plain(IMAGES), features)
    mean, variance = features.mean(dim=1, keepdim=True), features.var(dim=1, keepdim=True, correction=0)
    torch.testing.assert_close(normalised(IMAGES), (features - mean) / (variance + 1e-5).sqrt())


def test_training_leaves_the_teacher_alone(model):
    """Weights, running statistics and mode after init_weights, train() and steps; and it stands in no list."""
    network = model.head.target.teacher
    before = copy.deepcopy(network.state_dict())
    features = model.head.target(IMAGES)
    model.init_weights()
    model.train()
    optimizer = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-3),
            constructor='MergedGroupsConstructor',
            paramwise_cfg=dict(flat_decay_mult=0.0),
        ),
    )
    losses = []
    for _ in range(8):
        loss = model.loss(IMAGES, MASK)['loss']
        losses.append(loss.item())
        optimizer.update_params(loss)
    assert losses[-1] < losses[0]
    assert not any(module.training for module in network.modules())
    after = network.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert torch.equal(model.head.target(IMAGES), features)
    theirs = {id(parameter) for parameter in network.parameters()}
    ours = {id(parameter) for parameter in model.parameters()}
    optimised = {id(parameter) for group in optimizer.optimizer.param_groups for parameter in group['params']}
    assert not theirs & (ours | optimised)
    assert not [key for key in model.state_dict() if key.startswith('head')]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


def test_a_checkpoint_without_the_teacher_loads(model, build_model):
    """Nothing is missing, nothing is left over."""
    result = model.load_state_dict(model.state_dict())
    assert (result.missing_keys, result.unexpected_keys) == ([], [])


def test_copies_share_the_teacher_until_they_move(model):
    """A deep copy and an average share it; moved to another type, a copy has its own, and the first stays put."""
    shared = model.head.target.teacher
    assert copy.deepcopy(model).head.target.teacher is shared
    average = ExponentialMovingAverage(model, momentum=0.1)
    assert average.module.head.target.teacher is shared
    average.update_parameters(model)
    moved = copy.deepcopy(model).double()
    assert next(moved.head.target.teacher.parameters()).dtype == torch.float64
    assert next(shared.parameters()).dtype == torch.float32
    assert not any(module.training for module in moved.head.target.teacher.modules())
    torch.testing.assert_close(moved.head.target(IMAGES.double()), model.head.target(IMAGES), rtol=1e-3, atol=1e-4)
    other = pickle.loads(pickle.dumps(model))
    assert torch.equal(other.head.target(IMAGES), model.head.target(IMAGES))


def test_keys_may_have_the_prefix_or_not(teacher):
    """Of a whole model, what is not below `backbone.` does not matter."""
    with_prefix, without = teacher(), teacher(prefix='', name='plain.pth')
    saved = torch.load(with_prefix['checkpoint'])
    saved['state_dict']['head.fc.weight'] = torch.zeros(3)
    torch.save(saved, with_prefix['checkpoint'])
    torch.manual_seed(0)
    FeatureTarget(3, (64, 64), **with_prefix)
    network = FeatureTarget(3, (64, 64), **without).teacher
    expected = torch.load(without['checkpoint'])['state_dict']
    assert all(torch.equal(value, expected[key]) for key, value in network.state_dict().items())


def damage(kind: str, state: dict) -> dict:
    first = next(iter(state))
    if kind == 'missing':
        return {key: value for key, value in state.items() if key != first}
    if kind == 'unknown':
        return {**state, 'backbone.more': torch.zeros(1)}
    if kind == 'shape':
        return {**state, first: torch.zeros(7)}
    return {key.replace('backbone.', 'encoder.'): value for key, value in state.items()}


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('missing', r'1 missing keys \(such as cls_token\)'),
        ('unknown', r'1 unknown keys \(such as more\)'),
        ('shape', r'1 wrong shapes \(such as cls_token \(7,\) instead of \(1, 1, 32\)\)'),
        ('prefix', r'missing keys .*unknown keys \(such as encoder\.cls_token'),
    ],
)
def test_weights_that_are_not_the_teachers_are_refused(teacher, kind, message):
    """Nothing is left random: numbers and names of keys, and what to change."""
    parts = teacher()
    saved = torch.load(parts['checkpoint'])
    torch.save(dict(state_dict=damage(kind, saved['state_dict'])), parts['checkpoint'])
    with pytest.raises(ValueError, match=f'does not hold the weights of the teacher VisionTransformer.*{message}'):
        FeatureTarget(3, (64, 64), **parts)


@pytest.mark.parametrize(
    ('change', 'error', 'message'),
    [
        (dict(checkpoint=None), ValueError, 'without them it would be a random network'),
        (dict(checkpoint=5), ValueError, 'checkpoint=5 of model.head.target must be a file'),
        (
            dict(checkpoint='nowhere.pth'),
            FileNotFoundError,
            "'nowhere.pth'.*target.checkpoint must be the trained weights of the teacher .*VisionTransformer",
        ),
        (dict(teacher=None), ValueError, 'model.head.target.teacher=None is no config'),
        (dict(teacher='mmpretrain.ResNet'), ValueError, 'is no config'),
        (dict(norm='batch'), ValueError, "norm='batch' of FeatureTarget is unknown; use 'layer' or None"),
        (dict(image_channels=1), ValueError, r'projection.weight \(32, 3, 16, 16\) instead of \(32, 1, 16, 16\)'),
        (dict(image_hw=(72, 72)), ValueError, 'do not tile an image of 72x72'),
    ],
)
def test_wrong_teachers_are_refused(teacher, change, error, message):
    with pytest.raises(error, match=message):
        FeatureTarget(**{'image_channels': 3, 'image_hw': (64, 64), **teacher(), **change})


def test_a_teacher_of_other_channels_is_refused(teacher, tiny_encoders):
    parts = teacher(cfg={**tiny_encoders['VisionTransformer'], 'in_channels': 4})
    with pytest.raises(ValueError, match='VisionTransformer fails on an image of 3x64x64'):
        FeatureTarget(3, (64, 64), **parts)


def test_a_teacher_of_a_coarser_map_is_refused(build_model, teacher, tiny_swin):
    """Stride 32 does not divide the 16 pixels of a student that stops early."""
    head = dict(type='ReconstructionHead', target=dict(type='FeatureTarget', **teacher(cfg=tiny_swin())))
    with pytest.raises(
        ValueError, match='32 pixels wide, which does not divide the 16 .* change teacher in model.head'
    ):
        build_model(backbone=tiny_swin(out_indices=(2,)), head=head)


def test_pictures_are_of_the_targets_components(model):
    """Target and prediction of the same features have the same colours, and differ in them elsewhere."""
    target = model.head.target
    maps = target(IMAGES)
    picture = target.to_pictures(maps, IMAGES)
    assert picture.shape == IMAGES.shape
    assert picture.dtype == torch.float32
    assert picture.min() >= 0
    assert picture.max() <= 1
    assert torch.equal(target.to_pictures(maps.clone(), IMAGES), picture)
    side = target.stride
    assert torch.equal(picture, picture[:, :, ::side, ::side].repeat_interleave(side, 2).repeat_interleave(side, 3))
    flat = target.to_pictures(maps.mean(dim=(0, 2, 3), keepdim=True).expand_as(maps), IMAGES)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.5), rtol=0, atol=1e-3)


def test_the_steps_of_a_run_take_the_teacher(model):
    """Through MMEngine's train_step, images as the loader hands them out."""
    batch = dict(inputs=torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8), mask=MASK)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    assert torch.isfinite(model.train_step(batch, optimizer)['loss'])
