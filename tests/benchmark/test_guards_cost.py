"""Iterations with and without the hooks that watch a run."""

from __future__ import annotations

import argparse
import json

import pytest

from simmim_mm.benchmark import command
from simmim_mm.benchmark.guards import guards_table, measure_guards
from simmim_mm.benchmark.plan import Plan
from simmim_mm.engine import FiniteGuardHook
from simmim_mm.engine.config import load_config


def test_the_difference_is_what_the_config_has_beside_what_a_run_needs(tiny_config, monkeypatch):
    """Each iteration of the one run is watched, none of the other; both learn from as many batches."""
    seen = {'on': 0}
    noted = FiniteGuardHook.after_train_iter

    def note(hook, runner, *args, **kwargs):
        seen['on'] += 1
        noted(hook, runner, *args, **kwargs)

    monkeypatch.setattr(FiniteGuardHook, 'after_train_iter', note)
    results = measure_guards(Plan(tiny_config, batch_size=2, img_size=64), rounds=2, repeats=3)
    assert seen['on'] == (1 + 2) * 3
    cfg = load_config(tiny_config)
    names = ('throughput', 'run_record', 'data_wait', 'finite_guard', 'loss_watch')
    watching = {hook.type for hook in [*cfg.custom_hooks, *(cfg.default_hooks[name] for name in names)]}
    assert set(results['hooks']) == watching - {'SampleProgressHook'}
    assert [(row['name'], len(row['turns'])) for row in results['rows']] == [('off', 2), ('off, again', 2), ('on', 2)]
    off, _, on = results['rows']
    ratios = [one[0] / other[0] for one, other in zip(on['turns'], off['turns'], strict=True)]
    assert on['wall_ratio']['median'] == pytest.approx(sum(ratios) / 2)


def test_guards_table_by_hand():
    ratio = dict(median=1.0123, low=1.0, high=1.02)
    row = dict(name='on', wall_s=0.1, cpu_s=0.2, wall_ratio=ratio, cpu_ratio=ratio)
    lines = guards_table({'plan': {'model': 'm', 'batch_size': 2}, 'hooks': ['A', 'B'], 'rows': [row]}).splitlines()
    assert lines[0].startswith('m, batch 2: iterations with and without A, B;')
    assert [cell.strip() for cell in lines[4].split('|')[1:-1]] == [
        'on', '100.0', '200.0', '1.012x [1.000, 1.020]', '1.012x [1.000, 1.020]',
    ]  # fmt: skip


def test_the_command_writes_json(tiny_config, tmp_path):
    args = argparse.Namespace(
        what='guards', model=tiny_config, batch_size=2, img_size=64, precision='fp32', acceleration=[],
        no_drop_path=False, device='cpu', threads=None, peer_dir=None, seed=0, rounds=1, repeats=1,
        json=str(tmp_path / 'guards.json'),
    )  # fmt: skip
    assert '| on ' in command.run(args)
    assert 'FiniteGuardHook' in json.loads((tmp_path / 'guards.json').read_text())['results']['hooks']
