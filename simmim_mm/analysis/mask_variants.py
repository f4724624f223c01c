"""One image under several masks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from simmim_mm.analysis.image_losses import NamedImage
from simmim_mm.datasets.collate import stack_samples
from simmim_mm.datasets.transforms import PackMaskedImage
from simmim_mm.datasets.transforms.masks import MaskGenerator
from simmim_mm.masking import check_ratio
from simmim_mm.visualization.gallery import STRATEGIES, strategy
from simmim_mm.visualization.samples import load_sample

# Of single pixels, which token maskers cannot hide.
FINE = ('PixelMask',)


def with_generator(transforms: Iterable[Callable], generator: MaskGenerator) -> list[Callable]:
    """A pipeline that draws its mask in another way.

    Args:
        transforms: Built transforms, one of which draws masks.
        generator: What is to draw them.

    Returns:
        Built transforms: those before the mask, the generator, and packing.
    """
    before = []
    for transform in transforms:
        if isinstance(transform, MaskGenerator):
            break
        before.append(transform)
    return [*before, generator, PackMaskedImage()]


def own_generator(transforms: Iterable[Callable]) -> MaskGenerator:
    """The generator of a pipeline's masks.

    Args:
        transforms: Built transforms, one of which draws masks.
    """
    return next(transform for transform in transforms if isinstance(transform, MaskGenerator))


def with_ratios(transforms: Sequence[Callable], ratios: Sequence[float]) -> dict[str, MaskGenerator]:
    """The generator of a pipeline, with other ratios.

    Args:
        transforms: Built transforms, one of which draws masks.
        ratios: Shares to hide.

    Returns:
        Generators by what they are called in a picture.

    Raises:
        ValueError: If a ratio is none.
    """
    found = {}
    for ratio in ratios:
        generator = copy.copy(own_generator(transforms))
        generator.mask_ratio = check_ratio(ratio, '--ratios')
        found[f'{100 * ratio:g} %'] = generator
    return found


def of_all_kinds(transforms: Sequence[Callable], ratio: float) -> dict[str, MaskGenerator]:
    """All strategies on the cells of a pipeline's masks, but for those of single pixels or label maps.

    Args:
        transforms: Built transforms, one of which draws masks.
        ratio: Share to hide.

    Returns:
        Generators by what they are called in a picture.
    """
    cell = own_generator(transforms).mask_patch_size
    built = {name: strategy(name, cell, ratio) for name in STRATEGIES if name not in FINE}
    return {name: generator for name, generator in built.items() if generator.needs_map is None}


def variants_batch(
    image: NamedImage, transforms: Sequence[Callable], generators: Iterable[MaskGenerator], seed: int = 0
) -> dict[str, Any]:
    """The same image with a mask of each generator.

    Args:
        image: The image.
        transforms: Built transforms, from loading to packing.
        generators: What draws the masks.
        seed: Of the masks.

    Returns:
        A collated batch, one row a generator.

    Raises:
        UnreadableImageError: If the file cannot be read.
    """
    pipelines = [with_generator(transforms, generator) for generator in generators]
    return stack_samples(
        [load_sample({'img_path': image.path}, pipeline, image.position, seed) for pipeline in pipelines]
    )
