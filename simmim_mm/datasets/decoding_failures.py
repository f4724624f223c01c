"""Files that the device refuses: those that Pillow reads, those that are damaged, and what takes their place."""

from __future__ import annotations

import logging

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from simmim_mm.datasets import unused_files
from simmim_mm.datasets.encoded import EncodedImages, Place
from simmim_mm.datasets.transforms import kinds
from simmim_mm.datasets.transforms.limits import UNLIMITED
from simmim_mm.datasets.transforms.photographs import open_photograph
from simmim_mm.datasets.transforms.stored import printable

MAX_WARNINGS = 20
# Files of one batch of which it is not their fault if the device decodes none, and Pillow most.
MANY = 4
# Batches in a row that have no image of their own. Fewer are bad luck, where a batch is one file or two.
MOST_IN_A_ROW = 10
WAY_OUT = "use decode='worker' of the data set (the default)"


class DeviceDecodingError(RuntimeError):
    """The device decodes nothing, or there is nothing that could be decoded."""


class Failures:
    """The files of a batch that the device did not decode.

    Args:
        batch: The files.
        device: That was to decode them.
    """

    # Of this process.
    num_warnings = 0
    num_in_a_row = 0

    def __init__(self, batch: EncodedImages, device: torch.device) -> None:
        self.batch, self.device = batch, device
        self.num_refused, self.num_read = len(batch.replaced), 0
        self.last = ''
        self.lost: dict[int, str] = {}  # row and reason

    def decode_on_host(self, place: Place, reason: RuntimeError) -> Tensor | None:
        """Decodes a file with Pillow, as a worker would.

        Args:
            place: The file.
            reason: What the device's decoder said.

        Returns:
            The whole image, (3, H, W) uint8 on the CPU; None if that fails too.
        """
        self.num_refused += 1
        path = self.batch.paths[place.row]
        said = ' '.join(str(reason).split())
        self.last = f'{printable(path)}, the last one: {said}'
        try:
            with open_photograph(self.batch.file(place).numpy().tobytes(), UNLIMITED) as image:
                values = np.array(image.convert('RGB'))
        except Exception as error:  # see LoadImage: Pillow raises many types
            text = self.lost[place.row] = printable(' '.join(str(error).split())) or type(error).__name__
            if self.batch.unreadable_log is not None:
                unused_files.append(self.batch.unreadable_log, unused_files.UnusedFile(path, kinds.DAMAGED, text))
            return None
        self.num_read += 1
        self._warn(f'{printable(path)} is decoded on the host, as {self.device} cannot: {said}')
        return torch.from_numpy(values).permute(2, 0, 1)

    def fill_in(self, images: Tensor) -> None:
        """Gives each row whose file could not be read the image of the next row that has one, or the spare sample's.

        The batch then says what took the place of what.

        Args:
            images: (B, 3, H, W) uint8, changed in place.

        Raises:
            DeviceDecodingError: If it is the device's fault, or too many batches in a row had no image.
        """
        batch, num = self.batch, len(images)
        if self.num_refused == len(batch.places) >= MANY and 2 * self.num_read > self.num_refused:
            raise DeviceDecodingError(
                f'{self.device} decoded none of the {self.num_refused} files of a batch, and Pillow {self.num_read} '
                f'of them; of {self.last}. {WAY_OUT.capitalize()}, and go on with --resume'
            )
        sound = set(range(num)) - self.lost.keys() - batch.replaced.keys()
        self._count(bool(sound))
        names = [printable(path) for path in batch.paths]
        for row in sorted(self.lost):
            following = (other % num for other in range(row + 1, row + num))
            batch.replace(row, next((other for other in following if other in sound), None))
            self._warn(
                f'Skipped an image ({kinds.DAMAGED}): {names[row]}: {self.lost[row]}; '
                f'{printable(batch.paths[row])} takes its place'
            )
        for row, other in batch.replaced.items():
            images[row] = batch.spare_sample['inputs'][0].to(images.device) if other is None else images[other]

    def _count(self, any_sound: bool) -> None:
        """Counts batches without an image; one that is decoded again counts once."""
        if any_sound:
            Failures.num_in_a_row = 0
        if any_sound or not self.lost:
            return
        Failures.num_in_a_row += 1
        missing = self.batch.spare is None
        if not missing and Failures.num_in_a_row < MOST_IN_A_ROW:
            return
        row, reason = next(iter(self.lost.items()))
        which = 'of a batch' if missing else f'of {Failures.num_in_a_row} batches in a row'
        others = ', and no other of the data set was found that can' if missing else ''
        raise DeviceDecodingError(
            f'none of the images {which} can be decoded, neither by {self.device} nor by Pillow, such as '
            f'{printable(self.batch.paths[row])}: {reason}{others}; look for damaged files with '
            'tools/inspect_images.py, and go on with --resume'
        )

    @staticmethod
    def _warn(text: str) -> None:
        Failures.num_warnings += 1
        if Failures.num_warnings <= MAX_WARNINGS:
            more = '; of further ones there is no warning' if Failures.num_warnings == MAX_WARNINGS else ''
            print_log(f'{text}{more}', logger='current', level=logging.WARNING)
