"""Which files are the images."""

import os
from pathlib import Path

import pytest

from simmim_mm.datasets.image_files import IMAGE_EXTENSIONS, find_images


@pytest.fixture
def tree(tmp_path):
    """Creates empty files by relative path, and returns the root."""

    def make(*names):
        root = tmp_path / 'root'
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        root.mkdir(exist_ok=True)
        return str(root)

    return make


def _relative(root, paths):
    return [str(Path(path).relative_to(root)) for path in paths]


def test_trees_of_any_depth_are_searched(tree):
    """No class folders needed, none in the way; sorted by path; other files ignored."""
    root = tree('b.png', 'a/c.JPG', 'a/x/y/z/d.jpeg', 'a/notes.txt', 'e.webp', 'noending')
    assert _relative(root, find_images(root)) == ['a/c.JPG', 'a/x/y/z/d.jpeg', 'b.png', 'e.webp']


def test_hidden_files_and_folders_are_ignored(tree):
    """macOS leaves ._x.jpg, thumbnailers leave .thumbs/; a root that is hidden itself is what was asked for."""
    root = tree('a.jpg', '._a.jpg', '.thumbs/b.jpg', 'c/.d.png', '.jpg')
    assert _relative(root, find_images(root)) == ['a.jpg']
    hidden = os.path.join(root, '.thumbs')
    assert _relative(root, find_images(hidden)) == ['.thumbs/b.jpg']


@pytest.mark.parametrize('ending', IMAGE_EXTENSIONS)
def test_every_ending_is_found(tree, ending):
    """In lower and upper case."""
    root = tree(f'a{ending}', f'b{ending.upper()}', f'c{ending}.txt')
    assert _relative(root, find_images(root)) == [f'a{ending}', f'b{ending.upper()}']


def test_endings_can_be_chosen(tree):
    """Only what was asked for."""
    root = tree('a.jpg', 'b.png')
    assert _relative(root, find_images(root, extensions=('.png',))) == ['b.png']


def test_linked_folders_are_entered_once(tree, tmp_path):
    """Links to folders are followed; one that leads back up, or to a folder that was seen, adds nothing."""
    root = tree('a/1.jpg')
    other = tmp_path / 'other'
    other.mkdir()
    (other / '2.jpg').touch()
    os.symlink(other, os.path.join(root, 'b'))
    os.symlink(root, os.path.join(root, 'a', 'loop'))
    os.symlink(root, os.path.join(other, 'up'))
    os.symlink(other, os.path.join(root, 'again'))
    found = [os.path.realpath(path) for path in find_images(root)]
    assert sorted(found) == sorted([os.path.join(root, 'a', '1.jpg'), str(other / '2.jpg')])


def test_the_order_does_not_depend_on_the_disk(tree, monkeypatch):
    """Folders are read in whatever order the file system has; the list is the same on every machine."""
    root = tree('b/1.jpg', 'a/2.jpg', 'c.jpg', 'd/e/3.jpg')
    os.symlink(os.path.join(root, 'b'), os.path.join(root, 'link'))
    expected = find_images(root)
    scandir = os.scandir

    class Reversed:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

        def __enter__(self):
            return self

        def __exit__(self, *args):
            pass

        def __iter__(self):
            return self.entries

        def __next__(self):
            return next(self.entries)

        def close(self):
            pass

    monkeypatch.setattr(os, 'scandir', Reversed)
    assert find_images(root) == expected


def test_lists_keep_order_and_repetitions(tree, tmp_path):
    """One path a line, relative or absolute; empty lines and comments ignored; any ending counts."""
    root = tree('b.jpg', 'a/c.dat', 'mit leerzeichen.png')
    outside = tmp_path / 'outside.jpg'
    outside.touch()
    listing = tmp_path / 'list.txt'
    listing.write_text(f'# my images\n\nb.jpg\r\na/c.dat\n  mit leerzeichen.png  \n{outside}\nb.jpg\n')
    paths = find_images(root, list_file=str(listing))
    assert paths == [f'{root}/b.jpg', f'{root}/a/c.dat', f'{root}/mit leerzeichen.png', str(outside), f'{root}/b.jpg']


