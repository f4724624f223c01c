"""Errors on hidden pixels and trivial fillers, against loops over pixels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from mmengine.runner import LogProcessor
from processes import in_processes
from tiny import TINY_CONFIG

from simmim_mm.engine.config import load_config
from simmim_mm.engine.launch import build_runner
from simmim_mm.evaluation import MaskedReconstructionMetric, local_mean, mean_colour
from simmim_mm.registry import MODELS


def test_mean_colour_by_hand():
    image = torch.tensor([[[[1.0, 3.0], [5.0, 100.0]]]])
    hidden = torch.tensor([[[False, False], [False, True]]])
    # (1 + 3 + 5) / 3 = 3
    assert mean_colour(image, hidden).tolist() == [[[[1.0, 3.0], [5.0, 3.0]]]]


@pytest.mark.parametrize('radius', [1, 2, 5])
def test_local_mean_equals_a_loop(radius):
    rng = np.random.default_rng(radius)
    image, hidden = rng.normal(size=(2, 9, 13)), rng.random((9, 13)) < 0.8
    expected = image.copy()
    for row, column in zip(*np.nonzero(hidden), strict=True):
        reach = radius
        while True:
            window = np.s_[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            visible = ~hidden[window]
            if visible.any():
                break
            reach *= 2
        expected[:, row, column] = image[:, window[0], window[1]][:, visible].mean(axis=1)
    filled = local_mean(torch.from_numpy(image)[None], torch.from_numpy(hidden)[None], radius)[0]
    assert np.allclose(filled.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize('filler', [mean_colour, local_mean])
def test_fillers_keep_what_is_visible_and_survive_what_is_not(filler):
    image = torch.randn(2, 3, 32, 48)
    hidden = torch.rand(2, 32, 48) < 0.5
    hidden[1] = True
    filled = filler(image, hidden)
    assert torch.equal(filled[0][:, ~hidden[0]], image[0][:, ~hidden[0]])
    assert torch.equal(filled[1], torch.zeros(3, 32, 48))


def test_the_metric_averages_over_hidden_pixels_then_images():
    metric = MaskedReconstructionMetric()
    hidden = torch.tensor([[True, False], [False, False]])
    image = torch.tensor([[[2.0, 1.0], [1.0, 4.0]]])  # mean of the visible pixels: 2
    metric.process(
        None,
        [
            {'image': image, 'reconstruction': image + 0.5, 'hidden': hidden},
            {'image': image, 'reconstruction': image - 1.5, 'hidden': ~hidden},  # only the 2 is visible
            {'image': image, 'reconstruction': image + 9.0, 'hidden': torch.zeros(2, 2, dtype=torch.bool)},
        ],
    )
    values = metric.evaluate(size=3)
    assert values['val/hidden_l1'] == pytest.approx((0.5 + 1.5) / 2)
    # |2 - 2| = 0, and (|1 - 2| + |1 - 2| + |4 - 2|) / 3 = 4 / 3
    assert values['val/mean_colour_l1'] == pytest.approx((0 + 4 / 3) / 2)
    assert values['val/local_mean_l1'] == pytest.approx((0 + 4 / 3) / 2)


def test_a_validation_is_logged_as_it_is(build_model):
    """MMEngine's log processor averages keys of a pattern over past values; none of ours is one of them."""
    metric, images = MaskedReconstructionMetric(), torch.randn(2, 3, 64, 64)
    metric.process({}, build_model().predict(images, torch.ones(2, 2, 2, dtype=torch.bool)))
    keys = metric.evaluate(2).keys()
    assert 'val/hidden_objective' in keys
    assert not [key for key in keys if re.search(LogProcessor().mean_pattern, key)]


