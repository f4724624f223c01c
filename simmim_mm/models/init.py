"""Weight initialisation that the host does not have."""

from __future__ import annotations

from torch import nn

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
        blocks = [block for block in module.modules() if type(block).__name__ == 'SwinBlockV2']
        if not blocks:
            raise ValueError(f'{type(module).__name__} has no SwinBlockV2; remove ResPostNormInit from its init_cfg')
        for block in blocks:
            for name in ('norm1', 'norm2'):
                for parameter in block.get_submodule(name).parameters():
                    nn.init.zeros_(parameter)
