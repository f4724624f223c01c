"""The painted data set: what its files say agrees with each other, with pycocotools, and with geometry."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from simmim_mm.demo.shapes import CLASSES, object_mask, paint_scene
from simmim_mm.demo.shapes_dataset import Counts, make_shapes_dataset, run_lengths

COUNTS = Counts(unlabelled=4, train_objects=2, val_objects=1, train_scenes=6, val_scenes=3)


@pytest.fixture(scope='module')
def shapes(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('shapes')
    written = make_shapes_dataset(str(folder), seed=3, counts=COUNTS)
    assert list(written.values()) == [4, 16, 8, 6, 3]
    return folder


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_files_and_another_one_others(shapes, tmp_path):
    first = hashes(shapes)
    assert len(first) == 4 + 16 + 8 + 2 * (6 + 3) + 3
    make_shapes_dataset(str(tmp_path / 'again'), seed=3, counts=COUNTS)
    assert hashes(tmp_path / 'again') == first
    make_shapes_dataset(str(tmp_path / 'other'), seed=4, counts=COUNTS)
    other = hashes(tmp_path / 'other')
    assert not {other[name] for name in first if name.endswith('.jpg')} & set(first.values())


def test_more_images_begin_with_the_same_ones(shapes, tmp_path):
    make_shapes_dataset(str(tmp_path), seed=3, counts=COUNTS._replace(unlabelled=6, val_scenes=4))
    more, first = hashes(tmp_path), hashes(shapes)
    images = [name for name in first if not name.endswith('.json')]
    assert all(more[name] == first[name] for name in images)
    assert len(more) == len(first) + 4


@pytest.mark.parametrize('part', ['train', 'val'])
def test_the_annotations_agree_with_the_label_maps(shapes, part):
    """pycocotools reads the masks; together they are the label map; box and area are the mask's."""
    coco = COCO(str(shapes / 'scenes' / 'annotations' / f'{part}.json'))
    assert [category['name'] for category in coco.dataset['categories']] == list(CLASSES)
    total = 0
    for image in coco.dataset['images']:
        pixels = np.asarray(Image.open(shapes / 'scenes' / 'images' / part / image['file_name']))
        assert pixels.shape == (image['height'], image['width'], 3) == (72, 96, 3)
        labels = np.asarray(Image.open(shapes / 'scenes' / 'labels' / part / image['file_name'].replace('jpg', 'png')))
        assert labels.dtype == np.uint8
        painted = np.zeros_like(labels)
        for annotation in coco.imgToAnns[image['id']]:
            mask = coco.annToMask(annotation).astype(bool)
            assert not painted[mask].any()
            painted[mask] = annotation['category_id']
            assert annotation['area'] == mask.sum() > 0
            encoded = coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))
            assert annotation['bbox'] == coco_masks.toBbox(encoded).tolist()
            total += 1
        assert np.array_equal(painted, labels)
    assert total > len(coco.dataset['images'])


def test_class_folders_hold_one_object_each_and_the_parts_share_no_image(shapes):
    for part, count in (('train', 2), ('val', 1)):
        folders = {path.name: len(list(path.iterdir())) for path in (shapes / 'objects' / part).iterdir()}
        assert folders == dict.fromkeys(CLASSES, count)
    images = [value for name, value in hashes(shapes).items() if name.endswith('.jpg')]
    assert len(set(images)) == len(images)


@pytest.mark.parametrize(
    ('name', 'area'),
    [
        ('disc', math.pi),
        ('ring', math.pi * (1 - 0.55**2)),
        ('square', 2.0),
        ('triangle', 3 * math.sqrt(3) / 4),
        ('hexagon', 3 * math.sqrt(3) / 2),
        ('star', 5 * 0.42 * math.sin(math.pi / 5)),
        ('cross', 4 * 2 * 0.32 * 0.95 - 4 * 0.32**2),
        ('half_disc', math.pi / 2),
    ],
)
def test_areas_are_those_of_geometry(name, area):
    """Within a hundredth, however the object is turned."""
    for turn in (0.0, 1.0):
        cover = object_mask(name, (200, 240), (110.3, 95.8), 60.0, turn)
        assert cover.sum() == pytest.approx(area * 60**2, rel=0.015)
        assert cover.min() == 0
        assert cover.max() == 1


def test_masks_of_a_scene_do_not_overlap_and_hold_what_was_painted(photographs):
    """Pixels outside of all objects are the photograph's, whatever was painted."""
    images = [Image.fromarray(photographs['coffee'])]
    empty = paint_scene(images, (64, 96), [], np.random.default_rng(5))
    scene = paint_scene(images, (64, 96), [0, 3, 4, 4, 7], np.random.default_rng(5))
    assert scene.masks.sum(axis=0).max() == 1
    assert len(scene.classes) == len(scene.masks) >= 2
    outside = ~scene.masks.any(axis=0)
    changed = (scene.image != empty.image).any(axis=-1)
    assert (changed & outside).sum() < 0.25 * changed.sum()  # the edges, which are covered in part
    assert changed[~outside].mean() > 0.95


@pytest.mark.parametrize('mask', [[[0, 0], [0, 0]], [[1, 1], [1, 1]], [[1, 0, 1], [0, 1, 1]], [[0, 1, 0], [0, 1, 1]]])
def test_run_lengths_are_cocos(mask):
    mask = np.array(mask, dtype=bool)
    encoded = coco_masks.frPyObjects({'size': list(mask.shape), 'counts': run_lengths(mask)}, *mask.shape)
    assert np.array_equal(coco_masks.decode(encoded).astype(bool), mask)


@pytest.mark.parametrize('value', [-1, 1.5, '3', True, None])
def test_wrong_counts_and_seeds_are_refused(tmp_path, value):
    with pytest.raises(ValueError, match='must be a whole number from 0'):
        make_shapes_dataset(str(tmp_path), seed=value)
    with pytest.raises(ValueError, match=r'val_scenes=.* must be a whole number from 0'):
        make_shapes_dataset(str(tmp_path), counts=COUNTS._replace(val_scenes=value))
    assert not list(tmp_path.iterdir())
