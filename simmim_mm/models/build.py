"""Building the parts of a model, each from its config and from what follows from the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from simmim_mm.compat import plain_drop_rates
from simmim_mm.datasets.transforms.geometry import check_size
from simmim_mm.models.derive import build_derived, build_part, check_config, with_channels
from simmim_mm.models.probe import BackboneLayout, check_nothing_shows, probe_backbone
from simmim_mm.models.stems import find_stem
from simmim_mm.registry import MODELS


def check_slots(backbone: Any, **slots: Any) -> None:
    """Checks that what stands in the slots of a model are configs; all but ``backbone`` may be None.

    Raises:
        ValueError: If one is something else.
    """
    check_config(backbone, 'backbone')
    for slot, cfg in slots.items():
        if cfg is not None:
            check_config(cfg, slot)


def build_preprocessor(cfg: dict[str, Any] | None) -> Any:
    """Builds the data preprocessor, by which the channels of the whole model are known.

    Args:
        cfg: Its config; None for RGB with ImageNet's statistics.

    Raises:
        ValueError: If it does not say how many channels images have.
    """
    preprocessor = MODELS.build(cfg or dict(type='simmim_mm.MaskedImagePreprocessor'))
    if not hasattr(preprocessor, 'channels'):
        raise ValueError(
            f'{type(preprocessor).__name__} does not say how many channels images have; use '
            "data_preprocessor=dict(type='MaskedImagePreprocessor', mean=..., std=...)"
        )
    return preprocessor


def build_encoder(
    backbone: dict[str, Any],
    masker: dict[str, Any] | None,
    channels: int,
    img_size: int | Sequence[int] | None,
) -> tuple[nn.Module, nn.Module, BackboneLayout, tuple[int, int]]:
    """Builds the encoder and its masker, and tries them.

    Args:
        backbone: Config of the encoder.
        masker: Config of the masker; None for the learned token.
        channels: Channels of the images.
        img_size: Side of the images or (height, width); None for the encoder's own, or 192.

    Returns:
        The encoder, the masker attached to it, the encoder's shapes, and (H, W) of the images it was tried on.

    Raises:
        ValueError: If the encoder does not take such images, or hidden pixels show in its features.
    """
    masker = masker or dict(type='simmim_mm.TokenMasker')
    encoder = build_part(with_channels(backbone, channels), 'model.backbone')
    plain_drop_rates(encoder)
    image_hw = check_size(backbone.get('img_size', 192) if img_size is None else img_size, 'img_size')
    layout = probe_backbone(encoder, find_stem(encoder, masker.get('stem')), channels, image_hw)
    facts = dict(embed_dims=layout.stem_width, image_channels=channels, feature_dims=layout.width)
    built: Any = build_derived(masker, 'masker', optional=facts)
    built.attach(encoder)
    check_nothing_shows(built, encoder, layout, channels, image_hw)
    return encoder, built, layout, image_hw


def build_head(cfg: dict[str, Any] | None, preprocessor: Any, stride: int, image_hw: tuple[int, int]) -> Any:
    """Builds the head, and checks that its target fits the encoder.

    Args:
        cfg: Its config; None for pixels and L1.
        preprocessor: The data preprocessor.
        stride: Pixels per side of a cell of the encoder's last map.
        image_hw: (H, W) of the images.

    Raises:
        ValueError: If a position of the target does not divide a cell.
    """
    head: Any = build_derived(
        cfg or dict(type='simmim_mm.ReconstructionHead'),
        'head',
        optional=dict(
            pixel_range=_pixel_range(preprocessor),
            image_hw=image_hw,
            raw_range=getattr(preprocessor, 'value_range', None),
        ),
        image_channels=preprocessor.channels,
    )
    if stride % head.target.stride:
        raise ValueError(
            f'one position of the target is {head.target.stride} pixels wide, which does not divide the {stride} '
            f"pixels of the encoder's last cells; change {getattr(head.target, 'stride_setting', 'stride')} in "
            'model.head.target'
        )
    return head


def build_neck(cfg: dict[str, Any] | None, head: Any, layout: BackboneLayout) -> nn.Module:
    """Builds the decoder between the encoder's last map and the head.

    Args:
        cfg: Its config; None for one linear layer.
        head: The head.
        layout: Of the encoder.
    """
    return build_derived(
        cfg or dict(type='simmim_mm.LinearDecoder'),
        'neck',
        in_channels=layout.width,
        out_channels=head.out_channels,
        upscale=layout.stride // head.target.stride,
    )


def _pixel_range(preprocessor: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Lowest and highest pixel value of each channel, normalised, where the preprocessor tells."""
    if not hasattr(preprocessor, 'normalised_range'):
        return None
    low, high = preprocessor.normalised_range()
    if low.is_meta:  # a model of shapes alone
        return (0.0,) * len(low), (1.0,) * len(low)
    return tuple(low.tolist()), tuple(high.tolist())
