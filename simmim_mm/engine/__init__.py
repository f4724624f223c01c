"""Optimisation, schedules, hooks and launching."""

from simmim_mm.engine.hooks import AccelerationHook, ReconstructionHook, SampleProgressHook, UnreadableImagesHook
from simmim_mm.engine.layer_decay import LayerDecayConstructor
from simmim_mm.engine.param_groups import MergedGroupsConstructor
from simmim_mm.engine.precision import PrecisionOptimWrapper
from simmim_mm.engine.pretrained import CheckedPretrained
from simmim_mm.engine.schedulers import CosineWithWarmupLR
from simmim_mm.engine.sharding import FullyShardedDataParallel, ShardedRunner

__all__ = [
    'AccelerationHook',
    'CheckedPretrained',
    'CosineWithWarmupLR',
    'FullyShardedDataParallel',
    'LayerDecayConstructor',
    'MergedGroupsConstructor',
    'PrecisionOptimWrapper',
    'ReconstructionHook',
    'SampleProgressHook',
    'ShardedRunner',
    'UnreadableImagesHook',
]
