"""Last looks at a run before it starts."""

from __future__ import annotations

import logging
import os

from mmengine.config import Config
from mmengine.hooks import LoggerHook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner

from simmim_mm.datasets.device_decoding import check_device
from simmim_mm.datasets.transforms import CenterCrop, RandomResizedCrop
from simmim_mm.datasets.wrappers import base_datasets
from simmim_mm.engine.hooks import SampleProgressHook, UnreadableImagesHook
from simmim_mm.engine.newest import newest_checkpoint
from simmim_mm.models import MaskedImagePreprocessor, SimMIM
from simmim_mm.transfer.identify import check_torch_file


def check_start(cfg: Config) -> None:
    """Checks the file that a run starts from before anything is built; MMEngine loads it late.

    Args:
        cfg: The config.

    Raises:
        FileNotFoundError: If the config names a file that is not there.
        ValueError: If it is damaged or no checkpoint.
    """
    checkpoint = str(cfg.get('load_from') or '')
    if not checkpoint or '://' in checkpoint or os.path.isdir(checkpoint):  # an address; what other runners write
        return
    if not os.path.isfile(checkpoint):
        raise FileNotFoundError(
            f'load_from={checkpoint!r} is no file (seen from {os.getcwd()}); name a checkpoint that a run wrote'
        )
    try:
        check_torch_file(checkpoint)
    except ValueError as error:
        way = '. --resume without a file takes the newest checkpoint in the work dir that is whole'
        raise ValueError(f'{error}{way if cfg.get("resume") else ""}') from error


def find_resumed(cfg: Config) -> None:
    """Names the checkpoint that a resumed run goes on from; without any, the run starts from the beginning.

    Args:
        cfg: The config. Changed in place.

    Raises:
        ValueError: If all checkpoints are damaged.
    """
    if cfg.get('load_from') or not cfg.get('resume'):
        return
    cfg.load_from = newest_checkpoint(cfg.get('work_dir') or '.')
    if cfg.load_from is None:
        print_log(f'Nothing to resume in {cfg.work_dir}: the run starts from the beginning', logger=None)
        cfg.resume = False


def prepare(runner: Runner) -> None:
    """Adds what a run needs, and warns of what it does not seem to mean.

    Adds a :class:`SampleProgressHook` and an :class:`UnreadableImagesHook` where ``custom_hooks`` have none, as a list
    of one's own takes the place of the inherited one. Where the loop counts iterations, results of validations are
    logged by iteration too; the host has them all at epoch 0, unless ``log_metric_by_epoch=False`` of its
    ``LoggerHook`` is remembered. Warns if the model was tried at another image size than that of the crops.

    Args:
        runner: Before training.

    Raises:
        ValueError: If images are to be decoded on the device, and cannot.
    """
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if not isinstance(model, SimMIM):
        return
    _check_decoding(runner, model)
    for kind in (SampleProgressHook, UnreadableImagesHook):
        if not any(isinstance(hook, kind) for hook in runner.hooks):
            runner.register_hook(kind())
    if isinstance(runner.train_loop, IterBasedTrainLoop):
        for hook in runner.hooks:
            if isinstance(hook, LoggerHook):
                hook.log_metric_by_epoch = False
    for dataset in base_datasets(runner.train_dataloader.dataset):
        for step in getattr(dataset.pipeline, 'transforms', []):
            if isinstance(step, RandomResizedCrop | CenterCrop) and step.size != model.image_hw:
                print_log(
                    f'The training images are {step.size[0]}x{step.size[1]}, and model.img_size is '
                    f'{model.image_hw[0]}x{model.image_hw[1]}: the size of the crop counts; set model.img_size (and '
                    'img_size of the backbone, where it has one) to the same',
                    logger='current',
                    level=logging.WARNING,
                )


def _check_decoding(runner: Runner, model: SimMIM) -> None:
    """Looks at data sets with ``decode='device'`` as soon as the device is known."""
    for name, loop in (('train_dataloader', runner.train_loop), ('val_dataloader', runner.val_loop)):
        dataset = None if loop is None else loop.dataloader.dataset
        if not any(getattr(base, 'decode', None) == 'device' for base in base_datasets(dataset)):
            continue
        setting = f"decode='device' of the data set in {name}"
        if not hasattr(dataset, '__getitems__'):
            raise ValueError(
                f'{setting} needs whole batches, and {type(dataset).__name__} takes single images from it; name all '
                "images with one list_file or pattern of UnlabelledImages, or use decode='worker'"
            )
        if not isinstance(model.data_preprocessor, MaskedImagePreprocessor):
            raise ValueError(
                f'{setting} is decoded by MaskedImagePreprocessor, and model.data_preprocessor is a '
                f"{type(model.data_preprocessor).__name__}; change it, or use decode='worker'"
            )
        device = model.data_preprocessor.mean.device
        check_device(device)
        if device.type == 'cpu':
            print_log(
                f'{setting}: the model is on the CPU, so the main process decodes what workers could; use '
                "decode='worker' here",
                logger='current',
                level=logging.WARNING,
            )
