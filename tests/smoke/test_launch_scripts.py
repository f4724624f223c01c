"""What the launch scripts hand to srun and torchrun, which programs in their place write down."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture
def launch(tmp_path):
    """Runs a script with programs that write their arguments and OMP_NUM_THREADS down, in place of the real ones."""
    for name in ('srun', 'python'):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "threads $OMP_NUM_THREADS" "$@" > "{tmp_path}/seen"\n')
        program.chmod(0o755)

    def run(script: str, *args: str, status: int = 0, **variables: str) -> list[str]:
        kept = {name: value for name, value in os.environ.items() if name not in ('OMP_NUM_THREADS', 'PYTHON')}
        environment = {**kept, 'PATH': f'{tmp_path}:{os.environ["PATH"]}', **variables}
        result = subprocess.run(
            ['bash', str(TOOLS / script), *args], env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == status, result.stderr
        return (tmp_path / 'seen').read_text().splitlines() if status == 0 else result.stderr.splitlines()

    return run


def test_slurm_on_several_machines(launch):
    seen = launch(
        'slurm_train.sh', 'gpu', 'my job', 'a config.py', 'out dir', '--resume', '--cfg-options', 'a.b=1',
        GPUS='64', GPUS_PER_NODE='4', CPUS_PER_TASK='6', SRUN_ARGS='--time=1:00 --exclusive',
    )  # fmt: skip
    assert seen == [
        'srun', 'threads 6', '--partition=gpu', '--job-name=my job', '--gres=gpu:4', '--ntasks=64',
        '--ntasks-per-node=4', '--cpus-per-task=6', '--kill-on-bad-exit=1', '--time=1:00', '--exclusive', 'python',
        '-u', str(TOOLS / 'train.py'), 'a config.py', '--work-dir', 'out dir', '--launcher', 'slurm', '--resume',
        '--cfg-options', 'a.b=1',
    ]  # fmt: skip


def test_slurm_by_default_and_with_few_gpus(launch):
    seen = launch('slurm_train.sh', 'gpu', 'job', 'config.py', 'out')
    assert {'--ntasks=8', '--ntasks-per-node=8', '--gres=gpu:8', '--cpus-per-task=5', 'threads 5'} <= set(seen)
    seen = launch('slurm_train.sh', 'gpu', 'job', 'config.py', 'out', GPUS='2')
    assert {'--ntasks=2', '--ntasks-per-node=2', '--gres=gpu:2'} <= set(seen)


def test_torchrun_on_several_machines(launch):
    variables = dict(NNODES='3', NODE_RANK='2', MASTER_ADDR='node0', PORT='12345', OMP_NUM_THREADS='7')
    seen = launch('dist_train.sh', 'a config.py', '4', '--resume', **variables)
    assert seen == [
        'python', 'threads 7', '-m', 'torch.distributed.run', '--nnodes=3', '--node_rank=2', '--master_addr=node0',
        '--master_port=12345', '--nproc_per_node=4', str(TOOLS / 'train.py'), 'a config.py', '--launcher', 'pytorch',
        '--resume',
    ]  # fmt: skip


@pytest.mark.parametrize('gpus', ['0', 'two', '-1', ''])
def test_numbers_of_gpus_are_checked(launch, gpus):
    assert 'give the number of processes' in launch('dist_train.sh', 'config.py', gpus, status=2)[0]


@pytest.mark.parametrize('name', ['GPUS', 'GPUS_PER_NODE', 'CPUS_PER_TASK'])
@pytest.mark.parametrize('value', ['x[$(touch was_run)]', '0', '2; touch was_run', 'many'])
def test_numbers_for_slurm_run_no_command(launch, tmp_path, monkeypatch, name, value):
    """Bash computes with variables, and runs what stands in the index of an array."""
    monkeypatch.chdir(tmp_path)
    assert f"{name} is '{value}'; give a whole number from 1" in launch(
        'slurm_train.sh', 'gpu', 'job', 'config.py', 'out', status=2, **{name: value}
    )
    assert not (tmp_path / 'was_run').exists()


def test_options_for_srun_are_split_and_nothing_else(launch, tmp_path, monkeypatch):
    """Files here that a pattern would match, commands and quotes stay what they are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / '--exclude=node1').touch()
    options = ['--exclude=node[1-3]', '--comment=$(touch', 'was_run)', '*', "--x='a"]
    seen = launch('slurm_train.sh', 'gpu', 'job', 'config.py', 'out', SRUN_ARGS=' '.join(options))
    assert seen[9 : 9 + len(options)] == options
    assert not (tmp_path / 'was_run').exists()


@pytest.mark.parametrize(('script', 'args'), [('dist_train.sh', ['2']), ('dist_test.sh', ['last.pth', '2'])])
def test_options_reach_the_tool_as_they_are(launch, tmp_path, monkeypatch, script, args):
    monkeypatch.chdir(tmp_path)
    options = ['--cfg-options', 'a="[$(touch was_run)]"', 'b=*', "c='d e'", ';touch was_run']
    assert launch(script, 'a $(touch was_run).py', *args, *options)[-len(options) :] == options
    assert not (tmp_path / 'was_run').exists()
