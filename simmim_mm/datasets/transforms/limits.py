"""How large a file and its image may be, so that a small file cannot take all memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import NamedTuple

# Where Pillow refuses an image by default: twice its MAX_IMAGE_PIXELS, 13378x13378.
MAX_PIXELS = 178_956_970
# Of a file, and of the values that it holds.
MAX_BYTES = 2**31


class TooLargeError(ValueError):
    """A file, or the image in it, is larger than is allowed."""


class Limits(NamedTuple):
    """Limits of ``LoadImage``.

    Attributes:
        max_pixels: Height times width.
        max_bytes: Of the file, and of the values in it.
    """

    max_pixels: int = MAX_PIXELS
    max_bytes: int = MAX_BYTES

    def check_file(self, num_bytes: int) -> None:
        """Checks the size of a file, before it is read.

        Args:
            num_bytes: Its size.

        Raises:
            TooLargeError: If it is above ``max_bytes``.
        """
        if num_bytes > self.max_bytes:
            raise TooLargeError(f'its {num_bytes} bytes are more than the {self.max_bytes} of max_bytes of LoadImage')

    def allows(self, height: int, width: int) -> bool:
        """Whether an image has no more pixels than ``max_pixels``."""
        return height * width <= self.max_pixels

    def check_image(self, height: int, width: int, shape: Sequence[int], itemsize: int) -> None:
        """Checks what a header announces, before memory is taken for it.

        Args:
            height: In pixels.
            width: Likewise.
            shape: Of all values that are going to be unpacked.
            itemsize: Bytes of a value.

        Raises:
            TooLargeError: If the pixels are above ``max_pixels``, or the values above ``max_bytes``.
        """
        if not self.allows(height, width):
            raise TooLargeError(
                f'its {height}x{width} pixels are more than the {self.max_pixels} of max_pixels of LoadImage'
            )
        num_bytes = math.prod(int(side) for side in shape) * itemsize
        if num_bytes > self.max_bytes:
            raise TooLargeError(
                f'its values take {num_bytes} bytes, more than the {self.max_bytes} of max_bytes of LoadImage'
            )


# Of what was checked before.
UNLIMITED = Limits(sys.maxsize, sys.maxsize)
