"""The step of others is the same step: loss and gradients; operations by hand; the tool from end to end."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from simmim_mm.benchmark.candidates import Setup
from simmim_mm.benchmark.command import read_acceleration
from simmim_mm.benchmark.comparison import difference
from simmim_mm.benchmark.operations import step_operations
from simmim_mm.benchmark.peers import build_candidate
from simmim_mm.benchmark.plan import Plan
from simmim_mm.benchmark.seats import LocalSeat, seated
from simmim_mm.benchmark.step import measure_step, step_table
from simmim_mm.engine.config import find_config

TOOL = Path(__file__).parents[2] / 'tools' / 'benchmark.py'


@pytest.fixture(scope='module')
def setup(tiny_config):
    return Setup(
        Plan(tiny_config, batch_size=2, precision='fp32', acceleration={'preset': 'exact', 'allocator': False})
    )


@pytest.mark.parametrize('peer', ['plain', 'mmpretrain', 'hf'])
def test_peers_take_the_same_step(setup, peer):
    """Same weights, images and masks give the same loss and gradients in each code base."""
    ours, theirs = (build_candidate(setup, name) for name in ('ours', peer))
    found = difference(ours.evaluate(), theirs.evaluate())
    assert found.loss < 1e-5
    assert found.gradient < 1e-4
    before = {name: value.clone() for name, value in theirs.model.named_parameters()}
    theirs.step()
    moved = [name for name, value in theirs.model.named_parameters() if not value.equal(before[name])]
    assert len(moved) == len(before)


def test_operations_of_a_step_by_hand(tiny_config):
    """All products of a tiny Swin, forward and backward, by its sizes."""
    setup = Setup(Plan(tiny_config, batch_size=2, precision='fp32'))
    cells, forward = 2 * 16 * 16, 0
    stem = 2 * cells * 16 * 3 * 4 * 4
    for stage in range(4):
        width = 16 * 2**stage
        tokens = cells // 4**stage
        linear = 2 * tokens * width * width * (3 + 1 + 4 + 4)
        window = 2 * 2 * tokens * 4 * width  # scores and sums over windows of 4
        forward += 2 * (linear + window)
        if stage < 3:
            forward += 2 * (tokens // 4) * (4 * width) * (2 * width)
    hidden = 2 * 3  # of 2x2 cells of 32 px, ceil(0.6 * 4) in each image
    forward += 2 * hidden * 128 * 3 * 32**2
    # Backward takes two products for each, but one for the stem, as images need no gradient.
    assert step_operations(setup) == 3 * forward + 2 * stem


def test_memory_is_state_and_step(setup):
    """At least weights, gradients and two moments; and the same each time."""
    seat = LocalSeat(setup, 'plain')
    parameters = sum(value.numel() for value in seat.candidate.model.parameters())
    first = seat.peak_memory()
    assert first > 4 * 4 * parameters
    assert seat.peak_memory() == pytest.approx(first, rel=0.01)


def test_a_table_by_hand():
    """20 operations in 0.5 s with a peak of 100 a second are an MFU of 40 %."""
    row = {
        'name': 'ours',
        'about': 'fp32',
        'wall_s': 0.5,
        'cpu_s': 1.0,
        'turns': [[0.5, 1.0]],
        'images_per_s': 4.0,
        'wall_ratio': dict(median=1.0, low=1.0, high=1.0),
        'cpu_ratio': dict(median=1.0, low=1.0, high=1.0),
        'operations_per_s': 40e9,
        'mfu': 0.4,
        'peak_memory': 3 * 2**20,
        'loss': 1.0,
        'difference': None,
    }
    other = {**row, 'name': 'plain', 'difference': dict(loss=1e-7, gradient=2e-6, worst='a', norm=1e-6)}
    text = step_table(
        {'plan': {'model': 'm', 'batch_size': 2}, 'operations': 20e9, 'peaks': {'fp32': 100e9}, 'rows': [row, other]}
    )
    cells = [cell.strip() for cell in text.splitlines()[4].split('|')[1:-1]]
    assert cells == ['ours', '500', '1000', '4.00', *['1.00x [1.00, 1.00]'] * 2, '40.0', '40.0 %', '3']
    assert '| plain    | 1.000000 |' in text


def test_measured_numbers_fit_each_other(tiny_config):
    """Images a second and MFU follow from the time."""
    results = measure_step(Plan(tiny_config, batch_size=2, acceleration={'preset': 'off'}), ['plain'], rounds=1)
    ours, plain = results['rows']
    assert (ours['name'], plain['name']) == ('ours', 'plain')
    assert plain['images_per_s'] == pytest.approx(2 / plain['wall_s'])
    assert plain['mfu'] == pytest.approx(results['operations'] / plain['wall_s'] / results['peaks'][plain['precision']])
    assert plain['memory_ratio'] == plain['peak_memory'] / ours['peak_memory']
    assert plain['difference']['loss'] < 1e-5


def test_names_of_configs():
    assert find_config('swinv2_tiny').endswith('simmim_swinv2_tiny_800e.py')
    assert find_config('vit_base').endswith('simmim_vit_base.py')
    with pytest.raises(FileNotFoundError, match='swin_base, '):
        find_config('swin_huge')


def test_acceleration_in_words():
    assert read_acceleration([]) is None
    assert read_acceleration(['exact', 'mlp=False', 'attention=sdpa']) == {
        'preset': 'exact',
        'mlp': False,
        'attention': 'sdpa',
    }
    for words, message in (
        (['exact', 'off'], 'two presets'),
        (['mpl=True'], 'did you mean mlp'),
        (['fast'], 'unknown'),
    ):
        with pytest.raises(ValueError, match=message):
            read_acceleration(words)


@pytest.mark.parametrize(
    ('model', 'peer', 'message'),
    [
        ('vit', 'mmpretrain', 'mmpretrain has SimMIM for Swin alone'),
        ('swin', 'simmim', 'needs --peer-dir'),
        ('swin', 'nobody', 'is unknown; use one of mmpretrain, simmim, hf, plain'),
    ],
)
def test_peers_that_cannot_be(tiny_config, build_model, tiny_encoders, model, peer, message):
    setup = Setup(Plan(tiny_config, batch_size=1))
    if model == 'vit':
        setup.reference = build_model(backbone=tiny_encoders['VisionTransformer'])
    with pytest.raises(ValueError, match=message):
        build_candidate(setup, peer)


def test_a_folder_without_the_authors_code(tiny_config, tmp_path):
    setup = Setup(Plan(tiny_config, batch_size=1, peer_dir=str(tmp_path)))
    with pytest.raises(ValueError, match=r'has no models/simmim.py; clone https://github.com/microsoft/SimMIM'):
        build_candidate(setup, 'simmim')


def run_tool(monkeypatch, capsys, *arguments):
    """The tool in this process: what it prints, and its exit code."""
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *arguments])
    monkeypatch.syspath_prepend(str(TOOL.parent))
    code = 0
    try:
        runpy.run_path(str(TOOL), run_name='__main__')
    except SystemExit as error:
        code = error.code
    return (*capsys.readouterr(), code)


def test_the_tool(tiny_config, tmp_path, monkeypatch, capsys):
    """Figures in the file, a table on the screen."""
    file = tmp_path / 'memory.json'
    options = ['--against', 'plain', '--model', tiny_config, '--batch-size', '2', '--threads', '1', '--json', str(file)]
    out, _, code = run_tool(monkeypatch, capsys, 'memory', '--acceleration', 'off', *options)
    assert code == 0
    assert '| ours  |' in out
    written = json.loads(file.read_text())
    assert written['environment']['threads'] == 1
    assert written['environment']['versions'].keys() >= {'torch', 'mmengine', 'mmpretrain'}
    ours, plain = written['results']['rows']
    assert plain['memory_ratio'] == ours['peak_memory'] / plain['peak_memory']


def test_errors_of_the_tool(tiny_config, monkeypatch, capsys):
    _, err, code = run_tool(monkeypatch, capsys, 'step', '--against', 'simmim', '--model', tiny_config)
    assert code == 2
    assert err.splitlines()[-2].startswith('error: --against simmim needs --peer-dir')


def test_a_process_of_its_own(setup):
    """The same step there, and its errors here."""
    with seated(setup, {'plain': 'plain'}, isolate=True) as seats:
        seat = seats['plain']
        found = difference(seat.evaluate(), build_candidate(setup, 'plain').evaluate())
        assert (found.loss, found.gradient) < (1e-6, 1e-5)
        assert seat.turn().wall > 0


def test_the_config_is_not_overwritten(tiny_config, monkeypatch, capsys):
    before = Path(tiny_config).read_text()
    for what, option in (('memory', '--json'), ('scaling', '--plot')):
        _, err, code = run_tool(monkeypatch, capsys, what, '--model', tiny_config, option, tiny_config)
        assert (code, f'{option} {tiny_config!r} is {tiny_config!r}, which is read' in err) == (2, True), err
    assert Path(tiny_config).read_text() == before
