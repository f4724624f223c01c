"""Pipelines in an order that would hide the wrong places are refused when the data set is built."""

from __future__ import annotations

import pytest
from mmcv.transforms import BaseTransform

from simmim_mm.datasets.transforms.checks import check_pipeline
from simmim_mm.registry import TRANSFORMS

LOAD = dict(type='LoadImage')
MAP = dict(type='LoadMap', folder='maps')
CROP = dict(type='RandomResizedCrop', size=64)
FLIP = dict(type='RandomFlip')
MASK = dict(type='RandomPatchMask', mask_patch_size=16)
SEMANTIC = dict(type='SemanticMask', mask_patch_size=16)
SALIENCY = dict(type='SaliencyMask', mask_patch_size=16)
PACK = dict(type='PackMaskedImage')
OTHER_FLIP = dict(type='mmpretrain.RandomFlip', prob=0.5)
COLOURS = dict(type='mmpretrain.ColorJitter', brightness=0.4)


class MyTransform(BaseTransform):
    def transform(self, results):
        return results

    def __repr__(self):
        return f'{type(self).__name__}()'  # names of tests must be the same in all processes


class MyCrop(MyTransform):
    """Follows maps, it says."""

    follows_maps = True


def check(steps):
    check_pipeline([TRANSFORMS.build(step) if isinstance(step, dict) else step for step in [*steps, PACK]])


@pytest.mark.parametrize(
    'steps',
    [
        [LOAD, CROP, FLIP, MASK],
        [LOAD, MAP, CROP, FLIP, SEMANTIC],
        [LOAD, COLOURS, MAP, COLOURS, CROP, FLIP, COLOURS, SEMANTIC],
        [LOAD, MAP, dict(MAP, key='depth'), CROP, SEMANTIC, dict(SALIENCY, score='depth', key='other_mask')],
        [dict(type='mmcv.LoadImageFromFile'), MAP, CROP, SEMANTIC],
        [MyTransform(), MAP, CROP, MyCrop(), FLIP, SEMANTIC, MyTransform()],
        [LOAD, MAP, OTHER_FLIP, MASK],  # no one uses the map
        [LOAD, OTHER_FLIP, SALIENCY],  # the score is of the image as it is
        [LOAD, CROP, dict(type='mmcv.RandomChoice', transforms=[[MASK], [SALIENCY]])],
        [LOAD, MAP, dict(type='mmcv.RandomApply', transforms=[FLIP]), SEMANTIC],
    ],
    ids=str,
)
def test_sound_pipelines_pass(steps):
    check(steps)


@pytest.mark.parametrize(
    ('steps', 'words'),
    [
        ([LOAD, CROP, MAP, SEMANTIC], 'LoadMap.*follows RandomResizedCrop'),
        ([LOAD, CROP, dict(MAP, resize=True), SEMANTIC], 'LoadMap.*follows RandomResizedCrop'),
        ([LOAD, FLIP, MAP, SEMANTIC], 'LoadMap.*follows RandomFlip.*directly behind LoadImage'),
        ([LOAD, OTHER_FLIP, MAP, SEMANTIC], 'LoadMap.*follows RandomFlip'),
        ([LOAD, dict(type='mmpretrain.ResizeEdge', scale=64), MAP, SEMANTIC], 'LoadMap.*follows ResizeEdge'),
        ([LOAD, MAP, OTHER_FLIP, SEMANTIC], r'maps do not follow mmcv\.RandomFlip.*RandomFlip of simmim_mm'),
        ([LOAD, MAP, dict(type='mmcv.RandomFlip', prob=0.5), CROP, SEMANTIC], r'do not follow mmcv\.RandomFlip'),
        ([LOAD, MAP, dict(type='mmpretrain.CenterCrop', crop_size=64), dict(SALIENCY, score='labels')], 'CenterCrop'),
        ([LOAD, MAP, MyTransform(), SEMANTIC], 'do not follow .*MyTransform.*follows_maps = True'),
        # Names of tests must be the same in all processes.
        pytest.param([LOAD, MAP, lambda results: results, SEMANTIC], 'do not follow .*<lambda>', id='lambda'),
        ([LOAD, MAP, dict(type='mmcv.RandomApply', transforms=[OTHER_FLIP]), SEMANTIC], r'mmcv\.RandomFlip'),
        ([LOAD, MAP, CROP, SEMANTIC, FLIP], 'put RandomFlip before SemanticMask'),
        ([LOAD, SALIENCY, OTHER_FLIP], 'put RandomFlip before SaliencyMask'),
        ([LOAD, MASK, CROP], 'put RandomResizedCrop before RandomPatchMask'),
        ([LOAD, MASK, dict(type='CenterCrop', size=96)], 'put CenterCrop before RandomPatchMask'),
        ([LOAD, CROP, dict(type='mmcv.RandomChoice', transforms=[[MASK, FLIP], [MASK]])], 'put RandomFlip before'),
        ([LOAD, CROP, MASK, SALIENCY], r"RandomPatchMask and SaliencyMask.*both have key='mask'.*key='other_mask'"),
        ([LOAD, CROP, MASK, dict(MASK, key='other_mask'), dict(SALIENCY, key='other_mask')], "key='other_mask'"),
        ([LOAD, MAP, dict(MAP, folder='others'), CROP, SEMANTIC], "LoadMap and LoadMap.*both have key='labels'"),
        ([LOAD, CROP, dict(MASK, mask_patch_size=24)], 'mask_patch_size=24 does not divide'),
    ],
    ids=str,
)
def test_pipelines_that_would_hide_wrong_places_are_refused(steps, words):
    """The message names both steps, and what to change."""
    with pytest.raises(ValueError, match=words):
        check(steps)
