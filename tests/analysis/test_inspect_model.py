"""Losses of images, variants of masks, and the tool."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from tiny import TINY_CONFIG, tiny_encoders

from simmim_mm.analysis import inspect_model
from simmim_mm.analysis.image_losses import image_losses, load_named, named_images
from simmim_mm.analysis.inspection import PICTURES
from simmim_mm.analysis.mask_variants import of_all_kinds, variants_batch, with_ratios
from simmim_mm.visualization import config_pipeline

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cfg(tmp_path, image_folder):
    """The tiny recipe, with a batch of two and no workers."""
    base = ROOT / 'configs' / 'simmim_swin_base.py'
    text = TINY_CONFIG.format(base=base, batch_size=2, num_workers=0, data_root=image_folder(5))
    path = tmp_path / 'tiny.py'
    path.write_text(text.replace("type='LoadImage'", "type='LoadImage', grey='repeat'"))
    return path


@pytest.fixture
def transforms(cfg):
    from simmim_mm.engine.config import load_config

    return config_pipeline(load_config(str(cfg)))


@pytest.fixture
def run(run_tool):
    return partial(run_tool, 'inspect_model.py')


def checkpoint_of(cfg, path, **changes):
    from simmim_mm.registry import MODELS

    loaded = Config.fromfile(cfg)
    loaded.model.update(changes)
    model = MODELS.build(loaded.model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return path


class TestLosses:
    def test_they_are_the_models_own_loss_on_one_image(self, build_model, image_folder, transforms):
        """With plain pixels and L1: the training loss of a batch of that image and mask alone."""
        model = build_model()
        images = named_images([image_folder(5)])
        found = image_losses(model, images, transforms, num_masks=2, seed=3)
        assert [scored.loss for scored in found] == sorted((scored.loss for scored in found), reverse=True)
        assert {scored.image for scored in found} == set(images)
        for scored in found:
            for number, loss in enumerate(scored.of_masks):
                packed = load_named(scored.image, transforms, 3 + number)
                data = model.data_preprocessor({key: packed[key][None] for key in ('inputs', 'mask')})
                with torch.no_grad():
                    expected = model.loss(data['inputs'], data['mask'])['loss'].item()
                assert loss == pytest.approx(expected, rel=1e-4)
            assert scored.loss == pytest.approx(np.mean(scored.of_masks))

    def test_masks_follow_from_name_and_seed_alone(self, image_folder, transforms, tmp_path):
        """Wherever the folder is and whatever else is in it; another name or seed has another mask."""
        first = named_images([image_folder(5)])
        os.rename(image_folder(5), tmp_path / 'moved')
        os.remove(tmp_path / 'moved' / '001.png')
        second = named_images([str(tmp_path / 'moved')])
        image_folder(5)
        masks = {image.name: load_named(image, transforms, 0)['mask'] for image in first}
        assert [image.name for image in second] == ['000.png', '002.png', '003.png', '004.png']
        for image in second:
            assert torch.equal(load_named(image, transforms, 0)['mask'], masks[image.name])
        assert len({mask.numpy().tobytes() for mask in masks.values()}) > 1
        assert any(not torch.equal(load_named(image, transforms, 1)['mask'], masks[image.name]) for image in first)
        assert named_images([str(tmp_path / 'moved' / '002.png')])[0].position == second[1].position

    def test_unreadable_images_are_left_out(self, build_model, image_folder, transforms):
        folder = Path(image_folder(3, name='some'))
        (folder / 'broken.png').write_bytes(b'no image')
        found = image_losses(build_model(), named_images([str(folder)]), transforms, num_masks=1)
        assert len(found) == 3


class TestVariants:
    def test_ratios_are_hidden_and_the_image_stays(self, transforms, image_folder):
        image = named_images([image_folder(1)])[0]
        ratios = (0.25, 0.5, 1.0)  # of four cells
        batch = variants_batch(image, transforms, with_ratios(transforms, ratios).values())
        assert batch['mask'].float().mean(dim=(1, 2)).tolist() == list(ratios)
        assert torch.equal(batch['inputs'][0], batch['inputs'][2])
        assert batch['inputs'].shape == (3, 3, 64, 64)

    def test_all_kinds_are_on_the_cells_of_the_config(self, transforms, image_folder):
        generators = of_all_kinds(transforms, 0.5)
        assert {'RandomPatchMask', 'SquareMask', 'BlockwiseMask', 'SaliencyMask, hard'} <= set(generators)
        batch = variants_batch(named_images([image_folder(1)])[0], transforms, generators.values())
        assert batch['mask'].shape == (len(generators), 2, 2)

    def test_ratios_beyond_one_are_refused(self, transforms):
        with pytest.raises(ValueError, match='--ratios=1.5'):
            with_ratios(transforms, [1.5])


def sizes_of(folder):
    return {path.name: Image.open(path).size for path in folder.glob('*.png')}


def test_the_tool_writes_pictures_and_numbers(run, cfg, tmp_path, image_folder):
    checkpoint = checkpoint_of(cfg, tmp_path / 'tiny.pth')
    folder = Path(image_folder(5))
    (folder / 'broken.png').write_bytes(b'no image')
    out = tmp_path / 'out'
    output = run(cfg, checkpoint, folder, '--out', out, '--num-masks', '2', '--ratios', '0.25', '0.75')
    found = json.loads((out / 'model.json').read_text())
    assert sorted(found['pictures']) == sorted(sizes_of(out)) == sorted(PICTURES)
    assert output.split()[-1] == str(out / 'model.json')
    assert found['unreadable'] == [str(folder / 'broken.png')]
    assert [len(layer['heads']) for layer in found['attention']['layers']] == [1, 2, 4, 8]
    assert all(0 < layer['uniform'] < 64 for layer in found['attention']['layers'])
    ranking = found['losses']['ranking']
    assert len(ranking) == 5
    assert [entry['loss'] for entry in ranking] == sorted((entry['loss'] for entry in ranking), reverse=True)
    # Four columns and two ratios of 64 pixels, gaps of 4, names on top and to the left.
    width, height = sizes_of(out)['mask_ratios.png']
    assert (height, width > 4 * 64 + 3 * 4) == (18 + 2 * 64 + 4, True)
    again = tmp_path / 'again'
    run(cfg, checkpoint, folder, '--out', again, '--num-masks', '2', '--ratios', '0.25', '0.75')
    assert json.loads((again / 'model.json').read_text()) == found


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('key', ['masker.mask_token', 'backbone.stages.3.blocks.0.attn.w_msa.qkv.weight'])
def test_weights_of_a_broken_run_are_refused(run, cfg, tmp_path, image_folder, key, value):
    """One number that is not finite, which its pictures could not show."""
    checkpoint = checkpoint_of(cfg, tmp_path / 'tiny.pth')
    saved = torch.load(checkpoint, weights_only=True)
    saved['state_dict'][key].view(-1)[3] = value
    torch.save(saved, checkpoint)
    output = run(cfg, checkpoint, image_folder(1), '--out', tmp_path / 'out', status=2)
    assert f"error: '{checkpoint}' holds numbers that are not finite, in {key}; take an earlier checkpoint" in output
    assert not (tmp_path / 'out').exists() or not any((tmp_path / 'out').iterdir())


def test_no_image_is_overwritten(run, cfg, tmp_path, image_folder):
    """A photograph that is called as one of the pictures."""
    folder = Path(image_folder(2))
    (folder / '001.png').rename(folder / 'mask_kinds.png')
    before = {path: path.read_bytes() for path in folder.iterdir()}
    output = run(cfg, checkpoint_of(cfg, tmp_path / 'tiny.pth'), folder, '--out', folder, status=2)
    assert 'mask_kinds.png' in output
    assert 'is read and would be overwritten' in output
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_encoders_without_attention_have_all_the_rest(run, cfg, tmp_path, image_folder):
    text = cfg.read_text() + f'\nmodel["backbone"] = dict(_delete_=True, **{tiny_encoders()["ResNet"]!r})\n'
    cfg.write_text(text)
    checkpoint = checkpoint_of(cfg, tmp_path / 'resnet.pth')
    out = tmp_path / 'out'
    run(cfg, checkpoint, image_folder(2), '--out', out)
    found = json.loads((out / 'model.json').read_text())
    assert 'no attention of a kind that is known' in found['attention']['none']
    assert found['attention']['encoder'] == 'ResNet'
    assert set(found['pictures']) == {'hardest_and_easiest.png', 'mask_ratios.png', 'mask_kinds.png'}


def test_models_without_decoder_have_their_attention(build_model, image_folder, transforms, tmp_path):
    model = build_model(companion=dict(type='ContrastiveCompanion', alone=True))
    written = inspect_model(model, named_images([image_folder(2)]), transforms, str(tmp_path / 'out'), [0.5])
    found = json.loads(Path(written[-1]).read_text())
    assert 'no decoder' in found['losses']['none']
    assert found['pictures'] == ['attention.png', 'attention_heads.png', 'attention_distance.png']


def test_targets_that_are_no_images_are_drawn(build_model, image_folder, transforms, tmp_path):
    head = dict(type='ReconstructionHead', target=dict(type='HOGTarget'), loss=dict(type='L2Loss'))
    written = inspect_model(
        build_model(head=head), named_images([image_folder(2)]), transforms, str(tmp_path / 'out'), [0.5], num_masks=1
    )
    assert len(json.loads(Path(written[-1]).read_text())['pictures']) == 6


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['{cfg}', 'none.pth', '{images}'], "checkpoint 'none.pth' is no file"),
        (['{cfg}', '{checkpoint}', 'none.png'], "image 'none.png' does not exist"),
        (['{cfg}', '{checkpoint}', '{images}', '--ratios', '2'], '--ratios=2.0'),
        (['{cfg}', '{checkpoint}', '{images}', '--depth', '2'], 'unrecognized arguments'),
        (['{cfg}', '{checkpoint}', '{images}', '--out', '{cfg}'], 'cannot be made: File exists; name another folder'),
        (['{cfg}', '{checkpoint}', '{images}', '--out', '{cfg}/out'], 'cannot be made: Not a directory; name another'),
    ],
    ids=str,
)
def test_what_cannot_work_is_said(run, cfg, tmp_path, image_folder, arguments, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = dict(cfg=cfg, checkpoint=checkpoint_of(cfg, tmp_path / 'tiny.pth'), images=image_folder(1))
    assert message in run(*(argument.format(**places) for argument in arguments), status=2)
