"""Reading label maps and score maps."""

from __future__ import annotations

import os

import numpy as np
from mmcv.transforms import BaseTransform

from simmim_mm.datasets.transforms.limits import Limits
from simmim_mm.datasets.transforms.maps import resize_map
from simmim_mm.datasets.transforms.photographs import open_photograph
from simmim_mm.options import check_flag
from simmim_mm.registry import TRANSFORMS

KINDS = ('labels', 'scores')


@TRANSFORMS.register_module()
class LoadMap(BaseTransform):
    """Reads a label map or a score map that belongs to the image.

    For ``SemanticMask`` and ``SaliencyMask``. ``RandomResizedCrop``, ``CenterCrop`` and ``RandomFlip`` of this package
    treat it as they treat the image: labels are resized to the nearest, scores bilinearly.

    Files: ``.npy``; ``.npz`` with one array, or one named ``key``; or an image. Of an image, grey values (8, 16 or 32
    bits) or indices into a palette are the numbers. In a label map, a colour (R, G, B) counts as the number
    ``R + 256 G + 65536 B``, as in COCO's panoptic files.

    Put it behind ``LoadImage``. Adds ``maps[key]``: (H, W), int64 for labels, float32 for scores.

    Args:
        key: Name of the map.
        folder: Where the files are; by default beside the images.
        suffix: What stands in place of the ending of the image's name: ``'.png'`` for ``a/1.jpg`` means ``1.png``.
        image_root: The folder of the images, to find ``folder/a/1.png`` for ``image_root/a/1.jpg``. By default
            ``folder`` has no subfolders.
        kind: ``'labels'`` (whole numbers) or ``'scores'``.
        resize: Whether a map of another size than the image is brought to it. If not, it is refused.

    Raises:
        ValueError: If an option is out of range; later, if a map cannot be read or does not fit its image.
        FileNotFoundError: If an image has no map.
    """

    def __init__(
        self,
        key: str = 'labels',
        folder: str | None = None,
        suffix: str = '.png',
        image_root: str | None = None,
        kind: str = 'labels',
        resize: bool = False,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind={kind!r} of LoadMap is unknown; use 'labels' or 'scores'")
        for name, value in (('key', key), ('suffix', suffix)):
            if not isinstance(value, str) or not value:
                raise ValueError(f'{name}={value!r} of LoadMap must be a text, such as {name}={kind!r}')
        for name, path in (('folder', folder), ('image_root', image_root)):
            if path is not None and not isinstance(path, str | os.PathLike):
                raise ValueError(f'{name}={path!r} of LoadMap is no path of a folder')
        if image_root is not None and folder is None:
            raise ValueError(f'image_root={image_root!r} of LoadMap means nothing without folder; set folder')
        self.key, self.folder, self.suffix, self.image_root = key, folder, suffix, image_root
        self.kind, self.resize = kind, check_flag(resize, 'resize', 'LoadMap')

    def path_of(self, img_path: str) -> str:
        """The file of an image's map.

        Raises:
            ValueError: If the image lies outside ``image_root``.
        """
        stem = os.path.splitext(img_path)[0]
        if self.folder is None:
            return stem + self.suffix
        if self.image_root is None:
            return os.path.join(self.folder, os.path.basename(stem) + self.suffix)
        relative = os.path.relpath(stem, self.image_root)
        if relative.startswith(os.pardir):
            raise ValueError(f'image {img_path!r} lies outside image_root={self.image_root!r} of LoadMap; change it')
        return os.path.join(self.folder, relative + self.suffix)

    def transform(self, results: dict) -> dict:
        """Reads one map."""
        if 'img' not in results:
            raise ValueError("LoadMap found no image to fit; put it behind dict(type='LoadImage') in the pipeline")
        path = self.path_of(results['img_path'])
        values = read_map(path, self.key, self.kind)
        image_hw = results['img'].shape[:2]
        if values.shape != image_hw:
            if not self.resize:
                raise ValueError(
                    f'map {path!r} has the shape {values.shape}, its image {image_hw} (height, width); save it at the '
                    'size of the image, or set resize=True in LoadMap'
                )
            values = resize_map(values, image_hw)
        results['maps'] = {**results.get('maps', {}), self.key: values}
        return results

    def __repr__(self) -> str:
        arguments = ('key', 'folder', 'suffix', 'image_root', 'kind', 'resize')
        return f'{type(self).__name__}({", ".join(f"{name}={getattr(self, name)!r}" for name in arguments)})'


def read_map(path: str, key: str, kind: str) -> np.ndarray:
    """Reads a map.

    Args:
        path: The file; see :class:`LoadMap`.
        key: Of the array, in an ``.npz`` file with several.
        kind: ``'labels'`` or ``'scores'``.

    Returns:
        (H, W) int64 or float32.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it cannot be read, has another number of dimensions, or values that ``kind`` does not allow.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'map {path!r} does not exist; change folder or suffix of LoadMap, or leave the image out'
        )
    try:
        values = _read(path, key, kind)
    except (OSError, SyntaxError, EOFError, KeyError, ValueError) as error:
        raise ValueError(f'map {path!r} cannot be read as {kind}: {" ".join(str(error).split())}') from error
    if values.ndim != 2 or values.dtype.kind not in 'buif':
        raise ValueError(
            f'map {path!r} has the shape {values.shape} and type {values.dtype}; expected (H, W) numbers, whole or real'
        )
    if kind == 'scores':
        scores = values.astype(np.float32)
        if not np.isfinite(scores).all():
            raise ValueError(f'map {path!r} holds values that are not finite; scores must be finite numbers')
        return scores
    if values.dtype.kind == 'f' and not np.isfinite(values).all():
        raise ValueError(
            f'map {path!r} holds {np.count_nonzero(~np.isfinite(values))} values that are not finite; labels are whole '
            'numbers: where NaN means "no label", save a number, and name it in background of SemanticMask'
        )
    limits = np.iinfo(np.int64)
    # 2**63 as a float: the largest int64 is no float.
    if values.dtype.kind in 'uf' and values.size and (values.max() >= 2.0**63 or values.min() < limits.min):
        raise ValueError(
            f'map {path!r} holds numbers beyond those of 64 bits; save labels from {limits.min} to {limits.max}'
        )
    labels = values.astype(np.int64)
    if not np.array_equal(labels, values):
        raise ValueError(f"map {path!r} holds fractions; labels are whole numbers (for scores, set kind='scores')")
    return labels


def _read(path: str, key: str, kind: str) -> np.ndarray:
    ending = os.path.splitext(path)[1].lower()
    if ending == '.npy':
        return np.load(path, allow_pickle=False)
    if ending == '.npz':
        with np.load(path, allow_pickle=False) as archive:
            if key not in archive and len(archive.files) != 1:
                raise ValueError(f'it has the arrays {", ".join(archive.files) or "none"}, and none named {key}')
            return archive[key if key in archive else archive.files[0]]
    with open(path, 'rb') as file, open_photograph(file.read(), Limits()) as image:
        values = np.array(image)
    if values.ndim == 3 and values.shape[2] >= 3 and kind == 'labels':
        red, green, blue = np.moveaxis(values[..., :3].astype(np.int64), -1, 0)
        return red + 256 * green + 65536 * blue
    return values
