"""The tool: its lists, its findings and its page; and how it ends early."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from simmim_mm.data_quality.examination import examine_files
from simmim_mm.data_quality.list_files import is_listable, write_list
from simmim_mm.datasets import UnlabelledImages
from simmim_mm.datasets.transforms import LoadImage

ROOT = Path(__file__).resolve().parents[2]
# All that str.splitlines breaks at, as its documentation lists it.
BREAKS = '\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029'


@pytest.fixture
def inspect(run_tool):
    return partial(run_tool, 'inspect_images.py')


class Page(HTMLParser):
    """What a page refers to, its headings' names and its pictures."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.names, self.links, self.open = [], set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        assert tag not in ('script', 'link', 'iframe')
        if tag not in ('meta', 'img', 'wbr'):
            self.open.append(tag)
        if tag == 'img':
            assert values['alt']
            self.sources.append(values['src'])
        self.names |= {values['id']} if 'id' in values else set()
        self.links |= {values['href'].removeprefix('#')} if 'href' in values else set()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def read_names(folder, list_file):
    """The files of a list, as training reads them."""
    dataset = UnlabelledImages(
        data_root=str(folder), list_file=str(list_file), pipeline=[dict(type='LoadImage', grey='repeat')]
    )
    assert all('img' in dataset[number] for number in range(len(dataset)))
    assert not dataset.unreadable.any()
    return [os.path.relpath(dataset.get_data_info(number)['img_path'], folder) for number in range(len(dataset))]


def test_lists_findings_and_page(inspect, odd_folder, expected_findings, tmp_path):
    output = inspect(odd_folder, '--out', tmp_path, '--workers', '0', '--max-pictures', '4')
    left_out = {name for name, kinds in expected_findings.items() if kinds & {'exact', 'blank', 'unreadable', 'unfit'}}
    images = {str(path.relative_to(odd_folder)) for path in odd_folder.rglob('*.*') if path.suffix != '.txt'}
    clean = {path for path in images if path.rpartition('/')[2] not in left_out}
    assert set(read_names(odd_folder, tmp_path / 'clean.txt')) == clean
    assert not (tmp_path / 'train.txt').exists()

    found = json.loads((tmp_path / 'findings.json').read_text())
    assert {entry['path'].rpartition('/')[2]: set(entry['findings']) for entry in found['files']} == expected_findings
    assert (found['num_files'], found['num_clean']) == (len(images), len(clean))
    assert found['other_files'] == {'.txt': 1}
    assert found['groups'] == [
        ['good/astronaut.png', 'odd/astronaut_compressed.jpg', 'odd/astronaut_reduced.webp'],
        ['good/coffee.png', 'odd/coffee_again.png'],
    ]
    pixels = np.concatenate(
        [LoadImage(grey='repeat')({'img_path': str(odd_folder / path)})['img'].reshape(-1, 3) for path in clean]
    ).astype(np.float64)
    np.testing.assert_allclose(found['clean_statistics']['mean'], pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found['clean_statistics']['std'], pixels.std(axis=0), rtol=1e-9)
    assert f'mean=[{pixels.mean(axis=0)[0]:.6g}, ' in output

    page = Page((tmp_path / 'report.html').read_text())
    assert page.sources
    assert all(source.startswith('data:image/webp;base64,') for source in page.sources)
    kinds = {kind for kinds in expected_findings.values() for kind in kinds}
    assert page.links == kinds
    assert page.names == kinds | {'clean'}


def test_near_duplicates_keep_one_and_parts_are_disjoint(inspect, odd_folder, tmp_path):
    arguments = ['--leave-out', 'near', '--held-out', '0.3', '--stratify', '--workers', '0']
    output = inspect(odd_folder, '--out', tmp_path, *arguments)
    clean, train, held_out = (
        read_names(odd_folder, tmp_path / f'{name}.txt') for name in ('clean', 'train', 'held_out')
    )
    assert [path for path in clean if 'astronaut' in path] == ['good/astronaut.png']
    assert [path for path in clean if 'coffee' in path] == ['good/coffee.png']
    assert sorted(train + held_out) == sorted(clean)
    # 5 good and 5 odd files are left: 30 % is nearer to 1 than to 2, or as near.
    assert [sum(path.startswith(name) for path in held_out) for name in ('good', 'odd')] == [1, 1]
    assert '| good  |     4 |        1 |' in output


def test_several_processes_find_the_same(inspect, odd_folder, tmp_path):
    for workers in (0, 2):
        inspect(odd_folder, '--out', tmp_path / str(workers), '--workers', workers, '--held-out', '0.3')
    for name in ('clean.txt', 'train.txt', 'held_out.txt', 'findings.json', 'report.html'):
        assert (tmp_path / '0' / name).read_bytes() == (tmp_path / '2' / name).read_bytes()


