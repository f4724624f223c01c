"""Variants of levers, exponents of power laws, and the tables of a GPU with a CPU in its place."""

import argparse
from types import SimpleNamespace

import pytest
import torch

from simmim_mm.acceleration import LEVERS, compilation
from simmim_mm.benchmark import command
from simmim_mm.benchmark.gpu import gpu_table, makers_of, measure_gpu
from simmim_mm.benchmark.levers import default_values, levers_table, variants
from simmim_mm.benchmark.plan import Plan
from simmim_mm.benchmark.scaling import measure_scaling, plot_scaling, scaling_table, slope


def test_variants_are_alone_and_cumulative():
    assert variants({'a': True, 'b': 'x', 'c': True}) == {
        'a': {'preset': 'off', 'a': True},
        'b': {'preset': 'off', 'b': 'x'},
        'c': {'preset': 'off', 'c': True},
        '... + b': {'preset': 'off', 'a': True, 'b': 'x'},
        '... + c': {'preset': 'off', 'a': True, 'b': 'x', 'c': True},
    }


def test_levers_come_from_the_table():
    """Whatever presets switch on for the device, in the table's order; others by name."""
    expected = [
        name
        for name, lever in LEVERS.items()
        if 'cpu' in lever.devices and (lever.presets.get('exact') or lever.presets.get('max'))
    ]
    assert list(default_values([], 'cpu')) == expected
    assert default_values(['activation_checkpointing', 'attention'], 'cpu') == {
        'attention': 'auto',
        'activation_checkpointing': True,
    }
    with pytest.raises(ValueError, match='mpl: unknown; there are windows'):
        default_values(['mpl'], 'cpu')


def test_levers_table_by_hand():
    row = {
        'name': 'mlp',
        'wall_ratio': dict(median=0.9, low=0.8, high=1.0),
        'cpu_ratio': dict(median=0.95, low=0.9, high=1.0),
        'memory_ratio': 0.75,
        'difference': dict(loss=1e-7, gradient=2e-6, worst='a', norm=3e-7),
    }
    rows = [row, {'name': 'cells', 'report': 'does not apply: ...'}]
    lines = levers_table({'plan': {'model': 'm', 'batch_size': 2}, 'rows': rows}).splitlines()
    cells = [cell.strip() for cell in lines[4].split('|')[1:-1]]
    assert cells == ['mlp', '0.90x [0.80, 1.00]', '0.95x [0.90, 1.00]', '0.75x', '1.0e-07', '2.0e-06', '3.0e-07']
    assert lines[5].count('does not apply') == 3


def test_exponents():
    """3 x^2 has 2, 5 x has 1, a constant 0; one point has none."""
    sizes = [1.0, 2.0, 8.0]
    assert slope(sizes, [3 * x**2 for x in sizes]) == pytest.approx(2)
    assert slope(sizes, [5 * x for x in sizes]) == pytest.approx(1)
    assert slope(sizes, [4.0] * 3) == pytest.approx(0)
    assert slope([2.0], [1.0]) is None


def test_scaling_of_a_tiny_model(tiny_config, tmp_path):
    """Operations of a network of windows grow in proportion to the image area and to the batch."""
    plan = Plan(tiny_config, batch_size=1, acceleration={'preset': 'off'})
    results = measure_scaling(plan, img_sizes=[64, 128], batch_sizes=[1, 2], archs=[], rounds=1)
    assert results['axes']['batch_size']['slopes']['operations'] == pytest.approx(1)
    assert [point['size'] for point in results['axes']['img_size']['points']] == [4096, 16384]
    assert results['axes']['img_size']['slopes']['operations'] == pytest.approx(1, abs=0.1)
    text = scaling_table(results)
    assert 'image area (pixels)' in text
    assert 'model size' not in text
    plot_scaling(results, str(tmp_path / 'plots' / 'cost.png'))
    assert (tmp_path / 'plots' / 'cost.png').read_bytes().startswith(b'\x89PNG')
    with pytest.raises(ValueError, match='no ending of a picture'):
        plot_scaling(results, str(tmp_path / 'cost.txt'))


def test_the_tables_of_a_gpu_on_a_cpu(tiny_config, monkeypatch):
    """The same code with a CPU in its place, tiny batches, and a compiler that traces and leaves the graph as it is."""
    monkeypatch.setattr(compilation, 'BACKEND', 'eager')
    plan = Plan(tiny_config, acceleration={'preset': 'off'})
    results = measure_gpu(plan, batch_sizes=[2], rounds=1, repeats=1, jpeg_size=(120, 90))
    (batch,) = results['batches']
    names = [row['name'] for row in batch['synthetic']['rows']]
    assert names[0] == 'ours'
    assert names[-1] == 'mmpretrain'
    assert [row['name'] for row in batch['jpeg']] == [*names, 'ours, decoded on the device']
    assert sum(row['share'] for row in batch['profile']['rows']) <= 1 + 1e-6
    text = gpu_table(results)
    assert '## Batch 2' in text
    assert 'From JPEG files' in text


def test_fp8_is_measured_where_the_device_has_it(monkeypatch):
    """On a CPU it is not."""
    plan = Plan('swin_tiny')
    setup = SimpleNamespace(plan=plan, cfg={'acceleration': {'preset': 'exact'}})
    assert list(makers_of(setup, ['mmpretrain'])) == ['ours', 'ours, compiled', 'mmpretrain']
    monkeypatch.setattr('simmim_mm.benchmark.gpu.device_refusal', lambda device: None)
    makers = makers_of(setup, [])
    assert list(makers) == ['ours', 'ours, compiled', 'ours, compiled, FP8']
    assert makers['ours, compiled, FP8'].keywords['acceleration'] == {'preset': 'exact', 'compile': True, 'fp8': True}
    assert default_values(['fp8'], 'cuda') == {'fp8': True}


def test_batches_that_do_not_fit(tiny_config, monkeypatch):
    """Smaller ones are measured all the same."""

    def refuse(*args):
        raise torch.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr('simmim_mm.benchmark.gpu._measure_batch', refuse)
    results = measure_gpu(Plan(tiny_config), batch_sizes=[2])
    assert results['batches'][0]['error'] == 'out of memory: CUDA out of memory'
    assert 'out of memory' in gpu_table(results)


@pytest.mark.skipif(torch.cuda.is_available(), reason='here is a GPU')
def test_no_gpu():
    with pytest.raises(ValueError, match='PyTorch finds none here'):
        command.run(argparse.Namespace(what='gpu', device='auto'))
