"""From a JPEG file to a crop with its mask, and from samples to a batch: our way, mmpretrain's and the authors'."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import Compose, default_collate, pseudo_collate
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from PIL import Image

from simmim_mm.datasets import UnlabelledImages, stack_samples
from simmim_mm.datasets.sampler import SampleIndex


class Pipeline(NamedTuple):
    """How one code base makes samples.

    Attributes:
        batch: From positions of files to what a worker hands over.
        collate: From single samples to a batch, as its loader does.
        sample: From a position to one sample.
    """

    batch: Callable[[Sequence[int]], Any]
    collate: Callable[[Sequence[Any]], Any]
    sample: Callable[[int], Any]


def own_pipeline(folder: str, size: int = 192, fast: bool = True, decode: str = 'worker') -> Pipeline:
    """Ours: whole batches are written into one tensor (``__getitems__``).

    Args:
        folder: Of the files.
        size: Side of the crop.
        fast: Whether large files are decoded no larger than the crop needs.
        decode: ``'device'`` for batches of files that are still to be decoded.
    """
    data = UnlabelledImages(
        folder,
        fast=fast,
        decode=decode,
        pipeline=[
            dict(type='simmim_mm.LoadImage', grey='repeat', channels=3),
            dict(type='simmim_mm.RandomResizedCrop', size=size, scale=(0.67, 1.0)),
            dict(type='simmim_mm.RandomFlip', prob=0.5),
            dict(type='simmim_mm.RandomPatchMask', mask_patch_size=32, mask_ratio=0.6),
            dict(type='simmim_mm.PackMaskedImage'),
        ],
    )

    def index(position: int) -> Any:
        return SampleIndex(position % len(data), seed=0, epoch=position // len(data))

    def batch(positions: Sequence[int]) -> Any:
        return stack_samples(data.__getitems__([index(position) for position in positions]))

    return Pipeline(batch, stack_samples, lambda position: data[index(position)])


def mmpretrain_pipeline(files: Sequence[str], size: int = 192) -> Pipeline:
    """mmpretrain's, from its own config: OpenCV's resize without antialiasing, a DataSample each.

    Args:
        files: The images.
        size: Side of the crop.
    """
    cfg = get_config('mmpretrain::simmim/simmim_swin-base-w6_8xb256-amp-coslr-100e_in1k-192px.py')
    steps = copy.deepcopy(cfg.train_dataloader.dataset.pipeline)
    steps[1].scale, steps[3].input_size = size, size
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        import mmpretrain.datasets  # noqa: F401  (fills its registry)
        from mmpretrain.registry import TRANSFORMS

        compose = Compose([TRANSFORMS.build(step) for step in steps])

    def sample(position: int) -> Any:
        return compose({'img_path': files[position % len(files)], 'sample_idx': position})

    return Pipeline(lambda positions: default_collate([sample(one) for one in positions]), pseudo_collate, sample)


def authors_pipeline(files: Sequence[str], size: int = 192) -> Pipeline:
    """The published one: Pillow, torchvision's antialiased crop, flip, normalise; a mask of stem cells in int64.

    Written from the description in the paper (section 4.1) and from its recipe: scale 0.67 to 1, ratio 3/4 to 4/3.

    Args:
        files: The images.
        size: Side of the crop.
    """
    from torchvision import transforms

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.67, 1.0), ratio=(3 / 4, 4 / 3)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    cells = size // 32

    def sample(position: int) -> Any:
        with Image.open(files[position % len(files)]) as image:
            tensor = transform(image.convert('RGB'))
        order = np.random.permutation(cells**2)  # noqa: NPY002  (the global state, as published)
        mask = (order < np.ceil(0.6 * cells**2)).astype(int).reshape(cells, cells)
        return tensor, mask.repeat(8, axis=0).repeat(8, axis=1)

    return Pipeline(lambda positions: default_collate([sample(one) for one in positions]), default_collate, sample)


def pipelines_of(files: Sequence[str], size: int = 192) -> dict[str, Pipeline]:
    """All pipelines over the same files of one folder, ours first."""
    return {
        'ours': own_pipeline(str(Path(files[0]).parent), size),
        'mmpretrain': mmpretrain_pipeline(files, size),
        'authors': authors_pipeline(files, size),
    }
