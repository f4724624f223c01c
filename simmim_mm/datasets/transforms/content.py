"""What a file is that is no image that can be read, so that a person need not open it to find out."""

from __future__ import annotations

# Beginnings of files, and what they are.
BEGINNINGS = (
    (b'version https://git-lfs', 'a pointer of Git LFS; git lfs pull fetches the file itself'),
    (b'%PDF', 'a PDF file'),
    (b'%!PS', 'a PostScript program, which is not run'),
    (b'PK\x03\x04', 'a ZIP archive'),
    (b'\x1f\x8b', 'packed with gzip'),
    (b'BZh', 'packed with bzip2'),
    (b'\xfd7zXZ', 'packed with xz'),
    (b'7z\xbc\xaf\x27\x1c', 'a 7z archive'),
    (b'Rar!', 'a RAR archive'),
    (b'\x1aE\xdf\xa3', 'a video (Matroska or WebM)'),
    (b'\x89HDF', 'an HDF5 file'),
    (b'CDF', 'a NetCDF file'),
    (b'SIMPLE  =', 'a FITS file'),
    (b'8BPS', 'a Photoshop file'),
    (b'v/1\x01', 'an OpenEXR file'),
    (b'#?RADIANCE', 'a Radiance HDR file'),
    (b'\x00\x05\x16\x07', 'a companion file of macOS, without the image'),
)
# Of images that are read: what begins so and is not recognised is damaged.
IMAGES = (
    (b'\xff\xd8\xff', 'JPEG'),
    (b'\x89PNG', 'PNG'),
    (b'GIF8', 'GIF'),
    (b'RIFF', 'WebP'),
    (b'II*\0', 'TIFF'),
    (b'MM\0*', 'TIFF'),
)
HEIC = (b'heic', b'heix', b'hevc', b'hevx', b'mif1', b'msf1')


def damaged_format(data: bytes) -> str | None:
    """Names the format of a file that no reader recognises, though it begins as an image.

    Args:
        data: Its content.

    Returns:
        Such as ``'PNG'``; None if it begins as something else.
    """
    if data.startswith(b'RIFF') and data[8:12] != b'WEBP':
        return None
    return next((name for beginning, name in IMAGES if data.startswith(beginning)), None)


def what_it_is(data: bytes) -> str | None:
    """Names what a file holds by its first bytes.

    Args:
        data: Its content.

    Returns:
        What it is, such as ``'a web page (HTML)'``; None if that is not known.
    """
    for beginning, name in BEGINNINGS:
        if data.startswith(beginning):
            return name
    if data[4:8] == b'ftyp':
        brand = data[8:12]
        if brand in HEIC:
            return 'a HEIC file; convert it, to JPEG for example'
        return 'an AVIF file, which this Pillow cannot read' if brand[:3] == b'avi' else 'a video (MP4)'
    if data.startswith(b'RIFF') and data[8:12] == b'AVI ':
        return 'a video (AVI)'
    if data and data.count(0) == len(data):
        return 'zeros only, as a disk leaves where a file was never written'
    return _kind_of_text(data[:256])


def _kind_of_text(data: bytes) -> str | None:
    """What a text is; None of what is no text."""
    text = data.removeprefix(b'\xef\xbb\xbf').lstrip().lower()
    if text.startswith((b'<!doctype html', b'<html')):
        return 'a web page (HTML), as servers send it in the place of a file'
    if b'<svg' in text:
        return 'a drawing (SVG); convert it, to PNG for example'
    if text.startswith(b'<?xml'):
        return 'XML, as servers send it in the place of a file'
    if text and all(32 <= byte < 127 or byte in b'\t\r\n' for byte in data):
        return 'a text'
    return None
