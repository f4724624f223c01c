"""Error on hidden pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from torch import Tensor

from simmim_mm.evaluation.fillers import local_mean, mean_colour
from simmim_mm.registry import METRICS


@METRICS.register_module()
class MaskedReconstructionMetric(BaseMetric):
    """Mean absolute error on hidden pixels, of the model and of two trivial fillers.

    In units of the normalised image (standard deviations of ImageNet's pixels, with the default preprocessor), averaged
    over hidden pixels and channels of an image, then over images. Keys: ``val/hidden_l1``, ``val/mean_colour_l1``,
    ``val/local_mean_l1``. Images without hidden pixels do not count.

    For a number that can be compared between checkpoints, masks must be the same: use ``SeededSampler`` with
    ``shuffle=False`` and a seed.

    Args:
        **kwargs: ``collect_device``, ``prefix``, ``collect_dir`` of MMEngine's ``BaseMetric``.
    """

    default_prefix = 'val'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Scores the predictions of one batch."""
        for sample in data_samples:
            image, hidden = sample['image'].float(), sample['hidden']
            if not hidden.any():
                continue
            filled = {
                'hidden_l1': sample['reconstruction'].float(),
                'mean_colour_l1': mean_colour(image[None], hidden[None])[0],
                'local_mean_l1': local_mean(image[None], hidden[None])[0],
            }
            self.results.append({name: hidden_l1(pixels, image, hidden) for name, pixels in filled.items()})

    def compute_metrics(self, results: list[dict[str, float]]) -> dict[str, float]:
        """Averages over all images."""
        if not results:
            return {}
        return {name: sum(result[name] for result in results) / len(results) for name in results[0]}


def hidden_l1(prediction: Tensor, image: Tensor, hidden: Tensor) -> float:
    """Mean absolute error over hidden pixels and channels.

    Args:
        prediction: (C, H, W)
        image: (C, H, W)
        hidden: (H, W) bool, not empty.
    """
    return (prediction - image)[:, hidden].abs().mean().item()
