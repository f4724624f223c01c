"""Unlabelled images, and how they become batches."""

from simmim_mm.datasets import transforms
from simmim_mm.datasets.collate import stack_samples
from simmim_mm.datasets.randomness import SampleIndex, sample_rng
from simmim_mm.datasets.sampler import InfiniteSeededSampler, SeededSampler
from simmim_mm.datasets.unlabelled import TooManyUnreadableImagesError, UnlabelledImages

__all__ = [
    'InfiniteSeededSampler',
    'SampleIndex',
    'SeededSampler',
    'TooManyUnreadableImagesError',
    'UnlabelledImages',
    'sample_rng',
    'stack_samples',
    'transforms',
]
