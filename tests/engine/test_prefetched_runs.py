"""Runs whose batches are copied in a stream of their own, on a device that is made up."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook
from step_runs import logged, tiny_run
from stream_device import StreamDevice
from test_resume import ITERATIONS, config, end_of, interrupted_at  # noqa: F401  (a fixture among them)

from simmim_mm.acceleration import accelerate
from simmim_mm.engine.launch import train


def test_a_run_is_the_plain_one(tmp_path, image_folder, monkeypatch):
    """What is logged, and the weights, to the last digit."""
    folder = image_folder(8)
    plain = tiny_run(folder, tmp_path / 'plain')
    plain.train()
    device = StreamDevice(monkeypatch)
    runner = tiny_run(folder, tmp_path / 'prefetch')
    accelerate(runner.model, 'off', prefetch=True, cells=True)
    runner.train()
    assert len(device.copies) == 2 * 7
    assert device.too_early == []
    assert logged(tmp_path / 'prefetch') == logged(tmp_path / 'plain')
    expected = plain.model.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in runner.model.state_dict().items())


@pytest.mark.parametrize('settings', [{}, dict(loop=ITERATIONS)], ids=['epochs', 'iterations'])
def test_a_resumed_run_is_the_plain_one(config, settings, monkeypatch):  # noqa: F811
    """Interrupted amid an epoch; with an average, which is a deep copy of the model."""
    cfg = config('plain', **settings)
    train(cfg)
    expected = end_of(cfg)
    device = StreamDevice(monkeypatch)
    found = interrupted_at(config, 5, 'interrupted', **settings, **{'acceleration.prefetch': True})
    assert len(device.copies) == 2 * 9  # none was copied that no step was taken with
    assert all(torch.equal(value, found[key]) for key, value in expected.items())


class _Seen(Hook):
    def __init__(self) -> None:
        self.storages: list[int] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Where the images of the batch are."""
        self.storages.append(data_batch['inputs'].untyped_storage().data_ptr())


def test_an_error_of_the_loader_comes_in_its_turn(tmp_path, image_folder, monkeypatch):
    """After the steps of all batches before it. Hooks see the loader's batches, one at a time."""
    StreamDevice(monkeypatch)
    runner, seen, loaded = tiny_run(image_folder(8), tmp_path / 'run'), _Seen(), []
    accelerate(runner.model, 'off', prefetch=True)
    runner.register_hook(seen)
    batches = iter(runner.train_loop.dataloader_iterator)

    def failing():
        for number in range(3):
            each = next(batches)
            loaded.append(each['inputs'].untyped_storage().data_ptr())
            assert len(seen.storages) == number
            yield each
        raise OSError('the disk is gone')

    runner.train_loop.dataloader_iterator = failing()
    with pytest.raises(OSError, match='the disk is gone'):
        runner.train()
    assert runner.iter == 3
    assert seen.storages == loaded
