"""Mask ratios that change in the course of training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Real

from simmim_mm.masking import check_ratio
from simmim_mm.registry import TASK_UTILS


class RatioSchedule(ABC):
    """A mask ratio as a function of the share of training that has passed."""

    @abstractmethod
    def ratio(self, progress: float) -> float:
        """The ratio at a moment.

        Args:
            progress: 0 at the first iteration of the run, 1 at the last.

        Returns:
            Share of the cells to hide, 0 to 1.
        """


@TASK_UTILS.register_module()
class ConstantRatio(RatioSchedule):
    """One ratio for the whole run, as a plain number is.

    Args:
        value: Share of the cells to hide, 0 to 1.
    """

    def __init__(self, value: float = 0.6) -> None:
        self.value = check_ratio(value, 'value')

    def ratio(self, progress: float) -> float:
        """The ratio at a moment."""
        return self.value

    def __repr__(self) -> str:
        return f'{type(self).__name__}(value={self.value})'


class _Ramp(RatioSchedule):
    """From one ratio to another; constant before and after."""

    def __init__(self, start: float, end: float, begin: float = 0.0, until: float = 1.0) -> None:
        self.start = check_ratio(start, 'start')
        self.end = check_ratio(end, 'end')
        for name, value in (('begin', begin), ('until', until)):
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
                raise ValueError(f'{name}={value!r} of {type(self).__name__} is no share of the run; use 0 to 1')
        if begin >= until:
            raise ValueError(f'begin={begin!r} of {type(self).__name__} must be below until={until!r}')
        self.begin = float(begin)
        self.until = float(until)

    def ratio(self, progress: float) -> float:
        """The ratio at a moment."""
        passed = min(1.0, max(0.0, (progress - self.begin) / (self.until - self.begin)))
        return self.start + (self.end - self.start) * self._ease(passed)

    @abstractmethod
    def _ease(self, passed: float) -> float:
        """Share of the way, 0 to 1, after a share of the time."""

    def __repr__(self) -> str:
        return f'{type(self).__name__}(start={self.start}, end={self.end}, begin={self.begin}, until={self.until})'


@TASK_UTILS.register_module()
class LinearRatio(_Ramp):
    """Goes straight from ``start`` to ``end``; progressive masking, where ``end`` is the larger one.

    Args:
        start: Ratio up to ``begin``, 0 to 1.
        end: Ratio from ``until`` on, 0 to 1.
        begin: Share of the run after which the change begins.
        until: Share of the run after which it is complete.

    Raises:
        ValueError: If an argument is out of range.
    """

    def _ease(self, passed: float) -> float:
        return passed


@TASK_UTILS.register_module()
class CosineRatio(_Ramp):
    """Goes from ``start`` to ``end`` along half a cosine: slowly at both ends.

    Args:
        start: Ratio up to ``begin``, 0 to 1.
        end: Ratio from ``until`` on, 0 to 1.
        begin: Share of the run after which the change begins.
        until: Share of the run after which it is complete.

    Raises:
        ValueError: If an argument is out of range.
    """

    def _ease(self, passed: float) -> float:
        return (1 - math.cos(math.pi * passed)) / 2
