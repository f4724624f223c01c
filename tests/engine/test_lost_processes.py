"""One of two processes is killed: what the other one says."""

from __future__ import annotations

import os
import signal

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from processes import in_processes
from shard_runs import SHARDED, write_config

from simmim_mm.cli import user_errors
from simmim_mm.engine.config import load_config
from simmim_mm.engine.launch import train
from simmim_mm.engine.lost_processes import explained_losses, is_loss


@HOOKS.register_module(force=True)  # of MMEngine: the contract tests look at ours
class KillOne(Hook):
    """Kills a process in the middle of a run, as the system does for want of memory."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 1 and runner.rank == self.rank:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(('killed', 'options'), [(1, []), (0, []), (1, [SHARDED])], ids=['ddp', 'first', 'fsdp2'])
def test_the_survivor_says_it_in_one_line(tmp_path, photographs, capfd, killed, options):
    """Whichever it is; torch's own words are kept for the traceback."""
    write_config(tmp_path, photographs)
    options = ['train_dataloader.batch_size=2', *options]

    def job() -> None:
        cfg = load_config(
            str(tmp_path / 'tiny.py'), work_dir=str(tmp_path / 'run'), cfg_options=options, launcher='pytorch'
        )
        cfg.custom_hooks.append(dict(type='KillOne', rank=killed))
        with user_errors():
            train(cfg)

    with pytest.raises(AssertionError, match=f'process {1 - killed} of 2:(.|\n)*SystemExit: 2'):
        in_processes(2, job)
    lines = capfd.readouterr().err.splitlines()
    (line,) = (line for line in lines if line.startswith('error: '))
    assert line.startswith(f'error: process {1 - killed} of 2 (from 0) has lost another process of the run, or the net')
    assert line.endswith('--resume')
    assert not any(line.startswith('Traceback') for line in lines)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (
            'NCCL error in: NCCLUtils.cpp:77, remote process exited or there was a network error',
            True,
        ),
        ('ncclRemoteError: A call failed possibly due to a network error or a remote process exiting', True),
        ('[c10d] recvValue failed on SocketImpl: Connection reset by peer', True),
        ('[/x/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:937: Connection reset by peer', True),
        ('HTTPSConnectionPool(host=example.org): Connection reset by peer', False),
        ('NCCL error in: NCCLUtils.cpp:77, unhandled cuda error', False),
        ('CUDA out of memory', False),
    ],
)
def test_words_of_a_loss(text, expected):
    assert is_loss(text) is expected


def test_in_one_process_nothing_is_changed():
    with pytest.raises(RuntimeError, match='^gloo: Connection reset by peer$'), explained_losses():
        raise RuntimeError('gloo: Connection reset by peer')
