"""Masks that follow the content: saliency and objects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from simmim_mm.datasets import SampleIndex, UnlabelledImages
from simmim_mm.datasets.transforms import SaliencyMask, SemanticMask


def draw(generator, maps=None, image=None, seed=0):
    if image is None:
        image = np.zeros((*next(iter(maps.values())).shape, 3), np.uint8)
    results = {'img': image, 'rng': np.random.default_rng(seed)}
    if maps is not None:
        results['maps'] = maps
    return generator(results)['mask']


def test_saliency_takes_the_cells_with_the_highest_means():
    """At temperature 0: the 4 of 12 cells with the highest mean of the map, or the lowest."""
    scores = np.random.default_rng(0).normal(size=(24, 32)).astype(np.float32)
    means = np.array([[scores[i : i + 8, j : j + 8].mean() for j in range(0, 32, 8)] for i in range(0, 24, 8)])
    for prefer, order in (('hard', np.argsort(-means, axis=None)), ('easy', np.argsort(means, axis=None))):
        generator = SaliencyMask('depth', prefer=prefer, temperature=0, mask_patch_size=8, mask_ratio=1 / 3)
        mask = draw(generator, {'depth': scores})
        assert set(np.flatnonzero(mask)) == set(order[:4])


def test_saliency_of_a_function_and_of_a_map_are_the_same():
    """A function of the image stands for the map that it makes; labels are scores too."""
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    options = dict(mask_patch_size=8, mask_ratio=0.5)
    by_function = draw(SaliencyMask(lambda image: image.max(axis=-1), **options), image=image, seed=3)
    by_map = draw(SaliencyMask('brightness', **options), {'brightness': image.max(axis=-1)}, image, seed=3)
    assert np.array_equal(by_function, by_map)


def test_spectral_residual_hides_what_stands_out(photographs):
    """A bright spot on noise: always hidden among the hard fifth, never among the easy one."""
    image = np.random.default_rng(0).integers(60, 100, (96, 128, 3), dtype=np.uint8)
    image[50:62, 66:78] = 255  # inside cell (3, 4)
    options = dict(temperature=0, mask_patch_size=16, mask_ratio=0.2)
    assert draw(SaliencyMask(prefer='hard', **options), image=image)[3, 4]
    assert not draw(SaliencyMask(prefer='easy', **options), image=image)[3, 4]
    grey = image[..., :1]
    thirteen = np.repeat(grey, 13, axis=-1)
    hard = SaliencyMask(prefer='hard', **options)
    assert np.array_equal(draw(hard, image=grey), draw(hard, image=thirteen))


def test_temperature_mixes():
    """The share of the highest half that is hidden falls from 1 to a half as temperature rises."""
    scores = np.random.default_rng(0).normal(size=(8, 8))
    top = scores >= np.median(scores)
    shares = []
    for temperature in (0, 0.3, 3, float('inf')):
        generator = SaliencyMask('map', temperature=temperature, mask_patch_size=1, mask_ratio=0.5)
        masks = [draw(generator, {'map': scores}, seed=seed) for seed in range(200)]
        shares.append(np.mean([mask[top].mean() for mask in masks]))
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(0.5, abs=0.02)


def test_equal_scores_leave_it_to_chance():
    """An even image: every cell in about half of 400 draws, even at temperature 0."""
    generator = SaliencyMask(temperature=0, mask_patch_size=16, mask_ratio=0.5)
    masks = [draw(generator, image=np.full((64, 64, 3), 9, np.uint8), seed=seed) for seed in range(400)]
    assert np.abs(np.mean(masks, axis=0) - 0.5).max() < 0.13  # the standard deviation is 0.025


def blocks(h: int, w: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """A label map whose cells of `side` pixels are each of one of five labels, 0 the background."""
    return rng.integers(0, 5, (h, w)).repeat(side, axis=0).repeat(side, axis=1)


@given(st.integers(1, 8), st.integers(1, 8), st.floats(0, 1), st.integers(0, 10**6))
def test_all_hidden_objects_but_one_are_hidden_whole(h, w, ratio, seed):
    """And the background is touched only when no object is left."""
    labels = blocks(h, w, 2, np.random.default_rng(seed))
    mask = draw(SemanticMask(mask_patch_size=2, mask_ratio=ratio), {'labels': labels}, seed=seed)
    owners = labels[::2, ::2]
    in_part = [label for label in np.unique(owners) if label and 0 < mask[owners == label].mean() < 1]
    assert len(in_part) <= 1
    if mask[owners == 0].any():
        assert mask[owners != 0].all()


def test_a_part_of_an_object_hangs_together():
    """One object that fills a row: what is hidden of it are neighbours."""
    generator = SemanticMask(mask_patch_size=1, mask_ratio=0.25)
    for seed in range(20):
        mask = draw(generator, {'labels': np.ones((1, 40), dtype=int)}, seed=seed)
        where = np.flatnonzero(mask)
        assert len(where) == 10
        assert where[-1] - where[0] == 9


def test_every_object_has_its_turn():
    """Four quarters and a ratio of a quarter: each is hidden alone, in about a quarter of 400 draws."""
    labels = np.kron([[1, 2], [3, 4]], np.ones((8, 8), dtype=int))
    generator = SemanticMask(mask_patch_size=4, mask_ratio=0.25)
    drawn = [draw(generator, {'labels': labels}, seed=seed) for seed in range(400)]
    for label in range(1, 5):
        count = sum(np.array_equal(mask, (labels == label)[::4, ::4]) for mask in drawn)
        assert 60 < count < 140


def test_background_is_what_is_said():
    """0 by default, several, or none."""
    labels = np.array([[0, 1], [7, 255]])
    for background, objects in ((0, {1, 7, 255}), ([0, 255], {1, 7}), (None, {0, 1, 7, 255}), ((1,), {0, 7, 255})):
        generator = SemanticMask(background=background, mask_patch_size=1, mask_ratio=0.25)
        drawn = {int(labels[draw(generator, {'labels': labels}, seed=seed)][0]) for seed in range(80)}
        assert drawn == objects


@pytest.mark.parametrize('cls', [SaliencyMask, SemanticMask])
def test_a_missing_map_and_one_that_does_not_fit_are_refused(cls):
    """The message says which, and what to put into the pipeline."""
    generator = cls('there', mask_patch_size=4)
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"needs the map 'there'.*\(there: none\).*LoadMap"):
        draw(generator, image=image)
    with pytest.raises(ValueError, match=r"\(there: 'here'\)"):
        draw(generator, {'here': image[..., 0]}, image)
    with pytest.raises(ValueError, match=r'has the shape \(8, 4\), but the image is \(8, 8\)'):
        draw(generator, {'there': image[:, :4, 0]}, image)
    with pytest.raises(ValueError, match=r'has the shape \(8, 8, 3\)'):
        draw(generator, {'there': image}, image)


def test_wrong_values_are_refused():
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match='labels are whole numbers'):
        draw(SemanticMask(mask_patch_size=4), {'labels': np.zeros((8, 8))}, image)
    with pytest.raises(ValueError, match='not finite'):
        draw(SaliencyMask('map', mask_patch_size=4), {'map': np.full((8, 8), np.nan)}, image)
    with pytest.raises(ValueError, match=r'returned the shape \(8, 8, 3\)'):
        draw(SaliencyMask(lambda image: image, mask_patch_size=4), image=image)


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: SaliencyMask(score=''), 'score='),
        (lambda: SaliencyMask(score=3), 'score=3'),
        (lambda: SaliencyMask(prefer='flat'), "prefer='flat'"),
        (lambda: SaliencyMask(temperature=-1), 'temperature=-1'),
        (lambda: SaliencyMask(temperature=float('nan')), 'temperature=nan'),
        (lambda: SaliencyMask(temperature='0'), "temperature='0'"),
        (lambda: SaliencyMask(temperature=True), 'temperature=True'),
        (lambda: SemanticMask(labels=''), "labels=''"),
        (lambda: SemanticMask(labels=None), 'labels=None'),
        (lambda: SemanticMask(background='0'), "background='0'"),
        (lambda: SemanticMask(background=0.5), 'background=0.5'),
        (lambda: SemanticMask(background=True), 'background=True'),
        (lambda: SemanticMask(background=[0, None]), r'background=\[0, None\]'),
    ],
)
def test_wrong_options_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_representations_say_the_options():
    assert "prefer='easy'" in repr(SaliencyMask(prefer='easy'))
    assert 'background=(0, 255)' in repr(SemanticMask(background=[0, 255]))


def test_from_files_to_hidden_objects(tmp_path):
    """Through a data set with crops and flips: of four squares on black, those that are hidden are hidden whole.

    The image shows each label as a grey level, so which cells hold what is read off the image that comes out.
    """
    labels = np.zeros((120, 160), np.uint8)
    for number, (top, left) in enumerate([(10, 10), (10, 100), (70, 20), (60, 90)], start=1):
        labels[top : top + 40, left : left + 40] = number
    (tmp_path / 'images' / 'a').mkdir(parents=True)
    (tmp_path / 'labels' / 'a').mkdir(parents=True)
    Image.fromarray(labels * 60).save(tmp_path / 'images' / 'a' / '1.png')
    Image.fromarray(labels).save(tmp_path / 'labels' / 'a' / '1.png')
    pipeline = [
        dict(type='LoadImage', channels=1),
        dict(type='LoadMap', folder=str(tmp_path / 'labels'), image_root=str(tmp_path / 'images')),
        dict(type='RandomResizedCrop', size=(96, 128)),
        dict(type='RandomFlip'),
        dict(type='SemanticMask', mask_patch_size=1, mask_ratio=0.1),
        dict(type='PackMaskedImage'),
    ]
    images = UnlabelledImages(str(tmp_path / 'images'), pipeline=pipeline, serialize_data=False)
    hidden_levels = set()
    for epoch in range(20):
        packed = images[SampleIndex(0, seed=0, epoch=epoch)]
        grey, mask = packed['inputs'][0].numpy(), packed['mask'].numpy()
        assert mask.sum() == math.ceil(96 * 128 / 10)
        levels = np.round(grey[mask] / 60).astype(int)
        # Edges are interpolated in the image; but for them, nothing of the background.
        assert (levels == 0).mean() < 0.05
        # Interpolated edges can have the grey level of another object.
        shares = {level: mask[grey == 60 * level].mean() for level in range(1, 5) if (grey == 60 * level).sum() > 200}
        assert sum(0.05 < share < 0.95 for share in shares.values()) <= 1
        hidden_levels.update(level for level, share in shares.items() if share >= 0.95)
    assert len(hidden_levels) >= 3
