"""MMEngine's Runner for models that are shared out over processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine import dist
from mmengine.device import get_device
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.hooks import RemovableHandle

from simmim_mm.engine.hooks import AccelerationHook
from simmim_mm.engine.precision import choose_precision
from simmim_mm.engine.sharding.averages import average_shards, check_average
from simmim_mm.engine.sharding.states import CopyIntoShards, gather, shard_optimizer_state, whole_norm
from simmim_mm.engine.sharding.wrapper import FullyShardedDataParallel
from simmim_mm.registry import RUNNERS

OWN_WRAPPERS = ('FullyShardedDataParallel', 'simmim_mm.FullyShardedDataParallel', FullyShardedDataParallel)
OWN_PRECISION = ('PrecisionOptimWrapper', 'simmim_mm.PrecisionOptimWrapper')


def shards(cfg: Mapping[str, Any]) -> bool:
    """Whether a config asks for :class:`FullyShardedDataParallel`."""
    return (cfg.get('model_wrapper_cfg') or {}).get('type') in OWN_WRAPPERS


@RUNNERS.register_module()
class ShardedRunner(Runner):
    """MMEngine's ``Runner`` for ``model_wrapper_cfg=dict(type='FullyShardedDataParallel')``.

    The model is whole until training begins. Checkpoints are those of a plain run: process 0 writes one file with whole
    tensors and plain keys, of model and optimiser, which any number of processes can go on from, one process without
    this class too. Without several processes it is the plain Runner. Tests of a checkpoint run on whole models.

    Averages of the weights (``EMAHook``) are shared out as the weights are.

    Raises:
        ValueError: If the run has what shards cannot do: fp16, or averages on another device.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.model, FullyShardedDataParallel):
            for hook in self._average_hooks():
                check_average(hook.ema_cfg, get_device().split(':')[0])

    def _average_hooks(self) -> list[EMAHook]:
        return [hook for hook in self.hooks if isinstance(hook, EMAHook)]

    @property
    def sharded(self) -> bool:
        """Whether the model is shared out by now."""
        return isinstance(self.model, FullyShardedDataParallel) and self.model.sharded

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wraps as the host does, which knows our wrapper by its full name alone."""
        if model_wrapper_cfg and model_wrapper_cfg.get('type') in OWN_WRAPPERS:
            model_wrapper_cfg = {**model_wrapper_cfg, 'type': FullyShardedDataParallel}
        return super().wrap_model(model_wrapper_cfg, model)

    def train(self) -> nn.Module:
        """Initialises the model, shares it out and trains it."""
        if isinstance(self.model, FullyShardedDataParallel) and not self.sharded:
            for hook in self.hooks:
                if isinstance(hook, AccelerationHook):  # changes whole models
                    hook.before_run(self)
            device_type = get_device().split(':')[0]
            precision = _precision_of(self.optim_wrapper, device_type)
            super()._init_model_weights()
            self.model.shard(device_type, precision, copies=bool(self._average_hooks()))
            for hook in self._average_hooks():
                average_shards(hook, self.model.module)
        return super().train()

    def _init_model_weights(self) -> None:
        """Does nothing for shards: :meth:`train` has initialised the whole model."""
        if not self.sharded:
            super()._init_model_weights()

    def build_optim_wrapper(self, optim_wrapper: Any) -> Any:
        """Builds the optimiser, of shards; it clips by the norm of whole gradients."""
        new = not isinstance(optim_wrapper, OptimWrapper)
        built = super().build_optim_wrapper(optim_wrapper)
        if new and self.sharded and getattr(built, 'clip_grad_kwargs', None):
            built.clip_func = whole_norm(built.clip_func)
        return built

    def load_checkpoint(self, filename: str, *args: Any, **kwargs: Any) -> dict:
        """Loads weights; every process reads the whole file, and keeps its rows."""
        if not self.sharded:
            return super().load_checkpoint(filename, *args, **kwargs)
        with CopyIntoShards():
            checkpoint = super().load_checkpoint(filename, *args, **kwargs)
        if self._resume and 'optimizer' in checkpoint and isinstance(self.optim_wrapper, OptimWrapper):
            checkpoint['optimizer'] = shard_optimizer_state(checkpoint['optimizer'], self.optim_wrapper.optimizer)
        return checkpoint

    def resume(
        self,
        filename: str,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: str | Callable = 'default',
    ) -> None:
        """Goes on from a checkpoint; the whole of it stays on the CPU."""
        if self.sharded and map_location == 'default':
            map_location = 'cpu'
        super().resume(filename, resume_optimizer, resume_param_scheduler, map_location)

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Gathers whole tensors from all processes, which process 0 saves as the host does."""
        if not self.sharded:
            super().save_checkpoint(*args, **kwargs)
            return
        keep = dist.is_main_process()
        sources = [self.model.module, *(hook.ema_model for hook in self._average_hooks())]
        if kwargs.get('save_optimizer', True):
            sources.append(self.optim_wrapper.optimizer)
        hooks = [_hand_out(source, gather(source.state_dict(), keep)) for source in sources]
        try:
            super().save_checkpoint(*args, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()


def _hand_out(source: Any, whole: dict[str, Any]) -> RemovableHandle:
    """Lets the next state dicts of a module or an optimiser have whole tensors in place of shards."""
    return source.register_state_dict_post_hook(lambda _, state, *__: state.update(whole))


def _precision_of(optim_wrapper: Any, device_type: str) -> str:
    """What a run computes in, before its optimiser is built."""
    kind = optim_wrapper.get('type', 'OptimWrapper') if isinstance(optim_wrapper, Mapping) else None
    precision = 'fp32'
    if kind in OWN_PRECISION:
        precision = choose_precision(optim_wrapper.get('precision', 'auto'), device_type)
    if precision == 'fp16' or kind == 'AmpOptimWrapper':
        raise ValueError(
            'FullyShardedDataParallel has no loss scaler, which fp16 needs; use optim_wrapper='
            "dict(type='PrecisionOptimWrapper', precision='bf16', ...), or precision='fp32'"
        )
    return precision
