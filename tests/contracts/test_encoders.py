"""The promises of masking, for every encoder in the table of stems."""

import pytest
import torch
from torch import nn

from simmim_mm.masking import expand
from simmim_mm.models.outputs import first_tensor, token_grid
from simmim_mm.models.stems import find_stem


@pytest.fixture
def model(encoder, build_model):
    """Without a batch to draw statistics from, BatchNorm would mix images; each image is to be seen alone."""
    return build_model(backbone=encoder).eval()


@pytest.fixture(params=[(64, 64), (64, 128)], ids=['square', 'wide'])
def images(request):
    return torch.randn(2, 3, *request.param, requires_grad=True)


def some_mask(images, cell: int) -> torch.Tensor:
    """About half of the cells, the same number in each image."""
    h, w = images.shape[-2] // cell, images.shape[-1] // cell
    pattern = (torch.arange(h)[:, None] + torch.arange(w)).remainder(2).bool()
    return torch.stack([pattern, ~pattern])


def stem_output(model, images, mask) -> tuple[torch.Tensor, torch.Tensor]:
    """The stem's cells as (B, h * w, D) after masking, and which of them are hidden."""
    seen = []
    handle = find_stem(model.backbone).register_forward_hook(lambda module, args, output: seen.append(output))
    model.masker.encode(model.backbone, images, mask)
    handle.remove()
    tokens = first_tensor(seen[-1])
    grid_hw = token_grid(tokens, (images.shape[-2], images.shape[-1]))
    cells = tokens if tokens.ndim == 3 else tokens.flatten(2).transpose(1, 2)
    return cells, expand(mask, grid_hw).flatten(1)


def fits(model, images) -> bool:
    """mmpretrain's BEiT has one relative position bias for one size."""
    return type(model.backbone).__name__ != 'BEiTViT' or images.shape[-2:] == (64, 64)


def test_no_visible_stem_cell_depends_on_a_hidden_pixel(model, images):
    """The gradient of the visible cells is exactly 0 on hidden pixels, and that of the features too."""
    if not fits(model, images):
        with pytest.raises(ValueError, match='fails on an image of 3x64x128'):
            model.loss(images, some_mask(images, 16))
        return
    mask = some_mask(images, 16)
    cells, hidden = stem_output(model, images, mask)
    (gradient,) = torch.autograd.grad(cells[~hidden].square().sum(), images)
    pixels = expand(mask, (images.shape[-2], images.shape[-1])).unsqueeze(1).expand_as(images)
    assert gradient[pixels].abs().max() == 0
    assert gradient[~pixels].abs().max() > 0
    features, _ = model.masker.encode(model.backbone, images, mask)
    (gradient,) = torch.autograd.grad((features * torch.randn_like(features)).sum(), images)
    assert gradient[pixels].abs().max() == 0
    assert gradient[~pixels].abs().max() > 0


def test_hidden_cells_hold_the_token_and_visible_ones_are_the_stems_own(model):
    """Where stem cells overlap, the visible ones are those of the image with its hidden pixels at 0."""
    images = torch.randn(2, 3, 64, 64)
    mask = some_mask(images, 16)
    cells, hidden = stem_output(model, images, mask)
    token = model.masker.mask_token[0]
    assert torch.equal(cells[hidden], token.expand(int(hidden.sum()), -1))
    blanked = images * (1 - expand(mask, (images.shape[-2], images.shape[-1])).unsqueeze(1).float())
    plain, _ = stem_output(model, blanked if model.masker.blanks_pixels else images, torch.zeros_like(mask))
    torch.testing.assert_close(cells[~hidden], plain[~hidden])
    assert model.masker.blanks_pixels == (type(model.backbone).__name__ in ('ResNet', 'TIMMBackbone'))


def test_a_training_step_reaches_every_parameter(encoder, build_model):
    """Every parameter gets a finite gradient, and a step lowers the loss."""
    model = build_model(backbone=encoder)
    images, mask = torch.randn(4, 3, 64, 64), some_mask(torch.empty(4, 3, 64, 64), 32).repeat(2, 1, 1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        loss = model.loss(images, mask)['loss']
        optimiser.zero_grad()
        loss.backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients.values())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_encoding_is_one_graph(model):
    """No graph breaks under torch.compile, with the masker's hook installed."""
    torch._dynamo.reset()
    images = torch.randn(2, 3, 64, 64)
    explanation = torch._dynamo.explain(model.masker.encode)(model.backbone, images, some_mask(images, 32))
    assert (explanation.graph_count, explanation.graph_break_count) == (1, 0)


