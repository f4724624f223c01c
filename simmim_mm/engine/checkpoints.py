"""Models from checkpoints of this package."""

from __future__ import annotations

import os
import pickle
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from torch import nn

from simmim_mm.registry import MODELS
from simmim_mm.transfer.files import check_finite
from simmim_mm.transfer.identify import EXPECTED, check_torch_file
from simmim_mm.transfer.plain_data import foreign_objects, plain_data


def load_model(cfg: Config, checkpoint: str) -> nn.Module:
    """Builds the model of a config and loads a pre-training checkpoint of it, every key.

    Args:
        cfg: The config that the checkpoint was trained with.
        checkpoint: A file that a run of it wrote.

    Returns:
        The model, on the GPU if there is one, in evaluation mode.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no checkpoint, one of another model, or holds numbers that are not finite.
    """
    state = read_checkpoint(checkpoint)
    init_default_scope(cfg.get('default_scope', 'simmim_mm'))
    model = MODELS.build(cfg.model)
    check_keys(model, state, checkpoint)
    check_finite(state, checkpoint)
    # Every key was checked; mmpretrain's Swin V2 drops its buffers from what it loads, and would miss them then.
    model.load_state_dict(state, strict=False)
    model.eval()
    return model.to(get_device())


def read_checkpoint(checkpoint: str) -> dict[str, torch.Tensor]:
    """Reads the weights of a checkpoint, on the CPU.

    Args:
        checkpoint: The file.

    Returns:
        Weights by key.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no weights.
    """
    return read_run(checkpoint)[0]


def read_run(checkpoint: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Reads the weights of a checkpoint, on the CPU, and what it says of its run.

    Args:
        checkpoint: The file.

    Returns:
        Weights by key; MMEngine's ``meta``, empty where there is none.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds no weights, or Python objects beside tensors and plain data.
    """
    loaded = read_plain(checkpoint)
    state = loaded.get('state_dict', loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ValueError(f'{checkpoint!r} holds no weights by name; name a checkpoint that a run wrote')
    meta = loaded.get('meta')
    return state, meta if isinstance(meta, dict) else {}


def read_plain(checkpoint: str) -> Any:
    """Reads tensors and plain data of a file, on the CPU; code in it is not run.

    Args:
        checkpoint: The file.

    Returns:
        What ``torch.save`` was given.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no whole file of PyTorch, or holds Python objects beside tensors and plain data.
    """
    if not os.path.isfile(checkpoint):
        raise FileNotFoundError(f'checkpoint {checkpoint!r} is no file (seen from {os.getcwd()})')
    kind = check_torch_file(checkpoint)
    try:
        with plain_data():
            return torch.load(checkpoint, map_location='cpu', weights_only=True)
    except Exception as error:
        names = foreign_objects(checkpoint) if kind == 'zip' else []
        if names or (isinstance(error, pickle.UnpicklingError) and 'GLOBAL' in str(error)):
            what = ', '.join(names[:4]) or 'objects of Python'
            raise ValueError(
                f'{checkpoint!r} holds more than tensors and plain data ({what}), which is not created, as it can run '
                "any code; save it again without, as torch.save({'state_dict': model.state_dict()}, FILE) does"
            ) from error
        raise ValueError(f'{checkpoint!r} is no PyTorch checkpoint, or a damaged one; {EXPECTED}') from error


def check_keys(model: nn.Module, state: dict[str, torch.Tensor], checkpoint: str) -> None:
    """Checks that weights are those of a model, every key and shape.

    Args:
        model: The model.
        state: Weights by key.
        checkpoint: Where they come from, for the message.

    Raises:
        ValueError: If they are not, with how many keys of which kind.
    """
    expected = model.state_dict()
    missing = [key for key in expected if key not in state]
    foreign = [key for key in state if key not in expected]
    wrong = [
        f'{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}'
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    check_input_channels(expected, state, checkpoint)
    if missing or foreign or wrong:
        problems = [
            f'{len(keys)} {what} (such as {keys[0]})'
            for keys, what in ((missing, 'missing keys'), (foreign, 'unknown keys'), (wrong, 'wrong shapes'))
            if keys
        ]
        raise ValueError(
            f'{checkpoint!r} is not of the model in this config: {", ".join(problems)}; use the config that it was '
            'trained with, which stands in its work dir'
        )


def check_input_channels(expected: dict[str, torch.Tensor], state: dict[str, torch.Tensor], checkpoint: str) -> None:
    """Checks that weights are of a model that takes as many channels.

    Args:
        expected: Weights of the model, by key.
        state: Weights of the checkpoint, by key.
        checkpoint: Where they come from, for the message.

    Raises:
        ValueError: If the first convolutions of the encoders differ in nothing but their input channels.
    """
    for key, value in expected.items():
        stored = state.get(key)
        if stored is None or value.ndim != 4 or stored.ndim != 4 or not key.startswith('backbone.'):
            continue
        if (
            stored.shape[1] != value.shape[1]
            and stored.shape[:1] + stored.shape[2:] == value.shape[:1] + value.shape[2:]
        ):
            raise ValueError(
                f'{checkpoint!r} is not of the model in this config: it was trained on images of {stored.shape[1]} '
                f'channels ({key}), and model.data_preprocessor has {value.shape[1]}; change its channels, or use the '
                'config that the checkpoint was trained with'
            )
        return  # the first convolution alone
