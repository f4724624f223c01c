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

from simmim_mm.datasets import file_states, unused_files
from simmim_mm.datasets.encoded import EncodedRows
from simmim_mm.datasets.fewer import warn_of_fewer
from simmim_mm.datasets.file_names import check_split, relative_name, rows_of_part
from simmim_mm.datasets.file_states import FileStates
from simmim_mm.datasets.image_files import IMAGE_EXTENSIONS, find_images
from simmim_mm.datasets.randomness import SampleIndex, sample_facts, seeded_globals
from simmim_mm.datasets.rows import Rows
from simmim_mm.datasets.transforms import kinds
from simmim_mm.datasets.transforms.checks import check_pipeline
from simmim_mm.datasets.transforms.fused import Steps, plan
from simmim_mm.datasets.transforms.jpeg import simplejpeg
from simmim_mm.datasets.transforms.stored import ImageSettingError, UnreadableImageError, printable
from simmim_mm.datasets.transforms.undecoded import LoadUndecoded, check_undecoded
from simmim_mm.options import check_flag, check_text
from simmim_mm.registry import DATASETS

# Warnings of skipped files in the log of one process; the list has all of them.
MAX_WARNINGS = 20
# Files that are looked at to find a sound one, before it is said that there is none.
MOST_SPARES = 100


class TooManyUnreadableImagesError(RuntimeError):
    """More image files were unreadable than ``max_unreadable`` allows."""


