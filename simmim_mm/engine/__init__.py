"""Optimisation, schedules, hooks and launching."""

from simmim_mm.engine.hooks import ReconstructionHook, SampleProgressHook, UnreadableImagesHook
from simmim_mm.engine.layer_decay import LayerDecayConstructor
from simmim_mm.engine.param_groups import MergedGroupsConstructor
from simmim_mm.engine.precision import PrecisionOptimWrapper
from simmim_mm.engine.pretrained import CheckedPretrained
from simmim_mm.engine.schedulers import CosineWithWarmupLR

__all__ = [
    'CheckedPretrained',
    'CosineWithWarmupLR',
    'LayerDecayConstructor',
    'MergedGroupsConstructor',
    'PrecisionOptimWrapper',
    'ReconstructionHook',
    'SampleProgressHook',
    'UnreadableImagesHook',
]
