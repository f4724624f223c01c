"""The page of a run: whole HTML with nothing from outside, of any work dir, in a real browser."""

from __future__ import annotations

import base64
import io
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import ask
from PIL import Image
from work_dirs import trained, write_pictures, write_start

from simmim_mm.report import write_report
from simmim_mm.report.page import render

ROOT = Path(__file__).parents[2]
VOID = {'meta', 'img', 'br', 'link', 'input'}
RECORD = {
    'start_iter': 0,
    'iters_per_epoch': 10,
    'max_iters': 400,
    'finished': None,
    'seed': 0,
    'num_processes': 2,
    'versions': {'torch': '2.13.0'},
    'data': [{'type': 'UnlabelledImages', 'data_root': '/data', 'num_files': 1234, 'list_sha256': 'ab' * 32}],
    'git': {'simmim_mm': {'root': '/code', 'commit': 'c0ffee' * 6 + 'aaaa', 'dirty': True}},
    'environment': {'command': 'python tools/train.py config.py', 'cpu': 'A processor', 'load_average': None},
    'config': "model = dict(type='SimMIM')\n",
}


class Page(HTMLParser):
    """Parses a page strictly: every element is closed, in its order, and no name is used twice."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ''
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        """Opens."""
        assert len(attrs) == len(dict(attrs)), attrs
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Opens and closes."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        """Closes."""
        assert self.open.pop() == tag

    def handle_data(self, data):
        """Reads."""
        if self.open and self.open[-1] not in ('style', 'script'):
            self.text += data

    def all(self, tag: str) -> list[dict]:
        """Attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def work_dir(tmp_path) -> Path:
    """A run of two starts, with everything: NaN, a cut line, warnings, pictures, unreadable files, checkpoints."""
    folder = tmp_path / 'my_run'
    facts = dict(grad_norm=1.0, images_per_s=800.0, data_wait=0.3, time=0.1, data_time=0.03, memory=9000)
    rows = [trained(step, **facts) for step in range(10, 210, 10)]
    rows[5]['loss'] = math.nan
    rows.insert(10, {'val/hidden_l1': 0.6, 'val/mean_colour_l1': 0.8, 'val/hidden_objective': 0.6, 'step': 10})
    time = '2026/01/01 00:00:00'
    write_start(folder, '20260101_000000', rows, RECORD, [f'{time} - mmengine - WARNING - mind the <gap>'], '{"lo\n')
    later = {**RECORD, 'start_iter': 200, 'resumed_from': 'latest.pth', 'changes': ['torch 2.12 -> 2.13']}
    write_start(folder, '20260102_000000', [trained(step, **facts) for step in range(210, 310, 10)], later)
    write_pictures(folder, range(30, 301, 15))
    (folder / 'reconstructions' / 'iter_300.png').write_bytes(b'\x89PNG cut')
    (folder / 'unreadable_images.txt').write_text('/data/a.jpg\tcut off\n/data/<b>.jpg\tempty\n/data/a.jpg\tcut off\n')
    (folder / 'latest.pth').write_bytes(bytes(3 * 2**20))
    return folder


@pytest.fixture
def page(work_dir) -> str:
    return render(work_dir)


def test_it_is_whole_html_with_everything_in_it(page):
    parsed = Page(page)
    for text in (
        *('my_run', '300 of 400 iterations are logged', 'mind the <gap>', 'A processor', "model = dict(type='SimMIM')"),
        *('UnlabelledImages', '1234', 'abababab', '/data/<b>.jpg', '2 files could not be read', 'latest.pth', '3.0'),
        *('loss is not finite in 1 logged iterations, first in 60', '30 % of the time', 'torch 2.12 -> 2.13'),
        *('1 lines of scalars.json are no JSON', 'c0ffeec0ffee + changes', 'python tools/train.py config.py'),
    ):
        assert text in parsed.text, text
    titles = ['Loss', 'Validation: l1', 'Validation: hidden_objective', 'Norm of the gradients', 'Learning rate']
    titles += ['Throughput', 'Waiting for data', 'Time of an iteration', 'GPU memory, highest']
    assert re.findall(r'<figcaption>([^<]+?) ?(?:<|$)', page)[: len(titles)] == titles
    assert page.count('resumed at 200') == len(titles)
    assert 'not finite at 60' in page


def test_nothing_comes_from_outside(page):
    for _, attributes in Page(page).elements:
        for name in ('src', 'href', 'action', 'srcset', 'data'):
            assert attributes.get(name, '#').startswith(('#', 'data:')), attributes
    assert not re.search(r'@import|url\(', page)
    assert 'https://' not in page
    policy = next(meta['content'] for meta in Page(page).all('meta') if 'http-equiv' in meta)
    assert policy.startswith("default-src 'none'; img-src data:")


