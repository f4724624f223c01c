"""Colour clusters of the training images of a config."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from scipy.cluster.vq import kmeans2, vq

from simmim_mm.datasets import SampleIndex, stack_samples
from simmim_mm.models.targets.cluster_file import ColourClusters, load_clusters, save_clusters
from simmim_mm.overwriting import refuse_to_overwrite
from simmim_mm.progress import track
from simmim_mm.registry import DATASETS, MODELS

# Pixels that k-means++ chooses the first centres from: its time grows with their number, and the clusters' squared.
START_PIXELS = 20_000
MAX_ROUNDS = 50
# A round that lowers the distortion by a smaller share is the last one.
TOLERANCE = 1e-4


def cluster_colours(
    cfg: Config,
    num_clusters: int,
    out: str,
    num_pixels: int = 200_000,
    num_images: int = 2000,
    seed: int = 0,
    force: bool = False,
) -> tuple[ColourClusters, bool]:
    """Finds the colours that stand for all others, by k-means over pixels of the training images, and keeps them.

    Args:
        cfg: A pre-training config; its model is not built, only the data set and the preprocessor.
        num_clusters: Number of colours.
        out: File to write. If it is there and was made with the same settings, it is read instead.
        num_pixels: Pixels to draw, in equal numbers from each image.
        num_images: Images to draw from, spread evenly over the data set; all where there are fewer.
        seed: Of crops, pixels and first centres.
        force: Whether to make the file anew, whatever is there.

    Returns:
        The clusters, and whether they were read from the file.

    Raises:
        ValueError: If the file was made with other settings or is the config, or the images have too few different
            colours.
    """
    refuse_to_overwrite(out, '--out', [cfg.filename] if cfg.filename else [])
    init_default_scope(cfg.get('default_scope', 'simmim_mm'))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    source = repr((cfg.train_dataloader.dataset.to_dict(), cfg.model.get('data_preprocessor')))
    num_images = min(num_images, len(dataset))
    settings = dict(
        num_clusters=num_clusters,
        num_pixels=num_pixels,
        num_images=num_images,
        seed=seed,
        data=hashlib.sha256(f'{len(dataset)} images of {source}'.encode()).hexdigest()[:16],
    )
    if os.path.exists(out) and not force:
        found = load_clusters(out)
        if found.settings == settings:
            return found, True
        raise ValueError(
            f'{out!r} holds colour clusters of other settings: {_differences(found.settings, settings)}; add '
            '--force to make it anew, or name another file with --out'
        )
    preprocessor = MODELS.build(cfg.model.get('data_preprocessor') or dict(type='simmim_mm.MaskedImagePreprocessor'))
    rng = np.random.default_rng(seed)
    pixels, low, high = sample_pixels(dataset, preprocessor, num_pixels, num_images, rng)
    centres, distortion = k_means((pixels - low) / (high - low), num_clusters, rng)
    clusters = ColourClusters(centres * (high - low) + low, np.stack([low, high]), distortion, settings)
    save_clusters(out, clusters)
    return clusters, False


def sample_pixels(
    dataset: Any, preprocessor: Any, num_pixels: int, num_images: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws pixels of training samples.

    Args:
        dataset: Of packed samples.
        preprocessor: Knows the order of the channels and the range of the pixels.
        num_pixels: How many to draw.
        num_images: Samples to draw them from.
        rng: What they are drawn with.

    Returns:
        Pixels (N, C) in the images' units; lowest and highest values that are possible, (C,) each.

    Raises:
        ValueError: If the preprocessor does not tell the range.
    """
    if not hasattr(preprocessor, 'normalised_range'):
        raise ValueError(
            f'{type(preprocessor).__name__} does not say which values pixels can have; use '
            "data_preprocessor=dict(type='MaskedImagePreprocessor', ...)"
        )
    each = -(-num_pixels // num_images)
    crop_seed = int(rng.integers(2**31))
    parts = []
    mean, std = (np.asarray(value).reshape(-1, 1) for value in (preprocessor.mean, preprocessor.std))
    for number in track(range(num_images), 'Reading images'):
        index = SampleIndex(number * len(dataset) // num_images, crop_seed, epoch=0)
        normalised = preprocessor(stack_samples([dataset[index]]))['inputs'][0].flatten(1).cpu().numpy()
        chosen = rng.choice(normalised.shape[1], min(each, normalised.shape[1]), replace=False)
        parts.append((normalised[:, chosen] * std + mean).T)
    low, high = (np.asarray(side.cpu()) * std[:, 0] + mean[:, 0] for side in preprocessor.normalised_range())
    return np.concatenate(parts)[:num_pixels], low, high


def k_means(points: np.ndarray, num_clusters: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """K-means, with k-means++ for the first centres.

    Args:
        points: (N, C)
        num_clusters: Number of centres (k).
        rng: What the first centres are drawn with.

    Returns:
        Centres (k, C), sorted by their sum over channels, dark to bright; and the mean squared distance of a point to
        its centre.

    Raises:
        ValueError: If there are fewer different points than centres.
    """
    # Differences of the arithmetic, far below a grey level, make no two colours of one.
    distinct = len(np.unique(points.round(5), axis=0))
    if distinct < num_clusters:
        raise ValueError(
            f'{num_clusters} colour clusters were asked for, but the pixels that were drawn have {distinct} different '
            'colours; set a smaller --num-clusters, or a larger --num-pixels'
        )
    points = points.astype(np.float64)
    start = points[rng.choice(len(points), min(START_PIXELS, len(points)), replace=False)]
    if len(np.unique(start.round(5), axis=0)) < num_clusters:
        start = points
    centres, _ = kmeans2(start, num_clusters, iter=1, minit='++', seed=rng)
    distortion = np.inf
    for _ in track(range(MAX_ROUNDS), 'Moving centres'):
        centres, _ = kmeans2(points, centres, iter=1, minit='matrix')  # a centre without points stays where it is
        before, distortion = distortion, float((vq(points, centres)[1] ** 2).mean())
        if before - distortion <= TOLERANCE * distortion:
            break
    return centres[np.argsort(centres.sum(axis=1))], distortion


def _differences(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    return ', '.join(
        f'{name}={found.get(name)!r} instead of {wanted[name]!r}' for name in wanted if found.get(name) != wanted[name]
    )
