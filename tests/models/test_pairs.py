"""Every target with every loss: what makes sense trains, is scored and is drawn; the rest is refused when built."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.model import BaseModule

from simmim_mm.evaluation import MaskedReconstructionMetric
from simmim_mm.masking import Cells, expand
from simmim_mm.models import PixelTarget, ReconstructionHead
from simmim_mm.models.derive import accepted_arguments, build_derived
from simmim_mm.registry import MODELS
from simmim_mm.visualization import draw_reconstructions

NUMBERS = ['pixels', 'patches', 'windows', 'squares', 'hog', 'hog of the strongest', 'features']
LABELS = ['bins', 'clusters']
REGRESSIONS = ['L1Loss', 'L2Loss', 'SmoothL1Loss', 'GaussianNLLLoss', 'fixed', 'MixtureNLLLoss']
LOSSES = [*REGRESSIONS, 'CrossEntropyLoss']
MASK = torch.tensor([[[True, False], [False, True]], [[True, True], [True, False]]])


@pytest.fixture
def parts(colour_file, teacher):
    """Configs of target and loss by name."""
    targets = {
        'pixels': lambda: dict(type='PixelTarget'),
        'patches': lambda: dict(type='PixelTarget', norm='patch', norm_size=16),
        'windows': lambda: dict(type='PixelTarget', norm='window', norm_size=7),
        'squares': lambda: dict(type='PixelTarget', stride=4),
        'hog': lambda: dict(type='HOGTarget'),
        'hog of the strongest': lambda: dict(type='HOGTarget', channel='max', cell_size=16, norm='L2-Hys'),
        'features': lambda: dict(type='FeatureTarget', **teacher()),
        'bins': lambda: dict(type='ColorBinTarget', stride=4),
        'clusters': lambda: dict(
            type='ColorClusterTarget', clusters=colour_file(np.random.default_rng(0).uniform(0, 255, (5, 3))), stride=4
        ),
    }

    def make(target: str, loss: str) -> dict:
        scored = dict(type='GaussianNLLLoss', variance=0.5) if loss == 'fixed' else dict(type=loss)
        return dict(type='ReconstructionHead', target=targets[target](), loss=scored)

    return make


def photographs(number: int = 2) -> torch.Tensor:
    """Smooth images of many colours, 8-bit."""
    ramp = torch.linspace(0, 6, 64)
    waves = (ramp[:, None] * torch.rand(number, 3, 1, 1) + ramp * torch.rand(number, 3, 1, 1)).sin()
    return (waves * 120 + 128).to(torch.uint8)


@pytest.mark.parametrize('loss', LOSSES)
@pytest.mark.parametrize('target', [*NUMBERS, *LABELS])
def test_pairs(build_model, parts, target, loss):
    """Finite loss, a gradient for every parameter, a score of each image, and a picture; or a clear refusal."""
    if (target in LABELS) != (loss == 'CrossEntropyLoss'):
        if target in LABELS:
            words = r"do not fit: the target is one of [58] labels.*loss=dict\(type='CrossEntropyLoss'\)"
        else:
            words = r"CrossEntropyLoss and \w+Target do not fit: the target is numbers.*loss=dict\(type='L1Loss'\)"
        with pytest.raises(ValueError, match=words):
            build_model(head=parts(target, loss))
        return
    model = build_model(head=parts(target, loss))
    batch = dict(inputs=photographs(), mask=MASK)
    images = model.data_preprocessor(batch)['inputs']
    value = model.loss(images, MASK)['loss']
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    value.backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name
    panel = draw_reconstructions(model, batch)
    assert panel.shape == (18 + 2 * 64 + 4, 4 * 64 + 3 * 4, 3)
    model.eval()
    with torch.no_grad():
        samples = model(images, MASK, mode='predict')
        alone = [model.loss(images[n : n + 1], MASK[n : n + 1])['loss'].item() for n in range(2)]
    metric = MaskedReconstructionMetric()
    metric.process(None, samples)
    scores = metric.evaluate(size=2)
    # The score of an image is the training loss of a batch of it alone.
    assert scores['val/hidden_objective'] == pytest.approx(np.mean(alone), rel=1e-4, abs=1e-5)
    assert (
        ('val/hidden_l1' in scores) == ('val/mean_colour_l1' in scores) == (target not in ('features', *NUMBERS[4:6]))
    )


@pytest.mark.parametrize('target', [*NUMBERS, *LABELS])
def test_a_perfect_prediction_is_drawn_as_the_target(build_model, parts, target, monkeypatch):
    """The model is made to predict its target: both columns are equal, or the reconstruction is the target's image."""
    model = build_model(head=parts(target, 'CrossEntropyLoss' if target in LABELS else 'L1Loss')).eval()
    batch = dict(inputs=photographs(), mask=MASK)
    images = model.data_preprocessor(batch)['inputs']
    truth = model.head.target(images)
    if target in LABELS:
        truth = torch.nn.functional.one_hot(truth, model.head.target.num_classes).movedim(-1, 2).flatten(1, 2).float()
    monkeypatch.setattr(model, 'predict_map', lambda inputs, mask: (truth, mask))
    panel = draw_reconstructions(model, batch)[18:]
    third, fourth = panel[:64, 136:200], panel[:64, 204:268]
    original = panel[:64, :64].astype(int)
    if model.head.shows_images:
        hidden = expand(MASK, (64, 64))[0].numpy()
        assert np.array_equal(fourth[hidden], third[hidden])
        assert np.array_equal(fourth[~hidden], original[~hidden])
        # Squares and bins of 32 values are coarse; five colours are very coarse.
        error = np.abs(third - original).mean()
        assert error < {'bins': 12, 'clusters': 90, 'squares': 8}.get(target, 1)
    else:
        assert np.array_equal(third, fourth)
        assert third.std() > 10


