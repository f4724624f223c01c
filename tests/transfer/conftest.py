"""Checkpoints of tiny models, as a run of ours leaves them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def draw(parameters) -> None:
    """Norms around 1, all else around 0; by name in alphabetical order, from NumPy's frozen generator."""
    random = np.random.RandomState(7)
    with torch.no_grad():
        for name, parameter in sorted(parameters):
            values = torch.from_numpy(random.standard_normal(tuple(parameter.shape))).float()
            parameter.copy_(1 + 0.1 * values if parameter.ndim == 1 and name.endswith('weight') else 0.05 * values)


@pytest.fixture(name='draw')
def _draw():
    return draw


@pytest.fixture
def make_checkpoint(tmp_path, build_model):
    """Builds a SimMIM model, draws its weights, and saves it with its config; returns the model and the path."""

    def make(backbone: dict, img_size: int = 64, name: str = 'ours.pth', **kwargs):
        model = build_model(backbone=backbone, img_size=img_size, **kwargs)
        draw(model.named_parameters())
        model.eval()
        cfg = Config(dict(default_scope='simmim_mm', model=dict(type='SimMIM', backbone=backbone, img_size=img_size)))
        cfg.model.update(kwargs)
        path = tmp_path / name
        torch.save(dict(meta=dict(cfg=cfg.pretty_text), state_dict=model.state_dict()), path)
        return model, str(path)

    return make


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Runs a tool in this process; returns its exit code, and what it wrote to both streams."""

    def run(name: str, *args: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        monkeypatch.syspath_prepend(str(TOOLS))
        code = 0
        try:
            runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')
        except SystemExit as stop:
            code = stop.code or 0
        written = capsys.readouterr()
        return code, written.out + written.err

    return run
