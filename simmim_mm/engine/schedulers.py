"""The published learning rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import INF, _ParamScheduler

from simmim_mm.registry import PARAM_SCHEDULERS


def cosine_with_warmup(step: int, total: int, warmup: int, warmup_ratio: float, min_ratio: float) -> float:
    """Learning rate of a step, as a share of the base rate.

    The cosine runs over all steps; the linear warm-up lies over its beginning, so the rate drops a little where the
    warm-up ends. This is what the authors' configs do (microsoft/SimMIM, ``lr_scheduler.py`` with timm's
    ``CosineLRScheduler``); mmpretrain's lets the cosine begin after the warm-up.

    Args:
        step: From 0.
        total: Number of steps.
        warmup: Number of warm-up steps.
        warmup_ratio: First rate / base rate.
        min_ratio: Last rate / base rate.

    Returns:
        The rate / base rate.
    """
    if step < warmup:
        return warmup_ratio + (1 - warmup_ratio) * step / warmup
    return min_ratio + 0.5 * (1 - min_ratio) * (1 + math.cos(math.pi * step / total))


def check_schedules(cfg: Config) -> None:
    """Refuses a warm-up that is longer than the run, before anything is built.

    Args:
        cfg: The config of a run.

    Raises:
        ValueError: If there is one, with the setting to change.
    """
    training = cfg.get('train_cfg') or {}
    for schedule in _dicts(cfg.get('param_scheduler')):
        if str(schedule['type']).rpartition('.')[2].rstrip("'>") != CosineWithWarmupLR.__name__:
            continue
        # As the Runner fills it in; a loop of iterations counts as one epoch.
        length = training.get('max_epochs', 1) if schedule.get('by_epoch', True) else training.get('max_iters')
        end = schedule.get('end', length)
        if end is not None:
            _check_warmup(schedule.get('begin', 0), end, schedule.get('warmup', 0))


def _dicts(schedules: Any) -> Iterator[dict]:
    """The configs of schedules: of one, of a list, or of a list for each optimiser."""
    if isinstance(schedules, dict) and 'type' in schedules:
        yield schedules
    elif isinstance(schedules, dict | list | tuple):
        for each in schedules.values() if isinstance(schedules, dict) else schedules:
            yield from _dicts(each)


def _check_warmup(begin: int, end: int, warmup: int) -> None:
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in (begin, end, warmup)) or begin < 0:
        raise ValueError(
            f'begin={begin!r}, end={end!r}, warmup={warmup!r} of CosineWithWarmupLR must be whole numbers from 0'
        )
    if not 0 <= warmup < end - begin:
        raise ValueError(
            f'warmup={warmup} of CosineWithWarmupLR must be shorter than the schedule from begin={begin} to '
            f'end={end}; set param_scheduler.warmup to a part of it, such as a tenth'
        )
    if end == INF:
        raise ValueError('CosineWithWarmupLR has no end; set param_scheduler.end')


@PARAM_SCHEDULERS.register_module()
class CosineWithWarmupLR(LRSchedulerMixin, _ParamScheduler):
    """Cosine decay with a linear warm-up laid over its beginning. See :func:`cosine_with_warmup`.

    Rates are shares of the base rate, so ``--auto-scale-lr`` scales the whole schedule, as the authors' linear scaling
    rule does.

    Args:
        optimizer: The optimiser or its wrapper.
        end: Last epoch or iteration; MMEngine fills in that of the training.
        warmup: Length of the warm-up, in the unit of ``end``.
        warmup_ratio: First rate / base rate.
        min_ratio: Last rate / base rate.
        begin: First epoch or iteration.
        **kwargs: ``by_epoch``, ``last_step``, ``verbose``, and ``convert_to_iter_based`` of MMEngine's schedulers.

    Raises:
        ValueError: If the warm-up is not shorter than the whole.
    """

    def __init__(
        self,
        optimizer: Any,
        end: int = INF,
        warmup: int = 0,
        warmup_ratio: float = 0.005,
        min_ratio: float = 0.05,
        begin: int = 0,
        **kwargs: Any,
    ) -> None:
        _check_warmup(begin, end, warmup)
        for name, ratio in (('warmup_ratio', warmup_ratio), ('min_ratio', min_ratio)):
            if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0 <= ratio <= 1:
                raise ValueError(f'{name}={ratio!r} of CosineWithWarmupLR must be a share of the base rate, 0 to 1')
        self.warmup = warmup
        self.warmup_ratio = warmup_ratio
        self.min_ratio = min_ratio
        super().__init__(optimizer, begin=begin, end=end, **kwargs)

    @classmethod
    def build_iter_from_epoch(
        cls, optimizer: Any, end: int, epoch_length: int, warmup: int = 0, begin: int = 0, **kwargs: Any
    ) -> CosineWithWarmupLR:
        """Builds the schedule per iteration from a config in epochs (``convert_to_iter_based=True``)."""
        if epoch_length < 1:
            raise ValueError(
                'an epoch has no batch: the training images are fewer than one batch, and drop_last=True '
                'leaves it out; lower train_dataloader.batch_size'
            )
        _check_warmup(begin, end, warmup)
        kwargs.pop('by_epoch', None)
        return cls(
            optimizer,
            end=end * epoch_length,
            warmup=warmup * epoch_length,
            begin=begin * epoch_length,
            by_epoch=False,
            **kwargs,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over where a schedule stood; its shape is the config's, so that a resumed run may be made longer.

        Args:
            state_dict: Of a schedule of this class.
        """
        shape = {name: getattr(self, name) for name in ('begin', 'end', 'warmup', 'warmup_ratio', 'min_ratio')}
        changed = any(state_dict.get(name) != value for name, value in shape.items())
        super().load_state_dict({**state_dict, **shape})
        if changed:
            # A schedule that had ended has stopped to count, and the optimiser still has the old one's rate.
            self.last_step = max(0, min(self._global_step, self.end - 1) - self.begin)
            for group, value in zip(self.optimizer.param_groups, self._get_value(), strict=True):
                group[self.param_name] = value

    def _get_value(self) -> list[float]:
        share = cosine_with_warmup(
            self.last_step, self.end - self.begin, self.warmup, self.warmup_ratio, self.min_ratio
        )
        return [base * share for base in self.base_values]
