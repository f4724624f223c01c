"""What an inspection found, in numbers: for a person, and as JSON."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from simmim_mm.atomic import write_atomically
from simmim_mm.data_quality.findings import KINDS
from simmim_mm.data_quality.inspection import Inspection
from simmim_mm.data_quality.list_files import why_unlistable
from simmim_mm.data_quality.records import ImageRecord
from simmim_mm.datasets.moments import PixelMoments
from simmim_mm.datasets.statistics import ImageStatistics
from simmim_mm.tables import table


def counts_of(inspection: Inspection) -> dict[str, int]:
    """How many files have each kind of finding.

    Args:
        inspection: The inspection.
    """
    counts = Counter(kind for found in inspection.findings.kinds for kind in found)
    return {kind: counts[kind] for kind in KINDS}


def formats_of(records: Iterable[ImageRecord]) -> dict[str, Counter[str]]:
    """How many files there are of each format, kind of colour, depth and size, as stored.

    Args:
        records: Of the files.
    """
    formats: dict[str, Counter[str]] = {
        name: Counter() for name in ('format', 'colour', 'bits a value', 'height x width')
    }
    for record in records:
        if record.facts is not None:
            formats['format'][record.facts.format] += 1
            formats['colour'][record.facts.colour] += 1
            formats['bits a value'][str(record.facts.bits)] += 1
        if record.shape is not None:
            formats['height x width'][f'{record.shape[0]} x {record.shape[1]}'] += 1
    return formats


def statistics_of(records: Iterable[ImageRecord]) -> ImageStatistics | None:
    """Mean, deviation and range of all pixels of files.

    Args:
        records: Of the files. If they differ in channels, those that have as many as most have count.

    Returns:
        The statistics, in the units of the loader; None if nothing was read.
    """
    by_channels: defaultdict[int, list[ImageRecord]] = defaultdict(list)
    for record in records:
        if record.shape is not None:
            by_channels[record.shape[2]].append(record)
    if not by_channels:
        return None
    found = ImageStatistics()
    moments: PixelMoments | None = None
    for record in max(by_channels.values(), key=len):
        assert record.moments is not None
        assert record.shape is not None
        moments = record.moments if moments is None else moments.merge(record.moments)
        found.num_images += 1
        found.types[record.stored_type] += 1
        found.sizes[record.shape[:2]] += 1
        found.num_grey += record.repeated
        found.eight_bit &= record.eight_bit
    assert moments is not None
    found.mean, found.std, found.low, found.high = moments.mean, moments.std, moments.low, moments.high
    return found


def findings_table(inspection: Inspection) -> str:
    """The kinds of findings, how many files have each, and whether those are left out.

    Args:
        inspection: The inspection.

    Returns:
        A table in Markdown.
    """
    rows = [
        (f'{kind}: {KINDS[kind]}', count, 'left out' if kind in inspection.unwanted else 'kept')
        for kind, count in counts_of(inspection).items()
    ]
    total, clean = len(inspection.records), len(inspection.clean)
    return table(('finding', 'files', 'clean list'), [*rows, (f'clean, of {total} files', clean, '')])


def write_findings(path: str | Path, inspection: Inspection, about: dict[str, Any]) -> None:
    """Writes all findings as JSON.

    ``files`` has an entry for each file with a finding: its ``path``, ``findings``, ``reason`` (of those that are not
    read), ``name_reason`` (of names that no list can hold), ``like`` and ``bits_apart`` (of duplicates: which file they
    are equal or near to, and in how many bits of 64 their hashes differ), and what was measured.

    Args:
        path: The file.
        inspection: The inspection.
        about: What else is to stand in it.
    """
    records, findings = inspection.records, inspection.findings
    statistics = statistics_of(records[position] for position in inspection.clean)
    groups: defaultdict[int, list[str]] = defaultdict(list)
    for record, group in zip(records, findings.groups.tolist(), strict=True):
        groups[group].append(record.path)
    content = {
        'folder': inspection.source.folder,
        **about,
        'thresholds': asdict(inspection.thresholds),
        'left_out': sorted(inspection.unwanted),
        'num_files': len(records),
        'num_clean': len(inspection.clean),
        'counts': counts_of(inspection),
        'stored': formats_of(records),
        'other_files': inspection.source.other_endings,
        'clean_statistics': None
        if statistics is None
        else {
            'num_images': statistics.num_images,
            **{name: getattr(statistics, name).tolist() for name in ('mean', 'std', 'low', 'high')},
        },
        'groups': [paths for paths in groups.values() if len(paths) > 1],
        'files': [_entry(inspection, position) for position, found in enumerate(findings.kinds) if found],
    }
    text = json.dumps(content, indent=1)
    write_atomically(path, lambda draft: Path(draft).write_text(text, encoding='utf-8'))


def bits_apart(inspection: Inspection, position: int) -> int | None:
    """In how many bits the hashes of a duplicate and of what it is near to differ; None of what is no duplicate.

    Args:
        inspection: The inspection.
        position: Of the file.
    """
    partner = inspection.findings.partner[position]
    ours, theirs = (inspection.records[each].measures for each in (position, partner))
    if partner == position or ours is None or theirs is None:
        return None
    return (ours.perceptual_hash ^ theirs.perceptual_hash).bit_count()


def _entry(inspection: Inspection, position: int) -> dict[str, Any]:
    record, findings = inspection.records[position], inspection.findings
    entry: dict[str, Any] = {
        'path': record.path,
        'findings': [kind for kind in KINDS if kind in findings.kinds[position]],
        'bytes': record.num_bytes,
    }
    if record.refusal:
        entry['reason'] = record.refusal
    if 'unlistable' in findings.kinds[position]:
        entry['name_reason'] = why_unlistable(record.path)
    if findings.partner[position] != position:
        entry['like'] = inspection.records[findings.partner[position]].path
        entry['bits_apart'] = bits_apart(inspection, position)
    if record.facts is not None:
        entry.update(record.facts._asdict())
    if record.shape is not None and record.measures is not None:
        entry['shape'] = record.shape
        entry.update(record.measures._asdict(), perceptual_hash=f'{record.measures.perceptual_hash:016x}')
    return entry
