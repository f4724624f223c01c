"""Pictures in MLflow."""

from __future__ import annotations

from typing import Any

import mmengine.visualization
import numpy as np
from mmengine.visualization.vis_backend import force_init_env

from simmim_mm.registry import VISBACKENDS


@VISBACKENDS.register_module()
class MLflowVisBackend(mmengine.visualization.MLflowVisBackend):
    """MMEngine's ``MLflowVisBackend``, which takes pictures by names such as ``reconstruction``.

    The host hands the name on as that of a file, which MLflow refuses without an ending, and which each picture would
    have in common with those before. Here, it becomes ``reconstruction_500.png``. Can go when MMEngine names files so,
    as its ``LocalVisBackend`` does.
    """

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs: Any) -> None:
        """Stores a picture.

        Args:
            name: What it shows.
            image: (H, W, 3) uint8, RGB.
            step: When it was drawn, in iterations.
            **kwargs: Unused; the host passes none.
        """
        super().add_image(f'{name}_{step}.png', image, step)
