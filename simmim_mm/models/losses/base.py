"""What all losses share."""

from __future__ import annotations

from abc import abstractmethod

from mmengine.model import BaseModule
from torch import Tensor


class Loss(BaseModule):
    """How far predictions are from their targets, position by position.

    A subclass implements :meth:`forward`. One that needs more than one number a channel sets
    :attr:`params_per_channel`, and overrides :meth:`estimate`.

    Attributes:
        params_per_channel: Numbers that the decoder predicts for each channel of the target (P). They stand beside each
            other: ``prediction.unflatten(1, (C, P))``.
        takes_labels: Whether it scores labels (of a target with ``num_classes``) instead of numbers.
    """

    params_per_channel: int = 1
    takes_labels: bool = False

    @abstractmethod
    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scores each position.

        Args:
            prediction: (N, C * P, s, s), fp32.
            target: (N, C, s, s), numbers in fp32, or labels in int64.

        Returns:
            (N, C, s, s)
        """

    def estimate(self, prediction: Tensor) -> Tensor:
        """The single value, or label, that a prediction stands for, for pictures and metrics.

        Args:
            prediction: (B, C * P, h, w)

        Returns:
            (B, C, h, w). Here, the prediction itself.
        """
        if self.params_per_channel != 1:
            raise NotImplementedError(f'{type(self).__name__} predicts several numbers and must define estimate()')
        return prediction

    def split(self, prediction: Tensor) -> Tensor:
        """Separates channels and parameters: (N, C * P, ...) becomes (N, C, P, ...)."""
        return prediction.unflatten(1, (-1, self.params_per_channel))
