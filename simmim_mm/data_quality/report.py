"""All that an inspection writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from simmim_mm.data_quality.inspection import Inspection
from simmim_mm.data_quality.list_files import write_list
from simmim_mm.data_quality.page import write_page
from simmim_mm.data_quality.results_folder import list_heading, remove_lists
from simmim_mm.data_quality.split import Split, SplitRule, class_counts, split
from simmim_mm.data_quality.summary import findings_table, statistics_of, write_findings
from simmim_mm.datasets.statistics import config_lines, report
from simmim_mm.datasets.transforms.stored import printable
from simmim_mm.tables import table

# Most files that the summary names of one kind.
MAX_NAMES = 5


def split_clean(inspection: Inspection, rule: SplitRule | None) -> Split | None:
    """Splits the clean list.

    Args:
        inspection: The inspection.
        rule: How; None for no split.

    Returns:
        The parts; None without a rule, or if no file is clean.

    Raises:
        ValueError: If one part would be empty.
    """
    clean = inspection.clean
    if rule is None or not clean:
        return None
    paths = [inspection.records[position].path for position in clean]
    groups = inspection.findings.groups[clean].tolist()
    return split(paths, groups, rule)


def write_results(
    inspection: Inspection,
    out: str,
    parts: Split | None,
    rule: SplitRule | None,
    max_pictures: int,
    num_workers: int,
    config: str,
) -> list[str]:
    """Writes the lists, the findings and the page, in the place of those of an earlier inspection.

    Args:
        inspection: The inspection.
        out: The folder, which is made if it is not there.
        parts: Of the clean list, or None.
        rule: By which they were made.
        max_pictures: Most pictures of one finding on the page.
        num_workers: Processes that read images for it.
        config: Whose training read the files.

    Returns:
        Paths of what was written.
    """
    folder = Path(out)
    remove_lists(folder)
    paths = [inspection.records[position].path for position in inspection.clean]
    lists: dict[str, Sequence[str]] = {'clean': paths}
    if parts is not None:
        lists['train'] = parts.train
        if parts.held_out:
            lists['held_out'] = parts.held_out
    written = []
    for name, files in lists.items():
        if files:
            path = folder / f'{name}.txt'
            write_list(path, files, list_heading(len(files), inspection.source.folder))
            written.append(str(path))
    about = {'config': config, 'split': None if rule is None else asdict(rule)}
    write_findings(folder / 'findings.json', inspection, about)
    write_page(folder / 'report.html', inspection, max_pictures, num_workers)
    return [*written, str(folder / 'findings.json'), str(folder / 'report.html')]


def summary(inspection: Inspection, parts: Split | None, rule: SplitRule | None) -> str:
    """What a person reads at the end.

    Args:
        inspection: The inspection.
        parts: Of the clean list, or None.
        rule: By which they were made.
    """
    lines = [findings_table(inspection)]
    others = inspection.source.other_endings
    if others:
        found = ', '.join(f'{count} {ending}' for ending, count in others.most_common(5))
        lines.append(f'other files in the folder, which training does not look at: {found}')
    unlistable = [inspection.records[position].path for position in inspection.findings.positions('unlistable')]
    if unlistable:
        names = ', '.join(printable(path) for path in unlistable[:MAX_NAMES])
        more = f' and {len(unlistable) - MAX_NAMES} more, in findings.json' if len(unlistable) > MAX_NAMES else ''
        lines.append(f'names that no list can hold, with line breaks and the like escaped: {names}{more}')
    statistics = statistics_of(inspection.records[position] for position in inspection.clean)
    if statistics is not None:
        lines += ['', 'The clean list:', report(statistics), '', config_lines(statistics)]
    else:
        lines += [
            '',
            'No image is clean, so no list is written; leave out fewer kinds with --leave-out, or read the files as '
            'they are with --as-stored',
        ]
    if parts is not None:
        lines += ['', f'train: {len(parts.train)} lines, held out: {len(parts.held_out)}']
        if rule is not None and rule.needs_classes:
            train, held_out = class_counts(parts.train), class_counts(parts.held_out)
            rows = [(name, train.get(name, 0), held_out.get(name, 0)) for name in sorted(train | held_out)]
            lines.append(table(('class', 'train', 'held out'), rows))
    return '\n'.join(lines)
