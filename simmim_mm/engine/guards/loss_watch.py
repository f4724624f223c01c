"""Whether a loss rises that should fall, by its values alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

# Values of a block, of which the median is one level; shorter log intervals are put together.
BLOCK = 20
# Levels that must be known before anything is said: what comes before is the start of the run.
LEAST_LEVELS = 5
# Levels that count: a rise is compared with the best of them.
MOST_LEVELS = 50
# Of the noise of levels and of single values, where noise is large beside the loss.
NOISE_OF_LEVELS = 6.0
NOISE_OF_VALUES = 12.0
# Other conditions, such as another mask ratio, make another loss.
SAME_CONDITIONS = 0.05
# Standard deviation of a normal distribution / its median absolute deviation.
NORMAL = 1.4826


class Alarm(NamedTuple):
    """A rise of the loss.

    Attributes:
        kind: ``'spike'`` for single values, ``'rise'`` for the level.
        value: The highest value, or the level.
        reference: The level before, or the best one.
        noise: Standard deviation of single values, or of levels.
    """

    kind: str
    value: float
    reference: float
    noise: float

    @property
    def share(self) -> float:
        """The rise as a share of the magnitude of the reference."""
        return (self.value - self.reference) / abs(self.reference) if self.reference else float('inf')


class LossWatch:
    """Follows a loss from look to look.

    Values are put into blocks, and the median of a block is its level: single outliers do not move it. The loss
    *rises* if two levels in a row are above the best of the latest ones (the third lowest, so that luck is not the
    measure) by more than the share ``rise`` of it, and by more than six standard deviations of the noise of levels,
    which follows from the median difference of neighbours: so a trend is not taken for noise. It has a *spike* if a
    value is above the level before by more than the share ``spike`` of it and 12 standard deviations of values. After
    an alarm, levels count anew: one that rises further raises the next.

    Args:
        rise: Share of the loss.
        spike: Share of the loss.
    """

    def __init__(self, rise: float = 0.1, spike: float = 0.5) -> None:
        self.rise, self.spike = rise, spike
        self._values: list[float] = []
        self._levels: list[float] = []
        self._noises: list[float] = []
        self._conditions: dict[str, float] = {}
        self._quiet = 0

    def look(self, values: Sequence[float], conditions: Mapping[str, float] | None = None) -> list[Alarm]:
        """Takes the values since the last look.

        Args:
            values: One an iteration; those that are not finite do not count.
            conditions: What the loss depends on beside the weights, such as the mask ratio. When one of them changes,
                losses are not compared with those before.

        Returns:
            What is to be said, mostly nothing.
        """
        conditions = dict(conditions or {})
        if self._changed(conditions):
            self._values, self._levels, self._noises = [], [], []
            self._conditions = conditions
            return []  # of these values, some are of the conditions before
        self._values += [float(value) for value in values if np.isfinite(value)]
        if len(self._values) < BLOCK:
            return []
        block, self._values = np.array(self._values), []
        return self._judge(block)

    def _changed(self, conditions: Mapping[str, float]) -> bool:
        if not self._conditions and not self._levels:
            self._conditions = dict(conditions)
        old = self._conditions
        return conditions.keys() != old.keys() or any(
            abs(value - old[name]) > SAME_CONDITIONS * max(abs(value), abs(old[name]))
            for name, value in conditions.items()
        )

    def _judge(self, block: np.ndarray) -> list[Alarm]:
        level = float(np.median(block))
        self._noises.append(NORMAL * float(np.median(np.abs(block - level))))
        known = self._levels
        alarms: list[Alarm] = []
        self._quiet = max(0, self._quiet - 1)
        if len(known) >= LEAST_LEVELS:
            of_values = float(np.median(self._noises))
            before, highest = known[-1], float(block.max())
            if not self._quiet and highest > before + max(self.spike * abs(before), NOISE_OF_VALUES * of_values):
                alarms.append(Alarm('spike', highest, before, of_values))
                self._quiet = LEAST_LEVELS  # spikes come in swarms
            best = sorted(known)[2]
            # Each level is noisy, so a difference is so by the root of two; of slopes, half are below the median.
            steps = np.diff(known)
            of_levels = NORMAL * float(np.median(np.abs(steps - np.median(steps)))) / np.sqrt(2)
            limit = best + max(self.rise * abs(best), NOISE_OF_LEVELS * of_levels)
            if min(level, known[-1]) > limit:
                alarms.append(Alarm('rise', level, best, of_levels))
                self._levels, self._noises = [], []
        self._levels = [*self._levels, level][-MOST_LEVELS:]
        self._noises = self._noises[-MOST_LEVELS:]
        return alarms

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on from: plain data."""
        return {
            'values': list(self._values),
            'levels': list(self._levels),
            'noises': list(self._noises),
            'conditions': dict(self._conditions),
            'quiet': self._quiet,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from what :meth:`state_dict` returned."""
        self._values, self._levels, self._noises = (list(state[name]) for name in ('values', 'levels', 'noises'))
        self._conditions, self._quiet = dict(state['conditions']), state['quiet']
