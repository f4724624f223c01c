"""Loading and cropping in one step, and what is known of a pipeline that may take it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from mmcv.transforms import LoadImageFromFile

from simmim_mm.datasets.transforms import jpeg
from simmim_mm.datasets.transforms.blank import BlankCheck, is_blank
from simmim_mm.datasets.transforms.geometry import CenterCrop, RandomResizedCrop
from simmim_mm.datasets.transforms.loading import LoadImage
from simmim_mm.datasets.transforms.packing import PackMaskedImage
from simmim_mm.datasets.transforms.resizing import resize
from simmim_mm.datasets.transforms.stored import SIDEWAYS, stored_box, turn


class Steps(NamedTuple):
    """A pipeline as a data set runs it.

    Attributes:
        steps: What makes a sample, without ``pack``.
        pack: The last step, where it packs a masked image.
        foreign: Whether code of others is among them, which may draw from the global states.
    """

    steps: tuple[Callable[[dict], Any], ...]
    pack: PackMaskedImage | None
    foreign: bool

    def __call__(self, results: dict) -> Any:
        """Makes a sample, but for its packing."""
        for step in self.steps:
            results = step(results)
            if results is None:  # as in the host's pipelines
                return None
        return results


def plan(
    transforms: Iterable[Callable],
    fuse: bool,
    rough: bool = False,
    met_blank: Callable[[dict], None] | None = None,
    first_step: type[LoadAndCrop] | None = None,
) -> Steps:
    """Looks at a pipeline.

    Args:
        transforms: Its steps.
        fuse: Whether a ``LoadImage`` with a crop right behind it becomes one step.
        rough: See :class:`LoadAndCrop`, also for the next.
        met_blank: Called with a sample whose image is blank, right behind what loads it.
        first_step: What that one step is; by default :class:`LoadAndCrop`.

    Returns:
        The steps to run. Only the classes themselves are known, not what is derived from them.
    """
    steps: list[Any] = list(transforms)
    pack: PackMaskedImage | None = steps.pop() if steps and type(steps[-1]) is PackMaskedImage else None
    foreign = any(
        not type(step).__module__.startswith('simmim_mm.') or callable(getattr(step, 'score', None)) for step in steps
    )
    if fuse and len(steps) > 1 and type(steps[0]) is LoadImage and type(steps[1]) in (RandomResizedCrop, CenterCrop):
        steps[:2] = [(first_step or LoadAndCrop)(steps[0], steps[1], rough, met_blank)]
    elif met_blank is not None:
        steps.insert(sum(isinstance(step, LoadImage | LoadImageFromFile) for step in steps[:1]), BlankCheck(met_blank))
    return Steps(tuple(steps), pack, foreign)


class Part(NamedTuple):
    """The part of a JPEG file that a sample is made of.

    Attributes:
        header: Of the file.
        box: (top, left, height, width), in pixels of the image as it is stored.
        size: (height, width) that the box is brought to, before it is turned.
        orientation: EXIF's, by which it is turned then.
    """

    header: jpeg.Header
    box: tuple[int, int, int, int]
    size: tuple[int, int]
    orientation: int | None


class LoadAndCrop:
    """``LoadImage`` and the crop behind it as one step.

    JPEG files are decoded by the fastest decoder there is, only as large as the crop needs them, and turned the right
    way up after they are cropped. All other files, and JPEG files that may be damaged, go through both steps. Boxes are
    the same either way, and so is what is drawn from the sample's generator.

    Args:
        load: The first step.
        crop: The second.
        rough: Whether the decoder may be off by about 1 of 255, to be faster.
        met_blank: Called with a sample whose whole image is blank, before it is cropped.
    """

    def __init__(
        self,
        load: LoadImage,
        crop: RandomResizedCrop | CenterCrop,
        rough: bool = False,
        met_blank: Callable[[dict], None] | None = None,
    ) -> None:
        self.load = load
        self.crop = crop
        self.rough = rough
        self.check = None if met_blank is None else BlankCheck(met_blank)

    def __call__(self, results: dict) -> dict:
        """Reads and crops one image."""
        data = self.load.fetch(results)
        if self._crop_jpeg(results, data):
            return results
        results = self.load.unpack(results, data)
        return self.crop.transform(results if self.check is None else self.check(results))

    def _crop_jpeg(self, results: dict, data: bytes) -> bool:
        header = jpeg.read_header(data) if data.startswith(jpeg.MAGIC) else None
        if header is None or not self._is_asked_for(header):
            return False
        try:
            orientation = jpeg.orientation_of(data) if header.tagged else None
        except Exception:  # see LoadImage: Pillow raises many types
            return False
        image_hw = header[1::-1] if orientation in SIDEWAYS else header[:2]
        rng = results['rng']
        before = rng.bit_generator.state
        box, size = self.crop.box_of(results, image_hw)
        stored_size = size[::-1] if orientation in SIDEWAYS else size
        part = Part(header, stored_box(box, image_hw, orientation), stored_size, orientation)
        image = self._image_of(results, data, part)
        if image is None:
            rng.bit_generator.state = before
            return False
        results['img'] = image
        results['img_shape'] = size
        results['ori_shape'] = image_hw
        results['grey_repeated'] = header.channels == 1 and self.load.channels == 3
        results['stored_type'] = 'uint8'
        return True

    def _image_of(self, results: dict, data: bytes, part: Part) -> np.ndarray | None:
        """The image of a sample, (H, W, C) uint8; None if the file may be damaged."""
        image = self._cut_out(data, part.header, part.box, part.size)
        if image is None:
            return None
        if self.check is not None and is_blank(image):
            self.check(self.load.unpack({**results}, data))  # a blank crop may be of an image that is not
        image = turn(image, part.orientation)
        return np.repeat(image, 3, axis=-1) if part.header.channels == 1 and self.load.channels == 3 else image

    def _is_asked_for(self, header: jpeg.Header) -> bool:
        if not self.load.limits.allows(header.height, header.width):
            return False  # the other way says why
        if self.load.channels in (None, header.channels):
            return True
        return self.load.channels == 3 and self.load.grey == 'repeat'

    def _cut_out(
        self, data: bytes, header: jpeg.Header, box: tuple[int, int, int, int], size: tuple[int, int]
    ) -> np.ndarray | None:
        top, left, height, width = box
        reduction = jpeg.reduction_for((height, width), size)
        if reduction > 1:
            return jpeg.crop_reduced(data, header, reduction, box, size)
        image = jpeg.decode(data, header, self.rough)
        return None if image is None else resize(image[top : top + height, left : left + width], size)
