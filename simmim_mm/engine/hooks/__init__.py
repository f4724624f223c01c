"""Hooks."""

from simmim_mm.engine.hooks.acceleration import AccelerationHook
from simmim_mm.engine.hooks.data_wait import DataWaitHook
from simmim_mm.engine.hooks.finite_guard import FiniteGuardHook
from simmim_mm.engine.hooks.iteration_seed import IterationSeedHook
from simmim_mm.engine.hooks.loss_watch import LossWatchHook
from simmim_mm.engine.hooks.preemption import PreemptionHook
from simmim_mm.engine.hooks.progress import ProgressHook
from simmim_mm.engine.hooks.reconstruction import ReconstructionHook
from simmim_mm.engine.hooks.representation import RepresentationHook
from simmim_mm.engine.hooks.run_record import RunRecordHook
from simmim_mm.engine.hooks.runtime_info import DeferredRuntimeInfoHook
from simmim_mm.engine.hooks.safe_checkpoint import SafeCheckpointHook
from simmim_mm.engine.hooks.sample_progress import SampleProgressHook
from simmim_mm.engine.hooks.throughput import ThroughputHook
from simmim_mm.engine.hooks.unreadable_images import UnreadableImagesHook

__all__ = [
    'AccelerationHook',
    'DataWaitHook',
    'DeferredRuntimeInfoHook',
    'FiniteGuardHook',
    'IterationSeedHook',
    'LossWatchHook',
    'PreemptionHook',
    'ProgressHook',
    'ReconstructionHook',
    'RepresentationHook',
    'RunRecordHook',
    'SafeCheckpointHook',
    'SampleProgressHook',
    'ThroughputHook',
    'UnreadableImagesHook',
]
