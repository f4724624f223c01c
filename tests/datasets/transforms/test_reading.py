"""Limits, kinds of reasons, storage that answers late, and machines that have no room left."""

from __future__ import annotations

import errno
import os
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from odd_images import npy_header, png_header
from PIL import Image

from simmim_mm.datasets.transforms import LoadImage, UnreadableImageError, kinds
from simmim_mm.datasets.transforms.blank import BlankCheck, is_blank
from simmim_mm.datasets.transforms.content import damaged_format, what_it_is
from simmim_mm.datasets.transforms.limits import MAX_PIXELS, Limits
from simmim_mm.datasets.transforms.reading import ExhaustedError, read_file


def refusal(path, **options) -> UnreadableImageError:
    with pytest.raises(UnreadableImageError) as raised:
        LoadImage(**options)(dict(img_path=str(path)))
    return raised.value


@pytest.mark.parametrize('form', ['png', 'jpg', 'tif', 'npy'])
def test_a_limit_of_pixels_is_exact(tmp_path, photographs, form):
    """60x50 pixels are more than 2999 and not more than 3000."""
    image, path = photographs['coffee'][:60, :50], tmp_path / f'image.{form}'
    np.save(path, image) if form == 'npy' else Image.fromarray(image).save(path)
    assert LoadImage(max_pixels=3000)(dict(img_path=str(path)))['img'].shape == (60, 50, 3)
    error = refusal(path, max_pixels=2999)
    assert error.kind == kinds.TOO_LARGE
    assert error.reason == 'its 60x50 pixels are more than the 2999 of max_pixels of LoadImage'


@pytest.mark.parametrize('form', ['png', 'tif', 'npy'])
def test_a_limit_of_bytes_counts_values_and_files(tmp_path, photographs, form):
    """60x50 pixels of three bytes; a file that is larger is not read at all."""
    image, path = photographs['coffee'][:60, :50], tmp_path / f'image.{form}'
    np.save(path, image) if form == 'npy' else Image.fromarray(image).save(path)
    limit = max(path.stat().st_size, 60 * 50 * 3)
    assert LoadImage(max_bytes=limit)(dict(img_path=str(path)))['img'].shape == (60, 50, 3)
    assert refusal(path, max_bytes=limit - 1).kind == kinds.TOO_LARGE
    error = refusal(path, max_bytes=path.stat().st_size - 1)
    assert error.reason.startswith(f'its {path.stat().st_size} bytes are more than')


def test_bands_and_deep_values_count(tmp_path):
    """7 bands of 8 bytes: 20 * 10 * 56 bytes, of a file that is much smaller, as it is packed."""
    path = tmp_path / 'image.tif'
    tifffile.imwrite(path, np.ones((7, 20, 10)), photometric='minisblack', compression='zlib')
    assert path.stat().st_size < 2000
    options = dict(channels=7, depth='stored')
    assert LoadImage(max_bytes=20 * 10 * 56, **options)(dict(img_path=str(path)))['img'].shape == (20, 10, 7)
    assert 'its values take 11200 bytes' in refusal(path, max_bytes=20 * 10 * 56 - 1, **options).reason


@pytest.mark.parametrize('num_bytes', [50_000, 50_001, 3_000_000])
def test_a_part_that_unpacks_to_more_than_it_says_is_refused(tmp_path, num_bytes):
    """100x100 pixels of five bands are 50000 bytes; zeros are packed to a thousandth."""
    path, packed = tmp_path / 'image.tif', zlib.compress(bytes(num_bytes))
    layout = dict(shape=(100, 100, 5), dtype='uint8', photometric='minisblack', planarconfig='contig', rowsperstrip=100)
    tifffile.imwrite(path, iter([packed]), compression='zlib', **layout)
    options = dict(channels=5, max_bytes=50_000)
    assert len(packed) * 1032 > 50_000
    if num_bytes == 50_000:
        assert LoadImage(**options)(dict(img_path=str(path)))['img'].shape == (100, 100, 5)
        return
    error = refusal(path, **options)
    assert error.kind == kinds.TOO_LARGE
    assert 'unpacks to more than the 50000 bytes' in error.reason


def test_the_default_is_pillows_and_pillows_own_does_not_count(tmp_path, photographs, monkeypatch):
    """No warning either, one for each large image."""
    assert 2 * Image.MAX_IMAGE_PIXELS == MAX_PIXELS
    path = tmp_path / 'image.png'
    Image.fromarray(photographs['coffee'][:60, :50]).save(path)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1600)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        LoadImage()(dict(img_path=str(path)))
    assert Image.MAX_IMAGE_PIXELS == 1600
    (tmp_path / 'bomb.png').write_bytes(png_header(20000, 20000))
    refusal(tmp_path / 'bomb.png')
    assert Image.MAX_IMAGE_PIXELS == 1600


def test_no_memory_is_taken_for_what_is_not_there(tmp_path, monkeypatch):
    """An array of 2 GB is announced, three bytes are there."""
    monkeypatch.setattr(np, 'load', lambda *args, **kwargs: pytest.fail('memory was taken'))
    (tmp_path / 'image.npy').write_bytes(npy_header((26000, 26000, 3)))
    error = refusal(tmp_path / 'image.npy')
    assert (error.kind, error.reason) == (kinds.DAMAGED, 'it is cut off: 3 of 2028000000 bytes are there')


def test_values_that_are_not_finite_have_a_kind(tmp_path):
    """Of files that a config for floating point reads."""
    values = np.ones((5, 4), np.float32)
    values[2, 2] = np.nan
    tifffile.imwrite(tmp_path / 'image.tif', values)
    assert refusal(tmp_path / 'image.tif', channels=1, depth='stored').kind == kinds.NOT_FINITE


