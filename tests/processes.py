"""Several processes on one CPU, forked from the test: they need not import anything again."""

from __future__ import annotations

import gc
import multiprocessing
import os
import traceback
from collections.abc import Callable
from typing import Any

import mmpretrain.models  # noqa: F401  (takes seconds, which each process would spend anew)
import torch


def in_processes(number: int, function: Callable[..., Any], *args: Any, timeout: float = 120) -> list[Any]:
    """Runs a function in each of several processes, as torchrun would start them, and returns what they returned.

    Args:
        number: Of processes.
        function: To run; what it returns can be pickled.
        *args: Its arguments.
        timeout: Seconds after which the processes are ended.

    Raises:
        AssertionError: If one of them fails, with its traceback, or hangs.
    """
    context = multiprocessing.get_context('fork')
    queue = context.SimpleQueue()
    port = 20000 + os.getpid() % 20000
    processes = [
        context.Process(target=_work, args=(queue, rank, number, port, function, args)) for rank in range(number)
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(timeout)
        results = {}
        while not queue.empty():
            rank, failure, value = queue.get()
            assert failure is None, f'process {rank} of {number}:\n{failure}'
            results[rank] = value
        assert sorted(results) == list(range(number)), f'only processes {sorted(results)} of {number} came to an end'
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [results[rank] for rank in range(number)]


def _work(queue: Any, rank: int, number: int, port: int, function: Callable[..., Any], args: tuple) -> None:
    environment = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=number, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    os.environ.update({name: str(value) for name, value in environment.items()})
    torch.set_num_threads(1)
    # Loaders that the tests before have left behind are not this process's to collect: they raise in their finaliser,
    # pytest formats that with `ast.parse`, and `ast.parse` is not reentrant (python/cpython#106905).
    gc.freeze()
    try:
        queue.put((rank, None, function(*args)))
    except BaseException:
        queue.put((rank, traceback.format_exc(), None))
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    os._exit(0)