@pytest.mark.parametrize('loss', LOSSES)
@pytest.mark.parametrize('target', ['pixels', 'patches', 'windows', 'hog', 'features', 'bins', 'clusters'])
def test_scoring_is_one_graph(build_model, parts, target, loss):
    """Target and loss compile without a break, and give the eager loss."""
    if (target in LABELS) != (loss == 'CrossEntropyLoss') or (target != 'pixels' and loss in REGRESSIONS[1:]):
        return
    torch._dynamo.reset()
    head = build_model(head=parts(target, loss)).head
    images, cells = torch.randn(2, 3, 64, 64), Cells(torch.tensor([0, 3, 4, 5, 6]), (2, 2))
    prediction = torch.randn(5, head.out_channels, 32 // head.target.stride, 32 // head.target.stride)
    compiled = torch.compile(lambda *args: head.loss(*args)['loss'], fullgraph=True, backend='eager')
    torch.testing.assert_close(
        compiled(prediction, images, MASK, cells), head.loss(prediction, images, MASK, cells)['loss']
    )
    torch._dynamo.reset()


@pytest.mark.parametrize('weight', [0, 0.25, 1, 3.0])
def test_visible_positions_count_by_their_weight(build_model, weight):
    """sum(loss * w) / (sum(w) + 1e-5) / channels over all pixels; 0 is the loss of hidden pixels."""
    head = dict(type='ReconstructionHead', area='all', visible_weight=weight, channel_weights=[1, 0, 0.5])
    model = build_model(head=head).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        value = model.loss(images, MASK)['loss']
        distance = (model.reconstruct(images, MASK).images - images).abs()
    hidden = expand(MASK, (64, 64)).unsqueeze(1).double()
    weights = hidden + (1 - hidden) * weight
    channels = torch.tensor([1, 0, 0.5]).view(1, 3, 1, 1)
    expected = (distance * weights * channels).sum() / (weights.sum() + 1e-5) / 1.5
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)


