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
    'ConvNeXt': Stem('downsample_layers.0', overlapping=False),
    'ResNet': Stem('maxpool', overlapping=True),  # 7x7 and 3x3 kernels with strides of 2
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
        children = ', '.join(name for name, _ in backbone.named_children())
        raise ValueError(
            f'stem={path!r} is no module of {type(backbone).__name__}; its children are: {children}; change masker.stem'
        ) from error