def test_postscript_starts_no_program(tmp_path, monkeypatch):
    """Pillow hands it to Ghostscript, whatever the name of the file."""
    (tmp_path / 'gs').write_text(f'#!/bin/sh\ntouch {tmp_path}/was_run\n')
    (tmp_path / 'gs').chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    path = tmp_path / 'image.jpg'
    path.write_bytes(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n')
    with Image.open(path) as image:  # as Pillow alone would
        assert image.format == 'EPS'
    assert refusal(path).reason == 'it is a PostScript program, which is not run'
    assert not (tmp_path / 'was_run').exists()


class Storage:
    """Stands for ``os.open`` on storage that refuses a number of times."""

    def __init__(self, monkeypatch, number: int, times: int) -> None:
        self.number, self.times, self.calls, self.pauses, self.open = number, times, 0, [], os.open
        monkeypatch.setattr(os, 'open', self)
        monkeypatch.setattr('simmim_mm.datasets.transforms.reading.time.sleep', self.pauses.append)

    def __call__(self, *args):
        self.calls += 1
        if self.calls <= self.times:
            raise OSError(self.number, os.strerror(self.number))
        return self.open(*args)


@pytest.mark.parametrize('name', ['EIO', 'ESTALE', 'ETIMEDOUT'])
def test_storage_is_asked_again(tmp_path, monkeypatch, name):
    """Twice, with pauses; a third refusal counts."""
    path = tmp_path / 'file'
    path.write_bytes(b'content')
    storage = Storage(monkeypatch, getattr(errno, name), 2)
    assert read_file(str(path), None, Limits()) == b'content'
    assert storage.pauses == [0.1, 1.0]
    storage = Storage(monkeypatch, getattr(errno, name), 3)
    with pytest.raises(UnreadableImageError) as raised:
        read_file(str(path), None, Limits())
    assert (raised.value.kind, storage.calls) == (kinds.STORAGE, 3)


@pytest.mark.parametrize(
    ('number', 'kind'),
    [(errno.ENOENT, kinds.MISSING), (errno.EACCES, kinds.NO_PERMISSION), (errno.ENXIO, kinds.NO_FILE)],
)
def test_what_will_not_change_is_not_asked_again(tmp_path, monkeypatch, number, kind):
    storage = Storage(monkeypatch, number, 9)
    with pytest.raises(UnreadableImageError) as raised:
        read_file(str(tmp_path), None, Limits())
    assert (raised.value.kind, storage.calls, storage.pauses) == (kind, 1, [])


@pytest.mark.parametrize('number', [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_machine_without_room_is_no_damaged_file(tmp_path, monkeypatch, number):
    """Files would be skipped one after the other; the run stops, with what to change."""
    Storage(monkeypatch, number, 9)
    with pytest.raises(ExhaustedError, match=r'image\.png .* no room .*ulimit -n.*num_workers.*--resume'):
        LoadImage()(dict(img_path=str(tmp_path / 'image.png')))


def test_want_of_memory_is_no_damaged_file(tmp_path, photographs, monkeypatch):
    def too_much(*args):
        raise MemoryError

    Image.fromarray(photographs['coffee'][:60, :50]).save(tmp_path / 'image.png')
    monkeypatch.setattr('simmim_mm.datasets.transforms.loading.read_photograph', too_much)
    with pytest.raises(ExhaustedError, match=r'no memory is left to read .*image\.png.*max_pixels'):
        LoadImage()(dict(img_path=str(tmp_path / 'image.png')))


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become another user')
def test_a_locked_file_as_another_user(tmp_path):
    """Real permissions, which root does not feel."""
    path = Path('/tmp') / f'locked-{os.getpid()}.png'
    path.write_bytes(b'content')
    path.chmod(0o600)
    os.seteuid(65534)
    try:
        assert refusal(path).kind == kinds.NO_PERMISSION
    finally:
        os.seteuid(0)
        path.unlink()


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_blank_is_without_any_difference(dtype):
    """Against the variance of each channel, with the one odd value at every place."""
    image = np.ones((4, 5, 3), dtype) * np.array([1, 2, 3], dtype)
    assert image.var(axis=(0, 1)).max() == 0
    assert is_blank(image)
    assert is_blank(image[:1, :1])
    for place in np.ndindex(image.shape):
        other = image.copy()
        other[place] += 1
        assert other.var(axis=(0, 1)).max() > 0
        assert not is_blank(other)


def test_a_check_takes_samples_without_an_image():
    BlankCheck(pytest.fail)({'img_path': 'a', 'img': None})
    BlankCheck(pytest.fail)({})


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (b'\xef\xbb\xbf  <!doctype html>', 'HTML'),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 'SVG'),
        (b'<?xml version="1.0"?><Error/>', 'XML'),
        (b'RIFF\0\0\0\0AVI LIST', 'video'),
        (b'\0\0\0\x1cftypavif', 'AVIF'),
        (bytes(100), 'zeros'),
        (b'hello', 'a text'),
    ],
)
def test_content_is_named(content, words):
    assert words in what_it_is(content)
    assert damaged_format(content) is None


def test_content_that_is_not_known():
    assert what_it_is(b'\x80\x81\x82') is None
    assert what_it_is(b'') is None
    assert damaged_format(b'RIFF\0\0\0\0WEBPVP8 ') == 'WebP'
    assert damaged_format(b'MM\0*') == 'TIFF'
