"""Weight initialisation that the host does not have."""

from __future__ import annotations

import math

from torch import Tensor, nn

from simmim_mm.registry import WEIGHT_INITIALIZERS


@WEIGHT_INITIALIZERS.register_module()
class ResPostNormInit:
    """Sets the norms at the end of Swin V2's residual branches to 0, so that each block starts as the identity.

    As in the authors' ``_init_respostnorm`` (microsoft/Swin-Transformer, ``swin_transformer_v2.py``; section 3.2 of
    arXiv 2111.09883). For the ``init_cfg`` of ``mmpretrain.SwinTransformerV2``, after those that set all norms to 1.
    """

    def __call__(self, module: nn.Module) -> None:
        """Initialises a backbone.

        Raises:
            ValueError: If it has no blocks of Swin V2.
        """
        # By a name among its classes: an accelerated block is a subclass.
        blocks = [block for block in module.modules() if any(c.__name__ == 'SwinBlockV2' for c in type(block).__mro__)]
        if not blocks:
            raise ValueError(f'{type(module).__name__} has no SwinBlockV2; remove ResPostNormInit from its init_cfg')
        for block in blocks:
            for name in ('norm1', 'norm2'):
                for parameter in block.get_submodule(name).parameters():
                    nn.init.zeros_(parameter)


@WEIGHT_INITIALIZERS.register_module()
class DepthScaledInit:
    """Draws a ViT's weights as the authors of SimMIM do, with smaller projections in deeper layers.

    Linear layers, convolutions and the class token come from a normal distribution cut off at one ``std`` to both
    sides, biases are 0, norms 1 and 0. The weights of the last projection of attention and of the MLP of layer k (from
    1) are then divided by ``sqrt(2 k)`` (``VisionTransformerForSimMIM`` and ``fix_init_weight`` of microsoft/SimMIM).

    For the ``init_cfg`` of ``mmpretrain.VisionTransformer`` and ``mmpretrain.BEiTViT``. Their layers would draw their
    MLPs again afterwards; this marks them as initialised.

    Args:
        std: Standard deviation before the cut, and the cut.

    Raises:
        ValueError: If ``std`` is no number above 0.
    """

    def __init__(self, std: float = 0.02) -> None:
        if not isinstance(std, int | float) or isinstance(std, bool) or not 0 < std < math.inf:
            raise ValueError(f'std={std!r} of DepthScaledInit must be a number above 0')
        self.std = std

    def __call__(self, module: nn.Module) -> None:
        """Initialises a backbone.

        Raises:
            ValueError: If it has no ``layers`` with attention and MLP, as mmpretrain's ViTs do.
        """
        layers = getattr(module, 'layers', None)
        if not layers or not all(hasattr(layer, 'attn') and hasattr(layer, 'ffn') for layer in layers):
            raise ValueError(
                f'{type(module).__name__} is no ViT of mmpretrain; remove DepthScaledInit from its init_cfg'
            )
        for part in module.modules():
            if isinstance(part, nn.Linear | nn.Conv2d):
                self._draw(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            elif isinstance(part, nn.LayerNorm):
                nn.init.ones_(part.weight)
                nn.init.zeros_(part.bias)
        class_token = getattr(module, 'cls_token', None)
        if isinstance(class_token, nn.Parameter):
            self._draw(class_token)
        for depth, layer in enumerate(layers, start=1):
            mlp_layers = [part for part in layer.ffn.modules() if isinstance(part, nn.Linear)]
            for projection in (layer.attn.proj, mlp_layers[-1]):
                projection.weight.data.div_(math.sqrt(2 * depth))
            layer.is_init = True

    def _draw(self, parameter: Tensor) -> None:
        nn.init.trunc_normal_(parameter, std=self.std, a=-self.std, b=self.std)
