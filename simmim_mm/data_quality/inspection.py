"""From a folder to what is to be said against its files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from mmengine.config import Config
from mmengine.registry import init_default_scope

from simmim_mm.data_quality.examination import examine_files
from simmim_mm.data_quality.findings import Findings, Thresholds, find, unwanted_kinds
from simmim_mm.data_quality.records import Examiner, ImageRecord
from simmim_mm.datasets.image_files import walk
from simmim_mm.datasets.sharded import ShardedImages
from simmim_mm.datasets.statistics import stored_loader
from simmim_mm.datasets.transforms import CenterCrop, LoadImage, RandomResizedCrop
from simmim_mm.datasets.unlabelled import UnlabelledImages
from simmim_mm.datasets.wrappers import base_datasets
from simmim_mm.registry import DATASETS


class Source(NamedTuple):
    """The files of a training data set, and how they are read.

    Attributes:
        folder: What paths are relative to.
        paths: With ``/`` between folders, each once.
        examiner: Reads them as training does.
        crop: (height, width) that training crops to; None if its pipeline does not crop.
        other_endings: How many other files are in the folder, by ending.
        list_file: The list that names them; None for another selection.
    """

    folder: str
    paths: list[str]
    examiner: Examiner
    crop: tuple[int, int] | None
    other_endings: Counter[str]
    list_file: str | None = None


class Inspection(NamedTuple):
    """What an inspection found.

    Attributes:
        source: What was inspected.
        thresholds: With which.
        unwanted: Kinds of findings that keep a file out of the clean list.
        records: Of each file.
        findings: About them.
    """

    source: Source
    thresholds: Thresholds
    unwanted: frozenset[str]
    records: list[ImageRecord]
    findings: Findings

    @property
    def clean(self) -> list[int]:
        """Positions of the files without unwanted findings."""
        return [position for position, found in enumerate(self.findings.kinds) if not found & self.unwanted]


def source_of(cfg: Config, as_stored: bool = False) -> Source:
    """The training images of a config.

    Args:
        cfg: A pre-training config.
        as_stored: Whether to read the channels and values that files hold, instead of those that the config asks for.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If there are no images, or they are not the files of one ``UnlabelledImages`` that begins with
            ``LoadImage``.
    """
    init_default_scope(cfg.get('default_scope', 'simmim_mm'))
    datasets = list(base_datasets(DATASETS.build(cfg.train_dataloader.dataset)))
    dataset = datasets[0] if len(datasets) == 1 else None
    if not isinstance(dataset, UnlabelledImages) or isinstance(dataset, ShardedImages):
        raise ValueError(
            f'the training data of {cfg.filename} are no files of a folder; name a config whose '
            "train_dataloader.dataset is dict(type='UnlabelledImages', ...)"
        )
    steps = dataset.pipeline.transforms
    if not steps or not isinstance(steps[0], LoadImage):
        raise ValueError(f"the training pipeline of {cfg.filename} does not begin with dict(type='LoadImage')")
    folder = str(dataset.data_root)
    files = [dataset.get_data_info(position)['img_path'] for position in range(len(dataset))]
    paths = list(dict.fromkeys(os.path.relpath(path, folder).replace(os.sep, '/') for path in files))
    everything = dataset.list_file is None and dataset.pattern is None
    others = set(walk(folder)) - set(files) if everything else ()
    value_range = None if as_stored else cfg.model.get('data_preprocessor', {}).get('value_range')
    return Source(
        folder=folder,
        paths=paths,
        examiner=Examiner(folder, stored_loader(steps[0]) if as_stored else steps[0], value_range),
        crop=next((step.size for step in steps if isinstance(step, RandomResizedCrop | CenterCrop)), None),
        other_endings=Counter(os.path.splitext(path)[1].lower() or '(none)' for path in others),
        list_file=dataset.list_file,
    )


def inspect_images(source: Source, thresholds: Thresholds, leave_out: Iterable[str], num_workers: int) -> Inspection:
    """Reads all files and judges them.

    Args:
        source: The files.
        thresholds: From where on they have a finding. Without a crop, that of training counts.
        leave_out: Kinds of findings that keep a file out of the clean list, beside those that no list to train on
            can have.
        num_workers: Processes that read; 0 for this one alone.

    Raises:
        ValueError: If a kind is not known.
        RuntimeError: If a process died.
    """
    unwanted = unwanted_kinds(leave_out)
    if thresholds.crop is None:
        thresholds = replace(thresholds, crop=source.crop)
    records = examine_files(source.paths, source.examiner, num_workers, 'Reading images')
    return Inspection(source, thresholds, unwanted, records, find(records, thresholds, unwanted))
