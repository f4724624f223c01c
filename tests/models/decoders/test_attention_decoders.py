"""Decoders with attention: all cells to all cells, and queries to visible cells."""

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.utils import build_2d_sincos_position_embedding

from simmim_mm.masking import Cells
from simmim_mm.models.decoders.positions import sincos_positions

TRANSFORMERS = ['CrossAttentionDecoder', 'TransformerDecoder']


@pytest.mark.parametrize('grid_hw', [(1, 1), (3, 3), (4, 7)])
def test_positions_equal_the_hosts_up_to_the_order_of_sides(grid_hw):
    """mmpretrain's sine and cosine terms, whose grid runs column by column."""
    mine = sincos_positions(grid_hw, torch.zeros(16))
    host = build_2d_sincos_position_embedding(grid_hw, 16)[0]
    by_rows = host.view(grid_hw[1], grid_hw[0], 16).transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(mine, by_rows)
    assert len(mine.unique(dim=0)) == len(mine)


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_equal_features_are_told_apart_by_their_place(name, build):
    """With the same feature in all cells, predictions differ between any two; without positions they would not."""
    decoder = build(name)
    features = torch.ones(1, 5, 3, 4, dtype=torch.float64)
    patches = decoder(features, torch.zeros(1, 3, 4, dtype=torch.bool), Cells(torch.arange(12), (3, 4))).flatten(1)
    assert (torch.cdist(patches, patches) + torch.eye(12) > 1e-6).all()


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_nothing_of_the_grid_is_stored(name, build, some_input):
    """One decoder serves all grids, and its keys are those of its layers."""
    decoder = build(name)
    assert set(decoder.state_dict()) == {key for key, _ in decoder.named_parameters()}
    for grid_hw in ((2, 2), (5, 1), (2, 2)):
        assert decoder(*some_input(grid_hw)).shape == (2, 2, 4 * grid_hw[0], 4 * grid_hw[1])


PARTLY = torch.zeros(1, 6, 10, dtype=torch.bool)
PARTLY[:, ::2, 1::2] = True  # a quarter of each cell of a 3x5 map
PARTLY[:, :2, :4] = True  # and two cells as a whole
MASKS = {
    'of cells': torch.tensor([[[1, 0, 1, 0, 1], [0, 1, 0, 1, 0], [1, 1, 1, 1, 0]]], dtype=torch.bool),
    'finer than cells': PARTLY,
    'coarser than cells': torch.tensor([[[1, 0, 0, 1, 1]]], dtype=torch.bool),
    'of everything': torch.ones(1, 3, 5, dtype=torch.bool),
    'of nothing': torch.zeros(1, 3, 5, dtype=torch.bool),
}


def hidden_as_a_whole(mask):
    """Brute force: cell (i, j) of a 3x5 map is hidden if all of the mask's entries in it are."""
    h, w = mask.shape[1:]
    return torch.tensor(
        [
            [
                all(
                    mask[0, y * h // 60, x * w // 60].item()
                    for y in range(20 * i, 20 * i + 20)
                    for x in range(12 * j, 12 * j + 12)
                )
                for j in range(5)
            ]
            for i in range(3)
        ]
    )


@pytest.mark.parametrize('mask', MASKS.values(), ids=MASKS)
def test_hidden_features_do_not_reach_the_prediction(mask, build, some_input):
    """Gradient exactly 0 for cells that are hidden as a whole, and not 0 for any other; finite with nothing to see."""
    decoder = build('CrossAttentionDecoder')
    features, _ = some_input(num_images=1)
    prediction = decoder(features, mask)
    assert torch.isfinite(prediction).all()
    for cell in prediction.unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3).unbind(2):
        (gradient,) = torch.autograd.grad(cell.square().sum(), features, retain_graph=True)
        assert torch.equal(gradient[0].abs().amax(0) == 0, hidden_as_a_whole(mask))


def test_cross_attention_block_equals_a_loop(build):
    """One head after the other, with a softmax over the visible keys alone, worked by hand."""
    block = build('CrossAttentionDecoder').blocks[0]
    queries, keys = (torch.randn(1, n, 16, dtype=torch.float64) for n in (3, 4))
    seen = torch.tensor([[True, False, True, True]])
    query = block.to_query(F.layer_norm(queries, (16,)))[0]
    key, value = block.to_key_and_value(keys[seen]).split(16, dim=-1)
    heads = []
    for part in (slice(0, 8), slice(8, 16)):
        weights = torch.exp(query[:, part] @ key[:, part].T / 8**0.5)
        heads.append(weights / weights.sum(1, keepdim=True) @ value[:, part])
    expected = queries[0] + block.attended(torch.cat(heads, dim=1))
    inner = F.layer_norm(expected, (16,)) @ block.mlp[0].weight.T + block.mlp[0].bias
    expected = expected + block.mlp[2](inner * 0.5 * (1 + torch.erf(inner / 2**0.5)))
    torch.testing.assert_close(block(queries, keys, seen)[0], expected)


def test_with_everything_hidden_images_do_not_differ(build, some_input):
    """There is nothing but the learned key to attend to: it learns, the embedding of features does not."""
    decoder = build('CrossAttentionDecoder')
    features, _ = some_input()
    prediction = decoder(features, torch.ones(2, 3, 5, dtype=torch.bool))
    torch.testing.assert_close(prediction[0], prediction[1], rtol=1e-12, atol=1e-12)
    (prediction * torch.randn_like(prediction)).sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in decoder.parameters())
    assert decoder.empty_key.grad.any()
    assert not decoder.embed.weight.grad.any()
