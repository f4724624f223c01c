"""Damaged and odd image files, made from photographs: what each is, and what a run makes of it."""

from __future__ import annotations

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tifffile
from PIL import Image

from simmim_mm.datasets.transforms import kinds

USED = 'used'


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        ending: Of its name.
        make: Writes it to a path, from an RGB photograph (H, W, 3).
        expected: ``USED``, or the kind of the reason why it is not used.
    """

    ending: str
    make: Callable[[Path, np.ndarray], object]
    expected: str = USED


def encoded(rgb: np.ndarray, form: str, **options) -> bytes:
    """A photograph as the content of a file."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, form, **options)
    return file.getvalue()


def _bytes(content: bytes) -> Callable:
    return lambda path, rgb: path.write_bytes(content)


def _cut(form: str, share: float = 0.5) -> Callable:
    return lambda path, rgb: path.write_bytes(encoded(rgb, form)[: int(len(encoded(rgb, form)) * share)])


def _saved(change: Callable[[Image.Image], Image.Image] = lambda image: image, form: str | None = None, **options):
    return lambda path, rgb: change(Image.fromarray(rgb)).save(path, form, **options)


def _bent_png(path: Path, rgb: np.ndarray) -> None:
    data = bytearray(encoded(rgb, 'PNG'))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def png_header(height: int, width: int) -> bytes:
    """A PNG file of a few bytes that announces any number of pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', b'') + chunk(b'IEND', b'')


def npy_header(shape: tuple[int, ...]) -> bytes:
    """A NumPy file that announces any shape, with next to nothing behind it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, dict(descr='|u1', fortran_order=False, shape=shape))
    return file.getvalue() + b'123'


def _large(path: Path, rgb: np.ndarray) -> None:
    path.write_bytes(encoded(rgb, 'JPEG'))
    os.truncate(path, 5 * 2**30)  # sparse: it takes no room


def _socket(path: Path, rgb: np.ndarray) -> None:
    folder = os.getcwd()
    os.chdir(path.parent)  # paths of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)
    finally:
        os.chdir(folder)


def _frames(form: str, **options) -> Callable:
    def make(path: Path, rgb: np.ndarray) -> None:
        frames = [Image.fromarray(rgb), Image.fromarray(rgb[::-1].copy())]
        frames[0].save(path, form, save_all=True, append_images=frames[1:], **options)

    return make


def _turned(path: Path, rgb: np.ndarray) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(rgb).save(path, exif=exif)


def _deep(channels: int) -> Callable:
    def make(path: Path, rgb: np.ndarray) -> None:
        values = rgb.astype(np.uint16) * 257
        assert cv2.imwrite(str(path), values if channels == 3 else values[..., 0])

    return make


def _linked(path: Path, rgb: np.ndarray) -> None:
    target = path.parent.parent / 'target_of_a_link.png'
    Image.fromarray(rgb).save(target)
    path.symlink_to(target)


def _locked(path: Path, rgb: np.ndarray) -> None:
    path.write_bytes(encoded(rgb, 'PNG'))
    path.chmod(0)


def _floats(path: Path, rgb: np.ndarray) -> None:
    tifffile.imwrite(path, rgb.astype(np.float32) / 255, photometric='rgb')


