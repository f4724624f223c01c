"""Maps of several strides out of the one map of a plain ViT."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from simmim_mm.registry import MODELS


class _ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, h, w)."""

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@MODELS.register_module()
class SimplePyramid(nn.Module):
    """The simple feature pyramid of ViTDet (section 3 of arXiv 2203.16527), as the neck of a detector.

    Of the last map of the backbone, of stride 16, it makes maps of strides 4, 8, 16 and 32 by transposed convolutions,
    as it is, and by pooling; a 1x1 and a 3x3 convolution follow, each with a norm. Maps of higher strides are picked
    from the last one, as mmdet's FPN does.

    Args:
        in_channels: Width D of the backbone.
        out_channels: Channels of all maps that are put out.
        num_outs: Number of maps, from stride 4 on.

    Raises:
        ValueError: If a number is no whole one, or too small.
    """

    def __init__(self, in_channels: int, out_channels: int = 256, num_outs: int = 5) -> None:
        super().__init__()
        for name, value, least in (
            ('in_channels', in_channels, 4),
            ('out_channels', out_channels, 1),
            ('num_outs', num_outs, 4),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f'{name}={value!r} of SimplePyramid must be a whole number from {least}')
        half, quarter = in_channels // 2, in_channels // 4
        rescale = (
            (
                quarter,
                nn.ConvTranspose2d(in_channels, half, 2, stride=2),
                _ChannelNorm(half),
                nn.GELU(),
                nn.ConvTranspose2d(half, quarter, 2, stride=2),
            ),
            (half, nn.ConvTranspose2d(in_channels, half, 2, stride=2)),
            (in_channels, nn.Identity()),
            (in_channels, nn.MaxPool2d(2, ceil_mode=True)),
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                *layers,
                nn.Conv2d(width, out_channels, 1, bias=False),
                _ChannelNorm(out_channels),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                _ChannelNorm(out_channels),
            )
            for width, *layers in rescale
        )
        self.num_outs = num_outs

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Makes the maps.

        Args:
            features: Of the backbone; the last is (B, D, h, w), of stride 16.

        Returns:
            (B, out_channels, 4 h, 4 w), then half the size, and so on.
        """
        maps = [stage(features[-1]) for stage in self.stages]
        while len(maps) < self.num_outs:
            maps.append(F.max_pool2d(maps[-1], kernel_size=1, stride=2))
        return tuple(maps)
