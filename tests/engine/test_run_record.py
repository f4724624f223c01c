"""What a run records of itself, and what it says when it goes on with something else."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
from pathlib import Path

import pytest
import torch
from step_runs import tiny_run

from simmim_mm.datasets import UnlabelledImages
from simmim_mm.datasets.file_list import describe_data
from simmim_mm.engine.hooks.run_record import KEY, changes
from simmim_mm.git_state import git_state

PIPELINE = [dict(type='LoadImage')]


def git(folder: Path, *arguments: str) -> str:
    identity = ['-c', 'user.name=Test', '-c', 'user.email=test@example.org']
    return subprocess.run(
        ['git', *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path) -> Path:
    folder = tmp_path / 'checkout'
    folder.mkdir()
    git(folder, 'init', '-q')
    (folder / 'code.py').write_text('x = 1\n')
    (folder / '.gitignore').write_text('installed/\n')
    git(folder, 'add', '.')
    git(folder, 'commit', '-q', '-m', 'first')
    return folder


def test_a_checkout_is_described_by_its_commit_and_whether_it_was_changed(checkout):
    commit = git(checkout, 'rev-parse', 'HEAD')
    assert git_state(checkout) == {'root': str(checkout), 'commit': commit, 'dirty': False}
    (checkout / 'notes.txt').write_text('of no weight')
    assert git_state(checkout)['dirty'] is False
    (checkout / 'code.py').write_text('x = 2\n')
    assert git_state(checkout)['dirty'] is True


def test_an_ignored_folder_inside_a_checkout_is_no_part_of_it(checkout):
    package = checkout / 'installed'
    package.mkdir()
    (package / '__init__.py').touch()
    assert git_state(package, tracked='__init__.py') is None
    assert git_state(checkout, tracked='code.py') is not None


def test_without_git_or_checkout_nothing_fails(checkout, tmp_path, monkeypatch):
    (tmp_path / 'plain').mkdir()
    git(tmp_path / 'plain', 'init', '-q')  # without a commit
    assert git_state(tmp_path / 'plain') is None
    assert git_state(tmp_path / 'missing') is None
    monkeypatch.setenv('PATH', str(tmp_path))
    assert git_state(checkout) is None


def test_variables_of_a_git_hook_do_not_point_elsewhere(checkout, tmp_path, monkeypatch):
    other = tmp_path / 'other'
    other.mkdir()
    git(other, 'init', '-q')
    monkeypatch.setenv('GIT_DIR', str(other / '.git'))
    assert git_state(checkout)['root'] == str(checkout)


def test_the_hash_is_that_of_the_relative_paths(image_folder, tmp_path):
    folder = Path(image_folder(3, 'photographs/a'))
    (found,) = describe_data(UnlabelledImages(str(folder.parent), pipeline=PIPELINE))
    lines = ''.join(f'a/{name}\n' for name in sorted(path.name for path in folder.iterdir()))
    assert found == {
        'type': 'UnlabelledImages',
        'data_root': str(folder.parent),
        'num_files': 3,
        'list_sha256': hashlib.sha256(lines.encode()).hexdigest(),
    }
    moved = folder.parent.rename(tmp_path / 'moved')
    assert describe_data(UnlabelledImages(f'{moved}/', pipeline=PIPELINE))[0]['list_sha256'] == found['list_sha256']
    (moved / 'a' / '000.png').rename(moved / 'a' / '9.png')
    assert describe_data(UnlabelledImages(str(moved), pipeline=PIPELINE))[0]['list_sha256'] != found['list_sha256']


def test_order_and_wrappers_count(image_folder, tmp_path):
    """Crops and masks follow from positions in the list."""
    folder = image_folder(2)
    hashes = []
    for number, names in enumerate((['000.png', '001.png'], ['001.png', '000.png'])):
        (tmp_path / f'{number}.txt').write_text('\n'.join(names))
        dataset = UnlabelledImages(folder, list_file=str(tmp_path / f'{number}.txt'), pipeline=PIPELINE)
        hashes.append(describe_data(torch.utils.data.ConcatDataset([dataset, dataset])))
    assert [len(parts) for parts in hashes] == [2, 2]
    assert hashes[0][0] == hashes[0][1]
    assert hashes[0][0]['list_sha256'] != hashes[1][0]['list_sha256']


def test_changes_are_named():
    data = [{'type': 'UnlabelledImages', 'data_root': '/a', 'num_files': 3, 'list_sha256': 'a' * 64}]
    before = {'seed': 0, 'versions': {'torch': '2.12', 'timm': '1.0'}, 'data': data}
    assert changes(before, {**before, 'data': [{**data[0], 'data_root': '/b'}]}) == []
    after = {
        'seed': 7,
        'versions': {'torch': '2.13', 'numpy': '2.2'},
        'data': [{**data[0], 'num_files': 4, 'list_sha256': None}],
    }
    seed, torch_version, timm, numpy, files = changes(before, after)
    assert seed.startswith('seed 0 -> 7')
    assert (torch_version, timm, numpy) == ('torch 2.12 -> 2.13', 'timm 1.0 -> (none)', 'numpy (none) -> 2.2')
    assert files == f'training data 3 files (list {"a" * 12}) -> 4 files (list unknown)'
    assert changes(before, {**before, 'images_per_batch': 4}) == []  # a checkpoint that does not say it
    (batch,) = changes({**before, 'images_per_batch': 8}, {**before, 'images_per_batch': 4})
    assert batch.startswith('8 -> 4 images of a batch, over all processes')


def records(work_dir: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(work_dir.glob('*/run_record.json'))]


def with_checkpoints(cfg) -> None:
    cfg.default_hooks.checkpoint = dict(type='SafeCheckpointHook', by_epoch=False, interval=100, rolling_interval=2)


def test_each_start_has_a_record_and_a_changed_one_is_warned_of_once(tmp_path, image_folder, monkeypatch):
    folder, work_dir = image_folder(14), tmp_path / 'run'
    runner = tiny_run(folder, work_dir, iters=2, change=with_checkpoints)
    runner.train()
    (first,) = records(work_dir)
    assert first['seed'] == 0
    assert first['versions']['torch'] == torch.__version__
    assert first['data'] == describe_data(runner.train_dataloader.dataset)
    assert (first['start_iter'], first['max_iters'], first['iters_per_epoch']) == (0, 2, 7)
    assert first['finished']
    assert first['resumed_from'] is None
    assert 'RandomPatchMask' in first['config']
    assert first['environment']['cores'] >= 1
    assert not list(work_dir.rglob('*.draft'))
    assert torch.load(work_dir / 'latest.pth', weights_only=False)[KEY]['data'] == first['data']

    def resumed(cfg):
        with_checkpoints(cfg)
        cfg.resume, cfg.load_from = True, str(work_dir / 'latest.pth')
        cfg.experiment_name = 'again'

    said: list[str] = []

    def resume(iters: int, change) -> None:
        runner = tiny_run(folder, work_dir, iters=iters, change=change)
        monkeypatch.setattr(
            runner.logger,
            'log',
            lambda level, text: level == logging.WARNING and 'goes on from' in text and said.append(text),
        )
        monkeypatch.setattr('mmengine.runner.Runner.timestamp', f'2999_{iters}')
        runner._log_dir = str(work_dir / f'2999_{iters}')
        Path(runner._log_dir).mkdir()
        runner.train()

    resume(4, resumed)
    assert said == []
    assert records(work_dir)[-1]['changes'] == []
    assert records(work_dir)[-1]['start_iter'] == 2

    (Path(folder) / '003.png').unlink()
    monkeypatch.setattr('simmim_mm.engine.hooks.run_record.describe_environment', older_torch)
    resume(6, lambda cfg: (resumed(cfg), cfg.merge_from_dict({'randomness.seed': 5})))
    (text,) = said
    assert 'seed 0 -> 5' in text
    assert f'torch {torch.__version__} -> 1.0' in text
    assert 'training data 14 files' in text
    assert '-> 13 files' in text
    assert len(records(work_dir)[-1]['changes']) == 3


def older_torch(device: str) -> dict:
    from simmim_mm.environment import describe_environment

    facts = describe_environment(device)
    facts['versions']['torch'] = '1.0'
    return facts


def test_a_changed_seed_reaches_the_order_and_not_the_model(tmp_path, image_folder):
    """As the warning says: MMEngine goes on with the checkpoint's seed, the sampler was built with the new one."""
    folder, work_dir = image_folder(14), tmp_path / 'before'
    tiny_run(folder, work_dir, iters=2, change=with_checkpoints).train()

    def other(cfg):
        with_checkpoints(cfg)
        cfg.resume, cfg.load_from = True, str(work_dir / 'latest.pth')
        cfg.experiment_name, cfg.randomness.seed = 'other', 5

    runner = tiny_run(folder, work_dir, iters=4, change=other)
    runner.train()
    assert runner.seed == 0
    assert runner.train_dataloader.sampler.seed == 5
