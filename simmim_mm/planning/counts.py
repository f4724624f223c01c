"""What a training step of a model keeps and computes, counted on its real graph without computing it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from simmim_mm.compat import meta_device
from simmim_mm.datasets.transforms import RandomPatchMask
from simmim_mm.engine.sharding.units import sharding_units
from simmim_mm.masking import Cells, hidden_cells, random_masks
from simmim_mm.models import SimMIM
from simmim_mm.planning.ledger import Ledger
from simmim_mm.registry import MODELS

# Functions that autocast computes in fp32 on GPUs, of those that encoders and losses use: table "CUDA Ops that can
# autocast to float32", https://docs.pytorch.org/docs/stable/amp.html. Autocast on CPUs leaves some of them in bf16.
FP32_ON_GPUS = {
    F.layer_norm,
    F.group_norm,
    F.softmax,
    torch.softmax,
    Tensor.softmax,
    F.normalize,
    F.l1_loss,
    F.mse_loss,
}

# PyTorch counts the products inside fused attention on GPUs alone; shapes are of queries, keys and values.
FUSED_ON_CPUS = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, q, k, v, *_, **__: (
        sdpa_backward_flop_count(grad, q, k, v)
    ),
}


class Kept(NamedTuple):
    """Bytes that wait for the backward pass.

    Attributes:
        fixed: Whatever the batch: copies of weights in bf16.
        per_image: For each image.
    """

    fixed: float
    per_image: float


class Counts(NamedTuple):
    """What a model needs.

    Attributes:
        parameters: Values that are trained.
        largest_unit: Values of the largest part that FSDP2 gathers at once.
        rest: Values that it gathers for the whole step.
        forward: Operations of a forward pass, for each image; a multiplication and an addition are two.
        backward: Of a backward pass.
        recomputed: Of the forward passes of all blocks.
        plain: Kept for the backward pass.
        checkpointed: Kept with ``acceleration.activation_checkpointing=True``.
        largest_block: Kept inside one block, which exists besides while the block is computed again.
    """

    parameters: int
    largest_unit: int
    rest: int
    forward: float
    backward: float
    recomputed: float
    plain: Kept
    checkpointed: Kept
    largest_block: Kept


class _Pass(NamedTuple):
    forward: float
    backward: float
    recomputed: float
    plain: int
    checkpointed: int
    largest_block: int


def build_without_memory(cfg: Mapping[str, Any]) -> SimMIM:
    """Builds a SimMIM model of any size, without weights.

    Args:
        cfg: Config of the model. ``with_cp`` of its backbone is left out, as checkpointing is counted on its own.

    Returns:
        The model, on the meta device.

    Raises:
        ValueError: If it is another model, or one with a companion.
    """
    cfg = copy.deepcopy(dict(cfg))
    if 'backbone' not in cfg:
        raise ValueError('the config has no model with a backbone; name a pre-training config')
    cfg['backbone'].pop('with_cp', None)
    with meta_device():
        model = MODELS.build(cfg)
    if not isinstance(model, SimMIM) or model.companion is not None:
        raise ValueError('plans are made for SimMIM without a companion; name another pre-training config')
    return model


def count(model: SimMIM, mask_ratio: float = 0.6, mask_patch_size: int = 32, precision: str = 'bf16') -> Counts:
    """Counts what a training step of a model keeps and computes, at batches of one and two images.

    Tensors have shapes and types, and no values (``FakeTensorMode``). Kept is what autograd saves: each storage once,
    without parameters and buffers. Workspace that is freed inside an operation is not seen. The model is counted as it
    is; levers of the acceleration keep less.

    Args:
        model: Built, on any device; it is on no device afterwards.
        mask_ratio: Share of hidden cells.
        mask_patch_size: Side of these cells, in pixels.
        precision: ``'bf16'`` for autocast as on GPUs, ``'fp32'`` for none.

    Returns:
        The counts.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    units = [sum(parameter.numel() for parameter in unit.parameters()) for unit in sharding_units(model)]
    total = sum(parameter.numel() for parameter in model.parameters())
    grid_hw = RandomPatchMask(mask_patch_size, mask_ratio).grid_of(model.image_hw)
    mask = torch.from_numpy(random_masks(1, grid_hw, mask_ratio))
    cells = hidden_cells(model.head.scored(mask), model.grid_of(model.image_hw))
    number = len(cells.positions)
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device='cpu')
        model.train()
        one, two = (_step(model, batch, mask.shape, number, precision, batch == 1) for batch in (1, 2))

    def kept(name: str) -> Kept:
        first, second = getattr(one, name), getattr(two, name)
        return Kept(2 * first - second, second - first)

    return Counts(
        sum(parameter.numel() for parameter in trained),
        max(units, default=0),
        total - sum(units),
        one.forward,
        one.backward,
        one.recomputed,
        kept('plain'),
        kept('checkpointed'),
        kept('largest_block'),
    )


def _step(model: SimMIM, batch: int, mask_shape: torch.Size, cells: int, precision: str, backward: bool) -> _Pass:
    """One training step, as ``SimMIM.loss`` takes it, with a number of cells that is known."""
    images = torch.empty(batch, model.data_preprocessor.channels, *model.image_hw)
    mask = torch.empty(batch, *mask_shape[1:], dtype=torch.bool)
    index = Cells(torch.empty(batch * cells, dtype=torch.int64), model.grid_of(model.image_hw))
    ledger = Ledger(model)
    with FlopCounterMode(display=False, custom_mapping=FUSED_ON_CPUS) as flops:
        with ledger.watch(flops.get_total_flops), _autocast(precision):
            features, hidden = model.masker.encode(model.backbone, images, mask)
            losses = model.head.loss(model.neck(features, hidden, index), images, hidden, index)
        forward = flops.get_total_flops()
        if backward:
            sum(losses.values()).backward()
    return _Pass(
        forward,
        flops.get_total_flops() - forward,
        ledger.block_flops,
        ledger.bytes_of(ledger.saved),
        ledger.bytes_of(ledger.outside),
        max(map(ledger.bytes_of, ledger.inside), default=0),
    )


@contextmanager
def _autocast(precision: str) -> Iterator[None]:
    """Autocast as it is on GPUs, for tensors that are nowhere."""
    if precision == 'fp32':
        yield
        return
    with torch.autocast('cpu', torch.bfloat16), _WideOnGpus():
        yield


class _WideOnGpus(TorchFunctionMode):
    """Computes in fp32 what autocast on GPUs does."""

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in FP32_ON_GPUS:
            args = [value.float() if torch.is_tensor(value) and value.is_floating_point() else value for value in args]
        return func(*args, **(kwargs or {}))
