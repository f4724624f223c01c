"""The list of files that were not used, and its summary."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from simmim_mm.datasets import UnlabelledImages
from simmim_mm.datasets.unused_files import (
    UnusedFile,
    append,
    escaped,
    read,
    rewrite,
    summary,
    summary_text,
    unescaped,
)


@given(st.text(st.one_of(st.characters(), st.sampled_from('\\nrtxuU0aF\n\t\u2028\udcff'))))
def test_any_path_is_one_line_and_comes_back(path):
    """Of a list that any reader of lines can take apart, in UTF-8."""
    line = escaped(path)
    assert len(f'{line}.'.splitlines()) == 1
    assert '\t' not in line
    assert unescaped(line.encode('utf-8').decode('utf-8')) == path


def test_escapes_are_pythons():
    """As its own parser reads them."""
    for path in ('a\nb', 'tab\there', 'back\\slash', 'a\\nb', 'line\u2028', '\U000e0001', 'byte\udcff', 'ü ß'):
        assert eval(f"'{escaped(path)}'") == path


def test_a_data_set_lists_names_that_are_read_back(tmp_path):
    """Of files that are there: line breaks, tabs, backslashes, and bytes that are no text."""
    names = ['a\nb.png', 'a\\nb.png', 'tab\t.png', '\u2028.png', os.fsdecode(b'\xff.png'), ' plain.png']
    for name in names:
        (tmp_path / name).write_bytes(b'')
    dataset = UnlabelledImages(str(tmp_path), pipeline=[dict(type='LoadImage')], max_unreadable=1)
    dataset.unreadable_log = str(tmp_path / 'list.txt')
    for number in range(len(names)):
        try:
            dataset[number]
        except RuntimeError:  # in the end all of them are unreadable
            continue
    found = read(dataset.unreadable_log)
    assert {each.path for each in found} == {str(tmp_path / name) for name in names}
    assert all(Path(each.path).is_file() for each in found)
    rewrite(dataset.unreadable_log, found)
    assert read(dataset.unreadable_log) == found
    assert len((tmp_path / 'list.txt').read_text().splitlines()) == len(names)
    assert len(summary_text(summary(found, dict(training=6))).splitlines()) == 2


def test_a_list_survives_repetitions_and_half_lines(tmp_path):
    """The newest line of a file counts; what a killed process left unfinished does not."""
    path = str(tmp_path / 'list.txt')
    assert read(path) == []
    rows = [
        UnusedFile('a.png', 'empty', 'it is empty'),
        UnusedFile('b.png', 'missing', 'gone'),
        UnusedFile('a.png', 'x', 'y'),
    ]
    for row in rows:
        append(path, row)
    with open(path, 'a', encoding='utf-8') as file:
        file.write('c.png\tmis')
    assert read(path) == [rows[2], rows[1]]
    rewrite(path, read(path))
    assert (tmp_path / 'list.txt').read_text() == 'a.png\tx\ty\nb.png\tmissing\tgone\n'


def test_reasons_are_grouped_the_most_frequent_first():
    """7 of one kind, of which five are named; 2 of another; one that was used after all."""
    files = [UnusedFile(f'{number}.png', 'missing', 'gone') for number in range(2)]
    files += [UnusedFile(f'{number}.jpg', 'empty', f'reason {number}') for number in range(7)]
    files.append(UnusedFile('white.png', 'blank, used', 'all equal'))
    found = summary(files, dict(training=100, validation=9))
    assert (found['num_not_used'], found['num_blank_used']) == (9, 1)
    assert [(row['kind'], row['count'], len(row['examples'])) for row in found['not_used']] == [
        ('empty', 7, 5),
        ('missing', 2, 2),
    ]
    assert summary_text(found).splitlines() == [
        'Files that were not used: 9 (of 100 training and 9 validation files)',
        '  7 empty, such as 0.jpg: reason 0',
        '  2 missing, such as 0.png: gone',
        '  (and 1 blank images were used)',
    ]
