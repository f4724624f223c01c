"""What is said of files, and what they are said to be."""

from __future__ import annotations

import io

import cv2
import imagehash
import numpy as np
import pytest
import tifffile
from PIL import Image

from simmim_mm.data_quality.duplicates import exact_groups, near_groups
from simmim_mm.data_quality.file_facts import file_facts
from simmim_mm.data_quality.findings import Thresholds, find, unwanted_kinds
from simmim_mm.data_quality.measures import Measures, measure
from simmim_mm.data_quality.records import Examiner, ImageRecord
from simmim_mm.datasets.moments import pixel_moments


def record_of(path, content=b'', bits=0, size=(100, 100), detail=0.1):
    """A record of a good image with the hash `bits`."""
    measures = Measures(contrast=0.2, bright_end=0.9, clipped=0.0, detail=detail, perceptual_hash=bits)
    return ImageRecord(path, content=content or path.encode(), shape=(*size, 3), measures=measures)


def groups_of(records, distance):
    return near_groups(records, np.ones(len(records), dtype=bool), distance).tolist()


def test_each_file_of_the_folder_has_its_finding(odd_folder, expected_findings, transform):
    paths = sorted(str(path.relative_to(odd_folder)) for path in odd_folder.rglob('*.*') if path.suffix != '.txt')
    examine = Examiner(str(odd_folder), transform('LoadImage', grey='repeat'))
    records = [examine(path) for path in paths]
    found = find(records, Thresholds(crop=(192, 192)), unwanted_kinds([]))
    by_name = {path.rpartition('/')[2]: kinds for path, kinds in zip(paths, found.kinds, strict=True) if kinds}
    assert by_name == expected_findings
    partners = {paths[n]: paths[p] for n, p in enumerate(found.partner) if p != n}
    assert partners == {
        'odd/coffee_again.png': 'good/coffee.png',
        'odd/astronaut_compressed.jpg': 'good/astronaut.png',
        'odd/astronaut_reduced.webp': 'good/astronaut.png',
    }
    reasons = {record.path: record.refusal for record in records if record.refusal}
    assert 'truncated' in reasons['odd/cut_off.jpg']
    assert 'floating-point values, of which 8 bits are asked for' in reasons['odd/floats.npy']


def test_groups_are_closed_and_numbered_by_their_first_file():
    """0 and 3 bits, 3 and 6 bits are near, 0 and 6 are not; equal files are in one group, whatever their hash."""
    records = [
        record_of('a', bits=0b1 << 40),
        record_of('b', bits=0b000),
        record_of('c', bits=0b111111),
        record_of('d', bits=0b111),
        record_of('e', bits=2**64 - 1),
        record_of('f', content=b'e', bits=0b1111 << 50),
    ]
    assert groups_of(records, 3) == [0, 0, 0, 0, 1, 1]
    assert groups_of(records, 0) == [0, 1, 2, 3, 4, 4]
    assert exact_groups(records).tolist() == [0, 1, 2, 3, 4, 4]


def test_pictures_that_may_not_be_compared_are_alone():
    """Unless they are equal."""
    records = [record_of('a', content=b'x'), record_of('b', content=b'x'), record_of('c')]
    assert near_groups(records, np.array([False, False, True]), 4).tolist() == [0, 0, 1]
    assert near_groups(records, np.zeros(3, dtype=bool), 4).tolist() == [0, 0, 1]


def test_many_pairs_are_joined_bit_by_bit(monkeypatch):
    records = [record_of(f'{number:03d}', bits=number % 5) for number in range(100)]
    monkeypatch.setattr('simmim_mm.data_quality.duplicates.KEPT_PAIRS', 3)
    monkeypatch.setattr('simmim_mm.data_quality.hamming.BLOCK', 2)
    assert groups_of(records, 1) == [0] * 100


@pytest.mark.parametrize(
    ('unwanted', 'kept'),
    [((), 'blurred_large'), (('near', 'low-detail'), 'large'), (('near', 'small'), 'blurred_large')],
    ids=str,
)
def test_the_kept_one_of_a_group_is_wanted_then_large(unwanted, kept):
    """Small ones have a finding more; where blurred ones are left out, they are not what is kept of a group."""
    records = [
        record_of('blurred_large', size=(400, 300), detail=0.0),
        record_of('large', size=(150, 150)),
        record_of('small', size=(90, 90)),
    ]
    thresholds = Thresholds(crop=(200, 200))
    found = find(records, thresholds, unwanted_kinds(unwanted))
    assert records[found.partner[2]].path == kept
    assert sum('near' in kinds for kinds in found.kinds) == 2


