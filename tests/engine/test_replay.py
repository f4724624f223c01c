"""What tools/replay_batch.py finds is what the test had put in."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from guard_runs import WEIGHT, Inject, float_folder, guarded_run
from torch import nn

from simmim_mm.engine.guards.failed_batch import files_of, read_failed_batch, save_failed_batch
from simmim_mm.engine.guards.replay import replay
from simmim_mm.engine.guards.step_guard import Outcome, Part
from simmim_mm.engine.guards.trace import Trace, statistics_of
from simmim_mm.engine.hooks.finite_guard import NotFiniteError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def failed(tmp_path):
    """Runs with an injection, and returns the file that the run wrote, with the files of the batch."""
    folder = float_folder(tmp_path / 'images')

    def make(where: str, iterations=(1,), change=None, **kwargs) -> tuple[str, list[str]]:
        def few(cfg):
            cfg.default_hooks.finite_guard.max_in_a_row = 2
            if change is not None:
                change(cfg)

        inject = dict(type='Inject', where=where, iterations=list(iterations), **kwargs)
        runner = guarded_run(folder, tmp_path / 'run', inject, iters=3, change=few)
        with contextlib.suppress(NotFiniteError):
            runner.train()
        (hook,) = [hook for hook in runner.hooks if isinstance(hook, Inject)]
        first = sorted((tmp_path / 'run' / 'failed_batches').iterdir())[0]
        return str(first), hook.files[iterations[0]]

    return make


def test_a_nan_in_an_image_and_its_file(failed):
    path, files = failed('image')
    found = replay(path)
    assert found.culprit.what == 'images as loaded'
    assert found.culprit.statistics.num_nan == 1
    assert found.culprit.statistics.images == (1,)
    assert f'Images: {files[1]}. Mend these files' in found.verdict
    assert 'Iteration 2, process 0: fp32 on cpu in the run' in found.text


def test_a_nan_in_a_weight(failed):
    path, _ = failed('weight')
    found = replay(path)
    assert found.culprit.what == f'weights: {WEIGHT}'
    assert found.culprit.statistics.num_nan == 1
    assert 'go on from an earlier checkpoint' in found.verdict


@pytest.mark.parametrize('preset', ['off', 'exact'])
def test_an_overflow_in_a_module(failed, preset):
    """A weight of 3e38 overflows where a normalised feature beyond 1.13 is multiplied by it."""

    def change(cfg):
        cfg.acceleration = dict(preset=preset)

    path, _ = failed('weight', value=3e38, change=change)
    found = replay(path, plain=True)
    assert found.culprit.what == f'output of {WEIGHT.removesuffix(".weight")}'
    assert found.culprit.statistics.num_infinite > 0
    assert found.culprit.statistics.images
    assert 'What went into it was finite' in found.verdict
    assert 'layers.0' in replay(path).culprit.what


def test_an_overflow_of_the_backward_pass(failed):
    """A factor of a loss scaler that the forward pass does not see."""
    path, _ = failed('image')
    loaded = read_failed_batch(path)
    loaded['failed_batch']['batches'][0]['inputs'].nan_to_num_(0.5)
    torch.save(loaded, path)
    found = replay(path)
    assert found.culprit is None
    assert 'All is finite here. The largest magnitude is in the output of' in found.verdict
    loaded['failed_batch']['loss_scale'] = 3e38
    loaded['state_dict'][WEIGHT].mul_(1e3)
    torch.save(loaded, path)
    found = replay(path)
    assert found.culprit.what.startswith('gradient of')
    assert 'All of the forward pass is finite' in found.verdict


def test_the_step_is_that_of_the_run(failed, tmp_path):
    """The loss is that of the same weights, images, masks and layers left out, to the last bit."""

    def change(cfg):
        cfg.model.backbone.drop_path_rate = 0.5
        cfg.model.backbone.arch.num_layers = 3

    losses = {}
    path, _ = failed('image', change=change)
    runner = guarded_run(str(tmp_path / 'images'), tmp_path / 'other', iters=2, change=change)
    step = runner.model.train_step

    def train_step(data, optim_wrapper):
        outcome = Outcome(runner.iter, True, True, [Part(runner.iter, data, False)], 1.0)
        losses[runner.iter] = save_failed_batch(runner, outcome, True), step(data, optim_wrapper)['loss'].item()
        return {}

    runner.model.train_step = train_step
    runner.train()
    assert read_failed_batch(path)['failed_batch']['iterations'] == [1]
    for saved, loss in losses.values():
        assert replay(saved).losses == [('loss', loss)]
    assert len({loss for _, loss in losses.values()}) == 2


def test_the_command(failed, tmp_path):
    path, files = failed('image')
    command = [sys.executable, str(ROOT / 'tools' / 'replay_batch.py')]
    result = subprocess.run([*command, path], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert result.returncode == 0, result.stderr
    assert f'First not finite: images as loaded (1 NaN, 0 infinite of {2 * 3 * 64 * 64:,}). Images: {files[1]}.' in (
        result.stdout
    )
    torch.save({'state_dict': {}}, tmp_path / 'other.pth')
    result = subprocess.run([*command, 'other.pth'], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert result.returncode == 2
    assert "error: 'other.pth' holds no failed batch" in result.stderr


def test_statistics():
    values = torch.tensor([[1.0, float('nan')], [-3.0, 2.0], [float('-inf'), float('inf')]])
    assert statistics_of(values, 3) == ((3, 2), 'float32', -3.0, 2.0, 1, 2, 6, (0, 2))
    assert statistics_of(values, 2).images is None
    assert statistics_of(torch.zeros(2), 2).finite
    nothing = statistics_of(torch.tensor(float('nan')))
    assert (nothing.num_nan, nothing.lowest == nothing.lowest) == (1, False)


def test_a_trace_tells_what_is_made_between_modules():
    """A logarithm of zero in a function, between two modules whose own outputs are finite."""

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, values):
            return self.second((self.first(values) * 0).log())

    model = Network()
    trace = Trace(model)
    with trace.watching(4):
        model(torch.ones(4, 2)).sum().backward()
    assert trace.first.what == 'input of second'
    assert [seen.what for seen in trace.before] == ['output of first']


def test_files_of_batches():
    """Ours, and MMPretrain's samples."""
    from mmpretrain.structures import DataSample

    sample = DataSample(metainfo=dict(img_path='b.jpg'))
    assert files_of({'img_path': ['a.jpg', '']}) == ['a.jpg']
    assert files_of({'data_samples': [sample]}) == ['b.jpg']
    assert files_of([1]) == []
