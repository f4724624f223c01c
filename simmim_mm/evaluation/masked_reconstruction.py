"""Errors on hidden pixels, and how alike a filled image is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import BaseMetric
from torch import Tensor

from simmim_mm.evaluation.fillers import local_mean, mean_colour
from simmim_mm.evaluation.image_quality import SSIM_WINDOW, hidden_errors, psnr, ssim
from simmim_mm.registry import METRICS

# A score of an image by name.
Scores = dict[str, float]


@METRICS.register_module()
class MaskedReconstructionMetric(BaseMetric):
    """How well hidden pixels are predicted: the model's own loss, and errors that trivial fillers have too.

    ``val/hidden_objective`` is the training loss on the hidden part of an image, whatever target and loss are. Where
    the target can be turned into images, there are also

    - ``val/hidden_l1`` and ``val/hidden_l2``: mean absolute and mean squared error over the hidden pixels and channels
      of an image, in units of the normalised image (standard deviations of ImageNet's pixels, and their squares, with
      the default preprocessor);
    - ``val/psnr`` (decibels, at most 100) and ``val/ssim`` (at most 1, all channels alike) of the composite image, the
      prediction in its hidden pixels and the image itself in its visible ones, against the image: on all pixels, with
      the value range of the preprocessor as 0 to 255, not rounded, and clipped there;
    - the same four of two trivial fillers, ``val/mean_colour_l1`` and so on and ``val/local_mean_l1`` and so on.

    Of a target with ``norm``, the true mean and deviation are put back before, so its errors are lower than a model of
    plain pixels can reach. All are means over images, each file once, whatever the sampler repeats to fill the batches
    of several processes; images without hidden pixels do not count. SSIM needs images of at least 7x7 pixels.

    For numbers that can be compared between checkpoints, masks must be the same: use ``fixed=True`` of
    :class:`~simmim_mm.datasets.UnlabelledImages`, with ``SeededSampler(shuffle=False, seed=0)``.

    Args:
        **kwargs: ``collect_device``, ``prefix``, ``collect_dir`` of MMEngine's ``BaseMetric``.
    """

    default_prefix = 'val'
    results: list[Any]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._size = 0

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Scores the predictions of one batch."""
        paths = data_batch.get('img_path') if isinstance(data_batch, Mapping) else None
        # An image without a file is known by its position, as the host's samplers deal positions to processes.
        first = len(self.results)
        places = [(first + number) * get_world_size() + get_rank() for number in range(len(data_samples))]
        names = [path or place for path, place in zip(paths or [''] * len(places), places, strict=True)]
        self.results += list(zip(names, score_batch(data_samples), strict=True))

    def evaluate(self, size: int) -> dict[str, float]:
        """Collects the scores of all processes and averages them.

        Args:
            size: Number of images in the data set.

        Returns:
            Means by name.
        """
        self._size = size
        # One entry a process, of which the host drops none: it knows no images, and would drop by position.
        self.results = [self.results[:]]
        return super().evaluate(get_world_size())

    def compute_metrics(self, results: list[list[tuple[str | int, Scores]]]) -> dict[str, float]:
        """Averages over all images.

        Args:
            results: Name or position and scores of each image, a list a process.
        """
        images: dict[str | int, Scores] = {}
        for name, scores in (row for part in results for row in part):
            if isinstance(name, str) or name < self._size:
                images.setdefault(name, scores)
        counted = [scores for scores in images.values() if scores]
        if not counted:
            return {}
        # Of an exact sum: the order of files and processes changes no digit.
        return {name: math.fsum(scores[name] for scores in counted) / len(counted) for name in counted[0]}


def score_batch(data_samples: Sequence[dict]) -> list[Scores]:
    """Scores predictions.

    Args:
        data_samples: What :meth:`~simmim_mm.models.SimMIM.predict` returned, of images of one size.

    Returns:
        Scores by name for each image; none for one without hidden pixels.
    """
    chosen = [number for number, sample in enumerate(data_samples) if sample['hidden'].any()]
    rows: list[Scores] = [{} for _ in data_samples]
    if not chosen:
        return rows
    batch = {
        name: torch.stack([data_samples[number][name] for number in chosen])
        for name in ('image', 'hidden', 'reconstruction', 'hidden_loss', 'display_units')
        if name in data_samples[chosen[0]]
    }
    # Not called a loss: MMEngine logs the mean of the last 20 values of what is, over validations too.
    columns = {'hidden_objective': batch['hidden_loss']} if 'hidden_loss' in batch else {}
    if 'reconstruction' in batch:
        images, hidden = batch['image'].float(), batch['hidden']
        filled = {
            'hidden': batch['reconstruction'].float().where(hidden.unsqueeze(1), images),
            'mean_colour': mean_colour(images, hidden),
            'local_mean': local_mean(images, hidden),
        }
        for name, composite in filled.items():
            columns |= _score(name, images, composite, hidden, batch.get('display_units'))
    values = torch.stack([column.float() for column in columns.values()]).tolist()  # to the host at once
    for number, scores in zip(chosen, zip(*values, strict=True), strict=True):
        rows[number] = dict(zip(columns, scores, strict=True))
    return rows


def _score(
    name: str, images: Tensor, composite: Tensor, hidden: Tensor, display_units: Tensor | None
) -> dict[str, Tensor]:
    l1, l2 = hidden_errors(composite, images, hidden)
    scores = {f'{name}_l1': l1, f'{name}_l2': l2}
    if display_units is None:
        return scores
    factor, summand = display_units[:, :, :, None, None].unbind(dim=1)
    shown, other = ((maps * factor + summand).clamp(0, 255) for maps in (images, composite))
    prefix = '' if name == 'hidden' else f'{name}_'
    scores[f'{prefix}psnr'] = psnr(shown, other)
    if min(images.shape[-2:]) >= SSIM_WINDOW:
        scores[f'{prefix}ssim'] = ssim(shown, other)
    return scores
