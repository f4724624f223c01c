"""The contrastive companion: its loss, its gradient over processes, its place in the model and in the pipeline."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from tiny import build_model, tiny_encoders, tiny_swin

from simmim_mm.datasets import SampleIndex, UnlabelledImages, stack_samples
from simmim_mm.engine import ReconstructionHook
from simmim_mm.masking import hidden_cells
from simmim_mm.models.companions.nt_xent import nt_xent
from simmim_mm.registry import MODELS

IMAGES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[[1, 0], [0, 1]], [[1, 1], [0, 0]], [[0, 1], [0, 1]], [[1, 0], [1, 0]]], dtype=torch.bool)


def companion(**kwargs):
    return MODELS.build(dict(type='ContrastiveCompanion', in_channels=4, **kwargs))


def by_hand(projections, temperature):
    """Equation 1 of arXiv 2002.05709, term by term; the mean over both directions of each pair."""
    rows = projections.tolist()
    half = len(rows) // 2

    def similarity(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))

    total = 0.0
    for i in range(len(rows)):
        j = i + half if i < half else i - half
        others = [math.exp(similarity(rows[i], rows[k]) / temperature) for k in range(len(rows)) if k != i]
        total -= math.log(math.exp(similarity(rows[i], rows[j]) / temperature) / sum(others))
    return total / len(rows)


@pytest.mark.parametrize(('num_images', 'width', 'temperature'), [(2, 3, 0.1), (5, 8, 0.2), (7, 2, 1.0), (3, 1, 4)])
def test_the_loss_is_the_published_formula(num_images, width, temperature):
    """Against plain loops, in float64."""
    projections = torch.randn(2 * num_images, width, dtype=torch.float64)
    loss, _ = nt_xent(projections, temperature)
    assert loss.item() == pytest.approx(by_hand(projections, temperature), rel=1e-12)


def test_the_gradient_is_that_of_finite_differences():
    """PyTorch's gradcheck, in float64."""
    projections = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: nt_xent(values, 0.3).loss, projections)


def test_what_is_known_of_extremes():
    """All rows equal: log(2 B - 1). Pairs equal, the rest orthogonal: log(1 + (2 B - 2) exp(-1 / t)), accuracy 1. Views
    that are nearest to another image: accuracy 0."""
    assert nt_xent(torch.ones(8, 3), 0.2).loss.item() == pytest.approx(math.log(7), rel=1e-6)
    loss, accuracy = nt_xent(torch.eye(4).repeat(2, 1), 0.5)
    assert loss.item() == pytest.approx(math.log(1 + 6 * math.exp(-2)), rel=1e-6)
    assert accuracy.item() == 1.0
    assert nt_xent(torch.cat([torch.eye(4), torch.eye(4).roll(1, 0)]), 0.5).accuracy.item() == 0.0


def test_similarities_are_exact_under_autocast():
    """In bf16, two similarities of almost 1 would be one number; the loss is that of fp32."""
    projections = torch.ones(6, 16) + 0.01 * torch.randn(6, 16)
    expected, _ = nt_xent(projections, 0.01)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss, _ = nt_xent(projections, 0.01)
        rough = nt_xent(projections.bfloat16(), 0.01).loss
    assert loss.dtype == rough.dtype == torch.float32
    assert torch.equal(loss, expected)


def test_one_image_is_no_contrast():
    with pytest.raises(ValueError, match=r'1 image in it; set train_dataloader.batch_size to 2 or more'):
        nt_xent(torch.randn(2, 3), 0.2)


def model_gradients(alone, images, mask, other_mask, rank=None):
    """Losses and gradients of a model in float64; in one of two processes, as DDP averages them."""
    cast = torch.Tensor.float
    torch.Tensor.float = lambda self: self if self.dtype == torch.float64 else cast(self)  # the head's, to fp32
    try:
        torch.manual_seed(0)
        model = build_model(companion=dict(type='ContrastiveCompanion', alone=alone)).double()
        wrapped = model if rank is None else MMDistributedDataParallel(model, broadcast_buffers=False)
        losses = wrapped(images.double(), mask=mask, other_mask=other_mask, mode='loss')
        total, logged = model.parse_losses(losses)
        total.backward()
    finally:
        torch.Tensor.float = cast
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return {name: value.item() for name, value in logged.items()}, gradients


