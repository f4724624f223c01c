"""All of a run is killed: processes in sessions of their own too, as torchrun makes them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from simmim_mm.engine.process_tree import descendants, kill_tree, status_of

pytestmark = pytest.mark.skipif(not os.path.isdir('/proc/self'), reason='the system has no /proc')

# A process that starts one in a session of its own, which starts one more.
CHILD = 'import subprocess, sys; print(subprocess.Popen(["sleep", "60"]).pid, flush=True); sys.stdin.read()'
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', {CHILD!r}], stdin=subprocess.PIPE, start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def test_all_that_a_process_started_is_killed():
    process = subprocess.Popen([sys.executable, '-c', PARENT], stdout=subprocess.PIPE, text=True)
    started = {int(process.stdout.readline()), int(process.stdout.readline())}
    assert os.getsid(min(started)) != os.getsid(process.pid) or os.getsid(max(started)) != os.getsid(process.pid)
    assert descendants(process.pid) == started
    assert process.pid in descendants(os.getpid())
    kill_tree(process.pid)
    assert process.wait(timeout=10) == -9
    process.stdout.close()
    for _ in range(100):
        left = [status for status in map(status_of, started) if status is not None and status.state != 'Z']
        if not left:
            break
        time.sleep(0.1)
    assert not left


def test_what_is_gone():
    process = subprocess.Popen([sys.executable, '-c', ''])
    process.wait(timeout=60)
    assert status_of(process.pid) is None
    assert descendants(process.pid) == set()
    kill_tree(process.pid)
