"""The images of a batch as files that are still to be decoded, in memory that the main process of the loader shares."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from simmim_mm.datasets.rows import Rows, shared
from simmim_mm.datasets.transforms.packing import channels_first
from simmim_mm.datasets.transforms.undecoded import KEY, Undecoded


class Place(NamedTuple):
    """A file of a batch, and what is to be made of it.

    Attributes:
        row: Of the batch.
        begin: Of the file, in the bytes of the batch.
        length: Of the file in bytes.
        stored_height: Of the whole image as it is stored, in pixels.
        stored_width: Likewise.
        top: Of the part that is cut out, likewise, as the next three.
        left: Of the part.
        height: Of the part.
        width: Of the part.
        new_height: That the part is brought to, before it is turned.
        new_width: Likewise.
        orientation: EXIF's, 1 to 8.
        mirrored: 1 if left and right are swapped in the end, otherwise 0.
    """

    row: int
    begin: int
    length: int
    stored_height: int
    stored_width: int
    top: int
    left: int
    height: int
    width: int
    new_height: int
    new_width: int
    orientation: int
    mirrored: int


class EncodedImages:
    """Stands where a batch has its images, until the data preprocessor decodes them.

    :func:`~simmim_mm.datasets.device_decoding.decode_images` makes the images of it.

    Args:
        content: (N,) uint8, all files of the batch that are not decoded, one behind the other.
        places: (E, 13) int64, a :class:`Place` for each of these files.
        ready: (R, 3, H, W) uint8, the images that workers decoded, in the order of their rows.
        paths: The file of each of the B rows.
        image_hw: (H, W) of all images.
        unreadable_log: The list of files that cannot be read; None for none.
        spare: A batch of one sample that a worker decoded, for the case that none of the files can be; None where there
            is an image in ``ready``, or no such sample was found.

    Attributes:
        replaced: The rows whose files could not be decoded, and which row's image took the place; None for the spare
            sample's. ``paths`` then has the file of that image. Empty before the batch is decoded.
    """

    def __init__(
        self,
        content: Tensor,
        places: Tensor,
        ready: Tensor,
        paths: list[str],
        image_hw: tuple[int, int],
        unreadable_log: str | None = None,
        spare: dict[str, Any] | None = None,
    ) -> None:
        self.content, self._places, self.ready = content, places, ready
        self.paths, self.image_hw, self.unreadable_log = paths, image_hw, unreadable_log
        self.spare = spare
        self.replaced: dict[int, int | None] = {}

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def places(self) -> list[Place]:
        """Of the files that are not decoded yet."""
        return [Place(*row) for row in self._places.tolist()]

    @property
    def ready_rows(self) -> list[int]:
        """The rows of ``ready``."""
        encoded = {place.row for place in self.places}
        return [row for row in range(len(self)) if row not in encoded]

    def file(self, place: Place) -> Tensor:
        """The content of a file, (length,) uint8 on the CPU."""
        return self.content[place.begin : place.begin + place.length]

    def pin_memory(self) -> EncodedImages:
        """Called by PyTorch's loader. Decoders read files from any memory, so images alone are pinned."""
        pinned = copy.copy(self)
        pinned.ready = self.ready.pin_memory()
        return pinned

    @property
    def spare_sample(self) -> dict[str, Any]:
        """``spare``, where it is known that there is one."""
        assert self.spare is not None
        return self.spare

    def replace(self, row: int, other: int | None) -> None:
        """Notes whose image takes the place of one that cannot be decoded.

        Args:
            row: Whose file cannot.
            other: A row whose image is sound; None for the spare sample.
        """
        self.replaced[row] = other
        self.paths[row] = self.spare_sample['img_path'][0] if other is None else self.paths[other]

    def __repr__(self) -> str:
        return f'{type(self).__name__}({len(self._places)} files, {len(self.ready)} images, {self.image_hw})'


class EncodedRows(Rows):
    """A batch of which files that a device is to decode are kept as they are.

    Args:
        num: How many samples there will be.
        unreadable_log: See :class:`EncodedImages`.

    Attributes:
        spare: See :class:`EncodedImages`.
    """

    def __init__(self, num: int, unreadable_log: str | None = None) -> None:
        super().__init__(num)
        self.unreadable_log = unreadable_log
        self.spare: dict[str, Any] | None = None
        self._files: list[bytes] = []
        self._places: list[Place] = []
        self._ready: list[np.ndarray] = []

    def _place_for_images(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros((), dtype=dtype).expand(shape)  # no memory: what is checked of images is their shape

    def _write(self, number: int, image: np.ndarray, results: dict) -> None:
        kept = results.get(KEY)
        if kept is None:
            self._ready.append(image)
            return
        begin = self._places[-1].begin + self._places[-1].length if self._places else 0
        self._places.append(_place_of(number, begin, kept, results))
        self._files.append(kept.data)

    @property
    def needs_spare(self) -> bool:
        """Whether no image is decoded yet, so that it may turn out that none can be."""
        return bool(self._files) and not self._ready

    @property
    def image_hw(self) -> tuple[int, int]:
        """(height, width) of all images."""
        return self._image_shape[0], self._image_shape[1]

    def as_batch(self) -> dict[str, Any]:
        """The whole batch, as ``stack_samples`` returns it; with images as they are where all are decoded."""
        _, channels, height, width = self.tensors['inputs'].shape
        shape = (len(self._ready), channels, height, width)
        ready = shared(shape, self.tensors['inputs'].dtype) if self._ready else torch.empty(shape, dtype=torch.uint8)
        for image, row in zip(self._ready, ready.numpy(), strict=True):
            channels_first(image, row)
        inputs: Any = ready
        if self._files:
            content = shared((sum(map(len, self._files)),), torch.uint8)
            np.concatenate([np.frombuffer(data, np.uint8) for data in self._files], out=content.numpy())
            places = torch.tensor(self._places, dtype=torch.int64)
            inputs = EncodedImages(content, places, ready, self.paths, (height, width), self.unreadable_log, self.spare)
        return {**self.tensors, 'inputs': inputs, 'img_path': self.paths}

    def __getitem__(self, number: Any) -> Any:
        raise ValueError(
            "decode='device' of the data set hands out whole batches, which a collate function of single samples "
            "cannot take; use collate_fn=dict(type='simmim_mm.stack_samples') in the dataloader, or decode='worker'"
        )


def _place_of(row: int, begin: int, kept: Undecoded, results: dict) -> Place:
    part = kept.part
    return Place(
        row,
        begin,
        len(kept.data),
        *part.header[:2],
        *part.box,
        *part.size,
        part.orientation if part.orientation and part.orientation in range(1, 9) else 1,
        int(results.get('flip', False)),
    )
