"""What decoders cost, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from simmim_mm.datasets.transforms import RandomPatchMask
from simmim_mm.datasets.transforms.geometry import check_size
from simmim_mm.masking import Cells, hidden_cells, random_masks
from simmim_mm.models.derive import build_derived
from simmim_mm.models.simmim import SimMIM
from simmim_mm.registry import MODELS
from simmim_mm.tables import table

# The decoders of this package as they are by default, by the names that the tool knows them by.
DECODERS: dict[str, dict[str, Any]] = {
    'linear': dict(type='simmim_mm.LinearDecoder'),
    'mlp': dict(type='simmim_mm.MLPDecoder'),
    'deconv': dict(type='simmim_mm.DeconvDecoder'),
    'swin-tiny': dict(type='simmim_mm.SwinDecoder', arch='tiny'),
    'swin-base': dict(type='simmim_mm.SwinDecoder', arch='base'),
    'transformer': dict(type='simmim_mm.TransformerDecoder'),
    'cross-attention': dict(type='simmim_mm.CrossAttentionDecoder'),
}


class Cost(NamedTuple):
    """What a decoder costs for one image, and the encoder before it.

    Operations are those of matrix products, convolutions and attention in a forward pass; one multiplication and one
    addition are two operations.

    Attributes:
        parameters: Of the decoder.
        all_cells: Operations of the decoder for a whole map.
        hidden_cells: Operations of the decoder for the hidden cells alone, as in a training step.
        encoder: Operations of the encoder.
    """

    parameters: int
    all_cells: int
    hidden_cells: int
    encoder: int


@torch.no_grad()
def decoder_costs(
    model: SimMIM, necks: Mapping[str, dict[str, Any]], image_hw: tuple[int, int], mask: Tensor
) -> dict[str, Cost]:
    """Counts parameters and operations of decoders behind one encoder.

    Nothing is computed: the model is moved to the meta device, and stays there. (On CPUs, PyTorch's counter leaves out
    the products inside fused attention.)

    Args:
        model: A model with the encoder, target and loss; its own decoder tells the sizes.
        necks: Configs of the decoders, by name.
        image_hw: (H, W) of the image.
        mask: (1, h, w) bool, a mask of the image.

    Returns:
        The costs, by name.

    Raises:
        ValueError: If image, mask or a config do not fit the model.
    """
    channels = model.data_preprocessor.channels
    grid_hw = model.grid_of(image_hw)
    num_cells = len(hidden_cells(model.head.scored(mask), grid_hw).positions)
    sizes = dict(in_channels=model.neck.in_channels, out_channels=model.neck.out_channels, upscale=model.neck.upscale)
    model.to('meta')
    # A masker that leaves hidden tokens out looks at the mask; others compute the same whatever is hidden.
    seen = mask if getattr(model.masker, 'leaves_hidden_empty', False) else mask.to('meta')
    with FlopCounterMode(display=False) as encoder:
        images = torch.empty(1, channels, *image_hw, device='meta')
        features, hidden = model.masker.encode(model.backbone, images, seen)
    hidden = hidden.to('meta')
    cells = Cells(torch.empty(num_cells, dtype=torch.int64, device='meta'), grid_hw)
    costs = {}
    for name, neck in necks.items():
        decoder = build_derived(neck, 'neck', **sizes).to('meta')
        with FlopCounterMode(display=False) as whole:
            decoder(features, hidden)
        with FlopCounterMode(display=False) as selected:
            decoder(features, hidden, cells)
        costs[name] = Cost(
            sum(parameter.numel() for parameter in decoder.parameters()),
            whole.get_total_flops(),
            selected.get_total_flops(),
            encoder.get_total_flops(),
        )
    return costs


def choose_decoders(names: Sequence[str], own: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Decoders to compare, the linear one first.

    Args:
        names: Keys of :data:`DECODERS`; none for all of them.
        own: Config of a model's decoder, which is added as ``'config'`` where it is none of the chosen ones.

    Returns:
        Their configs.

    Raises:
        ValueError: If a name is unknown.
    """
    unknown = [name for name in names if name not in DECODERS]
    if unknown:
        raise ValueError(f'--decoders {" ".join(unknown)}: unknown; choose from {", ".join(DECODERS)}')
    chosen = {name: neck for name, neck in DECODERS.items() if not names or name in names or name == 'linear'}
    if own is not None:
        full = {**own, 'type': own['type'] if '.' in str(own['type']) else f'simmim_mm.{own["type"]}'}
        if full not in chosen.values():
            chosen['config'] = full
    return chosen


def compare_decoders(
    cfg: Mapping[str, Any], names: Sequence[str] = (), mask_ratio: float = 0.6, mask_patch_size: int = 32
) -> str:
    """Compares decoders behind the encoder of a config.

    Args:
        cfg: Config of a SimMIM model.
        names: See :func:`choose_decoders`.
        mask_ratio: Share of the mask's cells that are hidden, for the costs of a training step.
        mask_patch_size: Side of these cells, in pixels.

    Returns:
        A heading and a table in Markdown.

    Raises:
        ValueError: If something does not fit.
    """
    if 'backbone' not in cfg:
        raise ValueError('the config has no model with a backbone; name a pre-training config')
    kind = MODELS.get(cfg['type']) if isinstance(cfg.get('type'), str) else cfg.get('type')
    if not isinstance(kind, type) or not issubclass(kind, SimMIM):
        raise ValueError(f'the model of the config is {cfg.get("type")}, not SimMIM; name a pre-training config')
    necks = choose_decoders(names, cfg.get('neck'))
    model = MODELS.build(dict(cfg))
    size = cfg.get('img_size')
    image_hw = check_size(cfg['backbone'].get('img_size', 192) if size is None else size, 'img_size')
    grid_hw = RandomPatchMask(mask_patch_size, mask_ratio).grid_of(image_hw)
    mask = torch.from_numpy(random_masks(1, grid_hw, mask_ratio))
    costs = decoder_costs(model, necks, image_hw, mask)
    heading = [
        f'Decoders behind {type(model.backbone).__name__}, one image of {image_hw[0]}x{image_hw[1]} px, forward.',
        'One multiplication and one addition are two operations (FLOPs); those of matrix products, convolutions and',
        'attention count. Relative: encoder and decoder, linear = 1x; a backward pass takes about twice as many.',
        f'Hidden cells: {int(mask.sum())} of {mask.numel()} cells of {mask_patch_size} px are hidden, and nothing'
        ' else is predicted, as in training.',
        f'Encoder: {next(iter(costs.values())).encoder / 1e9:.2f} GFLOPs.',
        '',
    ]
    return '\n'.join([*heading, _table(costs)])


def _table(costs: Mapping[str, Cost]) -> str:
    head = ('decoder', 'parameters', 'GFLOPs', 'relative', 'GFLOPs, hidden cells', 'relative, hidden cells')
    linear = costs['linear']
    rows = [
        (
            name,
            f'{cost.parameters:,}',
            f'{cost.all_cells / 1e9:.2f}',
            f'{(cost.encoder + cost.all_cells) / (linear.encoder + linear.all_cells):.2f}x',
            f'{cost.hidden_cells / 1e9:.2f}',
            f'{(cost.encoder + cost.hidden_cells) / (linear.encoder + linear.hidden_cells):.2f}x',
        )
        for name, cost in costs.items()
    ]
    return table(head, rows)
