"""From samples to a batch."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.dataset import default_collate

from simmim_mm.datasets.rows import Rows
from simmim_mm.datasets.transforms.masks import MASK_KEYS
from simmim_mm.registry import FUNCTIONS


@FUNCTIONS.register_module()
def stack_samples(samples: Sequence[dict] | Rows, _scope_: str | None = None) -> dict:
    """Stacks packed samples; in a worker of the loader, straight into shared memory.

    Args:
        samples: What :class:`~simmim_mm.datasets.transforms.PackMaskedImage` returned; or the rows of a batch that a
            data set of this package has written already, which is returned as it is.
        _scope_: Unused. MMEngine marks configs that were inherited by package name with it, and, unlike its registries,
            its loader hands the mark on.

    Returns:
        ``inputs`` (B, C, H, W) uint8 or float32, ``mask`` (and ``other_mask``) (B, h, w) bool, and the other keys as
        lists.

    Raises:
        ValueError: If images or masks differ in shape, or images in type.
    """
    if isinstance(samples, Rows):
        return samples.as_batch()
    check_alike(samples)
    return default_collate(samples)


def check_alike(samples: Sequence[dict]) -> None:
    """Checks that samples can be stacked.

    Args:
        samples: Of one batch.

    Raises:
        ValueError: If images or masks differ in shape, or images in type.
    """
    types = {sample['inputs'].dtype: sample for sample in samples if 'inputs' in sample}
    if len(types) > 1:
        found = ' and '.join(f'{dtype} of {sample.get("img_path")!r}' for dtype, sample in types.items())
        raise ValueError(
            f'inputs of one batch differ in type: {found}; bring all files to 8 bits, or none, or leave some out '
            'of the data set'
        )
    for name in ('inputs', *MASK_KEYS):
        shapes = {tuple(sample[name].shape): sample for sample in samples if name in sample}
        if len(shapes) > 1:
            found = ' and '.join(f'{shape} of {sample.get("img_path")!r}' for shape, sample in list(shapes.items())[:2])
            channels = {shape[0] for shape in shapes}
            raise ValueError(
                f'{name} of one batch differ in shape: {found}; '
                + (
                    'set channels of LoadImage to one number'
                    if name == 'inputs' and len(channels) > 1
                    else 'give all images one size, with RandomResizedCrop or CenterCrop in the pipeline'
                )
            )