@pytest.mark.parametrize('name', ['astronaut', 'camera'])
def test_measures_against_the_libraries(name, photographs):
    """NumPy's percentile and deviation, OpenCV's Laplacian and imagehash itself, on a picture that is not reduced."""
    pixels = photographs[name][100:300, 50:250]
    image = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    found = measure(image, pixel_moments(image), (0.0, 255.0))
    grey = np.asarray(Image.fromarray(image).convert('L'))
    assert found.bright_end == pytest.approx(np.percentile(grey, 95, method='inverted_cdf') / 255, abs=1.5 / 255)
    assert found.clipped == pytest.approx((grey >= 250).mean(), abs=0.01)
    assert found.detail == pytest.approx(cv2.Laplacian(grey, cv2.CV_64F).std() / 255, rel=0.01)
    assert found.contrast == pytest.approx(image.reshape(-1, 3).std(axis=0).max() / 255)
    assert (found.perceptual_hash ^ int(str(imagehash.phash(Image.fromarray(grey))), 16)).bit_count() <= 2


def test_16_bit_bands_are_measured_in_their_range(photographs):
    """The same picture in 8 bits and, as float32, in 16."""
    image = photographs['coffee']
    deep = image.astype(np.float32) * 257
    shallow = measure(image, pixel_moments(image), (0.0, 255.0))
    assert measure(deep, pixel_moments(deep), (0.0, 65535.0)) == pytest.approx(shallow)
    unknown = measure(deep, pixel_moments(deep), None)
    assert (unknown.bright_end, unknown.clipped) == (None, None)
    assert unknown.detail == pytest.approx(shallow.detail, rel=0.01)
    flat = np.full((20, 20, 5), 3.5, np.float32)
    assert measure(flat, pixel_moments(flat), None).contrast == 0


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def saved_tiff(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def saved_array(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


PICTURE = Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3))


@pytest.mark.parametrize(
    ('data', 'expected'),
    [
        (saved(PICTURE, 'JPEG'), ('JPEG', 'RGB', 8)),
        (saved(PICTURE.convert('L'), 'JPEG'), ('JPEG', 'grey', 8)),
        (saved(PICTURE.convert('CMYK'), 'JPEG'), ('JPEG', 'CMYK', 8)),
        (saved(PICTURE.convert('RGBA'), 'PNG'), ('PNG', 'RGB + alpha', 8)),
        (saved(PICTURE.convert('P'), 'PNG'), ('PNG', 'palette', 8)),
        (saved(PICTURE.convert('1'), 'PNG'), ('PNG', 'grey', 1)),
        (saved(Image.fromarray(np.arange(100, dtype=np.uint16).reshape(10, 10)), 'PNG'), ('PNG', 'grey', 16)),
        (cv2.imencode('.png', np.ones((9, 9, 3), np.uint16))[1].tobytes(), ('PNG', 'RGB', 16)),
        (saved(PICTURE, 'WEBP'), ('WEBP', 'RGB', 8)),
        (saved_tiff(np.ones((13, 8, 9), np.uint16), photometric='minisblack'), ('TIFF', '13 bands', 16)),
        (saved_tiff(np.ones((8, 9, 3), np.uint8), photometric='rgb'), ('TIFF', 'RGB', 8)),
        (saved_tiff(np.ones((8, 9), np.float32)), ('TIFF', 'grey', 32)),
        (saved_array(np.ones((5, 8, 9), np.float64)), ('NPY', '5 bands', 64)),
        (b'no image', None),
        (b'', None),
    ],
    ids=lambda value: str(value) if not isinstance(value, bytes) else '',
)
def test_what_files_say_of_themselves(data, expected):
    assert file_facts(data) == expected


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(distance=32), 'distance=32 must be'),
        (dict(dark=2), 'dark=2 must be a share'),
        (dict(blank='x'), "blank='x'"),
    ],
    ids=str,
)
def test_thresholds_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Thresholds(**options)


def test_unknown_findings_are_refused():
    with pytest.raises(ValueError, match="'blurry' is no kind of finding; use exact, near, blank"):
        unwanted_kinds(['near', 'blurry'])