def test_it_can_be_read_without_seeing(page):
    """Names of everything that is drawn, no name twice, tables with headings, nothing that only colour tells."""
    parsed = Page(page)
    assert dict(parsed.elements)['html'] == {'lang': 'en'}
    names = [attributes['id'] for _, attributes in parsed.elements if 'id' in attributes]
    assert len(names) == len(set(names))
    for attributes in parsed.all('svg'):
        if attributes.get('aria-hidden') != 'true':
            assert attributes['role'] == 'img'
            assert set(attributes['aria-labelledby'].split()) <= set(names)
    for _, attributes in parsed.elements:
        for name in attributes.get('aria-labelledby', '').split():
            assert name in names
        if attributes.get('tabindex') == '0':
            assert attributes['aria-label']
    assert all(attributes['alt'] for attributes in parsed.all('img'))
    assert all(attributes['scope'] in ('col', 'row') for attributes in parsed.all('th'))
    targets = [attributes['href'][1:] for attributes in parsed.all('a')]
    assert set(targets) <= set(names)
    assert 'last 0.003333 at 300' in parsed.text  # what the curve of the loss ends with
    css = (ROOT / 'simmim_mm' / 'report' / 'page.css').read_text()
    assert len(set(re.findall(r'stroke-dasharray: ([^;]+);', css))) >= 5


def test_pictures_are_small_spread_and_whole(page):
    images = Page(page).all('img')
    assert len(images) == 7  # of eight, the last one is cut off
    assert 'after 30 iterations' in images[0]['alt']
    for attributes in images:
        content = base64.b64decode(attributes['src'].partition('base64,')[2])
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (int(attributes['width']), int(attributes['height'])) == (520, 390)
    assert len(page) < 3e6


def test_what_a_run_says_is_text_and_no_html(tmp_path):
    bad = '<script>alert(1)</script>'
    record = {**RECORD, 'config': bad, 'environment': {'command': bad}, 'data': [], 'versions': {bad: bad}}
    write_start(tmp_path, '1', [trained(1, **{bad: 1.0}), {f'val/{bad}': 1.0, 'step': 1}], record, [
        f'2026/01/01 00:00:00 - mmengine - ERROR - {bad}'
    ])  # fmt: skip
    (tmp_path / 'unreadable_images.txt').write_text(bad)
    page = render(tmp_path)
    assert '<script>alert' not in page
    assert len(Page(page).all('script')) == 1


@pytest.mark.parametrize(
    'rows',
    [
        [],
        [trained(1)],
        [trained(1, loss=math.nan)],
        [trained(step, loss=math.inf) for step in (1, 2)],
        [trained(step, loss=value) for step, value in ((1, 1e308), (2, -1e308), (3, 0.0))],
        [trained(step, loss=5e-324) for step in (1, 2)],
        [trained(step, loss=1.0) for step in (1, 2)],
        [{'loss': 'text', 'flag': True, 'lr': None, 'iter': 1}, {'iter': 'x', 'loss': 1.0}],
    ],
    ids=['none', 'one', 'nan', 'infinite', 'huge', 'tiny', 'constant', 'odd'],
)
def test_any_numbers_make_a_page(tmp_path, rows):
    write_start(tmp_path, '20260101_000000', rows)
    page = render(tmp_path)
    parsed = Page(page)
    for attributes in parsed.all('path'):
        assert not re.search('nan|inf', attributes['d'])
    if not rows:
        assert 'No numbers are logged yet' in parsed.text


def test_what_is_missing_is_said(tmp_path):
    (tmp_path / 'epoch_1.pth').touch()
    text = Page(render(tmp_path)).text
    for part in ('No numbers are logged', 'No picture can be read', 'No run record', 'No logs', 'None in the work dir'):
        assert part in text


@pytest.mark.parametrize('record', ['', '{"start_iter": 3', '[]', 'null'])
def test_a_damaged_record_is_as_none(tmp_path, record):
    folder = write_start(tmp_path, '1', [trained(1)])
    (folder / 'run_record.json').write_text(record)
    (folder / 'vis_data' / 'config.py').write_text('answer = 42\n')
    assert 'answer = 42' in Page(render(tmp_path)).text


def test_the_tool_writes_the_page_and_refuses_other_folders(work_dir, tmp_path):
    (tmp_path / 'empty').mkdir()
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    tool = [sys.executable, str(ROOT / 'tools' / 'report.py')]
    command = subprocess.run(
        [*tool, str(work_dir), '--out', str(tmp_path / 'new' / 'page.html')],
        capture_output=True, text=True, check=True, env=environment,
    )  # fmt: skip
    assert str(tmp_path / 'new' / 'page.html') in command.stdout
    Page((tmp_path / 'new' / 'page.html').read_text())
    with pytest.raises(ValueError, match='holds neither logs nor checkpoints'):
        write_report(tmp_path / 'empty')
    with pytest.raises(FileNotFoundError, match='is no folder'):
        write_report(tmp_path / 'missing')
    assert write_report(work_dir) == str(work_dir / 'report.html')


