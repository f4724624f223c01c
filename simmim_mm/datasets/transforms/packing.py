"""From a dict of many things to the few that travel to the model."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from simmim_mm.datasets.transforms.masks import MASK_KEYS
from simmim_mm.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackMaskedImage(BaseTransform):
    """Keeps the image, its masks and the path of a sample, as tensors that ``stack_samples`` stacks.

    Returns ``inputs`` ((C, H, W) uint8 or float32), ``mask`` and ``other_mask`` ((h, w) bool, where they were drawn),
    and ``img_path`` (str, '' where the image came from no file).

    Raises:
        ValueError: If the image is of another type or shape.
    """

    def transform(self, results: dict) -> dict:
        """Packs one sample."""
        image = check_packable(results['img'])
        packed = {'inputs': torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))}
        for key in MASK_KEYS:
            if key in results:
                packed[key] = torch.from_numpy(np.ascontiguousarray(results[key], dtype=bool))
        packed['img_path'] = results.get('img_path', '')
        return packed

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def check_packable(image: np.ndarray) -> np.ndarray:
    """Checks the image of a sample that is to be packed.

    Args:
        image: What the pipeline made.

    Returns:
        The image.

    Raises:
        ValueError: If it is of another type or shape than (H, W, C) uint8 or float32.
    """
    if image.dtype not in (np.uint8, np.float32) or image.ndim != 3:
        raise ValueError(
            f'an image of shape {image.shape} and type {image.dtype} reached PackMaskedImage, which takes '
            "(H, W, C) uint8 or float32; read files with dict(type='LoadImage', depth='stored'), and normalise on "
            'the device, with mean and std of the data_preprocessor'
        )
    return image


def channels_first(image: np.ndarray, out: np.ndarray) -> None:
    """Writes an image with its channels in front.

    Args:
        image: (H, W, C), mirrored views included.
        out: (C, H, W) of the same type, which is written to.
    """
    if image.dtype != np.uint8 or image.shape[2] != 3 or min(out.shape) == 0:
        out[...] = image.transpose(2, 0, 1)
        return
    if image.strides[1] < 0:  # NumPy copies a mirrored view value by value
        image = cv2.flip(image[:, ::-1], 1)
    cv2.split(image, list(out))