@pytest.mark.parametrize('name', ['VisionTransformer', 'BEiTViT', 'SwinTransformerV2', 'ConvNeXt V2', 'TIMMBackbone'])
def test_a_training_step_with_drop_path_is_one_graph(tiny_encoders, build_model, name):
    """The host's ViTs have NumPy numbers for rates of drop path, which would break the graph at each."""
    model = build_model(backbone={**tiny_encoders[name], 'drop_path_rate': 0.1}).train()
    torch._dynamo.reset()
    images = torch.randn(2, 3, 64, 64)
    explanation = torch._dynamo.explain(model.masker.encode)(model.backbone, images, some_mask(images, 32))
    assert (explanation.graph_count, explanation.graph_break_count) == (1, 0)


def timm_encoder(model_name: str, **settings) -> dict:
    return dict(type='mmpretrain.TIMMBackbone', model_name=model_name, features_only=True, pretrained=False, **settings)


SMALL = dict(depths=(1, 1, 1, 1), dims=(8, 16, 32, 64))
SMALL_SWIN = dict(
    img_size=64, window_size=2, embed_dim=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), feature_cls='getter'
)


@pytest.mark.parametrize(
    ('backbone', 'stem', 'stride'),
    [
        (timm_encoder('convnext_atto', **SMALL), 'timm_model.stem_1', 32),
        (timm_encoder('resnet10t'), 'timm_model.maxpool', 32),
        (timm_encoder('vit_tiny_patch16_224', img_size=64, depth=3), 'timm_model.model.patch_embed', 16),
        (timm_encoder('swin_tiny_patch4_window7_224', **SMALL_SWIN), 'timm_model.model.patch_embed.proj', 32),
    ],
    ids=['ConvNeXt', 'ResNet', 'ViT', 'Swin'],
)
def test_encoders_of_timm_by_the_path_of_their_stem(build_model, backbone, stem, stride):
    """Each trains, and no feature depends on a hidden pixel."""
    model = build_model(backbone=backbone, masker=dict(type='TokenMasker', stem=stem)).eval()
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    mask = some_mask(images, 32)
    assert model.layout.stride == stride
    features, _ = model.masker.encode(model.backbone, images, mask)
    (gradient,) = torch.autograd.grad((features * torch.randn_like(features)).sum(), images)
    assert gradient[expand(mask, (64, 64)).unsqueeze(1).expand_as(images)].abs().max() == 0
    model.train()
    model.loss(images, mask)['loss'].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(
    ('backbone', 'stem', 'message'),
    [
        (
            timm_encoder('convnext_atto', **SMALL),
            None,
            "stem='timm_model.patch_embed.proj' is no module of TIMMBackbone; the children of timm_model are: stem_0, "
            'stem_1, stages_0, stages_1, stages_2, stages_3; change masker.stem',
        ),
        (
            timm_encoder('vit_tiny_patch16_224', img_size=64, depth=3),
            None,
            'the children of timm_model.model are: patch_embed, pos_drop',
        ),
        (
            timm_encoder('swin_tiny_patch4_window7_224', **{**SMALL_SWIN, 'embed_dim': 24}),
            'timm_model.model.patch_embed',
            r'the stem of TIMMBackbone is \(1, 16, 16, 24\), with channels last.*change masker.stem to the convolution',
        ),
        (
            timm_encoder('swin_tiny_patch4_window7_224', **{**SMALL_SWIN, 'feature_cls': None, 'embed_dim': 24}),
            'timm_model.patch_embed.proj',
            r"last feature map of TIMMBackbone is \(1, 2, 2, 192\), with channels last, .*feature_cls='getter'",
        ),
    ],
    ids=['ConvNeXt', 'ViT', 'Swin, channels last in the stem', 'Swin, channels last'],
)
def test_encoders_of_timm_without_a_stem_that_fits_say_what_there_is(build_model, backbone, stem, message):
    with pytest.raises(ValueError, match=message):
        build_model(backbone=backbone, masker=dict(type='TokenMasker', stem=stem))


def test_a_stem_that_is_named_by_its_path_is_taken_for_overlapping(build_model):
    """An encoder that the table does not have: hidden pixels are blanked, which is safe for any stem."""

    class OneConvolution(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 7, stride=4, padding=3)
            self.body = nn.Conv2d(8, 16, 8, stride=8)

        def forward(self, images):
            return self.body(self.stem(images))

    from simmim_mm.registry import MODELS

    MODELS.register_module(name='OneConvolution', module=OneConvolution, force=True)
    try:
        with pytest.raises(ValueError, match='where the tokens of OneConvolution come from is not known'):
            build_model(backbone=dict(type='OneConvolution'))
        model = build_model(backbone=dict(type='OneConvolution'), masker=dict(type='TokenMasker', stem='stem'))
    finally:
        del MODELS.module_dict['OneConvolution']
    images = torch.randn(1, 3, 64, 64, requires_grad=True)
    mask = torch.tensor([[[True, False], [False, True]]])
    features, _ = model.masker.encode(model.backbone, images, mask)
    (gradient,) = torch.autograd.grad(features.square().sum(), images)
    assert gradient[..., :32, :32].abs().max() == 0
    assert gradient[..., :32, 32:].abs().max() > 0
