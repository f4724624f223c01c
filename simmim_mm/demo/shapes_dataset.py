"""A small labelled data set, written on the spot: for classification, detection, segmentation and pre-training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from simmim_mm.demo.photographs import HELD_OUT, LONGEST_SIDE, TRAINING, photograph_folder
from simmim_mm.demo.shapes import CLASSES, Scene, paint_scene
from simmim_mm.progress import track

OBJECT_SIZE = (48, 48)
SCENE_SIZE = (72, 96)
MAX_OBJECTS = 5
# Of the width of each photograph: what is left of it is for training.
TRAINING_SHARE = 0.6
# Written last, so that a folder which has it is whole.
DESCRIPTION = 'shapes.json'


class Counts(NamedTuple):
    """Number of images of each part: per class for objects."""

    unlabelled: int = 6000
    train_objects: int = 100
    val_objects: int = 100
    train_scenes: int = 200
    val_scenes: int = 80


def make_shapes_dataset(folder: str, seed: int = 0, counts: Counts | None = None) -> dict[str, int]:
    """Paints objects with known outlines on the photographs that scikit-image ships, and writes them.

    What is for validation stands on a part of each photograph that nothing else uses::

        unlabelled/*.jpg                                 scenes without labels, for pre-training
        objects/{train,val}/CLASS/*.jpg                  one object an image: classification
        scenes/images/{train,val}/*.jpg                  up to five objects an image
        scenes/annotations/{train,val}.json              boxes and masks as COCO has them: detection
        scenes/labels/{train,val}/*.png                  ADE20K's form, 0 is background: segmentation
        shapes.json                                      seed, and number of images of each part

    Args:
        folder: Files there are overwritten.
        seed: The same seed and counts give the same files; and more images of a part begin with the same ones.
        counts: How many images.

    Returns:
        Number of images of each part.

    Raises:
        ImportError: If scikit-image is missing.
        ValueError: If a count or the seed is negative or no whole number.
    """
    counts = counts or Counts()
    for name, value in (*counts._asdict().items(), ('seed', seed)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise ValueError(f'{name}={value!r} of the shapes data set must be a whole number from 0')
    root = Path(folder)
    (root / DESCRIPTION).unlink(missing_ok=True)
    training, held_out = _open_parts([*(name for names in TRAINING.values() for name in names), *HELD_OUT])
    jobs: list[tuple[str, int]] = [
        *(('unlabelled', index) for index in range(counts.unlabelled)),
        *((f'objects/{part}', index) for part, total in _objects(counts).items() for index in range(total)),
        *((f'scenes/{part}', index) for part, total in _scenes(counts).items() for index in range(total)),
    ]
    coco: dict[str, dict[str, Any]] = {part: _empty_coco() for part in ('train', 'val')}
    parts = list(dict.fromkeys(('unlabelled', 'objects/train', 'objects/val', 'scenes/train', 'scenes/val')))
    for kind, index in track(jobs, 'Painting'):
        rng = np.random.default_rng([seed, parts.index(kind), index])
        photographs = held_out if kind.endswith('val') else training
        part = kind.rpartition('/')[2]
        if kind == 'unlabelled':
            # Single objects and whole scenes, as the labelled parts have them.
            scene = _draw(photographs, rng, single=index % 2 == 0)
            _save(scene.image, root / 'unlabelled' / f'{index:05d}.jpg')
        elif kind.startswith('objects'):
            label = index % len(CLASSES)
            scene = _draw(photographs, rng, single=True, label=label)
            _save(scene.image, root / kind / CLASSES[label] / f'{index // len(CLASSES):04d}.jpg')
        else:
            scene = _draw(photographs, rng, single=False)
            _save(scene.image, root / 'scenes' / 'images' / part / f'{index:04d}.jpg')
            _save(label_map(scene), root / 'scenes' / 'labels' / part / f'{index:04d}.png')
            _add_to_coco(coco[part], scene, f'{index:04d}.jpg')
    for part, content in coco.items():
        path = root / 'scenes' / 'annotations' / f'{part}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    written = {part: sum(kind == part for kind, _ in jobs) for part in parts}
    (root / DESCRIPTION).write_text(json.dumps({'seed': seed, 'images': written}))
    return written


def _objects(counts: Counts) -> dict[str, int]:
    return {'train': counts.train_objects * len(CLASSES), 'val': counts.val_objects * len(CLASSES)}


def _scenes(counts: Counts) -> dict[str, int]:
    return {'train': counts.train_scenes, 'val': counts.val_scenes}


def _open_parts(names: Sequence[str]) -> tuple[list[Image.Image], list[Image.Image]]:
    """The left and the right part of each photograph."""
    left, right = [], []
    for name in names:
        with Image.open(photograph_folder() / name) as image:
            photograph = image.convert('RGB')
        photograph.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        edge = round(TRAINING_SHARE * photograph.width)
        left.append(photograph.crop((0, 0, edge, photograph.height)))
        right.append(photograph.crop((edge, 0, photograph.width, photograph.height)))
    return left, right


def _draw(
    photographs: Sequence[Image.Image], rng: np.random.Generator, single: bool, label: int | None = None
) -> Scene:
    if single:
        drawn = int(rng.integers(len(CLASSES)))
        return paint_scene(photographs, OBJECT_SIZE, [drawn if label is None else label], rng, radii=(0.26, 0.42))
    kinds = rng.integers(len(CLASSES), size=int(rng.integers(1, MAX_OBJECTS + 1)))
    return paint_scene(photographs, SCENE_SIZE, kinds.tolist(), rng)


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)  # PNG has no quality, and ignores it


def label_map(scene: Scene) -> np.ndarray:
    """(H, W), uint8: 0 for background, else 1 + the class."""
    labels = np.zeros(scene.image.shape[:2], dtype=np.uint8)
    for kind, mask in zip(scene.classes, scene.masks, strict=True):
        labels[mask] = kind + 1
    return labels


def _empty_coco() -> dict[str, Any]:
    categories = [{'id': index + 1, 'name': name} for index, name in enumerate(CLASSES)]
    return {'images': [], 'annotations': [], 'categories': categories}


def _add_to_coco(coco: dict[str, Any], scene: Scene, name: str) -> None:
    height, width = scene.image.shape[:2]
    number = len(coco['images']) + 1
    coco['images'].append({'id': number, 'file_name': name, 'height': height, 'width': width})
    for kind, mask in zip(scene.classes, scene.masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        left, top = int(columns[0]), int(rows[0])
        coco['annotations'].append(
            {
                'id': len(coco['annotations']) + 1,
                'image_id': number,
                'category_id': kind + 1,
                'bbox': [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
                'area': int(mask.sum()),
                'iscrowd': 0,
                'segmentation': {'size': [height, width], 'counts': run_lengths(mask)},
            }
        )


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run lengths: columns one after another, beginning with a run of pixels outside."""
    flat = np.concatenate([[False], mask.ravel(order='F'), [False]])
    changes = np.flatnonzero(flat[1:-1] != flat[:-2])
    edges = np.concatenate([[0], changes, [mask.size]])
    return np.diff(edges).tolist()
