"""A model whose weights, gradients and optimiser state are shared out over processes."""

from __future__ import annotations

from typing import Any

import torch
from mmengine import dist
from mmengine.logging import print_log
from torch import nn

from simmim_mm.engine.sharding.units import sharding_units
from simmim_mm.options import check_flag
from simmim_mm.registry import MODEL_WRAPPERS

# What is called on a SimMIM beside its forward pass, and needs gathered weights.
FORWARD_METHODS = ('reconstruct', 'predict_map')


@MODEL_WRAPPERS.register_module()
class FullyShardedDataParallel(nn.Module):
    """Fully sharded data parallelism (FSDP2, ``torch.distributed.fsdp.fully_shard``) for MMEngine.

    Each of P processes keeps 1/P of each parameter, of its gradient and of its optimiser state. Before a block
    computes, its weights are gathered from all processes, and given up after it; gradients are averaged in fp32.
    Losses and weights are those of ``MMDistributedDataParallel`` to rounding (Zhao et al., PyTorch FSDP,
    https://arxiv.org/abs/2304.11277). Runs with :class:`~simmim_mm.engine.sharding.ShardedRunner`, which our
    ``train.py`` takes by itself.

    Args:
        module: The model, whole. It stays whole until :meth:`shard`.
        reshard_after_forward: Whether the weights of a block are given up between its forward and its backward pass,
            and gathered once more. False takes more memory and less communication.
        param_dtype: ``'auto'`` for weights that are gathered in bf16 where the run computes in bf16, which halves the
            communication of weights; ``'fp32'`` for weights gathered as they are kept, so that what autocast computes
            in fp32 sees every digit of them. Weights are kept and updated in fp32 either way.

    Raises:
        ValueError: If an argument is unknown.
    """

    module: Any

    def __init__(self, module: nn.Module, reshard_after_forward: bool = True, param_dtype: str = 'auto') -> None:
        super().__init__()
        if param_dtype not in ('auto', 'fp32'):
            raise ValueError(f"model_wrapper_cfg.param_dtype={param_dtype!r} is unknown; use 'auto' or 'fp32'")
        self.module = module
        self.reshard_after_forward = check_flag(reshard_after_forward, 'reshard_after_forward', 'model_wrapper_cfg')
        self.param_dtype = param_dtype
        self.sharded = False

    def shard(self, device_type: str, precision: str) -> None:
        """Shares the weights out, in place. Process 0's count.

        Args:
            device_type: ``'cuda'`` or ``'cpu'``, of the model.
            precision: ``'fp32'`` or ``'bf16'``, which the run computes in.

        Raises:
            ValueError: If this PyTorch has no FSDP2.
        """
        try:
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
        except ImportError as error:
            raise ValueError(
                f'FullyShardedDataParallel needs torch 2.6 or later, and this is {torch.__version__}; install a newer '
                'one, or delete model_wrapper_cfg'
            ) from error
        for value in self.module.state_dict().values():
            dist.broadcast(value)
        gathered = torch.bfloat16 if precision == 'bf16' and self.param_dtype == 'auto' else None
        # Inputs stay what autocast makes them: images in bf16 would be targets in bf16 too.
        policy = MixedPrecisionPolicy(gathered, reduce_dtype=torch.float32, cast_forward_inputs=False)
        mesh = init_device_mesh(device_type, (dist.get_world_size(),))
        units = sharding_units(self.module)
        for unit in units:
            fully_shard(unit, mesh=mesh, reshard_after_forward=self.reshard_after_forward, mp_policy=policy)
        fully_shard(self.module, mesh=mesh, mp_policy=policy)
        if gathered is not None:  # the host validates without autocast, and would mix types
            for name in ('forward', *FORWARD_METHODS):
                if hasattr(self.module, name):
                    autocast = torch.autocast(device_type, gathered)
                    setattr(self.module, name, autocast(getattr(self.module, name)))
        for name in FORWARD_METHODS:
            if hasattr(self.module, name):
                register_fsdp_forward_method(self.module, name)
        self.sharded = True
        print_log(
            f'FSDP2: {sum(parameter.numel() for parameter in self.module.parameters()):,} values over {mesh.size()} '
            f'processes, in {len(units)} parts and the rest; gathered in {"bf16" if gathered else "fp32"}',
            logger='current',
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's."""
        return self.module(*args, **kwargs)

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, torch.Tensor]:
        """The model's step; its backward pass averages the gradients.

        Args:
            data: A batch of the loader.
            optim_wrapper: Has the optimiser of the shards.

        Returns:
            What to log.

        Raises:
            ValueError: If another Runner than ours trains.
        """
        if not self.sharded:
            raise ValueError(
                "model_wrapper_cfg.type='FullyShardedDataParallel' needs runner_type='simmim_mm.ShardedRunner' in the "
                'config, beside it; our own tools/train.py sets it itself'
            )
        return self.module.train_step(data, optim_wrapper)

    def val_step(self, data: Any) -> list:
        """The model's."""
        return self.module.val_step(data)

    def test_step(self, data: Any) -> list:
        """The model's."""
        return self.module.test_step(data)
