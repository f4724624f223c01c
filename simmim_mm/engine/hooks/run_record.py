"""What a run was made with, for later."""

from __future__ import annotations

import datetime
import json
import logging
import os
import socket
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner

import simmim_mm
from simmim_mm.atomic import write_atomically
from simmim_mm.datasets.file_list import describe_data
from simmim_mm.environment import describe_environment
from simmim_mm.git_state import git_state
from simmim_mm.registry import HOOKS

FILE_NAME = 'run_record.json'
KEY = 'simmim_mm_record'  # in checkpoints


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Writes ``run_record.json`` beside the log of each start of a run.

    It has the command, the config, the seed, the versions, the commits of the code, the machine, and a hash of the list
    of training files (:func:`~simmim_mm.datasets.file_list.describe_data`). Checkpoints have seed, versions, data and
    the number of images of a batch too; a run that goes on from one of which these differ says so in one warning.
    """

    # Before what reads or draws, so that the record is there if that fails.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._record: dict[str, Any] = {}
        self._facts: dict[str, Any] | None = None
        self._earlier: dict[str, Any] | None = None
        self._given_seed: int | None = None

    def before_run(self, runner: Runner) -> None:
        """Notes the seed that the config gives, which a resumed checkpoint overrides."""
        self._given_seed = runner.seed

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keeps what the checkpoint was made with."""
        if runner._resume:
            self._earlier = checkpoint.get(KEY)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adds what a run that goes on from here is compared with."""
        if self._facts is not None:
            checkpoint[KEY] = self._facts

    def before_train(self, runner: Runner) -> None:
        """Writes the record, and compares."""
        if not dist.is_main_process():
            return
        environment = describe_environment(get_device().split(':')[0])
        # By epochs, validations are logged with the number of the epoch alone.
        loader = runner.train_dataloader
        self._facts = {
            'seed': self._given_seed,
            'versions': {
                'simmim_mm': environment.pop('simmim_mm'),
                'python': environment.pop('python'),
                **environment.pop('versions'),
            },
            'data': describe_data(runner.train_dataloader.dataset),
            'images_per_batch': None if loader.batch_size is None else loader.batch_size * dist.get_world_size(),
        }
        self._record = {
            'start_iter': runner.iter,
            'iters_per_epoch': len(loader),
            'max_iters': runner.max_iters,
            'finished': None,
            'resumed_from': runner._load_from if runner._resume else None,
            'batch_size': loader.batch_size,
            'num_processes': dist.get_world_size(),
            **self._facts,
            'git': _commits(),
            'environment': {
                **environment,
                'host': socket.gethostname(),
                'memory_gib': _memory_gib(),
                'device': get_device(),
                'num_devices': torch.cuda.device_count() if torch.cuda.is_available() else 0,
            },
            'config': runner.cfg.pretty_text,
        }
        if self._earlier is not None:
            self._record['changes'] = changes(self._earlier, self._facts)
            if self._record['changes']:
                runner.logger.log(
                    logging.WARNING,
                    f'The run goes on from {runner._load_from} with something else than before: '
                    + '; '.join(self._record['changes'])
                    + '. It will not end as it would have without the change',
                )
        self._write(runner)

    def after_train(self, runner: Runner) -> None:
        """Notes that the run came to its end."""
        if self._record:
            self._record['finished'] = _now()
            self._write(runner)

    def _write(self, runner: Runner) -> None:
        text = json.dumps(self._record, indent=2)
        write_atomically(os.path.join(runner.log_dir, FILE_NAME), lambda draft: Path(draft).write_text(f'{text}\n'))


def changes(earlier: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Compares what two starts of a run were made with.

    Args:
        earlier: ``seed``, ``versions``, ``data`` and ``images_per_batch``, which older checkpoints do not have.
        now: The same of the later start.

    Returns:
        A phrase for each difference.
    """
    found = []
    if earlier.get('seed') != now['seed']:
        found.append(
            f'seed {earlier.get("seed")} -> {now["seed"]} (order, crops and masks follow the new one, what the model '
            'draws the one of the checkpoint)'
        )
    versions = earlier.get('versions', {})
    found += [
        f'{name} {versions.get(name, "(none)")} -> {now["versions"].get(name, "(none)")}'
        for name in {**versions, **now['versions']}
        if versions.get(name) != now['versions'].get(name)
    ]
    batches = [facts.get('images_per_batch') for facts in (earlier, now)]
    if None not in batches and batches[0] != batches[1]:
        found.append(
            f'{batches[0]} -> {batches[1]} images of a batch, over all processes (the number of the iteration is kept, '
            'so that the position in the data is another one: images are left out, or seen twice; '
            f'train_dataloader.batch_size times processes should be {batches[0]})'
        )
    before, after = ([_without_root(part) for part in facts.get('data', [])] for facts in (earlier, now))
    if before != after:
        found.append(f'training data {_in_words(before)} -> {_in_words(after)}')
    return found


def _without_root(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != 'data_root'}  # the same files may have moved


def _in_words(data: list[dict[str, Any]]) -> str:
    return ' + '.join(f'{part["num_files"]} files (list {(part["list_sha256"] or "unknown")[:12]})' for part in data)


def _commits() -> dict[str, Any]:
    """Of this package, and of the folder that the run was started in where that is another checkout."""
    package = Path(simmim_mm.__file__).parent
    own, here = git_state(package, tracked='__init__.py'), git_state(os.getcwd())
    return {'simmim_mm': own, 'working_directory': here if here and (not own or here['root'] != own['root']) else None}


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')