PROBE = """(window, document) => {
  const of = (name, what) => window.getComputedStyle(document.querySelector(name))[what];
  const svg = document.querySelector('.plot svg');
  const readout = document.querySelector('.plot output');
  const box = svg.getBoundingClientRect();
  const seen = {};
  const at = { clientX: box.left + box.width * 0.5, clientY: box.top + 5, bubbles: true };
  svg.dispatchEvent(new window.PointerEvent('pointermove', at));
  seen.pointer = readout.textContent;
  svg.dispatchEvent(new window.PointerEvent('pointerleave', at));
  seen.left = readout.textContent;
  const press = (key) => svg.dispatchEvent(new window.KeyboardEvent('keydown', { key, bubbles: true }));
  press('End');
  press('ArrowLeft');
  seen.keys = readout.textContent;
  press('Escape');
  seen.escaped = readout.textContent;
  const root = document.documentElement;
  const figures = [...document.querySelectorAll('.charts figure')];
  const tall = figures.filter((each) => each.scrollWidth > each.clientWidth + 1);
  return {
    ...seen, wide: root.scrollWidth, room: root.clientWidth, window: window.innerWidth,
    cut: tall.length, focus: svg.tabIndex,
    chart: box.width, mark: 12 * box.width / 400,
    page: of('body', 'backgroundColor'), card: of('.charts figure', 'backgroundColor'),
    note: of('.notes li', 'backgroundColor'),
    texts: [['body', 'page'], ['.quiet', 'page'], ['a[href="#data"]', 'page'], ['.notes li', 'note'],
            ['.charts .quiet', 'card'], ['.legend', 'card'], ['.charts summary', 'card']]
      .map(([name, on]) => [name, of(name, 'color'), on]),
    marks: of('.mark', 'fill'),
    lines: ['.line0', '.line1', '.line2', '.bad', '.resumed'].map((name) => {
      const each = document.querySelector(name);
      return each && [name, window.getComputedStyle(each).stroke];
    }).filter(Boolean),
  };
}"""


def luminance(colour: str) -> float:
    """Relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    shares = [int(number) / 255 for number in re.findall(r'\d+', colour)[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize('dark', [False, True], ids=['light', 'dark'])
@pytest.mark.parametrize('width', [360, 1200])
def test_in_a_browser(page, tmp_path, width, dark):
    """Nothing sticks out, colours can be told apart (WCAG AA), values can be had by pointer and by keys, no errors."""
    seen, console = ask(page, PROBE, tmp_path, width, dark)
    assert console == ''
    assert seen['wide'] <= seen['room']
    assert seen['window'] == width
    assert seen['cut'] == 0
    assert seen['mark'] > 8.5  # pixels
    assert (luminance(seen['page']) < 0.1) == dark
    for name, colour, on in seen['texts']:
        assert contrast(colour, seen[on]) >= 4.5, name
    assert contrast(seen['marks'], seen['card']) >= 4.5
    assert len(seen['lines']) >= 4
    for name, colour in seen['lines']:
        assert contrast(colour, seen['card']) >= 3, name
    step, value = re.fullmatch(r'(\d+): ([\d.]+)', seen['pointer']).groups()
    assert float(value) == pytest.approx(1 / int(step), rel=1e-5)
    assert abs(int(step) - 300 * (0.5 * 400 - 54) / 336) <= 10
    assert seen['keys'] == f'290: {1 / 290:.6g}'
    assert seen['left'] == seen['escaped'] == ''
    assert seen['focus'] == 0


def test_a_file_of_the_run_is_not_overwritten(work_dir, tmp_path):
    """Also by way of a link; an earlier page may be, and a file that is none of the run's."""
    before = (work_dir / 'latest.pth').read_bytes()
    (tmp_path / 'link').symlink_to(work_dir / 'latest.pth')
    for out in (work_dir / 'latest.pth', tmp_path / 'link', f'{work_dir}/20260101_000000/../latest.pth'):
        with pytest.raises(ValueError, match='is a file of the run in .* would be overwritten'):
            write_report(work_dir, out)
    assert (work_dir / 'latest.pth').read_bytes() == before
    (tmp_path / 'other.txt').write_text('')
    for out in (work_dir / 'report.html', work_dir / 'report.html', tmp_path / 'other.txt'):
        assert '<html' in Path(write_report(work_dir, out)).read_text()
