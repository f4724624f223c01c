"""Lever ``fp8``: matrix products of the encoder's linear layers in floating point of 8 bits, by torchao.

Input, weight and gradient are scaled so that their largest value is the largest that 8 bits hold, rounded, multiplied,
and scaled back; the result has the type that it has without (Micikevicius et al., FP8 formats for deep learning,
https://arxiv.org/abs/2209.05433). Weights, gradients and states of the optimiser stay what they are.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from typing import Any

import torch
from mmcv.cnn import Linear as MMCVLinear
from torch import nn

from simmim_mm.acceleration.blocks import BLOCKS, blocks_of

# torchao's names of where scales are taken: one a tensor; one a row; one a row, with the gradient of weights left out.
RECIPES = ('tensorwise', 'rowwise', 'rowwise_with_gw_hp')
# Sizes of matrices that the hardware multiplies are multiples of this.
MULTIPLE = 16
LOWEST_CAPABILITY = (8, 9)
AMD = ('gfx94', 'gfx95')  # MI300 and later
# Class name of a part of blocks, or of one that it inherits from -> paths of layers that are not called as modules, or
# that compute in full precision on purpose.
LEFT_OUT = {
    'WindowMSAV2': ('qkv', 'cpb_mlp.0', 'cpb_mlp.2'),
    'BEiTAttention': ('qkv',),
}


def check(value: Any) -> None:
    """Checks the value of the lever.

    Args:
        value: A recipe of :data:`RECIPES`; True for the first.

    Raises:
        ValueError: If it is something else, or torchao is missing.
    """
    if value is not True and (not isinstance(value, str) or value not in RECIPES):
        allowed = ', '.join(repr(allowed) for allowed in (False, True, *RECIPES))
        raise ValueError(f'acceleration.fp8={value!r} is unknown; use one of {allowed}')
    if importlib.util.find_spec('torchao') is None:
        raise ValueError(
            f"acceleration.fp8={value!r} needs torchao, which is not installed: pip install 'simmim_mm[fp8]', or "
            'delete fp8'
        )


def device_refusal(device: torch.device) -> str | None:
    """Why a device does not multiply in FP8; None if it does.

    Args:
        device: Of the model.

    Returns:
        The reason, for a message.
    """
    needs = 'it needs compute capability 8.9 or later (Ada, Hopper), or AMD MI300'
    if device.type != 'cuda':
        return f'the model is on a device of type {device.type}; {needs}'
    if torch.version.hip is not None:
        name = torch.cuda.get_device_properties(device).gcnArchName
        return None if name.startswith(AMD) else f'the device is {name}; {needs}'
    capability = torch.cuda.get_device_capability(device)
    if capability < LOWEST_CAPABILITY:
        return f'the device has compute capability {capability[0]}.{capability[1]}; {needs}'
    return None


def apply(model: nn.Module, value: Any) -> str:
    """Changes the linear layers of the encoder's blocks, where the hardware has FP8.

    Args:
        model: A built model, changed in place.
        value: See :func:`check`.

    Returns:
        What was done, or why not.

    Raises:
        ValueError: If the value is unknown or torchao is missing.
    """
    check(value)
    reason = device_refusal(next(model.parameters()).device)
    if reason is not None:
        return f'does not apply: {reason}'
    return convert(model, RECIPES[0] if value is True else value)


def convert(model: nn.Module, recipe: str, emulate: bool = False) -> str:
    """Changes the linear layers of the encoder's blocks whose sizes are multiples of 16.

    Args:
        model: A built model, changed in place.
        recipe: One of :data:`RECIPES`.
        emulate: Whether rounded values are multiplied in fp32, on any device: for tests, slower than without.

    Returns:
        What was done, or why not.

    Raises:
        ValueError: If torchao does not work with this PyTorch.
    """
    try:
        from torchao.float8 import Float8LinearConfig

        from simmim_mm.acceleration.fp8_linear import use_fp8
    except (ImportError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f'torchao, which acceleration.fp8 needs, does not work with torch {torch.__version__} ({error}); install '
            "the version that goes with it (pip install -U 'simmim_mm[fp8]'), or delete fp8"
        ) from error
    blocks = blocks_of(getattr(model, 'backbone', model))
    if not blocks:
        return f'does not apply: no block is known in this encoder (known: {", ".join(BLOCKS)})'
    left_out = {id(layer) for block in blocks for part in block.modules() for layer in _left_out(part)}
    layers: list[Any] = [
        module
        for block in blocks
        for module in block.modules()
        if type(module) in (nn.Linear, MMCVLinear) and 'forward' not in vars(module) and id(module) not in left_out
    ]
    chosen = [layer for layer in layers if layer.in_features % MULTIPLE == 0 and layer.out_features % MULTIPLE == 0]
    if not chosen:
        return f'does not apply: no linear layer in a block has sizes that are multiples of {MULTIPLE}'
    config = Float8LinearConfig.from_recipe_name(recipe)
    if emulate:
        config = dataclasses.replace(config, emulate=True)
    for layer in chosen:
        use_fp8(layer, config)
    return (
        f'{len(chosen)} of {len(layers)} linear layers in blocks multiply in FP8, {recipe}: losses differ from those '
        'of the plain run'
    )


def _left_out(part: nn.Module) -> list[nn.Module]:
    paths = [path for cls in type(part).__mro__ for path in LEFT_OUT.get(cls.__name__, ())]
    return [part.get_submodule(path) for path in paths]
