"""Hidden pixels."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from simmim_mm.masking import regrid
from simmim_mm.models.outputs import last_map
from simmim_mm.options import check_text
from simmim_mm.registry import MODELS

FILLS = ('zero', 'mean', 'noise', 'learned')


@MODELS.register_module()
class PixelMasker(BaseModule):
    """Replaces hidden pixels before the backbone sees the image.

    Where :class:`TokenMasker` hides embeddings, and so needs masks that are no finer than the stem's cells, this hides
    pixels, for masks of any cell and encoders of any kind. Images are normalised here, so a value of 0 is the mean
    colour of the data set. The fills:

    - ``'zero'``: 0, the mean colour of the data set.
    - ``'mean'``: the mean of each channel over what is visible of the image; 0 where nothing is.
    - ``'noise'``: standard normal, as wide as a normalised image. New in each training step. In evaluation mode a fixed
      pattern: a function of channel, row, column and image size, the same for every image.
    - ``'learned'``: one learned colour, a number a channel.

    Args:
        image_channels: Channels of the images. SimMIM finds it out.
        fill: What stands in hidden places, of those above.
        stem: Dotted path of the stem below the backbone, where :data:`~simmim_mm.models.stems.STEMS` does not have it.
            Here it tells the shapes of the encoder alone.
        init_cfg: MMEngine's.

    Raises:
        ValueError: If ``fill`` is unknown, or ``stem`` is no text.
    """

    def __init__(
        self, image_channels: int, fill: str = 'mean', stem: str | None = None, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        if fill not in FILLS:
            raise ValueError(f'fill={fill!r} of PixelMasker is unknown; use {", ".join(map(repr, FILLS))}')
        self.fill = fill
        self.stem = check_text(stem, 'stem', 'PixelMasker')
        if fill == 'learned':
            self.mask_pixel = nn.Parameter(torch.zeros(image_channels))

    def init_weights(self) -> None:
        """Draws the learned colour from a truncated normal distribution with std 0.02."""
        super().init_weights()
        if self.fill == 'learned':
            nn.init.trunc_normal_(self.mask_pixel, std=0.02)

    def attach(self, backbone: nn.Module) -> None:
        """Nothing to install: the backbone gets other images, and is otherwise left alone."""

    def encode(self, backbone: nn.Module, images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes images whose hidden pixels are replaced.

        Args:
            backbone: Any backbone.
            images: (B, C, H, W), normalised.
            mask: (B, h, w) bool, on the grid of the pixels or a coarser one that divides it.

        Returns:
            The last feature map (B, D, h', w'), and what was really hidden: the mask.

        Raises:
            ValueError: If the mask does not fit the pixels.
        """
        return last_map(backbone(self.hide(images, mask)), backbone), mask

    def hide(self, images: Tensor, mask: Tensor) -> Tensor:
        """What the encoder sees.

        Args:
            images: (B, C, H, W), normalised.
            mask: (B, h, w) bool.

        Returns:
            (B, C, H, W): visible pixels as they are, the fill elsewhere. No value of it follows from a hidden pixel.
        """
        height, width = images.shape[-2:]
        if mask.shape[-2] > height or mask.shape[-1] > width:
            raise ValueError(
                f'a mask of {mask.shape[-2]}x{mask.shape[-1]} cells is finer than the pixels of a {height}x{width} '
                'image; change mask_patch_size of the mask transform'
            )
        hidden = regrid(mask, (height, width)).unsqueeze(1)
        return torch.where(hidden, self._filling(images, hidden).to(images.dtype), images)

    def _filling(self, images: Tensor, hidden: Tensor) -> Tensor:
        """The fill, in a shape that broadcasts to (B, C, H, W)."""
        if self.fill == 'zero':
            return images.new_zeros(())
        if self.fill == 'mean':
            num_visible = (~hidden).sum(dim=(2, 3), keepdim=True).clamp(min=1)
            return images.masked_fill(hidden, 0).float().sum(dim=(2, 3), keepdim=True) / num_visible
        if self.fill == 'noise':
            return torch.randn_like(images) if self.training else position_noise(images[0])
        return self.mask_pixel.view(-1, 1, 1)


def position_noise(like: Tensor) -> Tensor:
    """Standard normal noise that is a function of the position alone.

    Each position is hashed into 32 bits, which become a uniform and then a normal number. No state and no generator:
    the same in every process, and one graph under ``torch.compile``.

    Args:
        like: For shape and device.

    Returns:
        Float32 of the same shape.
    """
    bits = torch.arange(1, like.numel() + 1, device=like.device)
    for factor in (0x45D9F3B, 0x119DE1F3):
        bits = (bits ^ (bits >> 16)) * factor & 0xFFFFFFFF
    bits = bits ^ (bits >> 16)
    # The middles of 2**23 steps: float32 holds no finer ones, and 0 and 1 would become infinite.
    uniform = ((bits >> 9).float() + 0.5) / 2**23
    return torch.special.ndtri(uniform).view(like.shape)
