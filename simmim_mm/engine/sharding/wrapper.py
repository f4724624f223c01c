"""A model whose weights, gradients and optimiser state are shared out over processes."""

from __future__ import annotations

from typing import Any

import torch
from mmengine import dist
from mmengine.logging import print_log
from torch import nn

from simmim_mm.engine.sharding.averages import copy_shards, without_weights
from simmim_mm.engine.sharding.units import sharding_units
from simmim_mm.options import check_flag, check_whole
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

    With ``shard_size`` S it is hybrid sharding (HSDP; section 3.2.2 there): each S processes of consecutive ranks share
    one copy of the model, and P / S copies are kept. Weights are gathered from S processes; gradients are averaged over
    those first, and then each process averages its 1/S with P / S - 1 others.

    Args:
        module: The model, whole. It stays whole until :meth:`shard`.
        reshard_after_forward: Whether the weights of a block are given up between its forward and its backward pass,
            and gathered once more. False takes more memory and less communication.
        param_dtype: ``'auto'`` for weights that are gathered in bf16 where the run computes in bf16, which halves the
            communication of weights; ``'fp32'`` for weights gathered as they are kept, so that what autocast computes
            in fp32 sees every digit of them. Weights are kept and updated in fp32 either way.
        shard_size: S, how many processes share one copy, such as the GPUs of one machine; None for all of them.

    Raises:
        ValueError: If an argument is unknown, or if ``shard_size`` does not divide the number of processes.
    """

    module: Any

    def __init__(
        self,
        module: nn.Module,
        reshard_after_forward: bool = True,
        param_dtype: str = 'auto',
        shard_size: int | None = None,
    ) -> None:
        super().__init__()
        check_options(reshard_after_forward, param_dtype, shard_size)
        self.module = module
        self.reshard_after_forward = reshard_after_forward
        self.param_dtype = param_dtype
        self.shard_size = _check_shard_size(shard_size, dist.get_world_size())
        self.sharded = False

    def shard(self, device_type: str, precision: str, copies: bool = False) -> None:
        """Shares the weights out, in place. Process 0's count.

        Args:
            device_type: ``'cuda'`` or ``'cpu'``, of the model.
            precision: ``'fp32'`` or ``'bf16'``, which the run computes in.
            copies: Whether deep copies of the model, such as averages, are possible afterwards; all processes make
                them together.

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
        num_copies = dist.get_world_size() // self.shard_size
        shape = {'replicate': num_copies, 'shard': self.shard_size} if num_copies > 1 else {'shard': self.shard_size}
        mesh = init_device_mesh(device_type, tuple(shape.values()), mesh_dim_names=tuple(shape))

        def share_out(module: nn.Module) -> int:
            units = sharding_units(module)
            for unit in units:
                fully_shard(unit, mesh=mesh, reshard_after_forward=self.reshard_after_forward, mp_policy=policy)
            fully_shard(module, mesh=mesh, mp_policy=policy)
            for name in ('forward', *FORWARD_METHODS):
                if gathered is not None and hasattr(module, name):  # the host validates without it, and would mix types
                    setattr(module, name, torch.autocast(device_type, gathered)(getattr(module, name)))
            for name in FORWARD_METHODS:
                if hasattr(module, name):
                    register_fsdp_forward_method(module, name)
            return len(units)

        empty = without_weights(self.module) if copies else None
        num_units = share_out(self.module)
        if empty is not None:  # PyTorch refuses deep copies of what it has shared out
            self.module.__deepcopy__ = lambda memo: copy_shards(self.module, empty, share_out)
        self.sharded = True
        print_log(
            f'FSDP2: {sum(parameter.numel() for parameter in self.module.parameters()):,} values over '
            f'{self.shard_size} processes{f", in {num_copies} copies" if num_copies > 1 else ""}, in {num_units} parts '
            f'and the rest; gathered in {"bf16" if gathered else "fp32"}',
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


def check_options(reshard_after_forward: bool = True, param_dtype: str = 'auto', shard_size: int | None = None) -> None:
    """Checks options of :class:`FullyShardedDataParallel` for what can be said without knowing the processes.

    Raises:
        ValueError: If a value is of a wrong kind, or unknown.
    """
    check_flag(reshard_after_forward, 'reshard_after_forward', 'model_wrapper_cfg')
    if param_dtype not in ('auto', 'fp32'):
        raise ValueError(f"model_wrapper_cfg.param_dtype={param_dtype!r} is unknown; use 'auto' or 'fp32'")
    if shard_size is not None:
        check_whole(shard_size, 'shard_size', 'model_wrapper_cfg')


def _check_shard_size(shard_size: int | None, num_processes: int) -> int:
    """How many processes share one copy."""
    if shard_size is None:
        return num_processes
    if num_processes % shard_size:
        divisors = ', '.join(str(number) for number in range(1, num_processes + 1) if num_processes % number == 0)
        raise ValueError(
            f'model_wrapper_cfg.shard_size={shard_size} does not divide the number of processes, {num_processes}; use '
            f'one of {divisors}, or delete it to share one copy over all'
        )
    return shard_size
