"""Copies in a stream of their own, on a device that is made up; whole runs are in ``tests/engine``."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from stream_device import COPY, StreamDevice
from tiny import build_model

from simmim_mm.acceleration import accelerate
from simmim_mm.acceleration.prefetch import copy_beside

CPU = torch.device('cpu')
STEP = 10.0


@pytest.fixture
def device(monkeypatch):
    return StreamDevice(monkeypatch)


def batch(number: int = 0) -> dict:
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(number), dtype=torch.uint8)
    return dict(inputs=images, mask=torch.tensor([[[True, False], [True, True]]] * 2), img_path=['a', 'b'])


def test_on_a_cpu_nothing_is_copied():
    """With PyTorch's own streams of CPUs."""
    tensor = torch.ones(3)
    assert copy_beside(tensor, CPU) is tensor


@pytest.mark.parametrize('cells', [False, True])
def test_a_batch_is_the_plain_one(device, cells):
    """Copied whole before it is read, its memory kept for the stream that computes; the loader's batch stays."""
    plain = build_model()
    model = copy.deepcopy(plain)
    accelerate(model, 'off', prefetch=True, cells=cells)
    data = batch()
    expected = plain.data_preprocessor(dict(data), training=True)
    found = model.data_preprocessor(data, training=True)
    assert len(device.copies) == 2
    assert found['img_path'] == data['img_path']
    for key in ('inputs', 'mask'):
        assert torch.equal(found[key], expected[key])
    assert found['mask'] is not data['mask']
    assert getattr(found['mask'], 'on_host', None) is (data['mask'] if cells else None)
    assert torch.equal(data['inputs'], batch()['inputs'])
    del found
    assert device.too_early == []


def test_copies_run_beside_steps(device):
    """By the clocks: but for the first one, no step waits for a copy. In the stream of the computation, all would."""
    model = build_model()
    accelerate(model, 'off', prefetch=True)
    for number in range(5):
        model.data_preprocessor(batch(number), training=True)
        device.computing.ready += STEP  # the host queues a step, and goes on at once
    assert device.computing.ready == 2 * COPY + 5 * STEP


def test_the_class_is_copied_and_saved():
    """No stream is held by a model."""
    model = build_model()
    assert accelerate(model, 'off', cells=True, prefetch=True)['prefetch'].startswith('the next batch')
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model.data_preprocessor))):
        preprocessor = getattr(twin, 'data_preprocessor', twin)
        assert type(preprocessor).__name__ == 'PrefetchingHostMaskPreprocessor'


def test_where_it_does_not_apply():
    """Copies that are waited for gain nothing from a stream of their own."""
    model = build_model(data_preprocessor=dict(type='MaskedImagePreprocessor', non_blocking=False))
    before = type(model.data_preprocessor)
    assert accelerate(model, 'off', prefetch=True)['prefetch'].startswith('does not apply: non_blocking=False')
    assert type(model.data_preprocessor) is before
    model = build_model()
    model.data_preprocessor._device = torch.device('mps')
    assert accelerate(model, 'off', prefetch=True)['prefetch'].endswith('no streams for devices of type mps')
    other = torch.nn.Linear(2, 2)
    assert accelerate(other, 'off', prefetch=True)['prefetch'].startswith('does not apply: the model has no')


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu():
    """Batches of pinned memory that are dropped at once, amid products that keep the device busy."""
    plain = build_model()
    model = copy.deepcopy(plain).cuda()
    accelerate(model, 'off', prefetch=True, cells=True)
    busy, sums = torch.randn(4096, 4096, device='cuda'), []
    for number in range(50):
        data = {key: value.pin_memory() if key != 'img_path' else value for key, value in batch(number).items()}
        found = model.data_preprocessor(data, training=True)
        del data
        torch.mm(busy, busy)
        sums.append(found['inputs'].double().sum())
        del found
    expected = [plain.data_preprocessor(batch(number), training=True)['inputs'].double().sum() for number in range(50)]
    torch.testing.assert_close(torch.stack(sums).cpu(), torch.stack(expected), rtol=1e-5, atol=1e-2)
