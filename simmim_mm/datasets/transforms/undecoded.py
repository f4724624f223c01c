"""JPEG files that leave the pipeline undecoded, as the device decodes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from simmim_mm.datasets.transforms import jpeg
from simmim_mm.datasets.transforms.fused import LoadAndCrop, Part
from simmim_mm.datasets.transforms.geometry import CenterCrop, RandomFlip, RandomResizedCrop
from simmim_mm.datasets.transforms.loading import LoadImage
from simmim_mm.datasets.transforms.masks import (
    BlockwiseMask,
    IrregularMask,
    PixelMask,
    RandomPatchMask,
    RectangleMask,
    SquareMask,
)
from simmim_mm.datasets.transforms.packing import PackMaskedImage
from simmim_mm.datasets.transforms.stored import SIDEWAYS

# In a sample, beside an `img` that has its shape and no pixels.
KEY = 'undecoded'
# Steps that never look at a pixel. Those of others say so with `reads_image = False`.
BLIND = (RandomFlip, BlockwiseMask, IrregularMask, PixelMask, RandomPatchMask, RectangleMask, SquareMask)

APP14 = 0xEE
# Horizontal and vertical sampling of luminance, for each sample of both colours: 4:4:4, 4:2:2, 4:2:0, 4:4:0, 4:1:1 and
# 4:1:0, those that nvJPEG documents.
SAMPLINGS = (0x11, 0x21, 0x22, 0x12, 0x41, 0x42)
RGB_NAMES = b'RGB'
# A blank image takes 14 bits or less for each block of 64 pixels (T.81, annex K), which is 0.22 a pixel. Files below
# twice that are decoded by the worker, which then knows whether they are blank; photographs take one or two.
LEAST_BITS_A_PIXEL = 0.5
# Of the scans of a progressive file, for their own headers.
SCAN_HEADERS = 4096


class Undecoded(NamedTuple):
    """A JPEG file, and what is to be made of it.

    Attributes:
        data: Its content.
        part: Which part of its image, and how large.
    """

    data: bytes
    part: Part


class LoadUndecoded(LoadAndCrop):
    """``LoadImage`` and the crop behind it, for samples that a device is to decode.

    Boxes, and what is drawn from the sample's generator, are those of :class:`~.fused.LoadAndCrop`. A file that the
    device decodes leaves ``undecoded`` in the sample, and an ``img`` of the right shape without pixels. All other
    files are decoded here, as ever.
    """

    def _image_of(self, results: dict, data: bytes, part: Part) -> np.ndarray | None:
        if not is_for_device(data, part.header):
            return super()._image_of(results, data, part)
        results[KEY] = Undecoded(data, part)
        return np.broadcast_to(np.uint8(0), (*results_hw(part), 3))


def results_hw(part: Part) -> tuple[int, int]:
    """(height, width) of what becomes of a part of a file, the right way up."""
    return part.size[::-1] if part.orientation in SIDEWAYS else part.size


def is_for_device(data: bytes, header: jpeg.Header) -> bool:
    """Whether a JPEG file is of the kind that devices decode, and a worker need not look into it; in microseconds.

    Such a file has three channels, YCbCr in a common sampling, ends with its end marker, and holds too much to be a
    blank image.

    Args:
        data: Its content.
        header: Its header.
    """
    if header.channels != 3 or not data.endswith(jpeg.END_OF_IMAGE):
        return False
    frame, scan = b'', len(data)
    for marker, start, end in jpeg.segments(data):
        if marker in jpeg.FRAMES:
            frame = data[start:end]
        elif marker == APP14 and data[start : start + 5] == b'Adobe' and data[start + 11 : start + 12] == b'\0':
            return False  # its three channels are RGB
        elif marker == jpeg.START_OF_SCAN:
            scan = end
    if len(frame) != 15 or frame[7] not in SAMPLINGS or frame[10] != 0x11 or frame[13] != 0x11:
        return False
    if frame[6:15:3] == RGB_NAMES:
        return False
    return 8 * (len(data) - scan - SCAN_HEADERS) >= LEAST_BITS_A_PIXEL * header.height * header.width


def check_undecoded(transforms: Sequence[Any], owner: str) -> None:
    """Checks that no step of a pipeline needs pixels, so that the device may decode them.

    Args:
        transforms: Built transforms, in order.
        owner: The data set, for messages.

    Raises:
        ValueError: If one does, the steps are not in the order that is known, or the images are no RGB photographs.
    """
    steps, setting = list(transforms), f"decode='device' of {owner}"
    names = [type(step).__name__ for step in steps]
    if (
        len(steps) < 3
        or type(steps[0]) is not LoadImage
        or type(steps[1]) not in (RandomResizedCrop, CenterCrop)
        or type(steps[-1]) is not PackMaskedImage
    ):
        raise ValueError(
            f'{setting} needs a pipeline that begins with LoadImage and RandomResizedCrop (or CenterCrop) of simmim_mm '
            f"and ends with PackMaskedImage, and this one is {names}; change it, or use decode='worker'"
        )
    if steps[0].channels != 3:
        raise ValueError(
            f'{setting} decodes RGB images, and channels of LoadImage is {steps[0].channels}; set '
            "model.data_preprocessor.channels=3, or use decode='worker'"
        )
    for step in steps[2:-1]:
        if type(step) not in BLIND and getattr(step, 'reads_image', True):
            raise ValueError(
                f'{setting} leaves the pipeline without pixels, and {type(step).__name__} may look at them; use '
                f"decode='worker', or set reads_image = False in {type(step).__name__} if it does not"
            )
    if (num_flips := names.count('RandomFlip')) > 1:
        raise ValueError(f'{setting} takes one RandomFlip, and the pipeline has {num_flips}; delete the others')
