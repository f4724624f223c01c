"""Where the stem of a backbone is: a table of data. A new encoder is a row."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from simmim_mm.options import check_text


class Stem(NamedTuple):
    """The module whose output tokens are hidden.

    Attributes:
        path: Dotted path below the backbone. Its output is (B, N, D), (B, D, h, w), or a tuple that begins with one.
        overlapping: Whether a cell depends on pixels outside its square. Then hidden pixels have to be blanked too, or
            visible cells would show them.
    """

    path: str
    overlapping: bool


# Class name of the backbone, or of a class that it inherits from -> its stem.
STEMS = {
    'SwinTransformer': Stem('patch_embed', overlapping=False),  # of mmpretrain, mmdet and mmseg
    'SwinTransformerV2': Stem('patch_embed', overlapping=False),
    'VisionTransformer': Stem('patch_embed', overlapping=False),
    'BEiTViT': Stem('patch_embed', overlapping=False),
    'PCPVT': Stem('patch_embeds.0', overlapping=False),  # Twins; SVT inherits from it
    'HiViT': Stem('patch_embed.proj', overlapping=False),  # the norm after it returns five dimensions
    'ConvNeXt': Stem('downsample_layers.0', overlapping=False),  # V1 and V2
    'ResNet': Stem('maxpool', overlapping=True),  # 7x7 and 3x3 kernels with strides of 2
    # Where timm's hierarchical transformers have it, with features_only=True; its other models need `stem`. How their
    # stems look is not known, so hidden pixels are blanked.
    'TIMMBackbone': Stem('timm_model.patch_embed.proj', overlapping=True),
}


def locate_stem(backbone: nn.Module, path: str | None = None) -> Stem:
    """Looks a backbone's stem up.

    Args:
        backbone: Any backbone.
        path: Dotted path of the stem, for a backbone that is not in the table, or to override it.

    Returns:
        Where the stem is. One that is not in the table counts as overlapping, which is safe for all.

    Raises:
        ValueError: If the backbone is unknown and no path was given.
    """
    check_text(path, 'stem', 'the masker')
    known = next((STEMS[cls.__name__] for cls in type(backbone).__mro__ if cls.__name__ in STEMS), None)
    if path is None and known is None:
        raise ValueError(
            f'where the tokens of {type(backbone).__name__} come from is not known (known: {", ".join(STEMS)}); name '
            "the module that makes them: masker=dict(type='TokenMasker', stem='patch_embed')"
        )
    if known is not None and path in (None, known.path):
        return known
    assert path is not None
    return Stem(path, overlapping=True)


def find_stem(backbone: nn.Module, path: str | None = None) -> nn.Module:
    """Finds the stem of a backbone.

    Args:
        backbone: Any backbone.
        path: See :func:`locate_stem`.

    Returns:
        The stem module.

    Raises:
        ValueError: If the backbone is unknown and no path was given, or if the path leads nowhere.
    """
    path = locate_stem(backbone, path).path
    try:
        if not path:
            raise AttributeError('the backbone itself is no stem')
        return backbone.get_submodule(path)
    except AttributeError as error:
        raise ValueError(
            f'stem={path!r} is no module of {type(backbone).__name__}; {_where_it_ends(backbone, path)}; '
            'change masker.stem'
        ) from error


def _where_it_ends(backbone: nn.Module, path: str) -> str:
    """What can follow where a path leads nowhere; modules that only wrap another one are passed over."""
    module, way = backbone, ''
    for name in path.split('.'):
        children = dict(module.named_children())
        if name not in children and len(children) == 1:
            name = next(iter(children))
        if name not in children:
            break
        module, way = children[name], f'{way}.{name}' if way else name
    names = ', '.join(name for name, _ in module.named_children()) or 'none'
    return f'the children of {way} are: {names}' if way else f'its children are: {names}'
