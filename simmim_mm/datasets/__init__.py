"""Unlabelled images, how they become batches, and a few labelled ones."""

from simmim_mm.datasets import transforms
from simmim_mm.datasets.collate import stack_samples
from simmim_mm.datasets.few_labels import FewLabels
from simmim_mm.datasets.host_images import HostImages
from simmim_mm.datasets.randomness import Moment, SampleIndex, sample_facts, sample_rng
from simmim_mm.datasets.sampler import InfiniteSeededSampler, SeededSampler
from simmim_mm.datasets.sharded import ShardedImages
from simmim_mm.datasets.unlabelled import TooManyUnreadableImagesError, UnlabelledImages
from simmim_mm.datasets.workers import start_worker

__all__ = [
    'FewLabels',
    'HostImages',
    'InfiniteSeededSampler',
    'Moment',
    'SampleIndex',
    'SeededSampler',
    'ShardedImages',
    'TooManyUnreadableImagesError',
    'UnlabelledImages',
    'sample_facts',
    'sample_rng',
    'stack_samples',
    'start_worker',
    'transforms',
]
