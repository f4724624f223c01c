"""A network that is used and never changed."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from simmim_mm.compat import plain_drop_rates
from simmim_mm.models.derive import check_config, with_channels
from simmim_mm.models.probe import probe_map
from simmim_mm.registry import MODELS

PREFIX = 'backbone.'


class FrozenTeacher:
    """Holds a network out of sight of the module that uses it.

    A submodule would be in the module's parameters, mode, checkpoints, weight initialisation and averages; a teacher
    belongs in none of them. Copies of the holder share the network, as it never changes.

    Args:
        network: The network; frozen and set to evaluation mode.
    """

    def __init__(self, network: nn.Module) -> None:
        network.requires_grad_(False)
        network.eval()
        self.network = network

    @classmethod
    def build(cls, teacher: Any, checkpoint: str | None, channels: int, slot: str = 'teacher') -> FrozenTeacher:
        """Builds a network and reads its weights.

        Args:
            teacher: Its config.
            checkpoint: File with its weights, of the network alone or of a model whose ``backbone`` it is.
            channels: Of the images.
            slot: What the target calls it, for messages.

        Returns:
            The holder.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If there is no config or file name, or the weights are not the network's, every key and shape.
        """
        # Imported late: the engine imports the models.
        from simmim_mm.engine.checkpoints import read_checkpoint

        check_config(teacher, f'head.target.{slot}')
        if not isinstance(checkpoint, str) or not checkpoint:
            raise ValueError(
                f'checkpoint={checkpoint!r} of model.head.target must be a file with the weights of the {slot}; '
                'without them it would be a random network'
            )
        if not os.path.isfile(checkpoint):
            raise FileNotFoundError(
                f'there is no file {checkpoint!r} (seen from {os.getcwd()}); model.head.target.checkpoint must be '
                f'the trained weights of the {slot} {teacher["type"]}: a state dict, as torch.save writes it, with the '
                f"network's own keys, or with {PREFIX!r} before them"
            )
        state = backbone_weights(read_checkpoint(checkpoint))
        network = MODELS.build(with_channels(teacher, channels))
        plain_drop_rates(network)
        _check_weights(network, state, checkpoint, slot)
        if not next(network.parameters()).is_meta:
            network.load_state_dict(state)
        return cls(network)

    def probe(self, channels: int, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Width and stride of the last feature map; see :func:`~simmim_mm.models.probe.probe_map`."""
        return probe_map(self.network, channels, image_hw)

    def moved(self, fn: Callable) -> FrozenTeacher:
        """A holder of a copy on another device or in another type, so that models that share this one keep it."""
        return FrozenTeacher(copy.deepcopy(self.network)._apply(fn))

    def __deepcopy__(self, memo: dict) -> FrozenTeacher:
        """Shares the network."""
        return self


def backbone_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a model's ``backbone``, with its own keys; all of them where nothing is called so."""
    inside = {key[len(PREFIX) :]: value for key, value in state.items() if key.startswith(PREFIX)}
    return inside or state


def _check_weights(network: nn.Module, state: dict[str, torch.Tensor], checkpoint: str, slot: str) -> None:
    expected = network.state_dict()
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if key not in expected]
    shapes = [
        f'{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}'
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    kinds = ((missing, 'missing keys'), (unknown, 'unknown keys'), (shapes, 'wrong shapes'))
    problems = [f'{len(keys)} {what} (such as {", ".join(keys[:3])})' for keys, what in kinds if keys]
    if problems:
        raise ValueError(
            f'{checkpoint!r} does not hold the weights of the {slot} {type(network).__name__}, which has '
            f'{len(expected)} keys: {"; ".join(problems)}; change the arguments of model.head.target.{slot} (its '
            "img_size and window_size too), or take a checkpoint of that class with the network's own keys, or with "
            f'{PREFIX!r} before them'
        )
