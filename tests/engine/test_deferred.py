"""Steps that do not wait for the device, whose logs are MMEngine's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import OptimWrapper
from step_runs import logged, tiny_run
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from simmim_mm.acceleration import accelerate
from simmim_mm.engine.deferred import MOST_WAITING, DeferredBuffer, defer_scalar

# Methods that bring values to the host. On a CPU some of them do not reach the dispatcher.
METHODS = {'item', 'tolist', 'numpy', 'cpu', '__bool__', '__float__', '__int__', '__index__', '__array__'}
OPERATIONS = {'aten::_local_scalar_dense', 'aten::nonzero', 'aten::equal', 'aten::is_nonzero', 'aten::masked_select'}


class _Operations(TorchDispatchMode):
    def __init__(self, seen: list, allowed) -> None:
        super().__init__()
        self.seen, self.allowed = seen, allowed

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().split('.')[0]
        if name in OPERATIONS and not self.allowed(args[0]):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, seen: list) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, '__name__', '')
        # Literally: where the model is on a CPU, its device is torch.device('cpu').
        to_host = name == 'to' and any(
            isinstance(arg, str) and arg == 'cpu' for arg in (*args[1:], *(kwargs or {}).values())
        )
        if (name in METHODS and isinstance(args[0], torch.Tensor)) or to_host:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def watch(runner, allowed=lambda tensor: False) -> dict[int, list]:
    """Lets a run note what brings values to the host, by iteration. Loading a batch is not part of a step."""
    seen: dict[int, list] = {}
    run_iter = runner.train_loop.run_iter

    def watched(batch):
        host_masks = {batch['mask'].untyped_storage().data_ptr()}
        notes = seen[runner.iter] = []

        def on_host(tensor):
            return tensor.untyped_storage().data_ptr() in host_masks or allowed(tensor)

        with _Methods(notes), _Operations(notes, on_host):
            run_iter(batch)

    runner.train_loop.run_iter = watched
    return seen


def test_a_step_asks_the_device_for_nothing(tmp_path, image_folder):
    """Between log intervals nothing is fetched, and at an interval each of loss and norm of the gradients once."""
    runner = tiny_run(image_folder(8), tmp_path / 'run')
    accelerate(runner.model, 'exact', allocator=False, cells=True)
    seen = watch(runner)
    runner.train()
    assert sorted(seen) == list(range(7))
    for number, notes in seen.items():
        if (number + 1) % 3:
            assert notes == [], f'iteration {number}'
        else:
            assert notes.count('tolist') == 2, f'iteration {number}'


def test_the_watch_sees_mmengines_own_steps(tmp_path, image_folder):
    """The same with the host's hook and optimiser wrapper, which ask for the loss twice (it is logged by two names)."""

    def host(cfg):
        cfg.default_hooks.runtime_info = dict(type='mmengine.RuntimeInfoHook')
        cfg.optim_wrapper.type = 'mmengine.OptimWrapper'
        cfg.optim_wrapper.pop('precision')

    runner = tiny_run(image_folder(8), tmp_path / 'run', iters=2, change=host)
    assert any(type(hook) is RuntimeInfoHook for hook in runner.hooks)
    accelerate(runner.model, 'exact', allocator=False, cells=True)
    seen = watch(runner)
    runner.train()
    assert type(runner.optim_wrapper) is OptimWrapper
    for notes in seen.values():
        assert 'item' in notes  # the loss
        assert '__float__' in notes  # the norm
        assert notes.count('aten::_local_scalar_dense') >= 2


def test_what_is_logged_is_what_mmengine_logs(tmp_path, image_folder):
    """Loss, norm of the gradients, rate and mask ratio, to the last digit, and after a resume too."""

    def host(cfg):
        cfg.default_hooks.runtime_info = dict(type='mmengine.RuntimeInfoHook')
        cfg.optim_wrapper.type = 'mmengine.OptimWrapper'
        cfg.optim_wrapper.pop('precision')

    folder = image_folder(8)
    tiny_run(folder, tmp_path / 'host', change=host).train()
    tiny_run(folder, tmp_path / 'ours').train()
    expected = logged(tmp_path / 'host')
    assert [row['step'] for row in expected] == [3, 6]
    assert {'loss', 'grad_norm', 'lr'} <= set(expected[0])
    assert logged(tmp_path / 'ours') == expected


def hub(name: str) -> MessageHub:
    MessageHub._instance_dict.pop(name, None)
    return MessageHub.get_instance(name)


def test_a_history_reads_like_the_hosts():
    """Every statistic, in any order of deferring, updating and reading."""
    ours, hosts = hub('ours'), hub('hosts')
    for number in range(12):
        value = torch.tensor(number**2 / 7)
        if number % 5 == 4:
            ours.update_scalar('train/loss', value, count=2)
            hosts.update_scalar('train/loss', value, count=2)
        else:
            defer_scalar(ours, 'train/loss', value)
            hosts.update_scalar('train/loss', value)
        if number % 4 == 0:
            buffer, reference = ours.get_scalar('train/loss'), hosts.get_scalar('train/loss')
            assert buffer.current() == reference.current()
            assert buffer.mean(3) == reference.mean(3)
            assert buffer.max() == reference.max()
            assert buffer.statistics('min', 2) == reference.min(2)
    for values, references in zip(buffer.data, reference.data, strict=True):
        np.testing.assert_array_equal(values, references)


def test_gradients_are_not_kept_and_types_are():
    buffer = DeferredBuffer()
    graph = (torch.ones(1, requires_grad=True) * 2).sum()
    buffer.defer(graph)
    assert not buffer._waiting[0].requires_grad
    buffer.defer(torch.tensor([0.1], dtype=torch.bfloat16))
    assert buffer.data[0].tolist() == [2.0, torch.tensor(0.1, dtype=torch.bfloat16).item()]


def test_a_history_that_nobody_reads_stays_small():
    buffer = DeferredBuffer()
    for _ in range(MOST_WAITING + 3):
        buffer.defer(torch.zeros(()))
    assert len(buffer._waiting) == 3
    assert len(buffer.data[0]) == MOST_WAITING + 3


def test_the_longest_history_is_the_hosts():
    buffer = DeferredBuffer(HistoryBuffer([1.0, 2.0], [1, 1], max_length=3))
    for value in (3.0, 4.0):
        buffer.defer(torch.tensor(value))
    assert buffer.data[0].tolist() == [2.0, 3.0, 4.0]


@pytest.mark.parametrize('dumped', [copy.deepcopy, lambda buffer: pickle.loads(pickle.dumps(buffer))])
def test_checkpoints_hold_plain_histories(dumped):
    """They can be read where this package is not, and a resumed run goes on from them."""
    saved = hub('saved')
    defer_scalar(saved, 'train/loss', torch.tensor(1.5))
    state = dumped(saved.state_dict())
    assert type(state['log_scalars']['train/loss']) is HistoryBuffer
    resumed = hub('resumed')
    resumed.load_state_dict(state)
    defer_scalar(resumed, 'train/loss', torch.tensor(2.5))
    assert resumed.get_scalar('train/loss').data[0].tolist() == [1.5, 2.5]
    assert b'simmim_mm' not in pickle.dumps(saved.state_dict())
