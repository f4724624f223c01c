"""A missing, too old or broken host package gives one clear error that names the fix."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from simmim_mm import compat

ROOT = Path(__file__).parents[1]


def import_error(prelude: str, path: str = '') -> str:
    """The last line of the error of ``import simmim_mm`` in a process where ``prelude`` ran first."""
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join([path, str(ROOT)] if path else [str(ROOT)])}
    command = [sys.executable, '-W', 'ignore', '-c', f'{prelude}\nimport simmim_mm']
    result = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ('name', 'distribution'),
    [('torch', 'torch'), ('mmengine', 'onedl-mmengine'), ('mmcv', 'onedl-mmcv'), ('mmpretrain', 'onedl-mmpretrain')],
)
def test_a_missing_package_is_named_with_the_command_to_install_it(name, distribution):
    message = import_error(f'import sys; sys.modules[{name!r}] = None')
    assert message.startswith('simmim_mm.compat.HostPackageError: ')
    assert f'{name} is not installed. Install a version that works: pip install ' in message
    assert f"'{distribution}>=" in message


def test_a_package_that_is_too_old_is_named_with_the_version_that_is_needed(tmp_path):
    (tmp_path / 'mmcv.py').write_text("__version__ = '1.7.2'\n")
    message = import_error('', str(tmp_path))
    assert 'mmcv 1.7.2 is too old, simmim_mm needs 2.0.0 or newer' in message
    assert "pip install 'onedl-mmcv>=2.0.0,<2.4.0'" in message


def test_a_package_that_is_too_new_is_named(tmp_path):
    (tmp_path / 'mmcv.py').write_text("__version__ = '3.0.0'\n")
    assert 'mmcv 3.0.0 is too new, simmim_mm needs a version below 2.4.0' in import_error('', str(tmp_path))


def test_a_broken_package_is_named_with_what_broke(tmp_path):
    (tmp_path / 'mmcv.py').write_text("raise OSError('libGL.so.1: cannot open shared object file')\n")
    message = import_error('', str(tmp_path))
    assert 'mmcv is installed but broken (OSError: libGL.so.1: cannot open shared object file)' in message


def test_transformers_5_is_refused(monkeypatch):
    monkeypatch.setattr(compat.importlib.metadata, 'version', lambda name: '5.1.0')
    with pytest.raises(compat.HostPackageError, match="pip install 'transformers<5'"):
        compat._check_transformers()
    monkeypatch.setattr(compat.importlib.metadata, 'version', lambda name: '4.57.0')
    compat._check_transformers()


def test_torchvision_is_there_for_its_transforms():
    """Also beside a torch without CUDA, for which the registry has no build of torchvision."""
    from torchvision.transforms.functional import hflip

    image = torch.arange(6).view(1, 2, 3)
    assert torch.equal(hflip(image), image.flip(-1))


def test_drop_rates_become_plain_numbers():
    model = nn.Sequential(nn.Identity(), nn.Identity(), nn.Identity())
    model[0].drop_prob, model[1].drop_prob = np.float64(0.25), 0.5
    compat.plain_drop_rates(model)
    assert type(model[0].drop_prob) is float
    assert (model[0].drop_prob, model[1].drop_prob) == (0.25, 0.5)
    assert not hasattr(model[2], 'drop_prob')
