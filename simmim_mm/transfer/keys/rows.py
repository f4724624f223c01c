"""What a row of a key table is, and the translation of weights by such rows, in both directions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

_PLACE = re.compile(r'\{(\w+)([+-]\d+)?\}|\*')


class Row(NamedTuple):
    """One line of a key table: where a kind of weight stands here, and where in the other format.

    In a pattern, ``{s}`` (a stage) and ``{b}`` (a block) stand for numbers, from 0; ``{i}`` for a stage that another
    one follows, ``{j}`` for one that follows another, ``{i+1}`` for the number after it, ``{last}`` for the last
    stage's; and ``*`` for ``weight`` or ``bias``.

    Attributes:
        ours: Pattern of the key below ``backbone.`` here, which is mmpretrain's.
        theirs: Pattern of the other format's key; three of them where it keeps query, key and value apart.
        change: ``'merging'`` where the four cells that patch merging joins stand in another order.
    """

    ours: str
    theirs: str | tuple[str, str, str]
    change: str = ''


class Format(NamedTuple):
    """How one code base names the weights of one family of encoders.

    Attributes:
        rows: One per kind of weight.
        prefix: Before every key of the encoder when it stands inside SimMIM.
        mask_token: Full key of the mask token, or None if the format has no place for one.
        decoder: Full key of the decoder's layer without ``.weight``, or None.
        derived: Endings of keys that are no weights: the target's own class computes them.
        aliases: Older spellings of parts of keys, and the present ones.
    """

    rows: tuple[Row, ...]
    prefix: str = ''
    mask_token: str | None = None
    decoder: str | None = None
    derived: tuple[str, ...] = ('relative_position_index', 'attn_mask', 'relative_coords_table')
    aliases: Mapping[str, str] = {}


def to_ours(weights: Mapping[str, Tensor], rows: Iterable[Row], last: int) -> tuple[dict[str, Tensor], list[str]]:
    """Translates an encoder's weights into the keys and layout of mmpretrain's class.

    Args:
        weights: Weights by the other format's keys, without prefix and without derived buffers.
        rows: The table.
        last: Number of the last stage, from 0.

    Returns:
        Weights by our keys, and the keys that no row knows.
    """
    rest, ours = dict(weights), {}
    for row in rows:
        patterns = (row.theirs,) if isinstance(row.theirs, str) else row.theirs
        for key in [key for key in rest if _match(patterns[0], key, last) is not None]:
            found = _match(patterns[0], key, last)
            assert found is not None
            keys = [_fill(pattern, found, last) for pattern in patterns]
            if all(key in rest for key in keys):
                parts = [rest.pop(key) for key in keys]
                value = parts[0] if len(parts) == 1 else torch.cat(parts)
                ours[_fill(row.ours, found, last)] = _merge_ours(value) if row.change == 'merging' else value
    return ours, list(rest)


def to_theirs(weights: Mapping[str, Tensor], rows: Iterable[Row], last: int) -> tuple[dict[str, Tensor], list[str]]:
    """Translates an encoder's weights into another format; the inverse of :func:`to_ours`.

    Args:
        weights: Weights by our keys, without prefix and without derived buffers.
        rows: The table.
        last: Number of the last stage, from 0.

    Returns:
        Weights by the other format's keys, and the keys that no row knows.
    """
    rest, theirs = dict(weights), {}
    for row in rows:
        patterns = (row.theirs,) if isinstance(row.theirs, str) else row.theirs
        for key in list(rest):
            found = _match(row.ours, key, last)
            if found is None:
                continue
            value = rest.pop(key)
            value = _merge_theirs(value) if row.change == 'merging' else value
            for pattern, part in zip(patterns, value.chunk(len(patterns)), strict=True):
                theirs[_fill(pattern, found, last)] = part.contiguous()
    return theirs, list(rest)


def known_keys(keys: Iterable[str], rows: Iterable[Row], last: int) -> list[str]:
    """The keys of another format that some row knows."""
    patterns = [pattern for row in rows for pattern in ((row.theirs,) if isinstance(row.theirs, str) else row.theirs)]
    return [key for key in keys if any(_match(pattern, key, last) is not None for pattern in patterns)]


def _match(pattern: str, key: str, last: int) -> dict[str, int | str] | None:
    """The numbers in a key that fits a pattern, with what stood for ``*``; None if it does not fit."""
    regex, offsets, end = '', {}, 0
    for place in _PLACE.finditer(pattern):
        name = place[1]
        regex += re.escape(pattern[end : place.start()])
        if name is None:
            regex += '(?P<tail>weight|bias)'
        elif name == 'last':
            regex += str(last + int(place[2] or 0))
        else:
            regex += rf'(?P<{name}>\d+)'
            offsets[name] = int(place[2] or 0)
        end = place.end()
    found = re.fullmatch(regex + re.escape(pattern[end:]), key)
    if found is None:
        return None
    values = {name: text if name == 'tail' else int(text) - offsets[name] for name, text in found.groupdict().items()}
    inside = 0 <= int(values.get('i', 0)) <= last - 1 if 'i' in values else 1 <= int(values.get('j', 1)) <= max(last, 1)
    return values if inside else None


def _fill(pattern: str, values: Mapping[str, int | str], last: int) -> str:
    """A key from a pattern and what :func:`_match` found."""

    def place(found: re.Match) -> str:
        if found[1] is None:
            return str(values['tail'])
        number = last if found[1] == 'last' else int(values[found[1]])
        return str(number + int(found[2] or 0))

    return _PLACE.sub(place, pattern)


def _merge_ours(value: Tensor) -> Tensor:
    """Patch merging's 4 D inputs (the last axis): from cells before channels, column by column, to channels first."""
    cells = value.unflatten(-1, (2, 2, -1))  # column, row, channel
    return cells.transpose(-3, -1).flatten(-3).contiguous()  # channel, row, column, as nn.Unfold has them


def _merge_theirs(value: Tensor) -> Tensor:
    """The inverse of :func:`_merge_ours`."""
    cells = value.unflatten(-1, (-1, 2, 2))
    return cells.transpose(-3, -1).flatten(-3).contiguous()
