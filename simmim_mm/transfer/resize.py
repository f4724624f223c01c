"""An encoder of mmpretrain at another window or image size: its config, and its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from simmim_mm.transfer.checks import expected_weights
from simmim_mm.transfer.positions import resize_absolute, resize_bias_table
from simmim_mm.transfer.targets.base import image_hw, swin_windows

TABLE, SHARED = 'relative_position_bias_table', 'rel_pos_bias.relative_position_bias_table'
BIASES = ('use_rel_pos_bias', 'use_shared_rel_pos_bias')  # options of mmpretrain's BEiTViT
_SWINS = ('SwinTransformer', 'SwinTransformerV2')
_SIZED = (*_SWINS, 'VisionTransformer', 'BEiTViT')

# Cells a side: all of the first stage of an image of 256 px.
LARGEST_WINDOW = 64


def retarget(
    backbone: Mapping[str, Any],
    module: nn.Module,
    window_size: Sequence[int] | None = None,
    img_size: Sequence[int] | None = None,
    biases: str = 'as-trained',
) -> dict[str, Any]:
    """The config of an encoder at other sizes.

    Args:
        backbone: Config of the encoder as it was trained.
        module: The encoder.
        window_size: New window in cells, one number or one for each stage; None keeps it.
        img_size: New image size in pixels, one number or (H, W); None keeps it.
        biases: ``'as-trained'``, or ``'per-block'`` to copy a shared position bias to each block.

    Returns:
        The config.

    Raises:
        ValueError: If the encoder has no such size, or cannot have this one.
    """
    family = type(module).__name__
    config: dict[str, Any] = dict(backbone)
    if img_size is not None:
        config['img_size'] = _image(module, family, img_size)
    if window_size is not None:
        if family not in _SWINS:
            raise ValueError(f'{family} has no windows; leave --window-size out')
        if any(size > LARGEST_WINDOW for size in window_size):
            raise ValueError(
                f'--window-size {" ".join(map(str, window_size))}: windows have at most {LARGEST_WINDOW} cells a side, '
                'as each attends to its square'
            )
        config = _with_windows(config, module, family, window_size)
    if family in _SWINS:
        config = _with_padding(config, module, window_size)
    if biases not in ('as-trained', 'per-block'):
        raise ValueError(f'--rel-pos-bias {biases!r} is unknown; use as-trained or per-block')
    if biases == 'per-block':
        if SHARED not in module.state_dict():
            raise ValueError(f'this {family} has no position bias that all blocks share; leave --rel-pos-bias out')
        config.update(use_rel_pos_bias=True, use_shared_rel_pos_bias=False)
    return config


def fit(
    source: nn.Module, module: nn.Module, old: Mapping[str, Any], new: Mapping[str, Any], method: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights for an encoder at other sizes.

    Args:
        source: The encoder as it was trained.
        module: The same at the new sizes.
        old: Config of the first.
        new: Config of the second.
        method: How position biases are resized.

    Returns:
        Weights by the keys of ``module``, without what its class computes; and what was resized, by key, in words.

    Raises:
        ValueError: If a weight has another shape for another reason.
    """
    state = source.state_dict()
    weights, resized = {}, {}
    for key, wanted in expected_weights(module.state_dict()).items():
        from_key = SHARED if key not in state and key.endswith(f'.attn.{TABLE}') else key
        value = state[from_key]
        if value.shape != wanted.shape:
            if key.endswith(TABLE):
                was, now = _window(source, from_key), _window(module, key)
                value = resize_bias_table(value, was, now, method)
            elif key in ('pos_embed', 'absolute_pos_embed'):
                was, now = _grid(source), _grid(module)
                value = resize_absolute(value, now, was, extra=1 if 'cls_token' in state and key == 'pos_embed' else 0)
            if value.shape != wanted.shape:
                raise ValueError(
                    f'{key} has the shape {tuple(value.shape)}, and at the new sizes {tuple(wanted.shape)}; only '
                    'position biases and absolute positions can be resized'
                )
            resized[key] = f'{was[0]}x{was[1]} -> {now[0]}x{now[1]} cells'
        weights[key] = value.detach().clone()
    return weights, resized


def _image(module: nn.Module, family: str, size: Sequence[int]) -> int | tuple[int, int]:
    if family not in _SIZED:
        raise ValueError(f'{family} takes images of any size as it is; leave --img-size out')
    if len(size) not in (1, 2):
        raise ValueError(f'--img-size {" ".join(map(str, size))} has to be one number, or height and width')
    patch = module.get_parameter('patch_embed.projection.weight').shape[-1]
    if any(side < patch or side % patch for side in size):
        raise ValueError(f'--img-size {" ".join(map(str, size))} has to be made of whole patches of {patch} px')
    return size[0] if len(set(size)) == 1 else (size[0], size[1])


def _with_windows(config: dict[str, Any], module: nn.Module, family: str, windows: Sequence[int]) -> dict[str, Any]:
    old = swin_windows(module)
    if len(windows) not in (1, len(old)) or any(window < 2 for window in windows):
        raise ValueError(
            f'--window-size {" ".join(map(str, windows))} has to be one number from 2, or one for each of the '
            f'{len(old)} stages'
        )
    new = list(windows) * (len(old) // len(windows))
    if family == 'SwinTransformerV2':
        trained = list(config.get('pretrained_window_sizes', [0] * len(old)))
        if new != old:  # the coordinates of the position bias stay in units of the windows of pre-training
            config['pretrained_window_sizes'] = trained if any(trained) else old
        return {**config, 'window_size': new}
    stages = config.get('stage_cfgs', {})
    stages = [dict(stage) for stage in (stages if isinstance(stages, list | tuple) else [stages] * len(old))]
    for stage in stages:
        stage.pop('window_size', None)
        if 'block_cfgs' in stage:
            stage['block_cfgs'] = {key: value for key, value in stage['block_cfgs'].items() if key != 'window_size'}
            if not stage['block_cfgs']:
                del stage['block_cfgs']
    config = {key: value for key, value in config.items() if key not in ('stage_cfgs', 'window_size')}
    if len(set(new)) == 1:
        config['window_size'] = new[0]
    else:
        stages = [dict(stage, window_size=window) for stage, window in zip(stages, new, strict=True)]
    if any(stages):
        config['stage_cfgs'] = stages
    return config


def _with_padding(config: dict[str, Any], module: nn.Module, windows: Sequence[int] | None) -> dict[str, Any]:
    """Lets mmpretrain pad a feature map that is smaller than a window, which it otherwise refuses."""
    patch = module.get_parameter('patch_embed.projection.weight').shape[-1]
    old = swin_windows(module)
    new = old if windows is None else list(windows) * (len(old) // len(windows))
    side = min(image_hw(config))
    if any(window > side // (patch * 2**stage) for stage, window in enumerate(new)):
        config['pad_small_map'] = True
    return config


def _window(module: nn.Module, key: str) -> tuple[int, int]:
    """The window of the table with this key, in cells."""
    owner: Any = module.get_submodule(key.rpartition('.')[0])
    height, width = owner.window_size
    return int(height), int(width)


def _grid(module: nn.Module) -> tuple[int, int]:
    height, width = module.patch_resolution  # type: ignore[misc]
    return int(height), int(width)
