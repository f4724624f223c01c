"""The kernels in mmpretrain's Swin and Swin V2: ``attention='triton'`` of the lever ``attention``."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from simmim_mm.acceleration.attention import FastWindowMSA, FastWindowMSAV2, WindowAttention
from simmim_mm.acceleration.layout import WindowLayout
from simmim_mm.acceleration.swap import swap_classes
from simmim_mm.acceleration.window_attention.op import window_attention
from simmim_mm.acceleration.window_attention.plans import device_refusal, refusal
from simmim_mm.acceleration.windows import StaticShiftWindowMSA


class KernelAttention(WindowAttention):
    """Attention in the windows of a map by one operator, without moving the map. A mixin."""

    def factors(self) -> tuple[float | None, Tensor | None]:
        """What the operator multiplies products by, or cosines."""
        raise NotImplementedError

    def attend_map(self, x: Tensor, layout: WindowLayout) -> Tensor:
        """See :meth:`~simmim_mm.acceleration.attention.WindowAttention.attend_map`."""
        if x.dtype == torch.float64:  # which the kernels do not take, and autocast leaves as it is
            return super().attend_map(x, layout)
        window, shift = (layout.window, layout.window), (layout.shift, layout.shift)
        qkv = self.project(x).unflatten(1, (layout.height, layout.width))
        maps = window_attention(qkv, self.relative_bias(), window, shift, self.num_heads, *self.factors())
        return self.proj_drop(self.proj(maps.flatten(1, 2)))


class KernelWindowMSA(KernelAttention, FastWindowMSA):
    """mmpretrain's ``WindowMSA``, with the same result."""

    def factors(self) -> tuple[float | None, Tensor | None]:
        """See :class:`KernelAttention`."""
        return self.scale, None


class KernelWindowMSAV2(KernelAttention, FastWindowMSAV2):
    """mmpretrain's ``WindowMSAV2``, with the same result."""

    def factors(self) -> tuple[float | None, Tensor | None]:
        """See :class:`KernelAttention`."""
        return None, self.logit_scale.clamp(max=math.log(1.0 / 0.01)).exp().flatten()


def use_kernels(model: nn.Module) -> str:
    """Hands the attention in windows to the kernels, where they can run.

    Args:
        model: With the lever ``windows`` and the classes of the lever ``attention``, on the device that it will run on.

    Returns:
        What it did, or why not, in one line.
    """
    reason = device_refusal(next(model.parameters()).device)
    if reason is not None:
        return f'none by triton: {reason}'
    blocks = [module for module in model.modules() if isinstance(module, StaticShiftWindowMSA)]
    attentions = [block.w_msa for block in blocks if isinstance(block.w_msa, WindowAttention)]
    if not attentions:
        return 'none by triton: it needs windows of Swin, without attention dropout, and the lever windows'
    reasons = {id(attention): _refusal_of(attention) for attention in attentions}
    classes: dict[type[nn.Module], type[nn.Module]] = {
        FastWindowMSA: KernelWindowMSA,
        FastWindowMSAV2: KernelWindowMSAV2,
    }
    number = swap_classes(model, classes, lambda module: reasons.get(id(module), '') is None)
    left = ''.join(f'; not where {reason}' for reason in sorted({reason for reason in reasons.values() if reason}))
    return f'{number} of them by triton{left}'


def _refusal_of(attention: WindowAttention) -> str | None:
    num_tokens = math.prod(attention.window_size)
    return refusal(num_tokens, attention.embed_dims // attention.num_heads, torch.float32)