def test_files_of_many_bands_as_stored(inspect, band_folder, tmp_path):
    """Refused by a config for RGB; read with `--as-stored`, dark in their 16 bits."""
    folder = band_folder(3)
    output = inspect(folder, '--out', tmp_path / 'rgb', '--workers', '0', status=1)
    assert 'No image is clean, so no list is written' in output
    found = json.loads((tmp_path / 'rgb' / 'findings.json').read_text())
    assert found['counts']['unfit'] == 3
    assert not (tmp_path / 'rgb' / 'clean.txt').exists()
    inspect(folder, '--out', tmp_path / 'bands', '--workers', '0', '--as-stored')
    found = json.loads((tmp_path / 'bands' / 'findings.json').read_text())
    assert (found['num_clean'], found['counts']['dark'], found['counts']['small']) == (3, 3, 3)
    bands = np.concatenate(
        [tifffile.imread(path).reshape(13, -1) for path in sorted(Path(folder).glob('*.tif'))], axis=1
    )
    np.testing.assert_allclose(found['clean_statistics']['mean'], bands.mean(axis=1), rtol=1e-9)
    assert found['stored']['colour'] == {'13 bands': 3}


def test_results_of_an_earlier_inspection_are_replaced(inspect, odd_folder, tmp_path):
    """Lists that are not written this time are removed; without a clean image, all of them, split or not."""

    def lists():
        return sorted(path.name for path in tmp_path.glob('*.txt'))

    def findings():
        return json.loads((tmp_path / 'findings.json').read_text())

    options = [odd_folder, '--out', tmp_path, '--workers', '0']
    none_clean = ['--leave-out', 'small', '--min-side', '5000']
    split = ['--held-out', '0.3']
    inspect(*options, *split)
    assert lists() == ['clean.txt', 'held_out.txt', 'train.txt']
    first = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert 'leaves the held-out part empty' in inspect(*options, '--held-out', '0.001', status=2)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == first
    inspect(*options)
    assert (lists(), findings()['split']) == (['clean.txt'], None)
    for more in (split, []):
        inspect(*options, *split)
        output = inspect(*options, *none_clean, *more, status=1)
        assert 'No image is clean, so no list is written; leave out fewer' in output
        assert (lists(), findings()['num_clean']) == ([], 0)
        assert not any(name in output for name in ('clean.txt', 'train.txt', "dataset=dict(type='UnlabelledImages'"))


@pytest.mark.parametrize('name', ['clean.txt', 'train.txt', 'held_out.txt', 'findings.json', 'report.html'])
@pytest.mark.parametrize(
    'content', ['', 'good/coffee.png\n', '# my files\n', '{"folder_of": 1}', '<!DOCTYPE html><title>']
)
def test_files_of_others_are_not_overwritten(inspect, odd_folder, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    output = inspect(odd_folder / 'good', '--out', tmp_path, '--workers', '0', status=2)
    assert f'holds {name}, which inspect_images.py did not write and would overwrite' in output
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: content}


