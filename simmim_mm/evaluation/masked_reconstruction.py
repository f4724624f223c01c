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
    """How well hidden pixels are predicted: the model's own loss, and an error that trivial fillers have too.

    ``val/hidden_objective`` is the training loss on the hidden part of an image, whatever target and loss are. Where
    the target can be turned into images, ``val/hidden_l1`` is the mean absolute error over the hidden pixels and
    channels of an image, and ``val/mean_colour_l1`` and ``val/local_mean_l1`` are those of two trivial fillers, in
    units of the normalised image (standard deviations of ImageNet's pixels, with the default preprocessor). Of a target
    with ``norm``, the true mean and deviation are put back before, which makes ``hidden_l1`` lower than a model of
    plain pixels can reach. All are means over images; those without hidden pixels do not count.

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
            # Not called a loss: MMEngine logs the mean of the last 20 values of what is, over validations too.
            scores = {'hidden_objective': float(sample['hidden_loss'])} if 'hidden_loss' in sample else {}
            if 'reconstruction' in sample:
                filled = {
                    'hidden_l1': sample['reconstruction'].float(),
                    'mean_colour_l1': mean_colour(image[None], hidden[None])[0],
                    'local_mean_l1': local_mean(image[None], hidden[None])[0],
                }
                scores.update({name: hidden_l1(pixels, image, hidden) for name, pixels in filled.items()})
            self.results.append(scores)

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