def test_lists_may_begin_with_a_byte_order_mark(tree, tmp_path):
    """Windows editors write one."""
    root = tree('ä.jpg', 'b.jpg')
    listing = tmp_path / 'list.txt'
    listing.write_text('ä.jpg\nb.jpg\n', encoding='utf-8-sig')
    assert find_images(root, list_file=str(listing)) == [f'{root}/ä.jpg', f'{root}/b.jpg']


def test_lists_may_name_some_missing_files(tree, tmp_path):
    """These are unreadable when their turn comes; a list of missing files alone is a wrong data_root."""
    root = tree('a.jpg')
    listing = tmp_path / 'list.txt'
    listing.write_text('gone.jpg\na.jpg\n')
    assert len(find_images(root, list_file=str(listing))) == 2
    listing.write_text('gone.jpg\nlost.jpg\n')
    with pytest.raises(FileNotFoundError, match='none of the first 2 files .*gone.jpg.*set data_root'):
        find_images(root, list_file=str(listing))


def test_patterns_select(tree):
    """A glob, whatever the ending; folders that match are no images."""
    root = tree('a/1_rgb.tif', 'a/1_depth.tif', 'b/c/2_rgb.tif', '3_rgb.raw', 'd_rgb.tif/x.jpg')
    assert _relative(root, find_images(root, pattern='**/*_rgb.*')) == ['3_rgb.raw', 'a/1_rgb.tif', 'b/c/2_rgb.tif']


@pytest.mark.parametrize(
    ('arguments', 'error', 'words'),
    [
        (dict(data_root='{root}/none'), FileNotFoundError, ['none', 'does not exist', '--data-root', 'seen from']),
        (dict(data_root='{root}/notes.txt'), NotADirectoryError, ['notes.txt', 'is a file', 'list_file']),
        (dict(data_root='{root}'), ValueError, ['holds no images', '2 .txt', '1 .csv', '1 (no ending)', '.jpg']),
        (dict(data_root='{root}/empty'), ValueError, ['holds no images', 'it is empty']),
        (dict(data_root='{root}', pattern='**/*.png'), ValueError, ["pattern='**/*.png' matches no file"]),
        (dict(data_root='{root}', pattern='/abs/*.png'), ValueError, ['is absolute', 'relative to data_root']),
        (dict(data_root='{root}', list_file='{root}/none'), FileNotFoundError, ['list_file', 'does not exist']),
        (dict(data_root='{root}', list_file='{root}/notes.txt'), ValueError, ['names no files', 'one path a line']),
        (dict(data_root='{root}', list_file='x', pattern='y'), ValueError, ['both given', 'keep one']),
        (dict(data_root=''), FileNotFoundError, ['does not exist', '--data-root']),
    ],
    ids=str,
)
def test_errors_say_what_is_there_and_what_to_change(tree, arguments, error, words):
    """What was given, what was found, and which setting to change."""
    root = tree('notes.txt', 'sub/more.txt', 'table.csv', 'README')
    os.mkdir(os.path.join(root, 'empty'))
    with pytest.raises(error) as raised:
        find_images(**{name: value.format(root=root) for name, value in arguments.items()})
    for word in words:
        assert word in str(raised.value)


def test_broken_links_are_listed_to_be_reported(tree):
    """Not dropped in silence, with a pattern either; folders are no images, whatever their name."""
    root = tree('a.png', 'b.png/c.png')
    os.symlink('nowhere', os.path.join(root, 'd.png'))
    assert _relative(root, find_images(root)) == ['a.png', 'b.png/c.png', 'd.png']
    assert _relative(root, find_images(root, pattern='*.png')) == ['a.png', 'd.png']


def test_folders_that_cannot_be_looked_into_are_told(tree, monkeypatch):
    """Their images would be missing in silence."""
    root, messages = tree('a.png', 'locked/b.png'), []
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith('locked'):
            raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    monkeypatch.setattr('simmim_mm.datasets.image_files.print_log', lambda text, **_: messages.append(text))
    assert _relative(root, find_images(root)) == ['a.png']
    assert len(messages) == 1
    assert '1 folders' in messages[0]
    assert "locked': Permission denied" in messages[0]