DAMAGED = {
    'empty': Kind('.jpg', _bytes(b''), kinds.EMPTY),
    'text': Kind('.jpg', _bytes(b'not found\n'), kinds.NO_IMAGE),
    'web page': Kind('.jpg', _bytes(b'<!DOCTYPE html>\n<html><body>404</body></html>'), kinds.NO_IMAGE),
    'answer of a bucket': Kind(
        '.png', _bytes(b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'), 'no image'
    ),
    'Git LFS pointer': Kind('.png', _bytes(b'version https://git-lfs.github.com/spec/v1\noid 1'), kinds.NO_IMAGE),
    'PDF': Kind('.png', _bytes(b'%PDF-1.7\n\xe2\xe3'), kinds.NO_IMAGE),
    'PostScript': Kind('.jpg', _bytes(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n'), kinds.NO_IMAGE),
    'HEIC': Kind('.jpg', _bytes(b'\0\0\0\x18ftypheic\0\0\0\0mif1heic' + bytes(99)), kinds.NO_IMAGE),
    'video': Kind('.jpg', _bytes(b'\0\0\0\x18ftypisom\0\0\2\0isomiso2' + bytes(99)), kinds.NO_IMAGE),
    'archive': Kind('.jpg', _bytes(b'PK\3\4' + bytes(range(99))), kinds.NO_IMAGE),
    'zeros': Kind('.jpg', _bytes(bytes(5000)), kinds.NO_IMAGE),
    'noise': Kind('.png', _bytes(bytes(np.random.default_rng(0).integers(128, 256, 999, np.uint8))), kinds.NO_IMAGE),
    'cut JPEG': Kind('.jpg', _cut('JPEG'), kinds.DAMAGED),
    'JPEG cut before its last bytes': Kind('.jpg', _cut('JPEG', 0.97), kinds.DAMAGED),
    'cut PNG': Kind('.png', _cut('PNG'), kinds.DAMAGED),
    'cut WebP': Kind('.webp', _cut('WEBP'), kinds.DAMAGED),
    'cut GIF': Kind('.gif', _cut('GIF'), kinds.DAMAGED),
    'cut TIFF': Kind('.tif', _cut('TIFF'), kinds.DAMAGED),
    'cut BMP': Kind('.bmp', _cut('BMP'), kinds.DAMAGED),
    'cut PPM': Kind('.ppm', _cut('PPM'), kinds.DAMAGED),
    'header of a PNG': Kind('.png', _bytes(b'\x89PNG\r\n\x1a\n'), kinds.DAMAGED),
    'PNG with a wrong checksum': Kind('.png', _bent_png, kinds.DAMAGED),
    'array of text': Kind('.npy', lambda path, rgb: np.save(path, np.array(['a', 'b'])), kinds.DAMAGED),
    'cut array': Kind('.npy', _bytes(npy_header((100, 100, 3))), kinds.DAMAGED),
    'decompression bomb, PNG': Kind('.png', _bytes(png_header(30000, 30000)), kinds.TOO_LARGE),
    'decompression bomb, array': Kind('.npy', _bytes(npy_header((10**6, 10**6, 3))), kinds.TOO_LARGE),
    'huge file': Kind('.jpg', _large, kinds.TOO_LARGE),
    'broken link': Kind('.jpg', lambda path, rgb: path.symlink_to('nowhere.jpg'), kinds.MISSING),
    'link to itself': Kind('.jpg', lambda path, rgb: path.symlink_to(path), kinds.MISSING),
    'pipe': Kind('.jpg', lambda path, rgb: os.mkfifo(path), kinds.NO_FILE),
    'socket': Kind('.jpg', _socket, kinds.NO_FILE),
    'floating point': Kind('.tif', _floats, kinds.UNFIT),
    'five bands': Kind(
        '.tif',
        lambda path, rgb: tifffile.imwrite(
            path, np.stack([rgb[..., 0]] * 5), photometric='minisblack', planarconfig='separate'
        ),
        kinds.UNFIT,
    ),
    'blank': Kind('.png', lambda path, rgb: Image.new('RGB', (80, 70), (9, 8, 7)).save(path), kinds.BLANK),
    'blank JPEG': Kind('.jpg', lambda path, rgb: Image.new('RGB', (80, 70), 'white').save(path), kinds.BLANK),
    'one pixel': Kind('.png', lambda path, rgb: Image.fromarray(rgb[:1, :1]).save(path), kinds.BLANK),
}
if os.geteuid():  # no file is locked for root
    DAMAGED['locked'] = Kind('.png', _locked, kinds.NO_PERMISSION)

ODD = {
    'grey JPEG': Kind('.jpg', _saved(lambda image: image.convert('L'))),
    'CMYK JPEG': Kind('.jpg', _saved(lambda image: image.convert('CMYK'))),
    'progressive JPEG': Kind('.jpg', _saved(progressive=True)),
    'JPEG with a trailer': Kind('.jpg', lambda path, rgb: path.write_bytes(encoded(rgb, 'JPEG') + b'trailer' * 9)),
    'turned camera': Kind('.jpg', _turned),
    'two pictures in one JPEG': Kind('.jpg', _frames('MPO')),
    'palette': Kind('.png', _saved(lambda image: image.quantize(16))),
    'palette with transparency': Kind('.png', _saved(lambda image: image.quantize(16), transparency=3)),
    'alpha': Kind('.png', _saved(lambda image: image.convert('RGBA'))),
    'grey with alpha': Kind('.png', _saved(lambda image: image.convert('LA'))),
    'black and white': Kind('.png', _saved(lambda image: image.convert('1'))),
    'interlaced': Kind('.png', _saved(interlace=1)),
    '16-bit grey': Kind('.png', _deep(1)),
    '16-bit colours': Kind('.png', _deep(3)),
    '16-bit TIFF': Kind('.tif', _deep(3)),
    'TIFF packed with LZW': Kind('.tiff', _saved(compression='tiff_lzw')),
    'pages': Kind('.tif', _frames('TIFF')),
    'animated GIF': Kind('.gif', _frames('GIF')),
    'animated WebP': Kind('.webp', _frames('WEBP', lossless=True)),
    'animated PNG': Kind('.png', _frames('PNG')),
    'PNG named .jpg': Kind('.jpg', _saved(form='PNG')),
    'JPEG named .png': Kind('.png', _saved(form='JPEG')),
    'ending in capitals': Kind('.JPEG', _saved(form='JPEG')),
    'very wide': Kind('.png', lambda path, rgb: Image.fromarray(np.tile(rgb[:2], (1, 40, 1))).save(path)),
    'very high': Kind('.jpg', lambda path, rgb: Image.fromarray(np.tile(rgb[:, :2], (40, 1, 1))).save(path)),
    'two pixels': Kind('.png', lambda path, rgb: Image.fromarray(np.uint8([[[0, 0, 0], [255, 0, 9]]])).save(path)),
    'one odd pixel': Kind('.png', lambda path, rgb: _but_one_pixel(path)),
    'array': Kind('.npy', lambda path, rgb: np.save(path, rgb)),
    'link to a file': Kind('.png', _linked),
    'name with a line break\n\u00e4\u4e2d': Kind('.png', _saved()),
}


def _but_one_pixel(path: Path) -> None:
    """White but for one pixel, so that most crops of it are blank."""
    image = np.full((70, 80, 3), 255, np.uint8)
    image[1, 1] = 0
    Image.fromarray(image).save(path)


def make_folder(folder: Path, photographs: dict[str, np.ndarray]) -> tuple[dict[str, str], set[str]]:
    """Writes all kinds into a folder, among as many ordinary photographs.

    Args:
        folder: To make.
        photographs: RGB.

    Returns:
        The files that are not to be used, with the kind of the reason; and those that are.
    """
    folder.mkdir()
    sources = [photographs[name] for name in ('astronaut', 'coffee', 'chelsea', 'rocket')]
    bad, good = {}, set()
    for number, (name, kind) in enumerate((DAMAGED | ODD).items()):
        left = 3 * number
        path = folder / f'{name}{kind.ending}'
        kind.make(path, np.ascontiguousarray(sources[number % 4][20:90, left : left + 80]))
        if kind.expected == USED:
            good.add(str(path))
        else:
            bad[str(path)] = kind.expected
    for number in range(12):
        path = folder / f'{number}.jpg'
        Image.fromarray(sources[number % 4][: 60 + number, 2 * number : 150]).save(path)
        good.add(str(path))
    (folder / 'folder.jpg').mkdir()
    Image.fromarray(sources[0][:50, :60]).save(folder / 'folder.jpg' / 'inside.png')
    good.add(str(folder / 'folder.jpg' / 'inside.png'))
    return bad, good
