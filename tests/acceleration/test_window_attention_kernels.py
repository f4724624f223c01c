"""The Triton kernels of window attention, on what there is: a GPU, or Triton's interpreter in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip('triton', minversion='3.7')  # older interpreters fail with NumPy 2

TESTS = Path(__file__).with_name('kernels_on_device.py')


def test_kernels_equal_the_plain_path():
    environment = {**os.environ, 'TRITON_INTERPRET': '0' if torch.cuda.is_available() else '1'}
    command = [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', str(TESTS)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=TESTS.parents[2])
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert int(re.search(r'(\d+) passed', done.stdout)[1]) >= 23, done.stdout[-2000:]