def test_the_list_that_is_inspected_is_not_overwritten(inspect, odd_folder, tmp_path):
    """One that an earlier inspection wrote; into another folder it can be inspected again."""
    options = ['--workers', '0', '--cfg-options', f'train_dataloader.dataset.list_file={tmp_path}/clean.txt']
    inspect(odd_folder, '--out', tmp_path, '--workers', '0')
    before = (tmp_path / 'clean.txt').read_bytes()
    output = inspect(odd_folder, '--out', tmp_path, *options, status=2)
    assert 'clean.txt' in output
    assert 'is read and would be overwritten' in output
    inspect(odd_folder, '--out', tmp_path / 'again', *options)
    assert (tmp_path / 'again' / 'clean.txt').read_bytes() == before == (tmp_path / 'clean.txt').read_bytes()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['missing'], "FOLDER='missing' does not exist"),
        (['{empty}'], "FOLDER='{empty}' holds no images: it is empty"),
        (['{odd}/odd/notes.txt'], "FOLDER='{odd}/odd/notes.txt' is a file, not a folder; give a folder that holds"),
        (['{odd}', '--leave-out', 'ugly'], "'ugly' is no kind of finding"),
        (['{odd}', '--distance', '40'], 'distance=40 must be a whole number of bits from 0 to 31'),
        (['{odd}', '--held-out', '2'], 'held_out=2.0 must be a share'),
        (['{odd}', '--stratify'], 'give --held-out SHARE too'),
        (['{odd}/good', '--balance', 'over'], "'astronaut.png' is in no class folder"),
        (['{odd}', '--config', 'nothing'], "'nothing' is no config file"),
        (['{odd}', '--out', '{odd}/odd/notes.txt'], 'cannot be made'),
        (
            ['{odd}', '--cfg-options', 'train_dataloader.dataset.nonsense=3'],
            'error: train_dataloader.dataset.nonsense is no option of UnlabelledImages; delete it, or use one of ',
        ),
        (['{odd}', '--colour'], 'unrecognized arguments: --colour'),
    ],
    ids=str,
)
def test_what_cannot_work_is_said_at_once(inspect, odd_folder, tmp_path, arguments, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    places = {'empty': tmp_path / 'empty', 'odd': odd_folder}
    output = inspect(*(argument.format(**places) for argument in arguments), status=2)
    assert message.format(**places) in output
    assert 'data_root=' not in output
    assert '--data-root' not in output
    assert not list(tmp_path.rglob('clean.txt'))


def test_another_folder_of_the_config_is_called_what_it_is(inspect, odd_folder, tmp_path):
    """One that an option of the config names, in the place of FOLDER."""
    options = ['--out', tmp_path / 'out', '--cfg-options', f'train_dataloader.dataset.data_root={tmp_path}/none']
    output = inspect(odd_folder, *options, status=2)
    assert f"error: data_root='{tmp_path}/none' does not exist" in output
    assert 'FOLDER' not in output.replace('--data-root FOLDER', '')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('name', ['#1.png', ' leading.png', 'ü and spaces.png', '\ufeffmark.png'])
def test_odd_names_come_back_from_a_list(tmp_path, name):
    Image.linear_gradient('L').resize((8, 8)).convert('RGB').save(tmp_path / name)
    assert is_listable(name)
    write_list(tmp_path / 'list.txt', [name], 'one file')
    assert read_names(tmp_path, tmp_path / 'list.txt') == [name]


@pytest.mark.parametrize(
    'name', [*(f'two{c}lines.png' for c in BREAKS), 'trailing.png ', 'end\n', os.fsdecode(b'\xff.png')]
)
def test_names_that_no_list_can_hold(name):
    assert not is_listable(name)


def test_names_that_no_list_can_hold_are_a_finding(inspect, photographs, tmp_path):
    """They are left out of list and count, named on one line, and never what is kept of a group of equal files."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for name, picture in {'a\nb.png': 'rocket', 'c.png': 'rocket', 'd\u2028e.png': 'coffee', 'f.png': 'camera'}.items():
        Image.fromarray(photographs[picture]).save(folder / name)
    (folder / 'g\rh.png').write_bytes(b'')
    output = inspect(folder, '--out', tmp_path / 'out', '--workers', '0', '--held-out', '0.5')
    assert sorted(read_names(folder, tmp_path / 'out' / 'clean.txt')) == ['c.png', 'f.png']
    parts = [read_names(folder, tmp_path / 'out' / f'{name}.txt') for name in ('train', 'held_out')]
    assert sorted(parts[0] + parts[1]) == ['c.png', 'f.png']
    found = json.loads((tmp_path / 'out' / 'findings.json').read_text())
    assert (found['num_files'], found['num_clean'], found['counts']['unlistable']) == (5, 2, 3)
    assert {entry['path']: entry['findings'] for entry in found['files']} == {
        'a\nb.png': ['unlistable', 'exact'],
        'd\u2028e.png': ['unlistable'],
        'g\rh.png': ['unreadable', 'unlistable'],
    }
    assert {entry['name_reason'] for entry in found['files']} == {'its name has a line break'}
    assert found['clean_statistics']['num_images'] == 2
    assert r'escaped: a\nb.png, d\u2028e.png, g\rh.png' in output
    assert r'a\nb.png</td><td>its name has a line break' in (tmp_path / 'out' / 'report.html').read_text()


def die(path):
    os._exit(9)


def test_a_process_that_dies_is_reported():
    with pytest.raises(RuntimeError, match=r"a process that reads images died, at '0'.*--workers"):
        examine_files([str(number) for number in range(100)], die, 2, 'Dying')


def slow(path):
    with open('begun', 'w'):
        time.sleep(0.05)


def examine_until_interrupted():
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        examine_files([str(number) for number in range(100_000)], slow, 2, 'Waiting')
    except KeyboardInterrupt:
        sys.exit(130)


def test_an_interruption_ends_all_processes(tmp_path, monkeypatch):
    """As Ctrl-C does it: the signal goes to the whole group; no process of it lives on."""
    monkeypatch.chdir(tmp_path)
    process = multiprocessing.get_context('fork').Process(target=examine_until_interrupted)
    process.start()
    while not Path('begun').exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    process.join(timeout=30)
    assert process.exitcode == 130
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