@DATASETS.register_module()
class UnlabelledImages(BaseDataset):
    """Images of a folder tree, a list file or a glob; no labels, no class folders.

    A file that cannot be read is skipped: another image of the set, chosen by the sample's own generator, takes its
    place, and the file is not opened again, unless it was only missing, locked or out of reach. What was skipped is
    known in every process of the loader (:attr:`unreadable`), and is written to :attr:`unreadable_log`, which
    :class:`~simmim_mm.engine.UnreadableImagesHook` points to a file in the work dir.

    Args:
        data_root: The folder. See :func:`~simmim_mm.datasets.image_files.find_images` for this and the next three.
        list_file: A text file with one path a line, relative to ``data_root``.
        pattern: A glob relative to ``data_root``.
        extensions: Endings of image file names.
        pipeline: Transforms, as configs or callables.
        max_unreadable: Largest share of the files, 0 to 1, that may turn out unreadable before the run stops. Above 0,
            one file always may. Each process of a distributed run counts for itself.
        blank: What becomes of an image whose pixels are all equal, which shows nothing of what is hidden: ``'skip'`` as
            if it could not be read, but without counting for ``max_unreadable``; or ``'keep'``.
        unfit: What becomes of a sound file that the settings do not fit, such as one of other channels: ``'stop'``
            ends the run, with what to change; ``'skip'`` as if it could not be read.
        fast: Whether a JPEG file is decoded and cropped in one step, where ``LoadImage`` has ``RandomResizedCrop`` or
            ``CenterCrop`` behind it: at a fraction of its size, if it is much larger than the crop. Boxes, flips and
            masks are the same without.
        rough: Whether values decoded in this way may be off by about 1 of 255, which saves a sixth of the decoder's
            time; needs the package simplejpeg.
        decode: ``'worker'``; or ``'device'``, where workers read JPEG files and draw boxes, flips and masks, and the
            data preprocessor decodes the files of a batch on its device, with torchvision
            (:mod:`~simmim_mm.datasets.device_decoding`). Single samples, which tools and pictures take, are decoded at
            once.
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
        ValueError: If no image was found, an option is out of range, the pipeline's masks cannot fit its crops,
            ``rough`` lacks its package, or the pipeline needs the pixels that ``decode='device'`` leaves out.

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
        blank: str = 'skip',
        unfit: str = 'stop',
        fast: bool = True,
        rough: bool = False,
        decode: str = 'worker',
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
        if blank not in ('skip', 'keep'):
            raise ValueError(f"blank={blank!r} of {type(self).__name__} is unknown; use 'skip' or 'keep'")
        if unfit not in ('stop', 'skip'):
            raise ValueError(f"unfit={unfit!r} of {type(self).__name__} is unknown; use 'stop' or 'skip'")
        self.blank, self.unfit = blank, unfit
        self.fast = check_flag(fast, 'fast', type(self).__name__)
        self.rough = check_flag(rough, 'rough', type(self).__name__)
        if rough and (simplejpeg is None or not fast):
            raise ValueError(
                f'rough=True of {type(self).__name__} needs fast=True and the package simplejpeg: pip install '
                'simplejpeg, or leave rough out'
            )
        if decode not in ('worker', 'device'):
            raise ValueError(f"decode={decode!r} of {type(self).__name__} is unknown; use 'worker' or 'device'")
        if decode == 'device' and (rough or not fast):
            raise ValueError(
                f"decode='device' of {type(self).__name__} leaves decoding to the device, and rough and fast are about "
                "that of workers; leave them out, or use decode='worker'"
            )
        self.decode = decode
        check_split(split, held_out, type(self).__name__)
        self.split, self.held_out = split, held_out
        self.fixed = check_flag(fixed, 'fixed', type(self).__name__)
        self._planned: dict[bool, tuple[tuple[Callable, ...], Steps]] = {}
        self._states = FileStates(0)
        self._num_warnings = 0
        self._spares: dict[tuple[int, tuple[int, int]], dict[str, Any] | None] = {}
        self.unreadable_log: str | None = None
        super().__init__(ann_file='', data_root=data_root, data_prefix={}, pipeline=list(pipeline), **kwargs)
        check_pipeline(self.pipeline.transforms)
        if decode == 'device':
            check_undecoded(self.pipeline.transforms, type(self).__name__)

    def load_data_list(self) -> list[dict]:
        """Finds the files. Called once by ``full_init``."""
        paths = find_images(self.data_root, self.list_file, self.pattern, self.extensions)
        return [{'img_path': path} for path in paths]

    def filter_data(self) -> Any:
        """Leaves out the files of the other part. Called once by ``full_init``."""
        if self.split is None:
            return self.data_list
        assert self.held_out is not None
        rows = rows_of_part(map(self.name_of, self.data_list), self.split, self.held_out, self.data_root)
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
        warn_of_fewer(self._indices, len(self), type(self).__name__)
        self._states = FileStates(len(self))

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
            is, with ``decode='device'`` undecoded; otherwise a list.
        """
        undecoded = self.decode == 'device'
        steps = self._steps(undecoded)
        if steps.pack is None:
            return [self[index] for index in indices]
        rows = EncodedRows(len(indices), self.unreadable_log) if undecoded else Rows(len(indices))
        for index in indices:
            rows.append(self._make(index, steps))
        if isinstance(rows, EncodedRows) and rows.needs_spare:
            rows.spare = self._spare(indices[0], rows.image_hw)
        return rows

    def _spare(self, index: int, image_hw: tuple[int, int]) -> dict[str, Any] | None:
        """A batch of one sample, decoded, for batches of which no file can be decoded; None if none is found.

        It is the same for all batches of one size, so that workers decode it once; and as it follows from the seed and
        the files alone, it is the same after a resume.

        Args:
            index: Of the batch.
            image_hw: (H, W) of its images.
        """
        key = (getattr(index, 'seed', 0), image_hw)
        if key not in self._spares:
            self._spares[key] = None
            steps, moment = self._steps(), getattr(index, 'moment', None)
            draws = np.random.default_rng(key[0])  # as damaged files may lie together
            for position in draws.choice(len(self), min(len(self), MOST_SPARES), replace=False).tolist():
                facts = self._facts(SampleIndex(position, key[0], 0, moment=moment))
                try:
                    sample = self._try(position, facts, steps, int(facts['rng'].integers(2**32)))
                except UnreadableImageError:  # to be skipped when its turn comes: nothing follows from this look
                    continue
                rows = Rows(1)
                rows.append(sample)
                self._spares[key] = rows.as_batch()
                break
        return self._spares[key]

    def _steps(self, undecoded: bool = False) -> Steps:
        """The pipeline as it is run, which follows when a user changes the list of transforms."""
        transforms = tuple(self.pipeline.transforms)
        if undecoded not in self._planned or self._planned[undecoded][0] != transforms:
            if undecoded:
                check_undecoded(transforms, type(self).__name__)
            first_step = LoadUndecoded if undecoded else None
            steps = plan(transforms, self.fast, self.rough, self._met_blank, first_step)
            self._planned[undecoded] = transforms, steps
            if get_worker_info() is not None:
                cv2.setNumThreads(0)  # as many threads as cores in each worker would only get in each other's way
        return self._planned[undecoded][1]

    def _make(self, index: int, steps: Steps) -> Any:
        """One sample before it is packed, with another image in the place of an unreadable one."""
        if not self._fully_initialized:
            self.full_init()
        facts = self._facts(index)
        draws, position = facts['rng'], int(index)
        seed = int(draws.integers(2**32))  # of the global states, if code of others draws from them
        while True:
            if self._states.may_be_read(position):
                before = draws.bit_generator.state
                try:
                    return self._try(position, facts, steps, seed)
                except UnreadableImageError as error:
                    # As if it had not been tried: the replacement does not depend on what is known of a file.
                    draws.bit_generator.state = before
                    self._skip(position, error)
            elif not self._states.count(*file_states.READABLE):  # other processes may have found the last ones
                raise self._too_many(self._shown(self.get_data_info(position)))
            position = int(draws.integers(len(self)))
            if self.fixed:  # the mask is that of the file that is read
                facts = self._facts(index.at(position) if isinstance(index, SampleIndex) else position)
                seed = int(facts['rng'].integers(2**32))

    def _facts(self, index: int) -> dict[str, Any]:
        """What is known of a sample beforehand, with its generator."""
        return sample_facts(index, self.name_of(self.get_data_info(int(index))) if self.fixed else None)

    def _try(self, position: int, facts: dict[str, Any], steps: Steps, seed: int) -> Any:
        """The sample of one file."""
        info = self.get_data_info(position)
        self._states.opens(position)
        try:
            if steps.foreign:
                with seeded_globals(seed):
                    results = steps({**info, **facts})
            else:
                results = steps({**info, **facts})
        except ImageSettingError as error:
            if self.unfit == 'stop':
                raise
            path = self._shown(info)
            raise UnreadableImageError(path, str(error).removeprefix(f'{path} '), kinds.UNFIT) from error
        if self._states.codes[position] == file_states.ABSENT:
            self._states.set(position, file_states.SOUND)
        return results

    def _met_blank(self, results: dict) -> None:
        """Called by the pipeline with a sample whose image is blank."""
        error = UnreadableImageError(self._shown(results), 'all its pixels are equal', kinds.BLANK)
        if self.blank == 'skip':
            raise error
        if self._states.set(results['sample_idx'], file_states.BLANK_USED):
            self._list(error.file, kinds.BLANK_USED, error.reason)

    def _skip(self, position: int, error: UnreadableImageError) -> None:
        """Notes that a file is not used, and stops the run if there are too many."""
        states = self._states
        code = file_states.ABSENT if error.kind in kinds.PASSING else file_states.UNREADABLE
        if states.set(position, file_states.BLANK if error.kind == kinds.BLANK else code):
            self._list(error.file, error.kind, error.reason)
            self._num_warnings += 1
            if self._num_warnings <= MAX_WARNINGS:
                more = '; of further ones there is no warning' if self._num_warnings == MAX_WARNINGS else ''
                print_log(f'Skipped an image ({error.kind}): {error}{more}', logger='current', level=logging.WARNING)
        allowed = max(1, self.max_unreadable * len(self)) if self.max_unreadable > 0 else 0
        if states.num_unreadable > allowed or not states.count(file_states.SOUND, file_states.BLANK_USED):
            raise self._too_many(str(error))

    def _list(self, path: str, kind: str, reason: str) -> None:
        if self.unreadable_log is not None:
            unused_files.append(self.unreadable_log, unused_files.UnusedFile(path, kind, reason))

    def _too_many(self, last: str) -> TooManyUnreadableImagesError:
        return TooManyUnreadableImagesError(
            f'{self._states.num_unreadable} of the {len(self)} images in {self.data_root!r} could not be read'
            f'{self._states.more()}; '
            f'max_unreadable={self.max_unreadable} allows fewer. The last one was {last}. Mend or remove them '
            '(they are listed in unreadable_images.txt in the work dir), or raise max_unreadable of the data set '
            '(train_dataloader.dataset.max_unreadable, or that of val_dataloader)'
        )

    @staticmethod
    def _shown(info: dict) -> str:
        """What messages call a sample, which as an array has no file."""
        return info.get('img_path') or f'sample {info["sample_idx"]}'

    @property
    def unreadable(self) -> torch.Tensor:
        """(len(self),) bool, the files that were found unreadable so far, in any process."""
        codes = torch.from_numpy(self._states.codes.copy())
        return (codes == file_states.ABSENT) | (codes == file_states.UNREADABLE)

    def last_opened(self) -> dict[int, str]:
        """The file that each process of the loader opened last, by the number of the process."""
        return {
            process: printable(self._shown(self.get_data_info(position)))
            for process, position in self._states.opened().items()
        }