def test_equal_weights_are_none(build_model):
    """All channels at 2 and the visible at 1: the plain loss over all pixels."""
    plain = build_model(head=dict(type='ReconstructionHead', area='all'))
    weighted = ReconstructionHead(3, area='all', visible_weight=1, channel_weights=[2, 2, 2])
    images, cells = torch.randn(1, 3, 64, 64), Cells(torch.arange(4), (2, 2))
    prediction = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(
        weighted.loss(prediction, images, MASK[:1], cells), plain.head.loss(prediction, images, MASK[:1], cells)
    )
    assert weighted.state_dict() == {}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(visible_weight=0.5), r"visible_weight=0.5 of .* has no use with area='hidden'.*set area='all'"),
        (dict(area='all', visible_weight=-1), 'visible_weight=-1 of ReconstructionHead must be a number from 0'),
        (dict(area='all', visible_weight='1'), "visible_weight='1'"),
        (dict(area='all', visible_weight=True), 'visible_weight=True'),
        (dict(area='all', visible_weight=float('nan')), 'visible_weight=nan'),
        (dict(area=1), 'area=1 of ReconstructionHead is unknown'),
        (dict(channel_weights=[1, 1]), r'channel_weights=\[1, 1\] .* list of 3 numbers from 0.*of PixelTarget'),
        (dict(channel_weights=[1, 1, -1]), 'channel_weights'),
        (dict(channel_weights=[0, 0, 0]), 'not all 0'),
        (dict(channel_weights=[1, 1, float('nan')]), 'channel_weights'),
        (dict(channel_weights='123'), 'channel_weights'),
        (dict(channel_weights=1), 'channel_weights=1'),
        (dict(loss=dict(type='mmpretrain.CrossEntropyLoss')), 'CrossEntropyLoss is no loss of this package'),
        (dict(loss=dict(type='simmim_mm.CrossEntropyLoss', num_classes=4)), 'the target is numbers, and the loss'),
        (dict(target=dict(type='ColorBinTarget'), loss=dict(type='CrossEntropyLoss')), 'range of the pixels'),
        (dict(target='PixelTarget'), "model.head.target='PixelTarget' is no config"),
        (dict(target=dict(type='TokenMasker', embed_dims=3)), 'unexpected keyword|image_channels'),
    ],
    ids=str,
)
def test_wrong_heads_are_refused(options, message):
    error = (ValueError, TypeError) if 'unexpected' in message else ValueError
    with pytest.raises(error, match=message):
        ReconstructionHead(3, **options)


def test_contradictions_are_refused(build_model, tiny_swin):
    """Another number of classes or range than follows; a cell that does not divide the encoder's."""
    bins = dict(type='ColorBinTarget', bins=8)
    loss = dict(type='CrossEntropyLoss', num_classes=9)
    with pytest.raises(ValueError, match='model.head.loss.num_classes=9 contradicts .* 8 follows; delete num_classes'):
        build_model(head=dict(type='ReconstructionHead', target=bins, loss=loss))
    bins['pixel_range'] = [[0.0] * 3, [1.0] * 3]
    with pytest.raises(ValueError, match='model.head.target.pixel_range=.* contradicts'):
        build_model(head=dict(type='ReconstructionHead', target=bins, loss=dict(type='CrossEntropyLoss')))
    with pytest.raises(ValueError, match='12 pixels wide, which does not divide the 32 .* change cell_size in model'):
        build_model(head=dict(type='ReconstructionHead', target=dict(type='HOGTarget', cell_size=12)))


class Doubled(PixelTarget):
    """A user's subclass that hands on what it does not know."""

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def forward(self, images):
        return super().forward(images) * self.factor


class Negated(BaseModule):
    """A target of another package: no subclass, with what a target has."""

    def __init__(self, image_channels):
        super().__init__()
        self.channels, self.stride = image_channels, 1

    def forward(self, images):
        return -images


class Spread(BaseModule):
    """A loss of another package, of two numbers a channel, that names no estimate."""

    params_per_channel = 2

    def forward(self, prediction, target):
        first, second = prediction.unflatten(1, (-1, 2)).unbind(2)
        return (first - target).abs() + (second - target).abs()


def test_parts_of_other_packages_train(build_model):
    """Subclasses and strangers with the attributes; what cannot be drawn says so, with what to add."""
    images = torch.randn(2, 3, 64, 64)
    for target, loss in ((Doubled, 'L1Loss'), (Negated, 'L1Loss'), (Doubled, Spread)):
        model = build_model(head=dict(type='ReconstructionHead', target=dict(type=target), loss=dict(type=loss)))
        model.loss(images, MASK)['loss'].backward()
        assert model.head.out_channels == (6 if loss is Spread else 3)
    with pytest.raises(ValueError, match=r'Spread predicts 2 numbers.*give Spread a method estimate\(prediction\)'):
        model.reconstruct(images, MASK)
    model = build_model(head=dict(type='ReconstructionHead', target=dict(type=Negated)))
    assert 'hidden_loss' in model.predict(images, MASK)[0]
    with pytest.raises(ValueError, match='Negated is not turned into images'):
        model.reconstruct(images, MASK)
    with pytest.raises(ValueError, match=r'Negated has neither to_images\(estimate, images\) nor to_pictures'):
        draw_reconstructions(model, dict(inputs=photographs(), mask=MASK))


