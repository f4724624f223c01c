"""The findings as one page of pictures, which needs nothing beside itself."""

from __future__ import annotations

import html
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from simmim_mm.atomic import write_atomically
from simmim_mm.data_quality.examination import examine_files
from simmim_mm.data_quality.findings import KINDS, UNUSABLE
from simmim_mm.data_quality.inspection import Inspection
from simmim_mm.data_quality.list_files import why_unlistable
from simmim_mm.data_quality.page_style import STYLE
from simmim_mm.data_quality.records import ImageRecord
from simmim_mm.data_quality.summary import bits_apart, counts_of, formats_of, statistics_of
from simmim_mm.data_quality.thumbnails import Thumbnailer
from simmim_mm.datasets.statistics import config_lines
from simmim_mm.datasets.transforms.stored import printable

# Most rows of a table, and most pictures of one group.
MAX_ROWS = 8
MAX_OF_GROUP = 8
HEADINGS = {
    'unreadable': 'Unreadable',
    'unfit': 'Sound, but not for these settings',
    'unlistable': 'Names that no list can hold',
    'exact': 'Equal files',
    'near': 'Near duplicates',
    'blank': 'Blank',
    'dark': 'Dark',
    'over-exposed': 'Over-exposed',
    'low-detail': 'Low in detail',
    'small': 'Small',
}
# What the pictures of a finding are sorted by, the worst first, and what is said of each.
ORDERS: dict[str, tuple[Callable[[ImageRecord], float], Callable[[ImageRecord], str]]] = {
    'blank': (lambda record: _of(record, 'contrast'), lambda record: f'contrast {_of(record, "contrast"):.4f}'),
    'dark': (lambda record: _of(record, 'bright_end'), lambda record: f'95 % below {_of(record, "bright_end"):.2f}'),
    'over-exposed': (
        lambda record: -_of(record, 'clipped'),
        lambda record: f'{100 * _of(record, "clipped"):.0f} % white',
    ),
    'low-detail': (lambda record: _of(record, 'detail'), lambda record: f'detail {_of(record, "detail"):.4f}'),
    'small': (lambda record: record.num_pixels, lambda record: _size(record)),
}


def write_page(path: str | Path, inspection: Inspection, max_pictures: int, num_workers: int) -> None:
    """Writes the page.

    Args:
        path: The file.
        inspection: The inspection.
        max_pictures: Most pictures, or rows, of one finding.
        num_workers: Processes that read images; 0 for this one alone.
    """
    shown = _shown(inspection, max_pictures)
    needed = sorted({position for positions in shown.values() for group in positions for position in group})
    paths = [inspection.records[position].path for position in needed]
    thumbnailer = Thumbnailer(inspection.source.folder, inspection.source.examiner.load)
    pictures = dict(zip(needed, examine_files(paths, thumbnailer, num_workers, 'Drawing pictures'), strict=True))
    text = _page(inspection, shown, pictures, max_pictures)
    write_atomically(path, lambda draft: Path(draft).write_text(text, encoding='utf-8'))


def _shown(inspection: Inspection, most: int) -> dict[str, list[list[int]]]:
    """For each kind that has pictures, the positions of those: in groups, where they are duplicates."""
    records, findings = inspection.records, inspection.findings
    shown: dict[str, list[list[int]]] = {}
    for kind in ('exact', 'near'):
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for position in findings.positions(kind):
            groups[int(findings.partner[position])].append(position)
        shown[kind] = []
        for partner, members in groups.items():
            room = most - sum(map(len, shown[kind]))
            if room >= 2:
                shown[kind].append([partner, *members[: min(room, MAX_OF_GROUP) - 1]])
    for kind, (order, _) in ORDERS.items():
        positions = findings.positions(kind)
        keys = {position: order(records[position]) for position in positions}
        shown[kind] = [sorted(positions, key=keys.__getitem__)[:most]]
    clean = inspection.clean
    spread = np.unique(np.linspace(0, len(clean) - 1, min(most, len(clean))).astype(int)) if clean else ()
    shown['clean'] = [[clean[number] for number in spread]]
    return shown


def _page(inspection: Inspection, shown: dict[str, list[list[int]]], pictures: dict[int, str | None], most: int) -> str:
    counts = counts_of(inspection)
    total, clean = len(inspection.records), len(inspection.clean)
    parts = [
        f'<h1>{_text(inspection.source.folder)}</h1>',
        f'<p>{total} images, {clean} of them in the clean list.</p>',
        _overview(inspection, counts),
        '<div class="tables">' + ''.join(_counts(name, found) for name, found in _tables(inspection)) + '</div>',
    ]
    statistics = statistics_of(inspection.records[position] for position in inspection.clean)
    if statistics is not None:
        parts.append(f'<h2>Mean and deviation of the clean list</h2><pre>{_text(config_lines(statistics), True)}</pre>')
    for kind, heading in HEADINGS.items():
        if counts[kind]:
            body = (
                _reasons(inspection, kind, most) if kind in UNUSABLE else _pictures(inspection, kind, shown, pictures)
            )
            parts.append(_section(kind, heading, counts[kind], KINDS[kind], body))
    if clean:
        body = _pictures(inspection, 'clean', shown, pictures)
        parts.append(_section('clean', 'Clean', clean, 'what is left; some, spread over the list', body))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>Images in {_text(inspection.source.folder)}</title><style>{STYLE}</style></head><body>\n'
        + '\n'.join(parts)
        + '\n</body></html>\n'
    )


