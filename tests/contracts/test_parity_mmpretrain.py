"""Promise: what we compute is what mmpretrain's SimMIM computes, and what the paper's formula says."""

import mmpretrain.models  # noqa: F401  (fills mmpretrain's registry)
import pytest
import torch
from mmpretrain.models.heads import SimMIMHead
from mmpretrain.models.losses import PixelReconstructionLoss
from mmpretrain.models.necks import SimMIMLinearDecoder
from mmpretrain.models.selfsup.simmim import SimMIMSwinTransformer

from simmim_mm.masking import Cells, hidden_cells
from simmim_mm.registry import MODELS

SWIN_T = dict(
    type='mmpretrain.SwinTransformer',
    arch='T',
    img_size=192,
    drop_path_rate=0.0,
    stage_cfgs=dict(block_cfgs=dict(window_size=6)),
)


def _random_masks(num_images, grid_hw, ratio=0.6):
    return torch.rand(num_images, *grid_hw) < ratio


def _host_encoder(model, cfg):
    """mmpretrain's subclass with the weights of our two modules."""
    arguments = {name: value for name, value in cfg.items() if name != 'type'}
    host = SimMIMSwinTransformer(**arguments)
    weights = model.backbone.state_dict() | {'mask_token': model.masker.mask_token.detach()}
    host.load_state_dict(weights, strict=True)
    return host


