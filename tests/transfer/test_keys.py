"""Key tables, against the classes whose keys they name."""

import pytest
import torch
from mmpretrain.models.utils import PatchMerging

from simmim_mm.registry import MODELS
from simmim_mm.transfer.keys import FAMILIES, Row, to_ours, to_theirs
from simmim_mm.transfer.recognise import DERIVED, last_stage, translate, translate_back

CASES = [(family, name) for family, formats in FAMILIES.items() for name in formats]


def weights_of(config: dict) -> dict[str, torch.Tensor]:
    """Different numbers for each weight of an encoder."""
    state = MODELS.build(config).state_dict()
    return {key: torch.randn(value.shape) for key, value in state.items() if not key.endswith(DERIVED)}


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(('family', 'name'), CASES)
def test_round_trip_is_exact(tiny_encoders, family, name):
    """Ours to any format and back is the same to the last bit; the format and the encoder are recognised."""
    weights = weights_of(tiny_encoders[family])
    for inside in (True, False):
        theirs, _ = translate_back(family, name, weights, inside_simmim=inside)
        back = translate(theirs, 'a file')
        assert same(back.encoder, weights)
        assert back.family == family
        # The authors' bare ViT has timm's keys, and their bare Swin those of microsoft/Swin-Transformer.
        assert back.format_name == name or (name == 'simmim' and not inside)
    assert name == 'mmpretrain' or not theirs.keys() <= weights.keys()


def test_every_row_has_a_weight(tiny_encoders):
    """No row of a table is dead: each matches a key of the encoder, of one of its variants."""
    per_block = dict(tiny_encoders['BEiTViT'], use_rel_pos_bias=True, use_shared_rel_pos_bias=False, final_norm=True)
    variants = {
        'SwinTransformer': [dict(use_abs_pos_embed=True)],
        'SwinTransformerV2': [dict(use_abs_pos_embed=True)],
        'VisionTransformer': [{}],
        'BEiTViT': [{}, dict(use_abs_pos_emb=True), per_block],
    }
    for family, formats in FAMILIES.items():
        used = set()
        for options in variants[family]:
            weights = weights_of({**tiny_encoders[family], **options})
            for row in {row.ours for table in formats.values() for row in table.rows}:
                translated, _ = to_theirs(weights, [Row(row, row)], last_stage(weights))
                used |= {row} if translated else set()
        assert used == {row.ours for table in formats.values() for row in table.rows}


def test_patch_merging_is_reordered():
    """Cells cut out by hand in the authors' order, with their weights, against mmpretrain's layer with ours."""
    layer = PatchMerging(in_channels=5, out_channels=7, norm_cfg=dict(type='LN'))
    theirs = {
        'd.norm.weight': torch.randn(20),
        'd.norm.bias': torch.randn(20),
        'd.reduction.weight': torch.randn(7, 20),
    }
    rows = [Row('norm.*', 'd.norm.*', 'merging'), Row('reduction.weight', 'd.reduction.weight', 'merging')]
    ours, unknown = to_ours(theirs, rows, last=3)
    assert not unknown
    layer.load_state_dict(ours)
    images = torch.randn(2, 4, 6, 5)
    cells = [images[:, row::2, column::2] for row, column in ((0, 0), (1, 0), (0, 1), (1, 1))]
    normed = torch.nn.functional.layer_norm(
        torch.cat(cells, dim=-1).flatten(1, 2), (20,), theirs['d.norm.weight'], theirs['d.norm.bias']
    )
    expected = normed @ theirs['d.reduction.weight'].T
    torch.testing.assert_close(layer(images.flatten(1, 2), (4, 6))[0], expected)
    assert same(to_theirs(ours, rows, last=3)[0], theirs)


def test_unknown_keys_are_named(tiny_encoders):
    """A key that no row knows is not passed over."""
    theirs, _ = translate_back('SwinTransformer', 'simmim', weights_of(tiny_encoders['SwinTransformer']), True)
    theirs['encoder.layers.1.adapter.weight'] = torch.zeros(1)
    with pytest.raises(ValueError, match=r'1 of its .* keys are unknown, such as encoder.layers.1.adapter.weight'):
        translate(theirs, 'a file')


def test_encoders_without_table_are_refused():
    """ConvNeXt has no key table, and the plain ViT none for the authors' code."""
    with pytest.raises(ValueError, match='ConvNeXt has no key table for timm; only SwinTransformer'):
        translate_back('ConvNeXt', 'timm', {}, inside_simmim=False)
    with pytest.raises(ValueError, match='it has some for timm, hf, mmpretrain'):
        translate_back('VisionTransformer', 'simmim', {}, inside_simmim=False)


def test_a_wrong_code_base_is_refused(tiny_encoders):
    """--from says another one than the file is of."""
    theirs, _ = translate_back('SwinTransformer', 'timm', weights_of(tiny_encoders['SwinTransformer']), True)
    with pytest.raises(ValueError, match='seems to be a Swin Transformer'):
        translate(theirs, 'a file', 'hf')