def test_optional_facts_go_where_they_are_taken():
    """Through `**kwargs` to the class above; a fact that is not known, or not taken, is not handed on."""
    assert {'factor', 'image_channels', 'stride'} <= accepted_arguments(Doubled)
    assert accepted_arguments(Negated) == {'self', 'image_channels'}
    assert accepted_arguments(lambda first, *, second=1: None) == {'first', 'second'}
    target = build_derived(dict(type='PixelTarget'), 'x', optional=dict(stride=4, image_hw=(8, 8)), image_channels=3)
    assert target.stride == 4
    assert build_derived(dict(type=Doubled), 'x', optional=dict(stride=None), image_channels=3).stride == 1


def test_each_hidden_position_counts_in_its_own_image(build_model):
    """Masks finer than the last cells, loss over all pixels: the score is still of hidden ones; 0 without any."""
    model = build_model(head=dict(type='ReconstructionHead', area='all')).eval()
    images, mask = torch.randn(3, 3, 64, 64), torch.rand(3, 4, 4) < 0.5
    mask[2] = False
    with torch.no_grad():
        samples = model.predict(images, mask)
    for number, sample in enumerate(samples):
        hidden = expand(mask, (64, 64))[number]
        error = (sample['reconstruction'] - images[number]).abs()[:, hidden]
        expected = error.mean() if hidden.any() else torch.tensor(0.0)
        torch.testing.assert_close(sample['hidden_loss'], expected, rtol=1e-5, atol=1e-6)


def test_models_of_shapes_alone_can_be_built(tiny_encoders):
    """On the meta device, as parameters are counted: the range of the pixels has no values there."""
    head = dict(type='ReconstructionHead', target=dict(type='ColorBinTarget'), loss=dict(type='CrossEntropyLoss'))
    with torch.device('meta'):
        model = MODELS.build(dict(type='SimMIM', backbone=tiny_encoders['VisionTransformer'], img_size=64, head=head))
    assert model.head.out_channels == 24


@pytest.mark.parametrize('name', ['bins', 'clusters', 'hog', 'hog of the strongest', 'squares'])
def test_thirteen_bands_of_sixteen_bits_not_square(build_model, tiny_swin, colour_file, name):
    """From values of 0 to 65535 to a loss, a score and a picture; bins and clusters get the labels of those values."""
    values = torch.randint(65536, (2, 13, 64, 96)).float()
    centres = np.random.default_rng(0).uniform(0, 65535, (6, 13))
    target = {
        'bins': dict(type='ColorBinTarget', bins=256, levels=65536),
        'clusters': dict(type='ColorClusterTarget', clusters=colour_file(centres, value_range=(0.0, 65535.0))),
        'hog': dict(type='HOGTarget'),
        'hog of the strongest': dict(type='HOGTarget', channel='max'),
        'squares': dict(type='PixelTarget', stride=8),
    }[name]
    loss = dict(type='CrossEntropyLoss' if name in LABELS else 'L1Loss')
    model = build_model(
        backbone=tiny_swin(pad_small_map=True, out_indices=(1,)),
        data_preprocessor=dict(type='MaskedImagePreprocessor', channels=13, value_range=(0, 65535)),
        img_size=(64, 96),
        head=dict(type='ReconstructionHead', target=target, loss=loss),
    ).eval()
    batch = dict(inputs=values, mask=torch.rand(2, 4, 6) < 0.5)
    images = model.data_preprocessor(batch)['inputs']
    labels = model.head.target(images)
    if name == 'bins':
        assert (labels == values.long() // 256).float().mean() > 0.999  # fp32 rounds values that lie on a bound
    if name == 'clusters':
        pixels = values.permute(0, 2, 3, 1).reshape(-1, 1, 13).double()
        nearest = (pixels - torch.from_numpy(centres)).square().sum(-1).argmin(dim=1)
        assert (labels.flatten() == nearest).float().mean() > 0.99
    with torch.no_grad():
        assert torch.isfinite(model.loss(images, batch['mask'])['loss'])
        assert torch.isfinite(model.predict(images, batch['mask'])[0]['hidden_loss'])
    assert draw_reconstructions(model, batch, bands=[4, 2, 1]).shape == (18 + 2 * 64 + 4, 4 * 96 + 3 * 4, 3)
