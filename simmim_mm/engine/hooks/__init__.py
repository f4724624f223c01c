"""Hooks."""

from simmim_mm.engine.hooks.acceleration import AccelerationHook
from simmim_mm.engine.hooks.data_wait import DataWaitHook
from simmim_mm.engine.hooks.iteration_seed import IterationSeedHook
from simmim_mm.engine.hooks.preemption import PreemptionHook
from simmim_mm.engine.hooks.reconstruction import ReconstructionHook
from simmim_mm.engine.hooks.runtime_info import DeferredRuntimeInfoHook
from simmim_mm.engine.hooks.safe_checkpoint import SafeCheckpointHook
from simmim_mm.engine.hooks.sample_progress import SampleProgressHook
from simmim_mm.engine.hooks.unreadable_images import UnreadableImagesHook

__all__ = [
    'AccelerationHook',
    'DataWaitHook',
    'DeferredRuntimeInfoHook',
    'IterationSeedHook',
    'PreemptionHook',
    'ReconstructionHook',
    'SafeCheckpointHook',
    'SampleProgressHook',
    'UnreadableImagesHook',
]
