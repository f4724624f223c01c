"""A Swin Transformer turned around."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from simmim_mm.models.decoders.checks import check_heads, check_whole, check_wholes
from simmim_mm.models.decoders.context import ContextDecoder
from simmim_mm.registry import MODELS

ARCH_KEYS = ('embed_dims', 'depths', 'num_heads')

# What pixel shuffle does at the end, at least, as a Swin begins with patches of 4 px.
SMALLEST_PATCH = 4


@MODELS.register_module()
class SwinDecoder(ContextDecoder):
    """The stages of a Swin Transformer in reverse ("inverse Swin", table 2 of arXiv 2111.09886).

    The widest stage works on the encoder's cells; each expansion doubles the resolution and halves the width, as long
    as stages remain and 4 positions of the prediction per side are left, or more; a linear layer and a pixel shuffle do
    what is left. With ``upscale=32`` (Swin): four stages, three expansions, and 4 are left. With 16: three stages. A
    target of lower resolution has fewer stages, too.

    Maps of any size work: windows that reach over the edge are padded (so choose a ``window_size`` that divides the
    encoder's map, or computation is wasted).

    Args:
        in_channels: SimMIM finds out this one and the next two.
        out_channels: Channels of the prediction.
        upscale: Positions per side of a cell.
        arch: ``'tiny'``, ``'small'``, ``'base'``, ``'large'``, or a dict with ``embed_dims``, ``depths`` and
            ``num_heads``, as of ``mmpretrain.SwinTransformer``: that is, from the finest stage to the coarsest.
        window_size: Side of a window, in positions.
        first_stage: How many of the widest stages to leave out. 1 gives an encoder with cells of 16 px, a ViT, the
            widths that Swin has at each resolution, at a fraction of the cost.
        init_cfg: See :class:`ContextDecoder`.

    Raises:
        ValueError: If the architecture is none, or a number is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        upscale: int,
        arch: str | dict[str, Any] = 'tiny',
        window_size: int = 6,
        first_stage: int = 0,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        from mmpretrain.models.backbones.swin_transformer import SwinBlockSequence  # takes two seconds, once

        name = type(self).__name__
        check_whole(in_channels, 'in_channels', name)
        check_whole(window_size, 'window_size', name, smallest=2)
        stages = _mirror(arch)
        if check_whole(first_stage, 'first_stage', name, smallest=0) >= len(stages):
            raise ValueError(
                f'first_stage={first_stage} of {name} leaves none of its {len(stages)} stages; use a lower one'
            )
        num_expansions = _expansions(check_whole(upscale, 'upscale', name), len(stages) - first_stage - 1)
        stages = stages[first_stage : first_stage + num_expansions + 1]
        width = stages[-1][0]
        super().__init__(in_channels, out_channels, upscale, width, 2**num_expansions, init_cfg)
        self.embed = nn.Linear(in_channels, stages[0][0])
        self.stages = ModuleList(
            SwinBlockSequence(dims, depth, heads, window_size, pad_small_map=True) for dims, depth, heads in stages
        )
        self.expansions = ModuleList(PatchExpanding(dims) for dims, _, _ in stages[:-1])
        self.norm = nn.LayerNorm(width)

    def refine(self, features: Tensor, hidden: Tensor) -> Tensor:
        """Runs the stages, from the coarsest to the finest."""
        tokens = self.embed(features.permute(0, 2, 3, 1))
        for position, stage in enumerate(self.stages):
            if position:
                tokens = self.expansions[position - 1](tokens)
            grid_hw = (tokens.shape[1], tokens.shape[2])
            tokens = stage(tokens.flatten(1, 2), grid_hw)[0].unflatten(1, grid_hw)
        return self.norm(tokens)


class PatchExpanding(BaseModule):
    """The reverse of Swin's patch merging: four tokens of half the width for each token.

    Args:
        dims: Width of the tokens that come in; even.
    """

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.expansion = nn.Linear(dims, 2 * dims, bias=False)
        self.norm = nn.LayerNorm(dims // 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, h, w, D) to (B, 2 h, 2 w, D / 2)."""
        quarters = self.expansion(tokens).unflatten(-1, (2, 2, -1))  # (B, h, w, 2, 2, D / 2)
        return self.norm(quarters.transpose(2, 3).flatten(3, 4).flatten(1, 2))


def _mirror(arch: Any) -> list[tuple[int, int, int]]:
    """(width, blocks, heads) of each stage of a Swin, the coarsest first."""
    from mmpretrain.models.backbones.swin_transformer import SwinTransformer

    known = SwinTransformer.arch_zoo
    if isinstance(arch, str) and arch in known:
        arch = known[arch]
    if not isinstance(arch, Mapping) or set(arch) != set(ARCH_KEYS):
        names = ', '.join(repr(name) for name in known if len(name) > 1)
        raise ValueError(
            f'arch={arch!r} of SwinDecoder is unknown; use {names}, or a dict with embed_dims, depths and num_heads'
        )
    dims = check_whole(arch['embed_dims'], "arch['embed_dims']", 'SwinDecoder')
    depths = check_wholes(arch['depths'], "arch['depths']", 'SwinDecoder')
    heads = check_wholes(arch['num_heads'], "arch['num_heads']", 'SwinDecoder')
    if not depths or len(depths) != len(heads):
        raise ValueError(
            f'arch={dict(arch)!r} of SwinDecoder must have one depth and one number of heads for each stage'
        )
    stages = [
        (dims * 2**stage, depth, check_heads(dims * 2**stage, num, 'SwinDecoder'))
        for stage, (depth, num) in enumerate(zip(depths, heads, strict=True))
    ]
    return stages[::-1]


def _expansions(upscale: int, most: int) -> int:
    """How often the resolution doubles before pixel shuffle does the rest."""
    num = 0
    while num < most and upscale % 2 == 0 and upscale // 2 >= SMALLEST_PATCH:
        upscale //= 2
        num += 1
    return num
