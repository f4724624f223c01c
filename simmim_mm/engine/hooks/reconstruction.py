"""Pictures of what the model has learnt so far."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mmengine.dist import is_main_process
from mmengine.runner import Runner

from simmim_mm.datasets.image_files import find_images, folder_given_as
from simmim_mm.datasets.randomness import check_seed
from simmim_mm.datasets.wrappers import base_datasets
from simmim_mm.engine.hooks.periodic import PeriodicHook, unwrapped
from simmim_mm.options import check_text, check_whole
from simmim_mm.registry import HOOKS
from simmim_mm.visualization import check_bands, draw_reconstructions, fixed_batch, picture_pipeline, save_png


@HOOKS.register_module()
class ReconstructionHook(PeriodicHook):
    """Draws reconstructions of a fixed set of images with fixed masks.

    A panel has a row an image: original, masked, reconstruction, reconstruction pasted into the visible part; where the
    target is no image (HOG, features), the target and its prediction, drawn, are the last two. It goes
    to ``WORK_DIR/reconstructions/iter_N.png`` and, as ``reconstruction``, to MMEngine's visualizer. The images are
    whole ones (central crops, no flip) of the size in training, with masks as in training.

    Args:
        interval: How often, in epochs or iterations; 0 for the end of training alone, which is always drawn.
        by_epoch: Whether ``interval`` counts epochs.
        num_images: Rows of the panel.
        images: A folder to take the images from. By default the validation set, or without one the training set; spread
            evenly over it.
        seed: Of the masks.
        bands: Which bands to show as red, green and blue, or which one as grey, counted from 0; by default the first
            three or one. Values that are not of 8 bits are stretched: the 2nd and 98th percentile of each band of the
            original become black and white.
    """

    def __init__(
        self,
        interval: int = 1,
        by_epoch: bool = True,
        num_images: int = 8,
        images: str | None = None,
        seed: int = 0,
        bands: Sequence[int] | None = None,
    ) -> None:
        super().__init__(interval, by_epoch)
        self.num_images = check_whole(num_images, 'num_images', 'ReconstructionHook')
        self.images = check_text(images, 'images', 'ReconstructionHook')
        self.seed = check_seed(seed)
        self.bands = check_bands(bands)
        self._batch: dict[str, Any] | None = None

    def before_train(self, runner: Runner) -> None:
        """Loads the images, so that a wrong folder is known at once."""
        super().before_train(runner)
        if getattr(unwrapped(runner), 'head', True) is None:
            raise ValueError(
                'ReconstructionHook draws what a decoder makes, but a model with companion.alone=True has none; delete '
                'the hook from custom_hooks'
            )
        self._load(runner)

    def _load(self, runner: Runner) -> None:
        if not _takes_part(runner):
            return
        loader = runner.train_dataloader if runner.val_loop is None else runner.val_loop.dataloader
        dataset = next(base_datasets(loader.dataset))
        transforms = picture_pipeline(dataset.pipeline.transforms)
        if self.images is None:
            self._batch = fixed_batch(dataset.get_data_info, len(dataset), transforms, self.num_images, self.seed)
        else:
            advice = 'name a folder of images with images of ReconstructionHook, or None for those of the data set'
            with folder_given_as(self.images, 'images', 'ReconstructionHook', advice):
                samples = [{'img_path': path} for path in find_images(self.images)]
            self._batch = fixed_batch(samples.__getitem__, len(samples), transforms, self.num_images, self.seed)
        if 'mask' not in self._batch:
            raise ValueError(
                'ReconstructionHook draws masked images, but the pipeline of the data that it takes them from draws no '
                "masks; put dict(type='RandomPatchMask') into it"
            )

        check_bands(self.bands, self._batch['inputs'].shape[1])

    def act(self, runner: Runner, num_iters: int) -> None:
        """Draws."""
        if not _takes_part(runner):
            return
        assert self._batch is not None
        panel = draw_reconstructions(unwrapped(runner), self._batch, self.bands)
        if not is_main_process():
            return
        path = os.path.join(runner.work_dir, 'reconstructions', f'iter_{num_iters}.png')
        save_png(path, panel)
        runner.visualizer.add_image('reconstruction', panel, num_iters)
        runner.logger.info(f'Reconstructions are drawn in {path}')


def _takes_part(runner: Runner) -> bool:
    """Whether a process draws: the first one, and the others where each has but a part of the weights."""
    return is_main_process() or getattr(runner, 'sharded', False)
