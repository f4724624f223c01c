"""Which modules are the blocks of an encoder or decoder: a table of data."""

from __future__ import annotations

from torch import nn

# Classes whose input and output are the residual stream: of mmpretrain (Swin, Swin V2, ViT and BEiT, ConvNeXt, HiViT,
# Twins), mmdet and mmseg, and of the decoders of this package. Classes that inherit from them count too.
BLOCKS = (
    'SwinBlock',
    'SwinBlockV2',
    'TransformerEncoderLayer',
    'ConvNeXtBlock',
    'BlockWithRPE',
    'GSAEncoderLayer',
    'CrossAttentionBlock',
)


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of what is trained, in the order in which they are registered.

    Args:
        model: A :class:`~simmim_mm.models.SimMIM`, whose encoder and decoder count, or any other model. Frozen networks
            that a target asks are left out, as nothing is kept for their backward pass.

    Returns:
        The blocks; empty where none is known.
    """
    parts = [part for part in (getattr(model, 'backbone', model), getattr(model, 'neck', None)) if part is not None]
    return [module for part in parts for module in part.modules() if _is_block(module)]


def _is_block(module: nn.Module) -> bool:
    return any(cls.__name__ in BLOCKS for cls in type(module).__mro__)
