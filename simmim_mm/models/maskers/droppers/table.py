"""Which encoders can do without hidden tokens: a table of data."""

from __future__ import annotations

from torch import nn

from simmim_mm.models.maskers.droppers.base import Dropper
from simmim_mm.models.maskers.droppers.swin import SwinDropper
from simmim_mm.models.maskers.droppers.transformer import TransformerDropper

# Class of the backbone, or one that it inherits from -> its dropper. With modules: classes of the same name in other
# packages are built in other ways.
DROPPERS: dict[str, type[Dropper]] = {
    'mmpretrain.models.backbones.swin_transformer.SwinTransformer': SwinDropper,
    'mmpretrain.models.backbones.swin_transformer_v2.SwinTransformerV2': SwinDropper,
    'mmpretrain.models.backbones.vision_transformer.VisionTransformer': TransformerDropper,
    'mmpretrain.models.backbones.beit.BEiTViT': TransformerDropper,
}


def build_dropper(backbone: nn.Module) -> Dropper:
    """Installs the dropper of a backbone's family.

    Args:
        backbone: The backbone.

    Returns:
        The dropper, attached.

    Raises:
        ValueError: If there is none for this backbone.
    """
    for base in type(backbone).__mro__:
        dropper = DROPPERS.get(f'{base.__module__}.{base.__qualname__}')
        if dropper is not None:
            return dropper(backbone)
    known = ', '.join(path.rpartition('.')[2] for path in DROPPERS)
    raise ValueError(
        f'VisibleMasker cannot leave hidden tokens out of {type(backbone).__name__}: of mmpretrain it knows {known}; '
        "use one of these, or masker=dict(type='TokenMasker')"
    )
