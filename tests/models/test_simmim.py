"""The whole model: built from a config, trained a step, refused where its parts contradict each other."""

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn

from simmim_mm.datasets import SampleIndex, UnlabelledImages, stack_samples
from simmim_mm.registry import MODELS


def _half(*grid_hw):
    """Every second cell hidden."""
    return (torch.arange(grid_hw[0])[:, None] + torch.arange(grid_hw[1])).remainder(2).eq(0)[None]


def test_sizes_are_derived(build_model):
    """Swin: stem 16 channels at 4 px, last map 128 channels at 32 px; the decoder predicts 32x32 RGB pixels a cell."""
    model = build_model()
    assert tuple(model.layout) == (16, 4, 128, 32)
    assert model.masker.mask_token.shape == (1, 1, 16)
    assert model.neck.decoder[0].weight.shape == (3 * 32 * 32, 128, 1, 1)


@pytest.mark.parametrize('out_indices', [(0,), (1,), (2,)])
def test_stride_follows_the_last_output(build_model, tiny_swin, out_indices):
    """An encoder that stops early has a finer map; the loss still covers each hidden pixel once."""
    model = build_model(backbone=tiny_swin(out_indices=out_indices))
    stride = 4 * 2 ** out_indices[0]
    assert (model.layout.width, model.layout.stride) == (16 * 2 ** out_indices[0], stride)
    with torch.no_grad():
        model.neck.decoder[0].weight.zero_()
        model.neck.decoder[0].bias.fill_(0.5)
    images = torch.full((1, 3, 64, 64), 2.0)
    assert model.loss(images, _half(2, 2))['loss'].item() == pytest.approx(1.5, rel=1e-6)


def test_every_parameter_gets_a_gradient(tiny_model):
    """At half of the cells hidden, nothing is left out and all is finite."""
    mask = _half(2, 2).repeat(2, 1, 1)
    tiny_model.loss(torch.randn(2, 3, 64, 64), mask)['loss'].backward()
    for name, parameter in tiny_model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_nothing_hidden_costs_nothing(tiny_model):
    """Ratio 0: a loss of exactly 0 and a gradient of exactly 0 for every parameter, so that DDP waits for none."""
    loss = tiny_model.loss(torch.randn(2, 3, 64, 64), torch.zeros(2, 2, 2, dtype=torch.bool))['loss']
    loss.backward()
    assert loss.item() == 0.0
    for name, parameter in tiny_model.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad == 0).all(), name


def test_gradient_is_that_of_finite_differences(build_model, monkeypatch):
    """d loss / d token in float64, against (f(t + h) - f(t - h)) / 2h; L2, which has no kinks."""
    monkeypatch.setattr(torch.Tensor, 'float', lambda self: self)  # the head's cast to fp32 would drown the difference
    model = build_model(head=dict(type='ReconstructionHead', loss=dict(type='L2Loss'))).double()
    token = model.masker.mask_token
    images, mask = torch.randn(1, 3, 64, 64, dtype=torch.float64), _half(2, 2)
    (gradient,) = torch.autograd.grad(model.loss(images, mask)['loss'], token)
    for index in (0, 7, 15):
        step = torch.zeros_like(token)
        step[0, 0, index] = 1e-6
        with torch.no_grad():
            token.add_(step)
            upper = model.loss(images, mask)['loss']
            token.sub_(2 * step)
            lower = model.loss(images, mask)['loss']
            token.add_(step)
        torch.testing.assert_close(gradient[0, 0, index], (upper - lower) / 2e-6, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize('channels', [1, 3, 4])
@pytest.mark.parametrize('image_hw', [(64, 64), (64, 96), (96, 64)])
def test_training_steps_lower_the_loss(build_model, tiny_swin, channels, image_hw):
    """Any number of channels, square and not: through preprocessor, forward, backward and optimiser."""
    model = build_model(
        backbone=tiny_swin(pad_small_map=True, in_channels=channels),
        data_preprocessor=dict(type='MaskedImagePreprocessor', mean=[100.0] * channels, std=[50.0] * channels),
        img_size=image_hw,
    )
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-3))
    grid_hw = (image_hw[0] // 32, image_hw[1] // 32)
    rows = torch.arange(image_hw[0]).view(1, 1, -1, 1)
    images = (rows * 2).expand(2, channels, *image_hw).to(torch.uint8)
    data = dict(inputs=images, mask=_half(*grid_hw).repeat(2, 1, 1), img_path=['a', 'b'])
    losses = [model.train_step(data, optimizer)['loss'].item() for _ in range(8)]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]


def test_from_file_to_loss(build_model, image_folder):
    """Data set, collation, preprocessor and model fit each other."""
    pipeline = [
        dict(type='LoadImage'),
        dict(type='RandomResizedCrop', size=64),
        dict(type='RandomFlip'),
        dict(type='RandomPatchMask'),
        dict(type='PackMaskedImage'),
    ]
    dataset = UnlabelledImages(image_folder(4), pipeline=pipeline)
    batch = stack_samples([dataset[SampleIndex(number, 0, 0)] for number in range(4)])
    model = build_model()
    loss = model(**model.data_preprocessor(batch, True), mode='loss')['loss']
    assert loss.ndim == 0
    assert 0.1 < loss.item() < 3  # normalised images, an untrained model


