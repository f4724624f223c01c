"""Transposed convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from simmim_mm.models.decoders.checks import check_whole, check_wholes
from simmim_mm.models.decoders.context import ContextDecoder
from simmim_mm.registry import MODELS


@MODELS.register_module()
class DeconvDecoder(ContextDecoder):
    """Transposed convolutions that double the resolution, each with a norm and a GELU, then a linear layer.

    There is one stage for each prime factor of ``upscale``, the smallest first, as long as there are ``widths``; the
    linear layer and its pixel shuffle do what is left. With ``upscale=32`` and three widths: 2, 2, 2, and 4 are left.
    A stage of factor p has stride p and kernels of side 4 for p = 2, and of ``2 * p - 1`` for odd p, so that kernels
    overlap and the map grows p times exactly.

    Args:
        in_channels: SimMIM finds out this one and the next two.
        out_channels: Channels of the prediction.
        upscale: Positions per side of a cell.
        widths: Channels after each stage. Where ``upscale`` has fewer prime factors, the last ones are not used.
        norm_cfg: Config of the norm, for maps (B, C, H, W): by default each position's over its channels, which makes
            predictions independent of the other images of the batch; ``dict(type='BN')`` or
            ``dict(type='GN', num_groups=32)``, for example.
        init_cfg: See :class:`ContextDecoder`.

    Raises:
        ValueError: If a width is no whole number from 1, or the norm does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        upscale: int,
        widths: Sequence[int] = (256, 256, 256),
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        widths = check_wholes(widths, 'widths', 'DeconvDecoder')
        factors = prime_factors(check_whole(upscale, 'upscale', 'DeconvDecoder'))[: len(widths)]
        widths = widths[: len(factors)]
        fineness = 1
        for factor in factors:
            fineness *= factor
        super().__init__(in_channels, out_channels, upscale, widths[-1] if widths else in_channels, fineness, init_cfg)
        self.stages = nn.Sequential()
        for before, width, factor in zip((in_channels, *widths), widths, factors, strict=False):
            self.stages.append(
                nn.Sequential(
                    nn.ConvTranspose2d(
                        before, width, factor + 2 * (factor // 2), factor, padding=factor // 2, bias=False
                    ),
                    _build_norm(dict(type='LN2d') if norm_cfg is None else norm_cfg, width),
                    nn.GELU(),
                )
            )

    def refine(self, features: Tensor, hidden: Tensor) -> Tensor:
        """Upsamples the features."""
        return self.stages(features).permute(0, 2, 3, 1)


def prime_factors(number: int) -> list[int]:
    """The prime factors of a whole number from 1, ascending: [2, 2, 3] for 12."""
    factors, divisor = [], 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors + [number] * (number > 1)


def _build_norm(norm_cfg: Any, width: int) -> nn.Module:
    from mmpretrain.models.utils import build_norm_layer  # takes two seconds, once

    try:
        norm = build_norm_layer(norm_cfg, width)
        norm.train(False)(torch.zeros(1, width, 1, 2))
    except Exception as error:
        raise ValueError(
            f'norm_cfg={norm_cfg!r} of DeconvDecoder makes no norm for maps of {width} channels '
            f"({type(error).__name__}: {error}); use dict(type='LN2d'), dict(type='BN') or dict(type='GN', "
            'num_groups=...)'
        ) from error
    return norm.train()
