"""The table of a comparison, by hand, from logs as runs write them; and what is made once and not again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simmim_mm.demo.comparison import comparison_table, summary
from simmim_mm.demo.comparison_runs import Workplace, compare
from simmim_mm.demo.shapes_dataset import Counts, make_shapes_dataset

ROOT = Path(__file__).parents[2]

# A stand-in for train.py: notes how it was called, saves a checkpoint and logs a metric, as a run does.
TRAIN = """
import json, os, pathlib, sys
arguments = sys.argv[1:]
run_dir = pathlib.Path(arguments[arguments.index('--work-dir') + 1])
with open('calls.jsonl', 'a') as file:
    file.write(json.dumps([*arguments, os.environ['OMP_NUM_THREADS']]) + '\\n')
if os.environ.get('STAND_IN') == 'fails':
    sys.exit('no memory left')
seed = next((int(option[16:]) for option in arguments if option.startswith('randomness.seed=')), 0)
log = run_dir / f'run_{len(list(run_dir.glob("run_*")))}' / 'vis_data'
log.mkdir(parents=True)
if '--pretrained' in arguments:
    value = 10 * seed + (0.5 if arguments[arguments.index('--pretrained') + 1] == 'none' else 4)
    names = {'classification': 'accuracy/top1', 'segmentation': 'mIoU', 'detection': 'coco/bbox_mAP'}
    name = names[run_dir.parent.name]
    rows = [{'loss': 1.0}, {name: 99.0}, {name: value / 100 if 'coco' in name else value}]
    (log / 'scalars.json').write_text('\\n'.join(json.dumps(row) for row in rows))
else:
    for number in (10, ITERATIONS):
        (run_dir / f'iter_{number}.pth').write_text('weights')
"""
EXPORT = "import sys, pathlib; pathlib.Path(sys.argv[2]).write_text('exported')"


@pytest.fixture
def place(tmp_path, monkeypatch) -> Workplace:
    """An empty working directory with the painted data, the configs, and stand-ins for the tools."""
    from simmim_mm.engine.config import load_config

    tools = tmp_path / 'checkout' / 'tools'
    tools.mkdir(parents=True)
    (tmp_path / 'checkout' / 'configs').symlink_to(ROOT / 'configs')
    iterations = load_config(str(ROOT / 'configs' / 'demo' / 'shapes.py')).train_cfg.max_iters
    (tools / 'train.py').write_text(TRAIN.replace('ITERATIONS', str(iterations)))
    (tools / 'export_backbone.py').write_text(EXPORT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    make_shapes_dataset('data/shapes', counts=Counts(1, 1, 1, 3, 1))
    return Workplace(tools, tmp_path / 'out', jobs=2, say=lambda text: None)


def calls() -> list[list[str]]:
    path = Path('calls.jsonl')
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def test_the_table_has_means_deviations_and_paired_differences():
    """Means 50 and 40; differences of 8, 10 and 12."""
    results = {'segmentation': {'pre-trained': [48.0, 50.0, 52.0], 'random': [40.0, 40.0, 40.0]}}
    row = comparison_table(results).splitlines()[-1]
    assert row == '| segmentation | mIoU | 50.0 ± 2.0 | 40.0 ± 0.0 | +10.0 ± 2.0 |'
    assert summary(results)['segmentation'] == {
        'pre-trained': {'mean': 50.0, 'deviation': 2.0},
        'random': {'mean': 40.0, 'deviation': 0.0},
        'difference': {'mean': 10.0, 'deviation': 2.0},
    }


def test_one_seed_has_no_deviation():
    results = {'classification': {'pre-trained': [30.0], 'random': [35.0]}}
    assert comparison_table(results).splitlines()[-1].endswith('| -5.0 ± nan |')
    assert json.loads(json.dumps(summary(results)))['classification']['difference']['deviation'] is None


def test_one_command_makes_everything_once(place):
    """The last validation counts, in per cent, and the second time nothing is left to do."""
    results = compare(place, ['classification', 'detection'], [1, 2])
    expected = {'pre-trained': [14.0, 24.0], 'random': [10.5, 20.5]}
    assert results['classification'] == expected
    assert results['detection'] == {start: pytest.approx(values) for start, values in expected.items()}
    pretraining, *tuning = calls()
    assert '--pretrained' not in pretraining
    assert pretraining[0].endswith('configs/demo/shapes.py')
    assert len(tuning) == 8
    assert int(pretraining[-1]) >= int(tuning[0][-1]) >= 1  # threads

    record = json.loads((place.folder / 'results.json').read_text())
    assert record['values'] == results
    assert record['seeds'] == [1, 2]
    assert record['data']['images']['scenes/train'] == 3
    assert record['summary']['classification']['difference']['mean'] == 3.5

    assert compare(place, ['classification', 'detection'], [1, 2]) == results
    assert not calls()


def test_other_settings_or_weights_are_run_again(place):
    compare(place, ['segmentation'], [0])
    assert len(calls()) == 3
    compare(place, ['segmentation'], [0], cfg_options=['optim_wrapper.optimizer.lr=0.5'])
    assert len(calls()) == 2
    Path('other.pth').write_text('other weights')
    compare(place, ['segmentation'], [0], 'other.pth', ['optim_wrapper.optimizer.lr=0.5'])
    (call,) = calls()  # random weights are the same as before
    assert 'other.pth' in call


def test_labels_follow_from_the_seed_and_are_the_same_for_both_starts(place):
    make_shapes_dataset('data/shapes', counts=Counts(1, 1, 1, 160, 1))
    compare(place, ['segmentation', 'classification'], [0, 1])
    chosen: dict[str, set] = {}
    for call in calls()[1:]:
        seed = next(option for option in call if option.startswith('randomness.seed='))
        options = tuple(option for option in call if option.startswith('train_dataloader.dataset.'))
        assert len(options) == 1
        chosen.setdefault(f'{seed} {Path(call[0]).parent.name}', set()).add(options)
    assert len(chosen) == 4
    assert all(len(options) == 1 for options in chosen.values())
    assert len(set.union(*chosen.values())) == 4


def test_what_fails_shows_the_end_of_its_log_and_is_run_again(place, monkeypatch):
    monkeypatch.setenv('STAND_IN', 'fails')
    with pytest.raises(RuntimeError, match=r'(?s)train.py .* failed, see .*log.txt:.*no memory left'):
        compare(place, ['detection'], [0])
    monkeypatch.delenv('STAND_IN')
    assert compare(place, ['detection'], [0])['detection']['random'] == pytest.approx([0.5])
