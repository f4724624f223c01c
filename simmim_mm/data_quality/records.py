"""One file as the inspection sees it."""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simmim_mm.data_quality.file_facts import FileFacts, file_facts
from simmim_mm.data_quality.measures import Measures, measure
from simmim_mm.datasets.moments import PixelMoments, pixel_moments
from simmim_mm.datasets.transforms import LoadImage
from simmim_mm.datasets.transforms.stored import ImageSettingError, UnreadableImageError

# Bytes of a content hash: 2**64 files until two different ones share one by accident.
HASH_BYTES = 16


class ImageRecord(NamedTuple):
    """What is kept of one file, about a kilobyte.

    Attributes:
        path: Relative to the inspected folder.
        refusal: Why training does not take it; '' if it does.
        stops_training: Whether the refusal is of a sound file that the settings do not fit, which ends a run.
        num_bytes: Size of the file.
        content: Hash (BLAKE2b, 16 bytes) of its bytes; None if they could not be read.
        facts: What the file says of itself; None if that could not be read.
        shape: (H, W, C) as training reads it; None if it does not, like the next two.
        moments: Of the pixels.
        measures: Of the picture.
        repeated: Whether it is a grey image that was repeated into 3 channels.
        stored_type: NumPy's name of the type of the values in the file; '' if they were not read.
        eight_bit: Whether training gets 8 bits of it.
    """

    path: str
    refusal: str = ''
    stops_training: bool = False
    num_bytes: int = 0
    content: bytes | None = None
    facts: FileFacts | None = None
    shape: tuple[int, int, int] | None = None
    moments: PixelMoments | None = None
    measures: Measures | None = None
    repeated: bool = False
    stored_type: str = ''
    eight_bit: bool = False

    @property
    def is_read(self) -> bool:
        """Whether training can read it."""
        return not self.refusal

    @property
    def num_pixels(self) -> int:
        """Height times width; 0 of what training does not read."""
        return 0 if self.shape is None else self.shape[0] * self.shape[1]


@dataclass(frozen=True)
class Examiner:
    """Reads files as training does.

    Args:
        folder: What paths are relative to.
        load: The training pipeline's loader.
        value_range: Lowest and highest value that pixels usually have; None to take it from the type of the values,
            of those that are whole numbers.
    """

    folder: str
    load: LoadImage
    value_range: tuple[float, float] | None = None

    def __call__(self, path: str) -> ImageRecord:
        """Examines one file.

        Args:
            path: Relative to the folder.

        Returns:
            What was found; whatever is wrong with the file is in it.
        """
        record = ImageRecord(path)
        sample = {'img_path': os.path.join(self.folder, path)}
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Pillow's, of odd tags and large images
            try:
                data = self.load.fetch(sample)
                record = record._replace(
                    num_bytes=len(data),
                    content=hashlib.blake2b(data, digest_size=HASH_BYTES).digest(),
                    facts=file_facts(data),
                )
                results = self.load.unpack(sample, data)
            except UnreadableImageError as error:
                return record._replace(refusal=error.reason)
            except ImageSettingError as error:
                return record._replace(refusal=str(error), stops_training=True)
            image = results['img']
            moments = pixel_moments(image)
            return record._replace(
                shape=image.shape,
                moments=moments,
                measures=measure(image, moments, self._range_of(image, results['stored_type'])),
                repeated=results['grey_repeated'],
                stored_type=results['stored_type'],
                eight_bit=image.dtype == np.uint8,
            )

    def _range_of(self, image: np.ndarray, stored_type: str) -> tuple[float, float] | None:
        if image.dtype == np.uint8:
            return 0.0, 255.0
        if self.value_range is not None:
            return self.value_range
        kind = np.dtype(stored_type)
        return (0.0, float(np.iinfo(kind).max)) if kind.kind == 'u' else None
