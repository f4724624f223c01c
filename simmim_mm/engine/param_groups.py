"""Parameter groups, few and said in a line."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import MMLogger, print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from simmim_mm.engine.fused import with_fused
from simmim_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedGroupsConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's default constructor, with parameters of equal settings in one group.

    The host makes a group of each parameter as soon as there is a ``paramwise_cfg``, and logs three lines for each. An
    optimiser works group by group: 330 groups of SimMIM with Swin-B are 330 times its launches; here they are two.
    Where PyTorch has the optimiser as a fused one, it is that, unless its config has ``fused=False``
    (:func:`~simmim_mm.engine.fused.with_fused`).
    """

    optimizer_cfg: dict[str, Any]

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Builds the optimiser of a model that is on its device."""
        self.optimizer_cfg = with_fused(self.optimizer_cfg, model)
        return super().__call__(model)

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs: Any) -> None:
        """Adds the groups of a module; the outermost call merges and reports them."""
        if prefix:
            super().add_params(params, module, prefix, **kwargs)
            return
        logger = MMLogger.get_current_instance()
        level = logger.level
        logger.setLevel(logging.WARNING)
        try:
            super().add_params(params, module, prefix, **kwargs)
        finally:
            logger.setLevel(level)
        self.adapt(params, module)
        params[:] = merge_groups(params, {'lr': self.base_lr, 'weight_decay': self.base_wd})
        self.report(params)

    def adapt(self, params: list[dict], model: nn.Module) -> None:
        """For subclasses: changes the groups of one parameter each, before they are merged."""

    def report(self, params: list[dict]) -> None:
        """Says in a line for each what the merged groups are."""
        for group in params:
            count = sum(parameter.numel() for parameter in group['params'])
            settings = ', '.join(f'{key} {value}' for key, value in group.items() if key != 'params')
            print_log(f'Optimiser: {len(group["params"])} tensors, {count:,} values: {settings}', logger='current')


def merge_groups(groups: list[dict], defaults: dict) -> list[dict]:
    """Merges groups that differ in nothing but their parameters.

    Args:
        groups: As for a ``torch.optim.Optimizer``; ``lr_mult`` and ``decay_mult``, which the host leaves in them after
            using them, do not count.
        defaults: What a group has that does not say otherwise; None for unknown.

    Returns:
        The merged groups, in order of first appearance; parameters keep their order.
    """
    merged: dict[tuple, dict] = {}
    for group in groups:
        settings = {key: value for key, value in defaults.items() if value is not None}
        settings.update({key: value for key, value in group.items() if key not in ('params', 'lr_mult', 'decay_mult')})
        target = merged.setdefault(tuple(sorted(settings.items())), {**settings, 'params': []})
        target['params'].extend(group['params'])
    return list(merged.values())
