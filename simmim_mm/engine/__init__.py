"""Optimisation, schedules, hooks and launching."""

from simmim_mm.engine.hooks import (
    AccelerationHook,
    DataWaitHook,
    DeferredRuntimeInfoHook,
    FiniteGuardHook,
    IterationSeedHook,
    LossWatchHook,
    PreemptionHook,
    ProgressHook,
    ReconstructionHook,
    RepresentationHook,
    RunRecordHook,
    SafeCheckpointHook,
    SampleProgressHook,
    ThroughputHook,
    UnreadableImagesHook,
)
from simmim_mm.engine.layer_decay import LayerDecayConstructor
from simmim_mm.engine.loops import ResumableEpochLoop
from simmim_mm.engine.param_groups import MergedGroupsConstructor
from simmim_mm.engine.precision import PrecisionOptimWrapper
from simmim_mm.engine.pretrained import CheckedPretrained
from simmim_mm.engine.schedulers import CosineWithWarmupLR
from simmim_mm.engine.sharding import FullyShardedDataParallel, ShardedRunner

__all__ = [
    'AccelerationHook',
    'CheckedPretrained',
    'CosineWithWarmupLR',
    'DataWaitHook',
    'DeferredRuntimeInfoHook',
    'FiniteGuardHook',
    'FullyShardedDataParallel',
    'IterationSeedHook',
    'LayerDecayConstructor',
    'LossWatchHook',
    'MergedGroupsConstructor',
    'PrecisionOptimWrapper',
    'PreemptionHook',
    'ProgressHook',
    'ReconstructionHook',
    'RepresentationHook',
    'ResumableEpochLoop',
    'RunRecordHook',
    'SafeCheckpointHook',
    'SampleProgressHook',
    'ShardedRunner',
    'ThroughputHook',
    'UnreadableImagesHook',
]