def one_of_two(rank, folder):
    """What each process does."""
    torch.set_num_threads(1)
    from mmengine.registry import init_default_scope

    init_default_scope('simmim_mm')
    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2)
    half = slice(2 * rank, 2 * rank + 2)
    results = [model_gradients(alone, IMAGES[half], MASK[half], ~MASK[half], rank) for alone in (False, True)]
    torch.save(results, f'{folder}/{rank}.pt')
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_gradient_of_one(tmp_path):
    """Two processes with half the batch each, under DDP: losses and the gradient of every parameter are those of one
    process with the whole batch. Without the gradients that come back from the other process they differ by per cents.
    """
    torch.multiprocessing.spawn(one_of_two, (str(tmp_path),), nprocs=2)
    for index, alone in enumerate((False, True)):
        logged, gradients = model_gradients(alone, IMAGES, MASK, ~MASK)
        for rank in (0, 1):
            found, averaged = torch.load(tmp_path / f'{rank}.pt')[index]
            assert found == pytest.approx(logged, rel=1e-6)
            assert averaged.keys() == gradients.keys()
            for name, gradient in gradients.items():
                torch.testing.assert_close(averaged[name], gradient, rtol=1e-6, atol=1e-9 * gradient.abs().max().item())


def test_views_are_the_images_under_each_mask():
    """First all under the first masks, then all under the second; of two grids the finer one."""
    masks = torch.rand(4, 2, 4) < 0.5
    coarse = torch.rand(4, 1, 2) < 0.5
    repeated = torch.stack([coarse[:, y // 2, x // 2] for y in range(2) for x in range(4)], dim=1).view(4, 2, 4)
    for first, second in ((masks, coarse), (coarse, masks)):
        images, hidden = companion().views(IMAGES, first, second)
        assert torch.equal(images, IMAGES.repeat(2, 1, 1, 1))
        expected = {id(masks): masks, id(coarse): repeated}
        assert torch.equal(hidden, torch.cat([expected[id(first)], expected[id(second)]]))
    with pytest.raises(ValueError, match=r"RandomPatchMask', key='other_mask'.*before PackMaskedImage"):
        companion().views(IMAGES, masks, None)
    with pytest.raises(ValueError, match='2x4 cells does not fit a grid of 3x4.*mask_patch_size'):
        companion().views(IMAGES, masks, torch.zeros(4, 3, 3, dtype=torch.bool))


@pytest.mark.parametrize('grid_hw', [(1, 2), (2, 4), (4, 8)])
def test_pooling(grid_hw):
    """'visible' is the mean over the visible pixels of the feature map, drawn out to 8x16 pixels; 'all' over all."""
    part, features = companion(pool='visible'), torch.randn(3, 4, 2, 4)
    hidden = torch.rand(3, *grid_hw) < 0.5
    hidden[2] = False
    pooled = []
    part.projection.register_forward_hook(lambda module, args, output: pooled.append(args[0]))
    part.project(features, hidden)
    for number in range(3):
        visible = [
            features[number, :, y // 4, x // 4]
            for y in range(8)
            for x in range(16)
            if not hidden[number, y * grid_hw[0] // 8, x * grid_hw[1] // 16]
        ]
        expected = torch.stack(visible).mean(0) if visible else torch.zeros(4)
        torch.testing.assert_close(pooled[0][number], expected)
    part.pool = 'all'
    part.project(features, hidden)
    torch.testing.assert_close(pooled[1], features.mean((2, 3)))


def test_nothing_visible_is_finite():
    """Ratio 1: features of 0, and no 0 / 0 in loss or gradient."""
    part, features = companion(pool='visible'), torch.randn(4, 4, 2, 2, requires_grad=True)
    loss = part.loss(features, torch.ones(4, 2, 2, dtype=torch.bool))['loss_contrastive']
    loss.backward()
    assert loss.item() == pytest.approx(0.1 * math.log(3), rel=1e-6)
    assert (features.grad == 0).all()


def test_losses_of_the_model():
    """The reconstruction is the mean of the two views', the contrast that of their features, each view encoded for
    itself; MMEngine differentiates and logs the sum."""
    model = build_model(companion=dict(type='ContrastiveCompanion', weight=0.3, temperature=0.5, out_channels=7))
    losses = model(IMAGES, MASK, mode='loss', other_mask=~MASK, img_path=['a'] * 4)
    assert set(losses) == {'loss_reconstruction', 'loss_contrastive', 'contrastive_accuracy'}
    single, projections = [], []
    for mask in (MASK, ~MASK):
        cells = hidden_cells(mask, (2, 2))
        features, hidden = model.masker.encode(model.backbone, IMAGES, mask)
        single.append(model.head.loss(model.neck(features, hidden, cells), IMAGES, hidden, cells)['loss'].item())
        projections.append(model.companion.projection(features.mean((2, 3))))
    assert projections[0].shape == (4, 7)
    assert losses['loss_reconstruction'].item() == pytest.approx(sum(single) / 2, rel=1e-5)
    expected = 0.3 * by_hand(torch.cat(projections), 0.5)
    assert losses['loss_contrastive'].item() == pytest.approx(expected, rel=1e-4)
    assert not losses['contrastive_accuracy'].requires_grad
    total, logged = model.parse_losses(losses)
    assert total.item() == logged['loss'].item() == pytest.approx(sum(single) / 2 + expected, rel=1e-4)


@pytest.mark.parametrize('name', sorted(tiny_encoders()))
@pytest.mark.parametrize('options', [dict(alone=True), dict(weight=1, pool='visible')], ids=['alone', 'beside'])
def test_every_parameter_gets_a_gradient(name, options):
    """The mask token too, in every encoder; alone, there is no decoder that would wait for one."""
    model = build_model(backbone=tiny_encoders()[name], companion=dict(type='ContrastiveCompanion', **options))
    total, _ = model.parse_losses(model(IMAGES, MASK, mode='loss', other_mask=~MASK))
    total.backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
    assert model.masker.mask_token.grad.abs().max() > 0
    assert all(parameter.grad.abs().max() > 0 for parameter in model.companion.parameters())
    kinds = {parameter_name.split('.')[0] for parameter_name, _ in model.named_parameters()}
    assert kinds == {'backbone', 'masker', 'companion'} | (set() if 'alone' in options else {'neck'})


@pytest.mark.parametrize('alone', [False, True])
def test_training_tells_images_apart(image_folder, alone):
    """From files through two drawn masks, collation, preprocessor and optimiser: the contrast falls; masks differ."""
    pipeline = [
        dict(type='LoadImage'),
        dict(type='RandomResizedCrop', size=64),
        dict(type='RandomPatchMask', mask_patch_size=32, mask_ratio=0.5),
        dict(type='BlockwiseMask', mask_patch_size=16, min_block=2, key='other_mask'),
        dict(type='PackMaskedImage'),
    ]
    dataset = UnlabelledImages(image_folder(4), pipeline=pipeline)
    batch = stack_samples([dataset[SampleIndex(number, 0, 0)] for number in range(4)])
    assert batch['mask'].shape == (4, 2, 2)
    assert batch['other_mask'].shape == (4, 4, 4)
    assert batch['other_mask'].dtype == torch.bool
    model = build_model(companion=dict(type='ContrastiveCompanion', **(dict(alone=True) if alone else dict(weight=1))))
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=2e-3))
    logged = [model.train_step(batch, optimizer) for _ in range(8)]
    contrasts = [values['loss_contrastive'].item() for values in logged]
    assert np.isfinite(contrasts).all()
    assert contrasts[-1] < 0.8 * contrasts[0]
    assert ('loss_reconstruction' in logged[0]) is not alone


def test_both_masks_of_a_sample_are_draws_of_their_own(transform):
    """One source of randomness, two masks: of 50 pairs of 18 in 36 cells, none is of equal masks."""
    masks = [
        transform('RandomPatchMask', mask_ratio=0.5),
        transform('RandomPatchMask', mask_ratio=0.5, key='other_mask'),
    ]
    for seed in range(50):
        results = dict(img=np.zeros((192, 192, 3), np.uint8), rng=np.random.default_rng(seed))
        for mask in masks:
            results = mask(results)
        assert results['other_mask'].sum() == 18
        assert not np.array_equal(results['mask'], results['other_mask'])


def test_a_second_mask_is_checked_like_the_first():
    preprocessor = MODELS.build(dict(type='MaskedImagePreprocessor'))
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    mask = torch.zeros(2, 2, 2, dtype=torch.bool)
    for wrong in (mask.float(), mask[:1], mask[0]):
        with pytest.raises(ValueError, match=r'other_mask is a tensor.*expected \(2, h, w\) bool'):
            preprocessor(dict(inputs=images, mask=mask, other_mask=wrong))
    samples = [dict(inputs=images[0], other_mask=torch.zeros(2, size, dtype=torch.bool)) for size in (2, 4)]
    with pytest.raises(ValueError, match='other_mask of one batch differ in shape'):
        stack_samples(samples)


def test_predictions_need_no_second_mask():
    """They are of the first view, whether there is a second mask or not."""
    model = build_model(companion=dict(type='ContrastiveCompanion')).eval()
    one, two = (model(IMAGES, MASK, mode='predict', other_mask=other) for other in (None, ~MASK))
    assert all(torch.equal(a['reconstruction'], b['reconstruction']) for a, b in zip(one, two, strict=True))


def test_a_second_mask_without_companion_is_refused():
    with pytest.raises(ValueError, match=r"key='other_mask', or set companion=dict\(type='ContrastiveCompanion'\)"):
        build_model()(IMAGES, MASK, mode='loss', other_mask=~MASK)
    with pytest.raises(ValueError, match=r"needs a second mask.*key='other_mask'"):
        build_model(companion=dict(type='ContrastiveCompanion'))(IMAGES, MASK, mode='loss')


def test_alone_nothing_is_reconstructed():
    """Each way to ask for a reconstruction says what to delete; the hook before the first step."""
    model = build_model(companion=dict(type='ContrastiveCompanion', alone=True))
    for ask in (model.reconstruct, model.predict):
        with pytest.raises(ValueError, match=r'alone=True has no decoder.*delete ReconstructionHook.*val_evaluator'):
            ask(IMAGES, MASK)
    runner = SimpleNamespace(model=model, train_loop=None)
    with pytest.raises(ValueError, match=r'alone=True has none; delete the hook from custom_hooks'):
        ReconstructionHook().before_train(runner)


@pytest.mark.parametrize('slot', ['neck', 'head'])
def test_alone_parts_without_use_are_refused(slot):
    part = dict(type='LinearDecoder' if slot == 'neck' else 'ReconstructionHead')
    with pytest.raises(ValueError, match='set neck=None and head=None'):
        build_model(companion=dict(type='ContrastiveCompanion', alone=True), **{slot: part})


WRONG = {
    'hidden_channels': [0, -1, 1.5, True, '8', math.nan],
    'out_channels': [0, -1, 1.5, True, '8', None, math.nan],
    'temperature': [0, -0.1, math.nan, math.inf, '0.2', None, True],
    'weight': [0, -0.1, math.nan, math.inf, '0.1', True],
    'alone': [1, 'yes', None],
    'pool': ['max', None, 0, True],
}


@pytest.mark.parametrize(
    ('name', 'value'), [(name, value) for name, values in WRONG.items() for value in values], ids=str
)
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f'{name}=.* of ContrastiveCompanion'):
        companion(**{name: value})


def test_options_that_contradict_are_refused(transform):
    with pytest.raises(ValueError, match=r'weight=0.1 of ContrastiveCompanion has no use with alone=True'):
        companion(alone=True, weight=0.1)
    with pytest.raises(ValueError, match='model.companion.in_channels=4 contradicts.*128 follows'):
        build_model(companion=dict(type='ContrastiveCompanion', in_channels=4))
    with pytest.raises(
        ValueError, match=r"model.companion is a LinearDecoder; use dict\(type='ContrastiveCompanion'\)"
    ):
        build_model(companion=dict(type='LinearDecoder', out_channels=1, upscale=1))
    with pytest.raises(ValueError, match=r'model.companion=True is no config; write companion=dict\(type=...\)'):
        build_model(companion=True)
    with pytest.raises(ValueError, match="key='third' of RandomPatchMask is unknown; use 'mask' or 'other_mask'"):
        transform('RandomPatchMask', key='third')


@pytest.mark.parametrize('pool', ['all', 'visible'])
def test_the_step_compiles_as_one_graph(pool):
    """Views, encoder, decoder, both losses: no graph breaks, the eager losses."""
    torch._dynamo.reset()
    model = build_model(backbone=tiny_swin(), companion=dict(type='ContrastiveCompanion', pool=pool))
    cells = hidden_cells(torch.cat([MASK, ~MASK]), (2, 2))

    def step(images, mask, other_mask):
        images, mask = model.companion.views(images, mask, other_mask)
        features, hidden = model.masker.encode(model.backbone, images, mask)
        scored = model.head.loss(model.neck(features, hidden, cells), images, hidden, cells)['loss']
        return scored, model.companion.loss(features, hidden)['loss_contrastive']

    compiled = torch.compile(step, fullgraph=True, backend='eager')(IMAGES, MASK, ~MASK)
    eager = model.loss(IMAGES, MASK, ~MASK)
    torch.testing.assert_close(compiled, (eager['loss_reconstruction'], eager['loss_contrastive']))
    torch._dynamo.reset()
