"""Small pictures that a page holds itself."""

from __future__ import annotations

import base64
import io
import os
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from simmim_mm.datasets.transforms import LoadImage, UnreadableImageError
from simmim_mm.datasets.transforms.stored import ImageSettingError
from simmim_mm.visualization.panels import stretch, to_rgb

# Twice what a page shows, for fine screens.
SIDE = 224
QUALITY = 70


@dataclass(frozen=True)
class Thumbnailer:
    """Reads files as training does and makes them small.

    Args:
        folder: What paths are relative to.
        load: The training pipeline's loader.
    """

    folder: str
    load: LoadImage

    def __call__(self, path: str) -> str | None:
        """The picture of one file.

        Args:
            path: Relative to the folder.

        Returns:
            A WebP image of at most 224 pixels a side, as a ``data:`` address; None if the file cannot be read.
        """
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            try:
                image = self.load.transform({'img_path': os.path.join(self.folder, path)})['img']
            except (UnreadableImageError, ImageSettingError):
                return None
        scale = SIDE / max(image.shape[:2])
        if scale < 1:
            width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
            # By band: OpenCV takes four at most.
            bands = [
                cv2.resize(band, (width, height), interpolation=cv2.INTER_AREA) for band in image.transpose(2, 0, 1)
            ]
            image = np.stack(bands, axis=-1)
        pixels = image.transpose(2, 0, 1)[None]
        picture = Image.fromarray(to_rgb(stretch(pixels, pixels))[0])
        file = io.BytesIO()
        picture.save(file, 'WEBP', quality=QUALITY)
        return 'data:image/webp;base64,' + base64.b64encode(file.getvalue()).decode()
