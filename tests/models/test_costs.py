"""What decoders cost, and the tool that says it."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from simmim_mm.models.costs import DECODERS, choose_decoders, compare_decoders, decoder_costs

TOOLS = Path(__file__).parents[2] / 'tools'
MASK = torch.tensor([[[True, False, True, False], [True, False, False, False]]])  # of 64x128 px, in cells of 32


def costs(build_model, necks, **kwargs):
    return decoder_costs(build_model(img_size=(64, 128), **kwargs), necks, (64, 128), MASK)


def test_linear_costs_are_those_of_a_matrix_product(build_model):
    """2 * cells * width * outputs, worked by hand for 8 cells and for the 3 hidden ones."""
    cost = costs(build_model, {'linear': DECODERS['linear']})['linear']
    outputs = 3 * 32**2
    assert cost.parameters == 128 * outputs + outputs
    assert cost.all_cells == 2 * 8 * 128 * outputs
    assert cost.hidden_cells == 2 * 3 * 128 * outputs


@pytest.mark.parametrize('name', ['transformer', 'cross-attention'])
def test_attention_counts(build_model, name):
    """By hand: projections, the two products of attention, MLPs; the last layer for the hidden cells alone."""
    width, depth, cells, outputs = 48, 3, 8, 3 * 32**2
    neck = {**DECODERS[name], 'embed_dims': width, 'depth': depth, 'num_heads': 4, 'mlp_ratio': 2}
    keys = cells if name == 'transformer' else cells + 1  # the learned one
    block = 2 * width**2 * (2 * cells + 2 * keys) + 2 * 2 * width * cells * keys + 2 * 2 * cells * width * 2 * width
    mixing = 2 * cells * 128 * width + depth * block
    cost = costs(build_model, {name: neck})[name]
    assert cost.all_cells == mixing + 2 * cells * width * outputs
    assert cost.hidden_cells == mixing + 2 * 3 * width * outputs


def test_encoders_are_counted_once_with_their_attention(build_model, tiny_encoders):
    """A ViT by hand, for 32 patches of 16 px and a class token."""
    vit = costs(
        build_model,
        {'linear': DECODERS['linear']},
        backbone={**tiny_encoders['VisionTransformer'], 'img_size': (64, 128)},
    )
    tokens, width = 33, 32
    block = 2 * 4 * tokens * width**2 + 2 * 2 * tokens**2 * width + 2 * 2 * tokens * width * 64
    assert vit['linear'].encoder == 2 * 32 * (3 * 16**2) * width + 2 * block


def test_tokens_that_are_left_out_do_not_count(build_model, tiny_encoders):
    """The same ViT on the 5 visible cells of 4 patches; the stem makes all patches."""
    vit = costs(
        build_model,
        {'transformer': DECODERS['transformer']},
        backbone={**tiny_encoders['VisionTransformer'], 'img_size': (64, 128)},
        masker=dict(type='VisibleMasker'),
        neck=DECODERS['transformer'],
    )
    tokens, width = 21, 32
    block = 2 * 4 * tokens * width**2 + 2 * 2 * tokens**2 * width + 2 * 2 * tokens * width * 64
    assert vit['transformer'].encoder == 2 * 32 * (3 * 16**2) * width + 2 * block


def test_all_pixels_need_all_cells(build_model):
    """Where the loss scores visible pixels too, a training step predicts the whole map."""
    cost = costs(build_model, {'mlp': DECODERS['mlp']}, head=dict(type='ReconstructionHead', area='all'))['mlp']
    assert cost.hidden_cells == cost.all_cells > 0


def test_all_decoders_stand_in_the_table(tiny_swin):
    """Linear is 1x; the config's own decoder comes last, with a cost of its own."""
    own = dict(type='MLPDecoder', hidden_channels=7)
    text = compare_decoders(dict(type='SimMIM', backbone=tiny_swin(), img_size=64, neck=own))
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if line.startswith('|')]
    assert [row[0] for row in rows[2:]] == [*DECODERS, 'config']
    assert rows[2][3] == rows[2][5] == '1.00x'
    assert rows[-1][1] == f'{128 * 7 + 7 + 7 * 3072 + 3072:,}'
    factors = {row[0]: float(row[3][:-1]) for row in rows[2:]}
    assert factors['swin-base'] > factors['swin-tiny'] > factors['mlp'] >= 1
    assert '3 of 4 cells of 32 px are hidden' in text


def test_what_is_compared_can_be_chosen():
    """The linear decoder is always there; the config's is not shown twice."""
    assert list(choose_decoders(['mlp'], None)) == ['linear', 'mlp']
    assert list(choose_decoders(['mlp'], dict(type='MLPDecoder'))) == ['linear', 'mlp']
    assert list(choose_decoders([], dict(type='SwinDecoder', arch='tiny'))) == list(DECODERS)
    assert list(choose_decoders(['mlp'], dict(type='SwinDecoder', arch='tiny'))) == ['linear', 'mlp', 'config']
    with pytest.raises(ValueError, match='--decoders conv: unknown; choose from linear, mlp'):
        choose_decoders(['conv', 'mlp'], None)


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        ({}, 'has no model with a backbone'),
        (
            dict(type='mmpretrain.ImageClassifier', backbone=dict(type='mmpretrain.ResNet', depth=18)),
            'is mmpretrain.ImageClassifier, not SimMIM',
        ),
    ],
)
def test_other_models_are_refused(cfg, message):
    with pytest.raises(ValueError, match=message):
        compare_decoders(cfg)


def test_the_mask_must_fit(tiny_swin):
    model = dict(type='SimMIM', backbone=tiny_swin(), img_size=64)
    with pytest.raises(ValueError, match='mask_patch_size=24 does not divide the image side 64'):
        compare_decoders(model, mask_patch_size=24)
    with pytest.raises(ValueError, match='mask_ratio=1.5'):
        compare_decoders(model, mask_ratio=1.5)


def test_the_tool_prints_the_table(monkeypatch, capsys, tmp_path, tiny_swin):
    """For a config file and two names."""
    config = tmp_path / 'config.py'
    config.write_text(f'model = dict(type="SimMIM", img_size=64, backbone={tiny_swin()!r})\n')
    monkeypatch.syspath_prepend(str(TOOLS))
    options = ['--decoders', 'mlp', 'deconv', '--cfg-options', 'model.img_size=128', '--mask-patch-size', '64']
    monkeypatch.setattr(sys, 'argv', ['compare_decoders.py', str(config), *options])
    runpy.run_path(str(TOOLS / 'compare_decoders.py'), run_name='__main__')
    text = capsys.readouterr().out
    assert 'one image of 128x128 px' in text
    assert '3 of 4 cells of 64 px are hidden' in text
    assert [line.split()[1] for line in text.splitlines() if line.startswith('| ')][2:] == ['linear', 'mlp', 'deconv']


def test_help_comes_at_once_and_names_the_decoders():
    """Without importing PyTorch."""
    command = [sys.executable, '-X', 'importtime', str(TOOLS / 'compare_decoders.py'), '--help']
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ', '.join(DECODERS) in ' '.join(result.stdout.split())
    assert 'argparse' in result.stderr
    assert 'torch' not in result.stderr
