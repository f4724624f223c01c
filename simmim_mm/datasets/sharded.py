"""Images in tar shards, as WebDataset packs them."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from mmengine.logging import print_log

from simmim_mm.datasets.image_files import HOW_TO_NAME_A_FOLDER, IMAGE_EXTENSIONS
from simmim_mm.datasets.shard_index import INDEX_NAME, ShardIndex, index_shards
from simmim_mm.datasets.unlabelled import UnlabelledImages
from simmim_mm.options import check_text
from simmim_mm.registry import DATASETS


@DATASETS.register_module()
class ShardedImages(UnlabelledImages):
    """The images in WebDataset's tar shards, without their labels; ``tools/pack_shards.py`` makes such shards.

    The headers of the shards are read once; after that, each image is read from its place in its shard. So this is a
    data set like any other, and samplers, workers, processes and resumed runs use each image as often as they do with
    single files: with :class:`~simmim_mm.datasets.InfiniteSeededSampler` exactly once an epoch. Images that cannot be
    read are skipped as in :class:`~simmim_mm.datasets.UnlabelledImages`.

    Args:
        data_root: Folder of the shards.
        shards: Which ones, relative to ``data_root``: a name with braces, ``'train-{000000..000146}.tar'``, or a glob.
            By default all files of any depth that end with ``.tar``.
        extensions: Which files in them are images: those whose name, from its first dot on, is one of these.
        index_file: Where the index is kept, a name that ends with ``.npz``; by default beside the shards.
        pipeline: See :class:`~simmim_mm.datasets.UnlabelledImages`, also for the others.
        max_unreadable: A share of the images.
        blank: What becomes of images whose pixels are all equal, ``'skip'`` or ``'keep'``.
        unfit: What becomes of sound files that the settings do not fit, ``'stop'`` or ``'skip'``.
        fast: Whether JPEG files are decoded and cropped in one step.
        rough: Whether values decoded so may be off by about 1 of 255.
        decode: Where JPEG files are decoded, ``'worker'`` or ``'device'``.
        **kwargs: ``split``, ``held_out`` and ``fixed`` (a name is then that of the shard and the file in it);
            ``indices``, ``lazy_init``, ``test_mode``, ``metainfo`` of MMEngine's ``BaseDataset``.

    Raises:
        FileNotFoundError: If the folder or a shard is missing.
        ImportError: If ``shards`` has braces and webdataset is missing.
        ValueError: If a shard is damaged, no image was found, or an option is out of range.
    """

    METAINFO: ClassVar[dict] = {'dataset_type': 'unlabelled images in shards'}

    def __init__(
        self,
        data_root: str,
        shards: str | None = None,
        extensions: Sequence[str] = IMAGE_EXTENSIONS,
        index_file: str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        max_unreadable: float = 0.05,
        blank: str = 'skip',
        unfit: str = 'stop',
        fast: bool = True,
        rough: bool = False,
        decode: str = 'worker',
        **kwargs: Any,
    ) -> None:
        self.shards = check_text(shards, 'shards', 'ShardedImages')
        self.index_file = check_text(index_file, 'index_file', 'ShardedImages')
        if index_file is not None and not index_file.endswith('.npz'):
            raise ValueError(f"index_file={index_file!r} of ShardedImages must end with .npz, as in 'shards.npz'")
        for name in ('list_file', 'pattern'):
            if kwargs.get(name) is not None:
                raise ValueError(f'{name}={kwargs[name]!r} chooses files, not shards; use shards of ShardedImages')
        super().__init__(
            data_root,
            extensions=extensions,
            pipeline=pipeline,
            max_unreadable=max_unreadable,
            blank=blank,
            unfit=unfit,
            fast=fast,
            rough=rough,
            decode=decode,
            serialize_data=False,  # the index is as small
            **kwargs,
        )

    def load_data_list(self) -> Any:
        """Reads the index, or makes it. Called once by ``full_init``."""
        shards = find_shards(self.data_root, self.shards)
        index = index_shards(shards, self.index_file or os.path.join(self.data_root, INDEX_NAME))
        return self._images_of(index)

    def _images_of(self, index: ShardIndex) -> ShardIndex:
        wanted = np.array([os.fsencode(ending.removeprefix('.')) for ending in self.extensions], bytes)
        images = index[np.isin(index.endings, wanted)]
        if len(images) == len(index):
            return images
        endings, counts = np.unique(index.endings, return_counts=True)
        found = [(os.fsdecode(bytes(each)), int(count)) for each, count in zip(endings, counts, strict=True)]
        listing = ', '.join(f'{count} .{ending}' for ending, count in sorted(found, key=lambda row: -row[1])[:5])
        if not len(images):
            raise ValueError(
                f'the shards in data_root={str(self.data_root)!r} hold no images: their {len(index)} files are '
                f'{listing or "none"} (from the first dot of a name on); name the endings of images with extensions'
            )
        left_out = sorted(
            ending for ending, _ in found if '.' in ending and f'.{ending.rpartition(".")[2]}' in self.extensions
        )
        if left_out:
            print_log(
                f'The shards in {self.data_root} hold images that are not used, since by the convention of WebDataset '
                f'their ending begins at the first dot of the name: .{", .".join(left_out[:5])}; if you want them, '
                'name these endings with extensions',
                logger='current',
                level=logging.WARNING,
            )
        return images


def find_shards(data_root: str, shards: str | None = None) -> list[str]:
    """Lists shards.

    Args:
        data_root: See :class:`ShardedImages`, also for the other.
        shards: A name with braces, or a glob.

    Returns:
        Paths, ``data_root`` included; in the order of the braces, otherwise sorted.

    Raises:
        FileNotFoundError: If the folder or one of the shards is missing, or none was found.
        ImportError: If there are braces and webdataset is missing.
        ValueError: If ``shards`` is empty.
    """
    if not isinstance(data_root, str | os.PathLike):
        raise ValueError(f'data_root={data_root!r} is no folder of shards; {HOW_TO_NAME_A_FOLDER}')
    if not os.path.isdir(data_root):
        raise FileNotFoundError(
            f'data_root={str(data_root)!r} is no folder (seen from {os.getcwd()}); name the folder of the shards'
        )
    if shards == '':
        raise ValueError("shards='' names no shards; use 'train-{000000..000146}.tar', or leave it out for all")
    paths: list[str] = []
    for name in _without_braces(shards or '**/*.tar'):
        path = os.path.join(data_root, name)
        found = sorted(glob.glob(path, recursive=True)) if glob.has_magic(name) else [path]
        found = [each for each in found if os.path.isfile(each)]
        if not found:
            raise FileNotFoundError(
                f'no shard {name!r} in data_root={str(data_root)!r} (seen from {os.getcwd()}); '
                'tools/pack_shards.py makes shards of a folder of images, and shards of the data set says which to use'
            )
        paths += found
    return paths


def _without_braces(pattern: str) -> list[str]:
    if '{' not in pattern:
        return [pattern]
    try:
        from webdataset.shardlists import expand_urls
    except ImportError as error:
        raise ImportError(
            f'shards={pattern!r} has braces, which need the package webdataset: pip install webdataset'
        ) from error
    return expand_urls(pattern)