def test_modes_of_forward(tiny_model):
    """tensor: the backbone's outputs; loss: a dict; predict: one dict an image; anything else is refused."""
    images, mask = torch.randn(2, 3, 64, 64), _half(2, 2).repeat(2, 1, 1)
    assert torch.equal(tiny_model(images)[-1], tiny_model.backbone(images)[-1])
    assert torch.equal(tiny_model(images, mask)[-1], tiny_model.backbone(images)[-1])
    assert set(tiny_model(images, mask, mode='loss', img_path=['a', 'b'])) == {'loss'}
    with pytest.raises(ValueError, match="mode='loss' needs a mask.*RandomPatchMask"):
        tiny_model(images, mode='loss')
    with pytest.raises(ValueError, match="mode='fly' is unknown; use 'loss', 'predict' or 'tensor'"):
        tiny_model(images, mask, mode='fly')


def test_predictions_are_whole_images(tiny_model):
    """What goes in, what comes out, and the mask in pixels (brute force); the decoder's dense map is the image."""
    images, mask = torch.randn(2, 3, 64, 64), torch.rand(2, 4, 4) < 0.5
    samples = tiny_model(images, mask, mode='predict')
    assert len(samples) == 2
    features, _ = tiny_model.masker.encode(tiny_model.backbone, images, mask)
    expected = tiny_model.neck.decoder(features)
    for number, sample in enumerate(samples):
        assert torch.equal(sample['image'], images[number])
        assert torch.equal(sample['reconstruction'], expected[number])
        pixels = [[bool(mask[number, y // 16, x // 16]) for x in range(64)] for y in range(64)]
        assert sample['hidden'].tolist() == pixels


def test_building_leaves_the_training_state_alone(build_model, tiny_swin):
    """The probe at build time runs in evaluation mode, and nothing is left of it."""
    model = build_model(backbone=tiny_swin(drop_rate=0.1))
    assert all(module.training for module in model.modules())
    hooks = [module for module in model.modules() if module._forward_hooks or module._forward_pre_hooks]
    assert hooks == [model.backbone.patch_embed]
    assert all(parameter.grad is None for parameter in model.parameters())


class Backbone(nn.Module):
    """A backbone of another package, whose class is in no table."""

    def __init__(self, kind='map'):
        super().__init__()
        self.kind = kind
        self.embed = nn.Conv2d(3, 8, 4, 4)
        self.body = nn.Conv2d(8, 8, 1)

    def forward(self, images):
        if self.kind == 'no stem':
            return self.body(torch.nn.functional.avg_pool2d(images, 4).repeat(1, 3, 1, 1)[:, :8])
        if self.kind == 'crash':
            raise RuntimeError('no way')
        features = self.body(self.embed(images))
        return features.mean((2, 3)) if self.kind == 'vector' else features


def test_an_unknown_backbone_trains_with_its_stem_named(build_model):
    """`masker.stem` is all that a backbone of another package needs."""
    model = build_model(backbone=dict(type=Backbone), masker=dict(type='TokenMasker', stem='embed'))
    assert tuple(model.layout) == (8, 4, 8, 4)
    model.loss(torch.randn(1, 3, 64, 64), _half(2, 2))['loss'].backward()
    assert model.masker.mask_token.grad.abs().max() > 0


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (
            dict(backbone='window 3'),
            ['window_size=3', '16x16 feature map', '64x64 image', '2, 4, 8, 16', 'pad_small_map'],
        ),
        (dict(backbone='window 4'), ['window_size=4', 'img_size']),
        (dict(img_size=(64, 80)), ['64x80', 'window_size=2', '16x20|8x10|4x5']),
        (dict(img_size=66), ['66x66']),
        (dict(img_size=0), ['img_size=0', '192, or (height, width)']),
        (dict(img_size='64'), ["img_size='64'"]),
        (
            dict(backbone=dict(type=Backbone)),
            ['tokens of Backbone come from is not known', 'SwinTransformer', "stem='patch_embed'"],
        ),
        (
            dict(backbone=dict(type='mmpretrain.ResNet', depth=18), masker=dict(type='TokenMasker', stem='layer2')),
            ['the images have 3 channels', 'ResNet takes 64', 'no first layer', 'change masker.stem'],
        ),
        (
            dict(
                backbone=dict(type='mmpretrain.ResNet', depth=18, in_channels=5),
                masker=dict(type='TokenMasker', stem='conv1'),
            ),
            ['the images have 3 channels', 'ResNet takes 5', 'change model.backbone.in_channels'],
        ),
        (dict(masker=dict(type='TokenMasker', stem='patch')), ["stem='patch'", 'patch_embed', 'masker.stem']),
        (
            dict(backbone=dict(type=Backbone, kind='no stem'), masker=dict(type='TokenMasker', stem='embed')),
            ['does not call its stem', 'masker.stem'],
        ),
        (
            dict(backbone=dict(type=Backbone, kind='crash'), masker=dict(type='TokenMasker', stem='embed')),
            ['Backbone fails on an image of 3x64x64', 'RuntimeError: no way', 'model.img_size'],
        ),
        (
            dict(backbone=dict(type=Backbone, kind='vector'), masker=dict(type='TokenMasker', stem='embed')),
            ['last output of Backbone is (1, 8)', "out_type='featmap'"],
        ),
        (
            dict(
                backbone='in_channels=3',
                data_preprocessor=dict(type='MaskedImagePreprocessor', mean=[0.0], std=[1.0]),
            ),
            ['the images have 1 channels', 'takes 3', 'backbone.in_channels', 'mean and std'],
        ),
        (dict(backbone='in_channels=4'), ['the images have 3 channels', 'takes 4']),
        (dict(neck=dict(type='LinearDecoder', in_channels=768)), ['model.neck.in_channels=768', '128', 'delete']),
        (dict(neck=dict(type='LinearDecoder', upscale=16)), ['model.neck.upscale=16', '32 follows']),
        (dict(masker=dict(type='TokenMasker', embed_dims=96)), ['model.masker.embed_dims=96', '16 follows']),
        (dict(head=dict(type='ReconstructionHead', image_channels=1)), ['model.head.image_channels=1', '3 follows']),
        (
            dict(head=dict(type='ReconstructionHead', target=dict(type='PixelTarget', image_channels=1))),
            ['model.head.target.image_channels=1', '3 follows'],
        ),
    ],
    ids=str,
)
def test_parts_that_do_not_fit_are_refused_when_built(tiny_swin, arguments, words):
    """The message holds what was given, what was expected, and what to change."""
    backbone = arguments.get('backbone', 'window 2')
    if isinstance(backbone, str):
        kind, _, value = backbone.replace('=', ' ').partition(' ')
        backbone = tiny_swin(window_size=int(value)) if kind == 'window' else tiny_swin(in_channels=int(value))
    with pytest.raises(ValueError, match='.') as error:
        MODELS.build({'type': 'SimMIM', 'img_size': 64, **arguments, 'backbone': backbone})
    for word in words:
        assert any(part in str(error.value) for part in word.split('|')), f'{word!r} is not in: {error.value}'


def test_a_window_that_fits_is_not_refused(build_model, tiny_swin):
    """Window 2 divides 16, 8, 4 and 2; any window does with padding."""
    build_model(backbone=tiny_swin(window_size=2))
    model = build_model(backbone=tiny_swin(window_size=7, pad_small_map=True))
    assert torch.isfinite(model.loss(torch.randn(1, 3, 64, 64), _half(2, 2))['loss'])


def test_images_of_another_size_are_refused_with_words(tiny_model):
    """Images that the stride does not divide never reach the backbone."""
    with pytest.raises(
        ValueError, match='32x32 pixels, which do not tile images of 64x80; change the size of the crop'
    ):
        tiny_model.loss(torch.randn(1, 3, 64, 80), torch.ones(1, 4, 5, dtype=torch.bool))


def test_a_stem_that_lets_hidden_pixels_through_is_refused(build_model, monkeypatch):
    """A row of the table that is wrong: the encoder's first stage instead of the module that makes the tokens."""
    from simmim_mm.models import stems

    monkeypatch.setitem(stems.STEMS, 'SwinTransformer', stems.Stem('stages.0', overlapping=False))
    with pytest.raises(ValueError, match='hidden pixels show in the features of SwinTransformer'):
        build_model()


def test_the_backbone_itself_is_no_stem(build_model):
    with pytest.raises(ValueError, match="stem='' is no module of SwinTransformer"):
        build_model(masker=dict(type='TokenMasker', stem=''))


HOST_LOSS = dict(type='mmpretrain.PixelReconstructionLoss', criterion='L1')
PREPROCESSOR = dict(type='MaskedImagePreprocessor')


@pytest.mark.parametrize(
    ('parts', 'message'),
    [
        (dict(masker='TokenMasker'), "model.masker='TokenMasker' is no config"),
        (dict(neck='LinearDecoder'), "model.neck='LinearDecoder' is no config"),
        (dict(head=dict(type='ReconstructionHead', loss=HOST_LOSS)), 'PixelReconstructionLoss is no loss of this'),
        (dict(data_preprocessor=dict(type='mmengine.BaseDataPreprocessor')), 'does not say how many channels'),
        (dict(data_preprocessor=dict(mean=[0.485] * 3, std=[0.229] * 3, **PREPROCESSOR)), 'units of 0 to 1'),
        (dict(data_preprocessor=dict(mean=[float('nan')] * 3, **PREPROCESSOR)), 'finite'),
    ],
)
def test_parts_of_other_packages_and_other_units_are_refused(build_model, parts, message):
    with pytest.raises(ValueError, match=message):
        build_model(**parts)


def test_a_reconstruction_has_the_size_of_its_image(build_model):
    with pytest.raises(ValueError, match='do not tile images of 80x80'):
        build_model().reconstruct(torch.zeros(1, 3, 80, 80), torch.zeros(1, 5, 5, dtype=torch.bool))
