"""What a backbone does to an image's shape, found out by one forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simmim_mm.masking import expand
from simmim_mm.models.outputs import first_tensor, last_map, token_grid


class BackboneLayout(NamedTuple):
    """Shapes of a backbone.

    Attributes:
        stem_width: Width of the stem's tokens.
        stem_stride: Pixels per side of a stem cell.
        width: Channels of the last feature map.
        stride: Pixels per side of a cell of the last feature map.
    """

    stem_width: int
    stem_stride: int
    width: int
    stride: int


@torch.no_grad()
def probe_backbone(backbone: nn.Module, stem: nn.Module, channels: int, image_hw: tuple[int, int]) -> BackboneLayout:
    """Runs one black image through a backbone and reads the shapes off.

    The backbone's training state is the same afterwards. Works on the meta device too.

    Args:
        backbone: The backbone.
        stem: Its stem.
        channels: Channels of the images.
        image_hw: (H, W) of the images.

    Returns:
        The shapes.

    Raises:
        ValueError: If the backbone takes other channels or another size, if a window does not divide a feature map, or
            if its last output is no map.
    """
    name = type(backbone).__name__
    check_channels(backbone, stem, channels)
    seen: dict[str, Any] = {}
    handles = [stem.register_forward_hook(lambda module, args, output: seen.update(stem=output))]
    for module in backbone.modules():
        if (
            hasattr(module, 'window_size')
            and hasattr(module, 'shift_size')
            and not getattr(module, 'pad_small_map', True)
        ):
            handles.append(
                module.register_forward_pre_hook(
                    lambda module, args: _check_window(name, module.window_size, args[1], image_hw)
                )
            )
    parameter = next(backbone.parameters())
    image = torch.zeros(1, channels, *image_hw, device=parameter.device, dtype=parameter.dtype)
    try:
        with evaluating(backbone):
            features = last_map(backbone(image), backbone)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(
            f'{name} fails on an image of {channels}x{image_hw[0]}x{image_hw[1]} (channels, height, width): '
            f'{type(error).__name__}: {error}; change model.img_size, or the arguments of model.backbone'
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if 'stem' not in seen:
        raise ValueError(f'{name} does not call its stem in forward; change masker.stem')
    tokens = first_tensor(seen['stem'])
    _check_order(tokens, image_hw, f'the stem of {name}', 'change masker.stem to the convolution in it')
    remedy = "use an encoder that has them first, as timm's have with feature_cls='getter'"
    _check_order(features, image_hw, f'the last feature map of {name}', remedy)
    stem_hw = token_grid(tokens, image_hw)
    _check_position_biases(backbone, stem_hw, image_hw)
    stem_width = tokens.shape[2] if tokens.ndim == 3 else tokens.shape[1]
    return BackboneLayout(
        stem_width,
        _stride(image_hw, stem_hw, f'the stem of {name}'),
        features.shape[1],
        _stride(image_hw, (features.shape[-2], features.shape[-1]), f'the last feature map of {name}'),
    )


@torch.no_grad()
def probe_map(network: nn.Module, channels: int, image_hw: tuple[int, int]) -> tuple[int, int]:
    """Runs one black image through a network and reads its last feature map off.

    Args:
        network: The network; its training state is the same afterwards.
        channels: Channels of the images.
        image_hw: (H, W) of the images.

    Returns:
        Channels of the map, and pixels per side of one of its cells.

    Raises:
        ValueError: If the network does not take such images, or if its last output is no map of square cells.
    """
    name = type(network).__name__
    parameter = next(network.parameters())
    image = torch.zeros(1, channels, *image_hw, device=parameter.device, dtype=parameter.dtype)
    with evaluating(network):
        try:
            outputs = network(image)
        except Exception as error:
            raise ValueError(
                f'{name} fails on an image of {channels}x{image_hw[0]}x{image_hw[1]} (channels, height, width): '
                f'{type(error).__name__}: {error}'
            ) from error
    features = last_map(outputs, network)
    return features.shape[1], _stride(
        image_hw, (features.shape[-2], features.shape[-1]), f'the last feature map of {name}'
    )


@torch.no_grad()
def check_nothing_shows(
    masker: Any, backbone: nn.Module, layout: BackboneLayout, channels: int, image_hw: tuple[int, int]
) -> None:
    """Checks that features do not depend on hidden pixels, with two images that differ in nothing else.

    Not on the meta device, where nothing is computed.

    Args:
        masker: Attached to the backbone.
        backbone: The backbone.
        layout: Of the backbone.
        channels: Channels of the images.
        image_hw: (H, W) of the images.

    Raises:
        ValueError: If they do.
    """
    parameter = next(backbone.parameters())
    if parameter.is_meta:
        return
    # A masker that drops tokens may be able to do so with whole cells of the last map alone.
    stride = layout.stride if getattr(masker, 'leaves_hidden_empty', False) else layout.stem_stride
    h, w = image_hw[0] // stride, image_hw[1] // stride
    mask = (torch.arange(h)[:, None] + torch.arange(w)).remainder(2).bool()[None].to(parameter.device)
    image = torch.zeros(1, channels, *image_hw, device=parameter.device, dtype=parameter.dtype)
    other = image.masked_fill(expand(mask, image_hw).unsqueeze(1), 100.0)
    with evaluating(backbone), evaluating(masker):
        first, second = (masker.encode(backbone, each, mask)[0] for each in (image, other))
    if not torch.equal(first, second):
        raise ValueError(
            f'hidden pixels show in the features of {type(backbone).__name__}: the stem is not where its '
            'tokens come from; change masker.stem to the module that makes them, such as patch_embed'
        )


def check_channels(backbone: nn.Module, stem: nn.Module, channels: int) -> None:
    """Checks that the stem's first convolution takes the images' channels.

    Raises:
        ValueError: If it does not, or is a later layer.
    """
    convolution = next((module for module in stem.modules() if isinstance(module, nn.Conv2d)), None)
    if convolution is None or convolution.in_channels == channels:
        return
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    if convolution is not first:
        raise ValueError(
            f'the images have {channels} channels, but the stem that was found in {type(backbone).__name__} takes '
            f'{convolution.in_channels}: it is no first layer; change masker.stem to the module that makes tokens of '
            'the image'
        )
    raise ValueError(
        f'the images have {channels} channels (as many as data_preprocessor has means), but '
        f'{type(backbone).__name__} takes {convolution.in_channels}; change model.backbone.in_channels, or mean '
        'and std of the data_preprocessor'
    )


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; each submodule is in its own mode again afterwards."""
    # Not through the return value of ``train``: some backbones return None.
    modes = {child: child.training for child in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for child, mode in modes.items():
            child.training = mode


def _stride(image_hw: tuple[int, int], grid_hw: tuple[int, int], what: str) -> int:
    stride = image_hw[0] // grid_hw[0]
    if (stride * grid_hw[0], stride * grid_hw[1]) != image_hw:
        raise ValueError(
            f'{what} has {grid_hw[0]}x{grid_hw[1]} cells, which do not tile an image of {image_hw[0]}x{image_hw[1]} '
            'with squares; use an image size that is a multiple of the stride in both directions'
        )
    return stride


def _check_order(maps: Tensor, image_hw: tuple[int, int], what: str, remedy: str) -> None:
    """Refuses (B, h, w, D), which some of timm's encoders have, where (B, D, h, w) would be no map of the image."""
    if maps.ndim != 4:
        return
    height, width = image_hw
    first, last = ((h * width == w * height and height % h == 0) for h, w in (maps.shape[2:], maps.shape[1:3]))
    if last and not first:
        raise ValueError(f'{what} is {tuple(maps.shape)}, with channels last, and not (B, D, h, w); {remedy}')


def _check_window(name: str, window: int, map_hw: tuple[int, int], image_hw: tuple[int, int]) -> None:
    height, width = map_hw
    if height % window or width % window:
        fitting = [side for side in range(2, min(height, width) + 1) if height % side == width % side == 0]
        raise ValueError(
            f'window_size={window} does not divide the {height}x{width} feature map that {name} makes of a '
            f'{image_hw[0]}x{image_hw[1]} image; '
            + (
                f'use one of {", ".join(map(str, fitting))} (stage_cfgs sets it for one stage alone), '
                if fitting
                else ''
            )
            + 'change img_size, or allow padded windows with pad_small_map=True'
        )


def _check_position_biases(backbone: nn.Module, grid_hw: tuple[int, int], image_hw: tuple[int, int]) -> None:
    """Mmpretrain's BEiT has biases for one grid, and uses them for any other one of as many tokens."""
    biases = getattr(backbone, 'rel_pos_bias', None)
    window = tuple(getattr(biases, 'window_size', grid_hw))
    if window != grid_hw:
        raise ValueError(
            f'{type(backbone).__name__} has position biases for {window[0]}x{window[1]} tokens, and images of '
            f'{image_hw[0]}x{image_hw[1]} make {grid_hw[0]}x{grid_hw[1]}; set model.backbone.img_size, and the size of '
            'the crop, to the same'
        )
