"""Which code base and which encoder weights are of, from their keys; and their translation to and from our keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from simmim_mm.transfer.identify import describe_keys
from simmim_mm.transfer.keys import FAMILIES, FORMAT_NAMES, HEADS, Format, known_keys, to_ours, to_theirs

# Values at the end of a key that are computed by the class, not learned.
DERIVED = ('relative_position_index', 'attn_mask', 'relative_coords_table')


class Translated(NamedTuple):
    """Weights of another code base, in our terms.

    Attributes:
        family: The encoder's class in mmpretrain.
        format_name: The code base, one of :data:`~simmim_mm.transfer.keys.FORMAT_NAMES`.
        encoder: Weights of the encoder by our keys, without ``backbone.``.
        mask_token: (1, 1, D), or None.
        decoder: ``weight`` and ``bias`` of the linear decoder; empty if there is none.
        dropped: Keys that are left out: what the class computes itself, and classifiers.
        derived: Tensors of the former, by the other format's keys without prefix; they tell sizes.
    """

    family: str
    format_name: str
    encoder: dict[str, Tensor]
    mask_token: Tensor | None
    decoder: dict[str, Tensor]
    dropped: list[str]
    derived: dict[str, Tensor]


def translate(weights: Mapping[str, Tensor], path: str, source: str = 'auto') -> Translated:
    """Finds out what weights are of, and translates them to our keys.

    Args:
        weights: Tensors by key.
        path: Where they come from, for messages.
        source: The code base, or ``'auto'``.

    Returns:
        The translated weights.

    Raises:
        ValueError: If they are of no encoder and code base in the key tables, with what they seem to be.
    """
    if source != 'auto' and source not in FORMAT_NAMES:
        raise ValueError(f'--from {source!r} is unknown; use auto, {", ".join(FORMAT_NAMES)}')
    best: tuple[Translated | None, list[str], int] = (None, [], 0)
    for name in FORMAT_NAMES if source == 'auto' else (source,):
        for family, formats in FAMILIES.items():
            if name not in formats:
                continue
            # The encoder may stand alone, without its prefix; the authors' then is of swin-transformer, or timm's.
            for prefix in dict.fromkeys((formats[name].prefix, '' if name != 'simmim' else formats[name].prefix)):
                found, unknown = _try(weights, family, name, formats[name], prefix)
                if len(found.encoder) and (best[0] is None or len(unknown) < best[2]):
                    best = (found, unknown, len(unknown))
    found_best, unknown, _ = best
    if found_best is None:
        wanted = 'of an encoder in the key tables' if source == 'auto' else f'of {source}'
        raise ValueError(f'{path!r} is not {wanted} ({", ".join(FAMILIES)}); it seems to be {describe_keys(weights)}')
    if unknown:
        raise ValueError(
            f'{path!r} seems to be {describe_keys(weights)}. Read as {found_best.family} of {found_best.format_name}, '
            f'{len(unknown)} of its {len(weights)} keys are unknown, such as {unknown[0]}'
        )
    return found_best


def translate_back(
    family: str, name: str, encoder: Mapping[str, Tensor], inside_simmim: bool
) -> tuple[dict[str, Tensor], Format]:
    """Translates an encoder's weights into another code base's keys.

    Args:
        family: The encoder's class in mmpretrain.
        name: The code base.
        encoder: Weights by our keys, without ``backbone.``; those that are derived are left out.
        inside_simmim: Whether keys get the prefix that they have inside SimMIM.

    Returns:
        Weights by the other format's keys, and the format.

    Raises:
        ValueError: If it has no such encoder, or no place for one of its weights.
    """
    formats = FAMILIES.get(family, {})
    if name not in formats:
        raise ValueError(
            f'{family} has no key table for {name}'
            + (
                f'; it has some for {", ".join(formats)}'
                if formats
                else f'; only {", ".join(FAMILIES)} have key tables'
            )
        )
    weights = {key: value for key, value in encoder.items() if not key.endswith(DERIVED)}
    theirs, unknown = to_theirs(weights, formats[name].rows, last_stage(weights))
    if unknown:
        raise ValueError(f'{family} of {name} has no place for {len(unknown)} weights, such as {unknown[0]}')
    prefix = formats[name].prefix if inside_simmim else ''
    return {prefix + key: value for key, value in theirs.items()}, formats[name]


def last_stage(keys: Mapping[str, Tensor]) -> int:
    """Number of the last stage or layer in keys of any code base, from 0."""
    found = [re.match(r'(?:encoder\.)?(?:stages|layers)\.(\d+)\.', key) for key in keys]
    return max((int(match[1]) for match in found if match), default=0)


def _try(
    weights: Mapping[str, Tensor], family: str, name: str, table: Format, prefix: str
) -> tuple[Translated, list[str]]:
    """Reads weights as one format; what is unknown comes with their full keys."""
    extra = {key for key in weights if key == table.mask_token or key.rpartition('.')[0] == table.decoder}
    rest = [key for key in weights if key not in extra]
    inner = {key[len(prefix) :]: key for key in rest if key.startswith(prefix)}
    dropped = [key for key in rest if not key.startswith(prefix) and key.startswith(HEADS)]
    unknown = [key for key in rest if not key.startswith((prefix, *HEADS))]
    aliased = {}
    for key in inner:
        renamed = key
        for old, new in table.aliases.items():
            renamed = renamed.replace(old, new)
        aliased[renamed] = inner[key]
    derived = {key: weights[full] for key, full in aliased.items() if key.endswith(DERIVED)}
    dropped += [full for key, full in aliased.items() if key in derived or key.startswith(HEADS)]
    tensors = {key: weights[full] for key, full in aliased.items() if key not in derived and not key.startswith(HEADS)}
    last = last_stage(tensors)
    encoder, strangers = to_ours(tensors, table.rows, last)
    if len(known_keys(tensors, table.rows, last)) < 0.5 * len(tensors):
        encoder = {}
    decoder = {key.rpartition('.')[2]: weights[key] for key in extra if key != table.mask_token}
    token = weights[table.mask_token] if table.mask_token in extra else None
    unknown += [aliased[key] for key in strangers]
    return Translated(family, name, encoder, token, decoder, dropped, derived), unknown