def test_each_file_counts_once():
    """Repeated by the sampler, or in the place of an unreadable one; positions stand in where there are none."""
    hidden = torch.ones(1, 2, 2, dtype=torch.bool)

    def samples(*errors):
        image = torch.zeros(1, 2, 2)
        return [{'image': image, 'reconstruction': image + error, 'hidden': hidden[0]} for error in errors]

    metric = MaskedReconstructionMetric()
    metric.process({'img_path': ['a', 'b']}, samples(1.0, 2.0))
    metric.process({'img_path': ['a', 'c']}, samples(1.0, 6.0))
    assert metric.evaluate(size=4)['val/hidden_l1'] == pytest.approx(3)
    metric.process({'img_path': ['', '']}, samples(1.0, 2.0))
    metric.process({'img_path': ['', '']}, samples(6.0, 100.0))  # the last one fills the batch of a process
    assert metric.evaluate(size=3)['val/hidden_l1'] == pytest.approx(3)
    assert metric.evaluate(size=0) == {}


def _validate(config, checkpoint, number):
    """Metrics by the Runner's validation, and the mask of each file, of all processes."""
    cfg = load_config(config, launcher='none' if number == 1 else 'pytorch')
    cfg.load_from = checkpoint
    masks = {}

    @METRICS.register_module(force=True)  # of MMEngine: the contract tests look at ours
    class MaskNotes(BaseMetric):
        def process(self, data_batch, data_samples):
            found = zip(data_batch['img_path'], data_batch['mask'], strict=True)
            masks.update({path: mask.tolist() for path, mask in found})
            self.results += [None] * len(data_samples)

        def compute_metrics(self, results):
            return {}

    cfg.val_evaluator = [cfg.val_evaluator, dict(type='MaskNotes', prefix='notes')]
    return build_runner(cfg).val(), masks


def test_masks_and_metrics_are_the_same_in_two_processes_and_for_two_checkpoints(image_folder, tmp_path):
    """Seven images in batches of two: two processes take eight, one of them twice."""
    (tmp_path / 'tiny.py').write_text(
        TINY_CONFIG.format(
            base=Path(__file__).parents[2] / 'configs' / 'simmim_swin_base.py',
            batch_size=2,
            num_workers=0,
            data_root=image_folder(7),
        )
        + "log_level = 'ERROR'\noptim_wrapper = dict(precision='fp32')\n"
        'val_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, '
        "sampler=dict(type='SeededSampler', shuffle=False, seed=0), collate_fn=dict(type='simmim_mm.stack_samples'), "
        "dataset=dict(type='UnlabelledImages', fixed=True, data_root=train_dataloader['dataset']['data_root'], "
        "pipeline=[dict(type='LoadImage'), dict(type='CenterCrop', size=64), "
        "dict(type='RandomPatchMask', mask_patch_size=16), dict(type='PackMaskedImage')]))\n"
        "val_evaluator = dict(type='MaskedReconstructionMetric')\nval_cfg = dict()\n"
        f'work_dir = {str(tmp_path / "run")!r}\n'
    )
    config = str(tmp_path / 'tiny.py')
    for number in range(2):
        torch.manual_seed(number)
        model = MODELS.build(load_config(config).model)
        model.init_weights()
        torch.save({'state_dict': model.state_dict(), 'meta': {}}, tmp_path / f'{number}.pth')
    first, other = (str(tmp_path / f'{number}.pth') for number in range(2))
    ((alone, masks),) = in_processes(1, _validate, config, first, 1)
    (one, its), (two, theirs) = in_processes(2, _validate, config, first, 2)
    assert len(masks) == 7
    assert one == two
    assert one == pytest.approx(alone, rel=1e-5)
    assert its | theirs == masks
    assert len(its) == len(theirs) == 4
    ((elsewhere, same_masks),) = in_processes(1, _validate, config, other, 1)
    assert same_masks == masks
    assert elsewhere['val/hidden_l1'] != alone['val/hidden_l1']
    assert elsewhere['val/mean_colour_psnr'] == alone['val/mean_colour_psnr']