def _per_stem_cell(mask, grid_hw):
    """mmpretrain takes one entry a stem cell: brute force."""
    (h, w), (rows, columns) = mask.shape[1:], grid_hw
    return torch.tensor(
        [[[int(one[i * h // rows, j * w // columns]) for j in range(columns)] for i in range(rows)] for one in mask]
    )


@pytest.mark.parametrize(
    'arguments', [{}, dict(use_abs_pos_embed=True), dict(norm_cfg=dict(type='LN', eps=1e-3))], ids=str
)
def test_features_of_a_tiny_swin_are_the_hosts(build_model, tiny_swin, arguments):
    """Same weights, same mask: the difference is exactly 0."""
    cfg = tiny_swin(**arguments)
    model = build_model(backbone=cfg)
    if arguments.get('use_abs_pos_embed'):
        torch.nn.init.normal_(model.backbone.absolute_pos_embed)
    images, mask = torch.randn(4, 3, 64, 64), _random_masks(4, (2, 2))
    expected = _host_encoder(model, cfg)(images, _per_stem_cell(mask, (16, 16)))[-1]
    features, hidden = model.masker.encode(model.backbone, images, mask)
    assert (features - expected).abs().max() == 0.0
    assert torch.equal(hidden, mask)


def test_features_of_swin_t_are_the_hosts(build_model):
    """The published setting: Swin-T, 192 px, window 6, 22 of 36 cells of 32 px."""
    model = build_model(backbone=SWIN_T, img_size=192)
    images = torch.randn(1, 3, 192, 192)
    mask = torch.zeros(36, dtype=torch.bool).scatter(0, torch.randperm(36)[:22], True).view(1, 6, 6)
    with torch.no_grad():
        expected = _host_encoder(model, SWIN_T)(images, _per_stem_cell(mask, (48, 48)))[-1]
        features, _ = model.masker.encode(model.backbone, images, mask)
    assert features.shape == (1, 768, 6, 6)
    assert (features - expected).abs().max() == 0.0


def test_masker_works_where_the_hosts_subclass_crashes(build_model, tiny_swin):
    """All four stages as outputs: the last one is what the encoder gives with the last one alone."""
    single = build_model()
    model = build_model(backbone=tiny_swin(out_indices=(0, 1, 2, 3)))
    model.backbone.load_state_dict(single.backbone.state_dict(), strict=False)
    model.masker.load_state_dict(single.masker.state_dict())
    images, mask = torch.randn(2, 3, 64, 64), _random_masks(2, (2, 2))
    assert torch.equal(
        model.masker.encode(model.backbone, images, mask)[0], single.masker.encode(single.backbone, images, mask)[0]
    )


@pytest.mark.parametrize('criterion', ['L1', 'L2'])
def test_loss_and_gradients_are_the_hosts(build_model, tiny_swin, criterion):
    """mmpretrain's encoder, decoder, head and loss, on the same weights and masks; all gradients too."""
    model = build_model(head=dict(type='ReconstructionHead', loss=dict(type=f'{criterion}Loss')))
    encoder = _host_encoder(model, tiny_swin())
    decoder = SimMIMLinearDecoder(in_channels=128, encoder_stride=32)
    decoder.load_state_dict(model.neck.state_dict(), strict=True)
    head = SimMIMHead(
        patch_size=4, loss=dict(type='mmpretrain.PixelReconstructionLoss', criterion=criterion, channel=3)
    )
    assert isinstance(head.loss_module, PixelReconstructionLoss)

    images, mask = torch.randn(4, 3, 64, 64), _random_masks(4, (2, 2))
    stem_mask = _per_stem_cell(mask, (16, 16))
    expected = head.loss(decoder(encoder(images, stem_mask)[-1]), images, stem_mask)
    loss = model.loss(images, mask)['loss']
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)

    expected.backward()
    loss.backward()
    theirs = {f'backbone.{name}': value.grad for name, value in encoder.named_parameters()}
    theirs['masker.mask_token'] = theirs.pop('backbone.mask_token')
    theirs |= {f'neck.{name}': value.grad for name, value in decoder.named_parameters()}
    ours = {name: value.grad for name, value in model.named_parameters()}
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(
            gradient, theirs[name], rtol=1e-4, atol=1e-6, msg=lambda text, name=name: name + text
        )


def test_keys_of_the_linear_decoder_are_the_hosts(build_model):
    """A checkpoint of mmpretrain's decoder loads as it is, and predicts the same map."""
    ours = build_model().neck
    theirs = SimMIMLinearDecoder(in_channels=128, encoder_stride=32)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    features = torch.randn(2, 128, 2, 2)
    assert torch.equal(ours(features, torch.ones(2, 2, 2, dtype=torch.bool)), theirs(features))


# Golden numbers: two channels, 4x4 pixels. The prediction is 0 in the first channel, so |x - y| = |x|, and 0.5 off
# everywhere in the second. The 100s are visible in the first test and must not count.
IMAGE = torch.tensor(
    [
        [[1.0, 2.0, 100.0, 100.0], [3.0, 4.0, 100.0, 100.0], [100.0, 100.0, 5.0, 0.0], [100.0, 100.0, 0.0, -1.0]],
        [[0.0] * 4] * 4,
    ]
)
PREDICTION = torch.tensor([[[0.0] * 4] * 4, [[0.5] * 4] * 4])


def _golden_loss(loss, image, cells, mask):
    """The head's loss for cells of `cells` pixels a side."""
    head = MODELS.build(dict(type='ReconstructionHead', image_channels=2, loss=dict(type=loss)))
    mask = torch.tensor([mask], dtype=torch.bool)
    grid = 4 // cells
    # The selected cells, by hand: all that hold a hidden pixel, row by row.
    where = [
        (i, j)
        for i in range(grid)
        for j in range(grid)
        if any(
            mask[0, y * mask.shape[1] // 4, x * mask.shape[2] // 4]
            for y in range(i * cells, (i + 1) * cells)
            for x in range(j * cells, (j + 1) * cells)
        )
    ]
    prediction = torch.stack(
        [PREDICTION[:, i * cells : (i + 1) * cells, j * cells : (j + 1) * cells] for i, j in where]
    )
    selected = hidden_cells(mask, (grid, grid))
    assert selected.positions.tolist() == [i * grid + j for i, j in where]
    return head.loss(prediction, image[None], mask, selected)['loss'].item()


@pytest.mark.parametrize(
    ('loss', 'expected'),
    [
        # First channel: 1 + 2 + 3 + 4 + 5 + 0 + 0 + 1 = 16; second: 8 * 0.5 = 4; 8 pixels hidden, 2 channels.
        ('L1Loss', (16 + 4) / (8 + 1e-5) / 2),  # 1.2499984
        # First: 1 + 4 + 9 + 16 + 25 + 0 + 0 + 1 = 56; second: 8 * 0.25 = 2.
        ('L2Loss', (56 + 2) / (8 + 1e-5) / 2),  # 3.6249955
    ],
)
def test_loss_on_golden_numbers(loss, expected):
    """`sum(|x - y| * mask) / (sum(mask) + 1e-5) / channels`, for mask cells as large as the encoder's."""
    assert _golden_loss(loss, IMAGE, 2, [[1, 0], [0, 1]]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ('loss', 'expected'),
    [
        # Hidden pixels: 2, 5 and -1, each with 0.5 in the second channel: 2 + 5 + 1 + 1.5 = 9.5.
        ('L1Loss', 9.5 / (3 + 1e-5) / 2),  # 1.5833281
        # 4 + 25 + 1 + 3 * 0.25 = 30.75
        ('L2Loss', 30.75 / (3 + 1e-5) / 2),  # 5.1249829
    ],
)
def test_loss_with_a_mask_finer_than_the_encoder(loss, expected):
    """Cells that are hidden in part: their visible pixels do not count."""
    mask = [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert _golden_loss(loss, IMAGE, 2, mask) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ('loss', 'expected'),
    [
        # The lower right quarter: 5 + 0 + 0 + 1 = 6 and 4 * 0.5 = 2; 4 pixels.
        ('L1Loss', (6 + 2) / (4 + 1e-5) / 2),  # 0.9999975
        # 25 + 0 + 0 + 1 = 26 and 4 * 0.25 = 1.
        ('L2Loss', (26 + 1) / (4 + 1e-5) / 2),  # 3.3749916
    ],
)
def test_loss_with_a_mask_coarser_than_the_encoder(loss, expected):
    """One mask cell hides four cells of the encoder."""
    assert _golden_loss(loss, IMAGE, 1, [[0, 0], [0, 1]]) == pytest.approx(expected, rel=1e-6)


def test_loss_is_one_mean_over_the_batch():
    """Pixels weigh the same, whatever their image: (4 * 1 + 12 * 3) / 16 = 2.5, not the mean of 1 and 3."""
    head = MODELS.build(dict(type='ReconstructionHead', image_channels=1))
    images = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    mask = torch.tensor([[[1, 0], [0, 0]], [[1, 1], [0, 1]]], dtype=torch.bool)
    cells = Cells(torch.tensor([0, 4, 5, 7]), (2, 2))
    assert head.loss(torch.zeros(4, 1, 2, 2), images, mask, cells)['loss'].item() == pytest.approx(2.5, rel=1e-5)


def _dense_loss(model, images, mask, loss):
    """The published formula on the whole predicted image, with the mask in pixels by brute force."""
    prediction = model.reconstruct(images, mask).images
    height, width = images.shape[2:]
    pixels = mask.repeat_interleave(height // mask.shape[1], 1).repeat_interleave(width // mask.shape[2], 2)[:, None]
    difference = (images - prediction).abs() if loss == 'L1Loss' else (images - prediction) ** 2
    return (difference * pixels).sum() / (pixels.sum() + 1e-5) / images.shape[1]


@pytest.mark.parametrize('loss', ['L1Loss', 'L2Loss'])
@pytest.mark.parametrize(
    ('image_hw', 'grid_hw'),
    [((64, 64), (2, 2)), ((64, 96), (2, 3)), ((64, 64), (16, 16)), ((64, 96), (8, 12)), ((128, 64), (2, 1))],
    ids=['32 px cells', '32 px cells, not square', '4 px cells', '8 px cells, not square', '64 px cells, not square'],
)
def test_sparse_loss_equals_the_dense_form(build_model, tiny_swin, monkeypatch, image_hw, grid_hw, loss):
    """Decoding hidden cells alone changes neither the loss nor any gradient: in float64, to 1e-10."""
    monkeypatch.setattr(torch.Tensor, 'float', lambda self: self)  # the head's cast to fp32 is not what is tested
    model = build_model(
        backbone=tiny_swin(pad_small_map=True),
        head=dict(type='ReconstructionHead', loss=dict(type=loss)),
        img_size=image_hw,
    ).double()
    images = torch.randn(3, 3, *image_hw, dtype=torch.float64)
    mask = _random_masks(3, grid_hw, 0.5)
    mask[0], mask[1] = True, mask[2] | (torch.arange(grid_hw[0])[:, None] == 0)
    sparse, dense = model.loss(images, mask)['loss'], _dense_loss(model, images, mask, loss)
    torch.testing.assert_close(sparse, dense, rtol=1e-10, atol=0)
    parameters = dict(model.named_parameters())
    for name, ours, theirs in zip(
        parameters,
        torch.autograd.grad(sparse, parameters.values()),
        torch.autograd.grad(dense, parameters.values()),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-14, msg=lambda text, name=name: name + text)


def test_loss_is_computed_in_fp32_under_autocast(tiny_model):
    """The sum runs over many pixels: bf16 would keep three digits of it."""
    images, mask = torch.randn(2, 3, 64, 64), torch.ones(2, 2, 2, dtype=torch.bool)
    with torch.autocast('cpu', torch.bfloat16):
        loss = tiny_model.loss(images, mask)['loss']
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, tiny_model.loss(images, mask)['loss'], rtol=2e-2, atol=0)
