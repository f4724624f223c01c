"""One picture of all masking strategies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simmim_mm.datasets.randomness import SampleIndex, sample_rng
from simmim_mm.datasets.transforms import CenterCrop, LoadImage, LoadMap, MaskGenerator
from simmim_mm.registry import TRANSFORMS
from simmim_mm.visualization.panels import HIDDEN_GREY, label_columns, tile, to_rgb
from simmim_mm.visualization.regions import colour_regions

# Name -> config without cells and ratio. Those without mask_patch_size take the cells that are asked for.
STRATEGIES: dict[str, dict[str, Any]] = {
    'RandomPatchMask': dict(type='RandomPatchMask'),
    'SquareMask': dict(type='SquareMask'),
    'RectangleMask': dict(type='RectangleMask'),
    'BlockwiseMask': dict(type='BlockwiseMask'),
    'PixelMask': dict(type='PixelMask', mask_patch_size=1),
    'IrregularMask': dict(type='IrregularMask', mask_patch_size=1),
    'SaliencyMask, hard': dict(type='SaliencyMask', prefer='hard'),
    'SaliencyMask, easy': dict(type='SaliencyMask', prefer='easy'),
    'SemanticMask': dict(type='SemanticMask'),
}
# They need an image, and the last one a label map too.
CONTENT = ('SaliencyMask, hard', 'SaliencyMask, easy', 'SemanticMask')


def strategy(name: str, cell: int | None = None, ratio: float = 0.6) -> MaskGenerator:
    """Builds a strategy.

    Args:
        name: Of :data:`STRATEGIES`.
        cell: Side of a cell in pixels; by default the strategy's own.
        ratio: Share of the cells to hide.

    Returns:
        The generator.
    """
    cfg = {**STRATEGIES[name], 'mask_ratio': ratio}
    if cell is not None:
        cfg['mask_patch_size'] = cell
    return TRANSFORMS.build(cfg)


def load_contents(
    paths: Sequence[str], size: tuple[int, int], labels: str | None = None, labels_suffix: str = '.png'
) -> list[dict]:
    """Images with label maps.

    Args:
        paths: Image files.
        size: (height, width) of the central crop.
        labels: Folder of their label maps; without it regions of similar colour stand in.
        labels_suffix: See ``LoadMap``.

    Returns:
        Samples with ``img`` and ``maps``.

    Raises:
        FileNotFoundError: If an image has no label map in the folder.
    """
    load, crop = LoadImage(grey='repeat'), CenterCrop(size)
    load_map = None if labels is None else LoadMap(folder=labels, suffix=labels_suffix, resize=True)
    samples = []
    for path in paths:
        results = load({'img_path': path})
        assert results is not None
        if load_map is not None:
            results = load_map(results)
        results = crop(results)
        if load_map is None:
            results['maps'] = {'labels': colour_regions(to_rgb(results['img'].transpose(2, 0, 1)[None])[0])}
        samples.append(results)
    return samples


def draw_mask(generator: MaskGenerator, sample: dict, seed: int) -> np.ndarray:
    """Draws one mask.

    Args:
        generator: A mask generator.
        sample: With ``img``, and with ``maps`` where the generator needs one.
        seed: Of the mask.

    Returns:
        (h, w) bool.
    """
    results = generator({**sample, 'rng': sample_rng(SampleIndex(0, seed, epoch=0))})
    assert results is not None
    return results['mask']


def draw_gallery(samples: Sequence[dict], cell: int = 16, ratio: float = 0.6, seed: int = 0) -> np.ndarray:
    """Draws a mask of each strategy on each image.

    Args:
        samples: See :func:`load_contents`, all of one size.
        cell: Side of a cell in pixels, for the strategies that have no resolution of their own.
        ratio: Share to hide.
        seed: Of the masks.

    Returns:
        (height, width, 3) uint8: a row an image, a column a strategy, the whole image first. Over a column stand the
        class, the side of its cells, and the share that it hides as a mean over the images.

    Raises:
        ValueError: If the cells do not divide the images.
    """
    originals = [to_rgb(sample['img'].transpose(2, 0, 1)[None])[0] for sample in samples]
    pictures, names, settings = [np.stack(originals)], ['original'], ['']
    for name, cfg in STRATEGIES.items():
        generator = strategy(name, None if 'mask_patch_size' in cfg else cell, ratio)
        side = generator.mask_patch_size
        # A seed an image, or all rows would show the same mask.
        masks = np.stack([draw_mask(generator, sample, seed + row) for row, sample in enumerate(samples)])
        hidden = masks.repeat(side, axis=1).repeat(side, axis=2)
        pictures.append(np.where(hidden[..., None], np.uint8(HIDDEN_GREY), pictures[0]))
        names.append(name)
        settings.append(f'{side} px, {100 * hidden.mean():.0f} % hidden')
    panel = label_columns(tile(np.stack(pictures, axis=1)), settings)
    return label_columns(panel, names)
