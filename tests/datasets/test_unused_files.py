"""The list of files that were not used, and its summary."""

from __future__ import annotations

from simmim_mm.datasets.unused_files import UnusedFile, append, read, rewrite, summary, summary_text


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