def _overview(inspection: Inspection, counts: dict[str, int]) -> str:
    rows = []
    for kind, count in counts.items():
        name = f'<a href="#{kind}">{HEADINGS[kind]}</a>' if count else HEADINGS[kind]
        out = kind in inspection.unwanted
        fate = (
            f'<td class="left-out">{"left out" if count else ""}</td>' if out else f'<td>{"kept" if count else ""}</td>'
        )
        rows.append(f'<tr><td>{name}</td><td class="number">{count}</td>{fate}<td>{_text(KINDS[kind])}</td></tr>')
    head = ''.join(f'<th scope="col">{name}</th>' for name in ('finding', 'files', 'clean list', 'meaning'))
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _tables(inspection: Inspection) -> Iterable[tuple[str, Counter[str]]]:
    yield from formats_of(inspection.records).items()
    if inspection.source.other_endings:
        yield 'files that are no images', inspection.source.other_endings


def _counts(name: str, found: Counter[str]) -> str:
    rows = ''.join(
        f'<tr><td>{_text(value)}</td><td class="number">{count}</td></tr>'
        for value, count in found.most_common(MAX_ROWS)
    )
    if len(found) > MAX_ROWS:
        rest = sum(found.values()) - sum(count for _, count in found.most_common(MAX_ROWS))
        rows += f'<tr><td>{len(found) - MAX_ROWS} others</td><td class="number">{rest}</td></tr>'
    return f'<table><caption>{_text(name)}</caption>{rows}</table>'


def _section(kind: str, heading: str, count: int, meaning: str, body: str) -> str:
    return f'<h2 id="{kind}">{heading}: {count}</h2><p>{_text(meaning)}</p>{body}'


def _reasons(inspection: Inspection, kind: str, most: int) -> str:
    records = [inspection.records[position] for position in inspection.findings.positions(kind)]
    rows = ''.join(
        f'<tr><td class="file">{_text(record.path)}</td><td>{_text(_reason(record, kind))}</td></tr>'
        for record in records[:most]
    )
    more = f'<p>and {len(records) - most} more, in findings.json</p>' if len(records) > most else ''
    head = '<tr><th scope="col">file</th><th scope="col">reason</th></tr>'
    return f'<div class="scroll"><table>{head}{rows}</table></div>{more}'


def _reason(record: ImageRecord, kind: str) -> str:
    return why_unlistable(record.path) if kind == 'unlistable' else record.refusal


def _pictures(
    inspection: Inspection, kind: str, shown: dict[str, list[list[int]]], pictures: dict[int, str | None]
) -> str:
    groups = [
        '<div class="pictures">'
        + ''.join(_figure(inspection, kind, group[0], position, pictures[position]) for position in group)
        + '</div>'
        for group in shown[kind]
    ]
    grouped = kind in ('exact', 'near')
    body = f'<div class="groups">{"".join(groups)}</div>' if grouped else ''.join(groups)
    there = len(inspection.findings.positions(kind)) if kind != 'clean' else 0
    drawn = sum(len(group) - grouped for group in shown[kind])
    return body + (f'<p>and {there - drawn} more, in findings.json</p>' if there > drawn else '')


def _figure(inspection: Inspection, kind: str, first: int, position: int, picture: str | None) -> str:
    record = inspection.records[position]
    if kind in ORDERS:
        said = ORDERS[kind][1](record)
    elif kind == 'near':
        apart = bits_apart(inspection, position)
        said = f'{_size(record)}, ' + ('preferred' if position == first else f'{apart} of 64 bits apart')
    else:
        said = _size(record)
    name = _text(record.path)
    image = f'<img src="{picture}" alt="{name}" loading="lazy">' if picture else '<span>cannot be read again</span>'
    mark = ' class="kept"' if kind in ('exact', 'near') and position == first else ''
    caption = name.replace('/', '/<wbr>').replace('_', '_<wbr>')  # where a line may break
    return f'<figure{mark}><div>{image}</div><figcaption>{caption}<span>{_text(said)}</span></figcaption></figure>'


def _of(record: ImageRecord, name: str) -> float:
    return float(getattr(record.measures, name))


def _size(record: ImageRecord) -> str:
    assert record.shape is not None
    return f'{record.shape[0]} x {record.shape[1]}'


def _text(text: str, lines: bool = False) -> str:
    """A text for HTML; on one line, unless it is known to be clean."""
    return html.escape(text if lines else printable(text))
