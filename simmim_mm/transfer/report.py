"""What became of every key, as a table for the terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Report:
    """What became of every key of a checkpoint.

    Attributes:
        title: What was done, in words.
        matched: Keys of the target that took weights from the file as they are.
        resized: Keys of the target whose weights were resized, with what changed.
        dropped: Keys of the source that were left out.
        new: Keys of the target that nothing was trained for, which start as drawn.
        missing: Keys of the target that should have been there.
        features: How the features were compared, and the difference.
        ok: Whether every expected key matched and the features agree.
        hint: What to write into a config.
    """

    title: str
    matched: list[str] = field(default_factory=list)
    resized: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    features: str = ''
    ok: bool = True
    hint: str = ''

    def __str__(self) -> str:
        lines = [self.title, '']
        resized: dict[str, list[str]] = {}
        for key, change in self.resized.items():
            resized.setdefault(f'{_pattern(key)}  {change}', []).append(key)
        groups = [
            ('matched', _group(self.matched)),
            ('resized', {text: len(keys) for text, keys in resized.items()}),
            ('dropped', _group(self.dropped)),
            ('new', _group(self.new)),
            ('missing', _group(self.missing)),
        ]
        for name, counts in groups:
            lines.append(f'{name:>8} {sum(counts.values()):5}')
            if name != 'matched':
                lines += [f'{"":8} {count:5}  {text}' for text, count in counts.items()]
        if self.features:
            lines += ['', self.features]
        if self.hint:
            lines += ['', self.hint]
        return '\n'.join(lines)


def _group(keys: list[str]) -> dict[str, int]:
    """Keys that differ in numbers alone, counted together; ``weight`` and ``bias`` too."""
    counts: dict[str, int] = {}
    for key in keys:
        pattern = _pattern(key)
        counts[pattern] = counts.get(pattern, 0) + 1
    return counts


def _pattern(key: str) -> str:
    return re.sub(r'\.(weight|bias)$', '.*', re.sub(r'(?<=\.)\d+(?=\.)', '*', key))
