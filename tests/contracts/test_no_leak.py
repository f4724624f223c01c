"""Promise: what is hidden cannot be seen."""

import pytest
import torch

MASKS = {
    'one of four': torch.tensor([[[True, False], [False, False]]]),
    'three of four': torch.tensor([[[True, True], [False, True]]]),
    'one by stem cell': (torch.arange(16)[:, None] * 7 + torch.arange(16) * 3).remainder(5).lt(2)[None],
}


@pytest.fixture(params=list(MASKS))
def mask(request):
    return MASKS[request.param]


@pytest.fixture
def images():
    return torch.randn(1, 3, 64, 64, requires_grad=True)


def _in_pixels(mask):
    """Brute force: pixel (i, j) of a 64 px image is hidden if its cell is."""
    cell = 64 // mask.shape[-1]
    return torch.tensor([[bool(mask[0, i // cell, j // cell]) for j in range(64)] for i in range(64)])


def test_no_visible_stem_cell_depends_on_a_hidden_pixel(tiny_model, images, mask):
    """The gradient of all visible stem cells is exactly 0 on hidden pixels, and not on visible ones."""
    seen = []
    stem = tiny_model.backbone.patch_embed
    stem.register_forward_hook(lambda module, args, output: seen.append(output[0]))  # runs after the masker's
    tiny_model.masker.encode(tiny_model.backbone, images, mask)
    pixels = _in_pixels(mask)
    visible_cells = ~pixels[::4, ::4].flatten()
    visible = seen[0][:, visible_cells]
    (gradient,) = torch.autograd.grad((visible * torch.randn_like(visible)).sum(), images)
    assert gradient[..., pixels].abs().max() == 0
    assert (gradient[..., ~pixels] != 0).float().mean() > 0.99


def test_hidden_stem_cells_hold_the_token_alone(tiny_model, images, mask):
    """Every hidden cell is the token, bit by bit; every visible cell is the plain stem's."""
    seen = []
    stem = tiny_model.backbone.patch_embed
    plain = stem(images)[0]
    stem.register_forward_hook(lambda module, args, output: seen.append(output[0]))
    tiny_model.masker.encode(tiny_model.backbone, images, mask)
    hidden = _in_pixels(mask)[::4, ::4].flatten()
    token = tiny_model.masker.mask_token[0, 0]
    assert torch.equal(seen[0][0, hidden], token.expand(int(hidden.sum()), -1))
    assert torch.equal(seen[0][0, ~hidden], plain[0, ~hidden])


def test_features_do_not_depend_on_hidden_pixels(tiny_model, images, mask):
    """The gradient of the whole feature map, hidden cells included, is exactly 0 on hidden pixels."""
    features, _ = tiny_model.masker.encode(tiny_model.backbone, images, mask)
    (gradient,) = torch.autograd.grad((features * torch.randn_like(features)).sum(), images)
    pixels = _in_pixels(mask)
    assert gradient[..., pixels].abs().max() == 0
    assert (gradient[..., ~pixels] != 0).float().mean() > 0.99


@pytest.mark.parametrize('poison', [1e4, float('inf'), float('nan')])
def test_hidden_pixels_may_hold_anything(tiny_model, images, mask, poison):
    """Any value of hidden pixels, NaN included, leaves the features as they were, bit by bit."""
    features, _ = tiny_model.masker.encode(tiny_model.backbone, images, mask)
    poisoned = images.detach().masked_fill(_in_pixels(mask), poison)
    again, _ = tiny_model.masker.encode(tiny_model.backbone, poisoned, mask)
    assert torch.equal(again, features)


def test_images_of_a_batch_have_masks_of_their_own(tiny_model):
    """The features of an image are those that it has alone with its own mask."""
    images = torch.randn(3, 3, 64, 64)
    masks = torch.cat([MASKS['one of four'], MASKS['three of four'], ~MASKS['one of four']])
    together, _ = tiny_model.masker.encode(tiny_model.backbone, images, masks)
    for number in range(3):
        one = slice(number, number + 1)
        alone, _ = tiny_model.masker.encode(tiny_model.backbone, images[one], masks[one])
        torch.testing.assert_close(together[one], alone, rtol=1e-5, atol=1e-6)


def test_everything_hidden_makes_all_images_equal(tiny_model):
    """With a ratio of 1 the encoder sees tokens only."""
    images = torch.randn(2, 3, 64, 64)
    features, _ = tiny_model.masker.encode(tiny_model.backbone, images, torch.ones(2, 2, 2, dtype=torch.bool))
    assert torch.equal(features[0], features[1])


def test_only_hidden_cells_use_the_token(tiny_model, images):
    """Nothing hidden: no gradient for the token. Something hidden: one."""
    token = tiny_model.masker.mask_token
    for hide, expected in ((False, False), (True, True)):
        features, _ = tiny_model.masker.encode(tiny_model.backbone, images, torch.full((1, 2, 2), hide))
        (gradient,) = torch.autograd.grad((features * torch.randn_like(features)).sum(), token)
        assert bool(gradient.abs().max() > 0) is expected
