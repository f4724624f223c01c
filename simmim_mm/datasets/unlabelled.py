"""Images without labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

from simmim_mm.datasets.file_names import check_split, is_held_out, relative_name
from simmim_mm.datasets.image_files import IMAGE_EXTENSIONS, find_images
from simmim_mm.datasets.randomness import SampleIndex, sample_facts, seeded_globals
from simmim_mm.datasets.rows import Rows
from simmim_mm.datasets.transforms.checks import check_pipeline
from simmim_mm.datasets.transforms.fused import Steps, plan
from simmim_mm.datasets.transforms.jpeg import simplejpeg
from simmim_mm.datasets.transforms.loading import UnreadableImageError
from simmim_mm.options import check_flag, check_text
from simmim_mm.registry import DATASETS


class TooManyUnreadableImagesError(RuntimeError):
    """More image files were unreadable than ``max_unreadable`` allows."""


@DATASETS.register_module()
class UnlabelledImages(BaseDataset):
    """Images of a folder tree, a list file or a glob; no labels, no class folders.

    A file that cannot be read is skipped: another image of the set, chosen by the sample's own generator, takes its
    place, and the file is not opened again. What was skipped is known in every process of the loader
    (:attr:`unreadable`), and is written to :attr:`unreadable_log`, which
    :class:`~simmim_mm.engine.UnreadableImagesHook` points to a file in the work dir.

    Args:
        data_root: The folder. See :func:`~simmim_mm.datasets.image_files.find_images` for this and the next three.
        list_file: A text file with one path a line, relative to ``data_root``.
        pattern: A glob relative to ``data_root``.
        extensions: Endings of image file names.
        pipeline: Transforms, as configs or callables.
        max_unreadable: Largest share of the files, 0 to 1, that may turn out unreadable before the run stops. Above 0,
            one file always may. Each process of a distributed run counts for itself.
        fast: Whether a JPEG file is decoded and cropped in one step, where ``LoadImage`` has ``RandomResizedCrop`` or
            ``CenterCrop`` behind it: at a fraction of its size, if it is much larger than the crop. Boxes, flips and
            masks are the same without.
        rough: Whether values decoded in this way may be off by about 1 of 255, which saves a sixth of the decoder's
            time; needs the package simplejpeg.
        split: ``'train'`` or ``'held_out'`` for one of two parts that have no file in common and together all. Which
            part a file is in follows from its path below ``data_root`` alone
            (:mod:`simmim_mm.datasets.file_names`). None for all files.
        held_out: About which share of the files is held out, between 0 and 1; with ``split`` alone.
        fixed: Whether the mask of an image, and all else that is random, follows from the sampler's seed and the
            file's path below ``data_root`` alone: for validation. An unreadable file is then replaced by the very
            sample of another one, which :class:`~simmim_mm.evaluation.MaskedReconstructionMetric` counts once.
        **kwargs: ``indices``, ``serialize_data``, ``lazy_init``, ``test_mode``, ``filter_cfg``, ``metainfo`` of
            MMEngine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If the folder or list file is missing.
        ValueError: If no image was found, an option is out of range, the pipeline's masks cannot fit its crops, or
            ``rough`` lacks its package.

    Attributes:
        unreadable_log: A text file that gets a line for each skipped file; None for none.
    """

    METAINFO: ClassVar[dict] = {'dataset_type': 'unlabelled images'}

    def __init__(
        self,
        data_root: str,
        list_file: str | None = None,
        pattern: str | None = None,
        extensions: Sequence[str] = IMAGE_EXTENSIONS,
        pipeline: Sequence[dict | Callable] = (),
        max_unreadable: float = 0.05,
        fast: bool = True,
        rough: bool = False,
        split: str | None = None,
        held_out: float | None = None,
        fixed: bool = False,
        **kwargs: Any,
    ) -> None:
        numeric = isinstance(max_unreadable, int | float) and not isinstance(max_unreadable, bool)
        if not numeric or not 0 <= max_unreadable <= 1:
            raise ValueError(f'max_unreadable={max_unreadable!r} is not a share of the files; use a number from 0 to 1')
        self.list_file = check_text(list_file, 'list_file', 'UnlabelledImages')
        self.pattern = check_text(pattern, 'pattern', 'UnlabelledImages')
        endings = list(extensions) if isinstance(extensions, Sequence) and not isinstance(extensions, str) else []
        if not endings or not all(isinstance(ending, str) and ending for ending in endings):
            raise ValueError(f"extensions={extensions!r} is no list of endings; use ['.png', '.tif'], for example")
        if not isinstance(pipeline, Sequence) or isinstance(pipeline, str):
            raise ValueError(f"pipeline={pipeline!r} is no list of transforms; use [dict(type='LoadImage'), ...]")
        self.extensions = tuple(ending.lower() for ending in endings)
        self.max_unreadable = max_unreadable
        self.fast = check_flag(fast, 'fast', type(self).__name__)
        self.rough = check_flag(rough, 'rough', type(self).__name__)
        if rough and (simplejpeg is None or not fast):
            raise ValueError(
                f'rough=True of {type(self).__name__} needs fast=True and the package simplejpeg: pip install '
                'simplejpeg, or leave rough out'
            )
        check_split(split, held_out, type(self).__name__)
        self.split, self.held_out = split, held_out
        self.fixed = check_flag(fixed, 'fixed', type(self).__name__)
        self._planned: tuple[tuple[Callable, ...], Steps] | None = None
        # One flag a file, in memory that the workers share with the main process.
        self._unreadable = torch.zeros(0, dtype=torch.bool)
        self.unreadable_log: str | None = None
        super().__init__(ann_file='', data_root=data_root, data_prefix={}, pipeline=list(pipeline), **kwargs)
        check_pipeline(self.pipeline.transforms)

    def load_data_list(self) -> list[dict]:
        """Finds the files. Called once by ``full_init``."""
        paths = find_images(self.data_root, self.list_file, self.pattern, self.extensions)
        return [{'img_path': path} for path in paths]

    def filter_data(self) -> Any:
        """Leaves out the files of the other part. Called once by ``full_init``."""
        if self.split is None:
            return self.data_list
        assert self.held_out is not None
        held_out = np.array([is_held_out(self.name_of(info), self.held_out) for info in self.data_list])
        rows = np.flatnonzero(held_out == (self.split == 'held_out'))
        if not len(rows):
            raise ValueError(
                f'split={self.split!r} with held_out={self.held_out} leaves none of the {len(held_out)} images in '
                f'{self.data_root!r}: their names decide, so that few images may all fall into one part; '
                f'{"raise" if self.split == "held_out" else "lower"} held_out in both parts, or name a folder or a '
                'list_file of your own for each part'
            )
        return [self.data_list[row] for row in rows] if isinstance(self.data_list, list) else self.data_list[rows]

    def name_of(self, info: dict) -> str:
        """What a file is called, whatever the folder above is.

        Args:
            info: What the data set knows of it.

        Returns:
            Its path relative to ``data_root``.
        """
        return relative_name(info['img_path'], self.data_root)

    def full_init(self) -> None:
        """Finds the files unless that was done before."""
        if self._fully_initialized:
            return
        super().full_init()
        self._unreadable = torch.zeros(len(self), dtype=torch.bool).share_memory_()

    def __getitem__(self, index: int) -> Any:
        """One sample through the pipeline, with randomness that follows from the index alone.

        Args:
            index: Position in the data set; a :class:`~simmim_mm.datasets.SampleIndex` carries seed and epoch.

        Raises:
            TooManyUnreadableImagesError: If more files than ``max_unreadable`` were unreadable so far.
        """
        steps = self._steps()
        results = self._make(index, steps)
        return results if steps.pack is None or results is None else steps.pack(results)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """The samples of a batch, for PyTorch's loader: the same as one by one.

        Args:
            indices: Positions, as for one sample.

        Returns:
            Where the pipeline ends with ``PackMaskedImage``, the rows of one batch, which ``stack_samples`` takes as it
            is; otherwise a list.
        """
        steps = self._steps()
        if steps.pack is None:
            return [self[index] for index in indices]
        rows = Rows(len(indices))
        for index in indices:
            rows.append(self._make(index, steps))
        return rows

    def _steps(self) -> Steps:
        """The pipeline as it is run, which follows when a user changes the list of transforms."""
        transforms = tuple(self.pipeline.transforms)
        if self._planned is None or self._planned[0] != transforms:
            self._planned = transforms, plan(transforms, self.fast, self.rough)
            if get_worker_info() is not None:
                cv2.setNumThreads(0)  # as many threads as cores in each worker would only get in each other's way
        return self._planned[1]

    def _make(self, index: int, steps: Steps) -> Any:
        """One sample before it is packed, with another image in the place of an unreadable one."""
        if not self._fully_initialized:
            self.full_init()
        facts = sample_facts(index, self.name_of(self.get_data_info(int(index))) if self.fixed else None)
        if steps.foreign:
            with seeded_globals(facts['rng']):
                return self._make_seeded(index, facts, steps)
        facts['rng'].integers(2**32)  # what would seed the global states: crops and masks are the same without
        return self._make_seeded(index, facts, steps)

    def _make_seeded(self, index: int, facts: dict[str, Any], steps: Steps) -> Any:
        position = int(index)
        unreadable = self._unreadable.numpy()  # the same memory, without PyTorch's microseconds for each value
        while True:
            if not unreadable[position]:
                try:
                    return steps({**self.get_data_info(position), **facts})
                except UnreadableImageError as error:
                    self._skip(position, error)
            elif unreadable.all():  # other processes may have found the last ones
                raise self._too_many(self.get_data_info(position)['img_path'])
            position = int(facts['rng'].integers(len(self)))
            if self.fixed:
                return self._make(index.at(position) if isinstance(index, SampleIndex) else position, steps)

    def _skip(self, position: int, error: UnreadableImageError) -> None:
        self._unreadable[position] = True
        num_unreadable = int(self._unreadable.sum())
        if self.unreadable_log is not None:
            # One short write at the end of the file: lines of several processes do not mix.
            with open(self.unreadable_log, 'a', encoding='utf-8', errors='backslashreplace') as log:
                log.write(f'{error.path}\t{error.reason}\n')
        print_log(f'Skipped an unreadable image: {error}', logger='current', level=logging.WARNING)
        allowed = max(1, self.max_unreadable * len(self)) if self.max_unreadable > 0 else 0
        if num_unreadable > allowed or num_unreadable == len(self):
            raise self._too_many(str(error))

    def _too_many(self, last: str) -> TooManyUnreadableImagesError:
        return TooManyUnreadableImagesError(
            f'{int(self._unreadable.sum())} of the {len(self)} images in {self.data_root!r} could not be read; '
            f'max_unreadable={self.max_unreadable} allows fewer. The last one was {last}. Mend or remove them '
            '(they are listed in unreadable_images.txt in the work dir), or raise '
            'max_unreadable of the data set'
        )

    @property
    def unreadable(self) -> torch.Tensor:
        """(len(self),) bool, the files that were found unreadable so far, in shared memory."""
        return self._unreadable
