"""The line of progress, as an emulated terminal shows it."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from step_runs import tiny_config
from terminals import on_terminal

from simmim_mm.engine.hooks.preemption import REQUEUE
from simmim_mm.engine.launch import train
from simmim_mm.live_line import LiveLine

BAR = '━'
LONG = 'a line that is much longer than the terminal is wide, and must not be cut: ' + 'x' * 150


@HOOKS.register_module(force=True)  # of MMEngine: the contract tests look at ours
class Chatter(Hook):
    """Writes in every way that there is, takes its time, and may fail."""

    def __init__(self, fail_at: int = 0, pause: float = 0.0) -> None:
        self.fail_at, self.pause = fail_at, pause

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Writes."""
        time.sleep(self.pause)
        if batch_idx < 5:
            runner.logger.info(f'logged {batch_idx}: {LONG}')
            runner.logger.warning(f'warned {batch_idx} [not a style]')
            print(f'printed {batch_idx}')
            print(f'complained {batch_idx}', file=sys.stderr)
        if batch_idx + 1 == self.fail_at:
            raise ArithmeticError('what went wrong')


@pytest.fixture
def program(tmp_path, image_folder):
    """A run of the launcher, as a function to be run on a terminal."""
    folder = image_folder(16)  # one epoch: between two, MMEngine sleeps for 2 s

    def make(name: str, iters: int = 7, fail_at: int = 0, pause: float = 0.0, num_workers: int = 0):
        def change(cfg):
            cfg.custom_hooks = [
                dict(type='SampleProgressHook'),
                dict(type='ProgressHook'),
                dict(type='Chatter', fail_at=fail_at, pause=pause),
            ]
            cfg.log_level = 'INFO'
            cfg.default_hooks.checkpoint = dict(
                type='SafeCheckpointHook', by_epoch=False, interval=10_000, save_last=False, rolling_interval=10_000
            )
            cfg.train_dataloader.num_workers = num_workers

        def run():
            train(tiny_config(folder, tmp_path / name, iters, change))

        return run, tmp_path / name

    return make


def logged_messages(work_dir: Path) -> list[str]:
    """From the file of the log, which no terminal can spoil: what was logged since training began."""
    (path,) = work_dir.glob('*/*.log')
    lines = path.read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if 'Checkpoints will be saved' in line)
    return [line.partition(' - mmengine - ')[2] for line in lines[begin + 1 :] if ' - mmengine - ' in line]


def assert_whole(seen) -> None:
    """The terminal is as it was: a visible cursor at the beginning of a row, no line of progress, no leftovers."""
    assert not seen.screen.cursor.hidden
    # Never hidden since the bar that looks for images was gone: not even SIGKILL leaves it so.
    assert b'\x1b[?25l' not in seen.raw.rpartition(b'\x1b[?25h')[2]
    assert seen.screen.cursor.x == 0
    assert not any(BAR in row for row in seen.rows)


@pytest.mark.parametrize('num_workers', [0, 1])
def test_lines_appear_whole_above_the_line_of_progress(program, num_workers):
    run, work_dir = program(f'whole{num_workers}', num_workers=num_workers)
    seen = on_terminal(run)
    assert seen.status == 0, seen.rows[-30:]
    assert_whole(seen)
    messages = logged_messages(work_dir)
    assert sum('Epoch(train)' in message for message in messages) == 2
    for message in messages:
        assert ''.join(message.split()) in seen.text
    for number in range(5):
        assert f'printed {number}' in seen.rows
        assert f'complained {number}' in seen.rows
    drawn = seen.raw.decode()
    assert f'{BAR}' in drawn
    for fact in ('7/7', 'eta 0:00:', 'loss ', ' images/s', 'data wait ', ' GiB'):
        assert fact in drawn


def test_an_exception_leaves_the_terminal_whole(program):
    run, _ = program('failing', fail_at=3)
    seen = on_terminal(run)
    assert seen.status == 1
    assert_whole(seen)
    assert 'Traceback (most recent call last):' in seen.rows
    assert 'ArithmeticError: what went wrong' in seen.rows


def test_a_signal_of_a_cluster_leaves_it_whole(program):
    run, work_dir = program('stopped', iters=10_000, pause=0.01)
    seen = on_terminal(run, when=(b'images/s', signal.SIGTERM))
    assert seen.status == REQUEUE
    assert_whole(seen)
    assert 'SIGTERM:latest.pthiswritten' in seen.text
    assert (work_dir / 'latest.pth').exists()


def test_ctrl_c_leaves_it_whole(program):
    run, _ = program('interrupted', iters=10_000, pause=0.01)
    seen = on_terminal(run, when=(b'images/s', signal.SIGINT))
    assert_whole(seen)
    assert 'KeyboardInterrupt' in seen.rows


@pytest.mark.parametrize(
    'how', [dict(environment={'TERM': 'dumb'}), dict(stderr='errors.txt')], ids=['dumb', 'errors-in-a-file']
)
def test_there_are_plain_lines_elsewhere(program, how, tmp_path):
    """Nothing is rewritten; MMEngine's own colours are all that is not text."""
    how = {key: str(tmp_path / value) if key == 'stderr' else value for key, value in how.items()}
    run, work_dir = program('plain')
    seen = on_terminal(run, **how)
    assert seen.status == 0
    assert BAR not in seen.raw.decode()
    assert b'\x1b[2K' not in seen.raw
    for message in logged_messages(work_dir):
        assert ''.join(message.split()) in seen.text


def test_logs_in_a_file_are_left_alone(program, tmp_path):
    """As with ``train.py > log.txt``: the line of progress is on the terminal, and nothing of it in the file."""
    run, _ = program('redirected')
    seen = on_terminal(run, stdout=str(tmp_path / 'log.txt'))
    assert seen.status == 0
    assert_whole(seen)
    assert BAR in seen.raw.decode()
    assert 'printed 0' not in seen.rows
    log = (tmp_path / 'log.txt').read_text()
    assert BAR not in log
    assert 'printed 4\n' in log
    assert f'logged 4: {LONG}\n' in log


def test_no_color_is_respected(program):
    run, _ = program('colourless')
    seen = on_terminal(run, environment={'NO_COLOR': '1'})
    assert seen.status == 0
    assert BAR in seen.raw.decode()
    assert b'\x1b[3' not in seen.raw
    assert b'\x1b[38;' not in seen.raw
    assert_whole(seen)


@pytest.mark.parametrize('columns', [8, 20, 47, 80, 300])
def test_it_is_one_row_on_any_width(columns):
    facts = ['1234567/9999999', 'epoch 100/800', 'eta 1 day, 2:03:04', 'loss 0.5', '812 images/s', 'data wait 2 %']

    def show():
        line = LiveLine()
        line.open()
        for step in range(5):
            line.show(step / 4, facts, at_once=True)

    seen = on_terminal(show, columns=columns)
    rows = [row for row in seen.rows if row]
    assert len(rows) == 1
    assert '1234' in rows[0]
    assert ('data wait 2 %' in rows[0]) == (columns >= 300)


def test_a_terminal_that_goes_away_does_not_stop_the_run(monkeypatch):
    line = LiveLine()

    tries = []

    def gone():
        tries.append(1)
        raise OSError(5, 'Input/output error')

    monkeypatch.setattr(line._live, 'refresh', gone)
    for share in (0.5, 0.6):
        line.show(share, ['some'], at_once=True)
    assert tries == [1]
