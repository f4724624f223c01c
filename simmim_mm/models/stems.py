"""Where the stem of a backbone is: a table of data. A new encoder is a row."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn


class Stem(NamedTuple):
    """The module whose output tokens are hidden.

    Attributes:
        path: Dotted path below the backbone. Its output is (B, N, D), (B, D, h, w), or a tuple that begins with one.
    """

    path: str


# Class name of the backbone, or of a class that it inherits from -> its stem.
STEMS = {
    'SwinTransformer': Stem('patch_embed'),  # mmpretrain, mmdet, mmseg
}


def find_stem(backbone: nn.Module, path: str | None = None) -> nn.Module:
    """Finds the stem of a backbone.

    Args:
        backbone: Any backbone.
        path: Dotted path of the stem, for a backbone that is not in the table, or to override it.

    Returns:
        The stem module.

    Raises:
        ValueError: If the backbone is unknown and no path was given, or if the path leads nowhere.
    """
    name = type(backbone).__name__
    if path is None:
        stem = next((STEMS[cls.__name__] for cls in type(backbone).__mro__ if cls.__name__ in STEMS), None)
        if stem is None:
            raise ValueError(
                f'where the tokens of {name} come from is not known (known: {", ".join(STEMS)}); name the module that '
                "makes them: masker=dict(type='TokenMasker', stem='patch_embed')"
            )
        path = stem.path
    try:
        return backbone.get_submodule(path)
    except AttributeError as error:
        children = ', '.join(name for name, _ in backbone.named_children())
        raise ValueError(
            f'stem={path!r} is no module of {name}; its children are: {children}; change masker.stem'
        ) from error
