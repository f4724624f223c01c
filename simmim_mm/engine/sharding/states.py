"""Between whole tensors, as in checkpoints, and the shards of processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard
from torch.overrides import TorchFunctionMode


def gather(tree: Any, keep: bool) -> Any:
    """Makes whole tensors of shards, one after another. All processes call this together.

    Args:
        tree: Tensors in dicts and lists, such as a state dict.
        keep: Whether this process wants them.

    Returns:
        The same with whole tensors on the CPU in place of shards; None in their place where they are not kept.
    """
    if isinstance(tree, DTensor):
        whole = tree.full_tensor().detach()
        return whole.cpu() if keep else None
    if isinstance(tree, Mapping):
        return {key: gather(value, keep) for key, value in tree.items()}
    return type(tree)(gather(value, keep) for value in tree) if type(tree) in (list, tuple) else tree


def own_part(whole: Tensor, like: DTensor) -> Tensor:
    """The rows of a whole tensor that this process keeps.

    Args:
        whole: Of the shape of ``like``.
        like: Shared out along its first dimension over one dimension of a mesh; over another one it is replicated.

    Returns:
        A view of the rows; empty where there are fewer rows than processes that share them, and this one has none.
    """
    assert whole.shape == like.shape, f'{tuple(whole.shape)} is no {tuple(like.shape)}'
    dimension = like.placements.index(Shard(0))
    parts = whole.chunk(like.device_mesh.size(dimension), dim=0)
    rank = like.device_mesh.get_local_rank(dimension)
    return parts[rank] if rank < len(parts) else whole[:0]


def shard_like(whole: Tensor, like: DTensor) -> DTensor:
    """Shares a whole tensor, which each process has, out as another one is.

    Args:
        whole: Of the shape of ``like``, on any device.
        like: See :func:`own_part`.

    Returns:
        The same as shards, on the device of ``like``.
    """
    part = own_part(whole, like).to(like.device, copy=True).contiguous()
    return DTensor.from_local(
        part, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def shard_optimizer_state(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Shares the state of an optimiser of whole parameters out as the parameters of another one are.

    Args:
        state: ``state_dict`` of an optimiser, with whole tensors.
        optimizer: Of the same parameters as shards, in the same order.

    Returns:
        A state dict that ``optimizer`` can load.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
    numbers = [number for group in state['param_groups'] for number in group['params']]
    by_number = dict(zip(numbers, parameters, strict=False))
    shared = {
        number: {name: _as_parameter(value, by_number.get(number)) for name, value in values.items()}
        for number, values in state['state'].items()
    }
    return {**state, 'state': shared}


def _as_parameter(value: Any, parameter: Any) -> Any:
    whole = isinstance(value, Tensor) and not isinstance(value, DTensor)
    if whole and isinstance(parameter, DTensor) and value.shape == parameter.shape:
        return shard_like(value, parameter)
    return value


class CopyIntoShards(TorchFunctionMode):
    """Lets ``load_state_dict`` copy whole tensors into shards: each process takes its own rows, and none are sent.

    What models do to a checkpoint while they load it, such as resizing tables of other windows, sees whole tensors.
    """

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replaces ``shards.copy_(whole)``."""
        if func is Tensor.copy_ and isinstance(args[0], DTensor) and not isinstance(args[1], DTensor):
            args[0].to_local().copy_(own_part(args[1], args[0]))
            return args[0]
        return func(*args, **(kwargs or {}))


def whole_norm(clip: Callable[..., Any]) -> Callable[..., Any]:
    """``clip_grad_norm_`` or ``clip_grad_value_`` for shards, which returns the norm as a plain tensor.

    Args:
        clip: The function.

    Returns:
        One that does the same.
    """

    def clip_shards(*args: Any, **kwargs: Any) -> Any:
        norm = clip(*args, **kwargs)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    return clip_shards
