"""Learning rates that fall from the head to the stem, inside models of mmpretrain, mmdet and mmseg."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mmengine.logging import print_log
from torch import nn

from simmim_mm.engine.param_groups import MergedGroupsConstructor
from simmim_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS

# What MMEngine's constructor reads from a paramwise_cfg, and what is added here.
PARAMWISE_KEYS = {
    'bias_decay_mult',
    'bias_lr_mult',
    'bypass_duplicate',
    'custom_keys',
    'dcn_offset_lr_mult',
    'dwconv_decay_mult',
    'flat_decay_mult',
    'layer_decay_rate',
    'norm_decay_mult',
}


def _swin_layer(name: str, depths: list[int], downsample_first: bool) -> int:
    """One layer a block. A merging of patches goes with the last block before it (``get_swin_layer``)."""
    parts = name.split('.')
    if parts[0] == 'patch_embed':
        return 0
    if parts[0] != 'stages':  # norms of outputs, absolute positions
        return sum(depths) + 1
    stage = int(parts[1])
    if parts[2] == 'downsample':
        return sum(depths[: stage if downsample_first else stage + 1])
    return sum(depths[:stage]) + int(parts[3]) + 1


def _vit_layer(name: str, num_blocks: int, blocks: str) -> int:
    """One layer a block; tokens and positions go with the stem (``get_vit_layer``)."""
    parts = name.split('.')
    if parts[0] in ('cls_token', 'pos_embed', 'mask_token', 'patch_embed'):
        return 0
    # A position bias that all blocks share is the last layer's, as in the authors' code.
    return int(parts[1]) + 1 if parts[0] == blocks else num_blocks + 1


def _convnext_layer(name: str, depths: list[int]) -> int:
    """Three blocks of the third stage are one layer, each other stage is one (arXiv 2201.03545, appendix A)."""
    last = 12 if depths[2] > 9 else 6
    parts = name.split('.')
    if parts[0] not in ('downsample_layers', 'stages'):
        return last + 1
    stage = int(parts[1])
    if parts[0] == 'downsample_layers':
        return (0, 2, 3, last)[stage]
    return (1, 2, 3 + int(parts[2]) // 3 if stage == 2 else 3, last)[stage]


def _resnet_steps(depths: list[int]) -> tuple[int, int]:
    """How many blocks of the second and the third stage are one layer: as mmpretrain has it for 50 layers and more."""
    second = 2 if depths[1] <= 4 else 4 if depths[1] <= 24 else 5
    third = 3 if depths[2] <= 23 else 4 if depths[2] <= 36 else 6
    return second, third


def _resnet_layer(name: str, depths: list[int]) -> int:
    """Some blocks of the second and third stage are one layer, the first and the fourth stage are one each."""
    second, third = _resnet_steps(depths)
    parts = name.split('.')
    if not (parts[0].startswith('layer') and parts[0][5:].isdigit()):
        return 0
    stage, before_third = int(parts[0][5:]), 2 + math.ceil(depths[1] / second)
    if stage == 1:
        return 1
    if stage == 2:
        return 2 + int(parts[1]) // second
    if stage == 3:
        return before_third + int(parts[1]) // third
    return before_third + math.ceil(depths[2] / third)


Rule = Callable[[str], int]


def _swin(backbone: Any) -> tuple[Rule, int]:
    depths = [len(stage.blocks) for stage in backbone.stages]
    # Swin V2 of mmpretrain merges patches at the beginning of a stage, all others at the end of the one before.
    first = any(cls.__name__ == 'SwinTransformerV2' for cls in type(backbone).__mro__)
    return lambda name: _swin_layer(name, depths, first), sum(depths) + 2


def _vit(backbone: Any) -> tuple[Rule, int]:
    blocks = 'layers' if hasattr(backbone, 'layers') else 'blocks'
    count = len(getattr(backbone, blocks))
    return lambda name: _vit_layer(name, count, blocks), count + 2


def _check_stages(backbone: nn.Module, depths: list[int]) -> None:
    if len(depths) != 4:
        raise ValueError(
            f'layer decay divides a {type(backbone).__name__} of four stages, and this one has {len(depths)}; remove '
            "layer_decay_rate and use constructor='simmim_mm.MergedGroupsConstructor'"
        )


def _convnext(backbone: Any) -> tuple[Rule, int]:
    depths = [len(stage) for stage in backbone.stages]
    _check_stages(backbone, depths)
    return lambda name: _convnext_layer(name, depths), (12 if depths[2] > 9 else 6) + 2


def _resnet(backbone: Any) -> tuple[Rule, int]:
    depths = [len(getattr(backbone, layer)) for layer in backbone.res_layers]
    _check_stages(backbone, depths)
    return lambda name: _resnet_layer(name, depths), _resnet_layer('layer4.0', depths) + 2


# Class of the backbone, or one that it inherits from -> its rule and number of layers. Classes of one name in
# mmpretrain, mmdet and mmseg name their blocks in the same way.
FAMILIES: dict[str, Callable[[Any], tuple[Rule, int]]] = {
    'SwinTransformer': _swin,
    'SwinTransformerV2': _swin,
    'VisionTransformer': _vit,
    'BEiTViT': _vit,
    'BEiT': _vit,  # mmseg's, of which its MAE inherits
    'HiViT': _vit,
    'ConvNeXt': _convnext,
    'ResNet': _resnet,
}


def layer_rule(backbone: nn.Module) -> tuple[Rule, int]:
    """Finds out which layer each parameter of a backbone belongs to.

    Swin and ViT are divided as in the authors' code (microsoft/SimMIM, ``optimizer.py``), ConvNeXt and ResNet as
    in mmpretrain, with ResNets of any depth.

    Args:
        backbone: Of mmpretrain, mmdet or mmseg.

    Returns:
        A function from the name of a parameter, without ``backbone.``, to its layer; and the number of layers. Layer
        0 is the stem; what follows the blocks is the last layer, and so is the head of the model.

    Raises:
        ValueError: If it is none of the known ones.
    """
    family = next((FAMILIES[cls.__name__] for cls in type(backbone).__mro__ if cls.__name__ in FAMILIES), None)
    if family is None:
        raise ValueError(
            f'how {type(backbone).__name__} is divided into layers is not known (known: {", ".join(FAMILIES)}); remove '
            "layer_decay_rate and use constructor='simmim_mm.MergedGroupsConstructor'"
        )
    return family(backbone)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(MergedGroupsConstructor):
    """Multiplies the learning rate of layer i of n by ``layer_decay_rate ** (n - 1 - i)``.

    For any model with a ``backbone``: mmpretrain's classifiers, mmdet's detectors, mmseg's segmenters. Heads and necks
    keep the full rate. All else of MMEngine's ``paramwise_cfg`` works too, such as
    ``flat_decay_mult`` and ``custom_keys`` (a ``lr_mult`` in it comes on top). The hosts' constructors refuse Swin in
    mmdet and mmseg, and Swin V2 everywhere. See :func:`layer_rule` for the layers.

    Args:
        optim_wrapper_cfg: As for MMEngine's constructor.
        paramwise_cfg: With ``layer_decay_rate``, above 0 and at most 1.

    Raises:
        ValueError: If the rate is missing or out of range, if ``paramwise_cfg`` holds an unknown key, or if how the
            backbone is divided is unknown.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict) -> None:
        for name, value in (('optim_wrapper_cfg', optim_wrapper_cfg), ('paramwise_cfg', paramwise_cfg)):
            if not isinstance(value, dict):
                raise ValueError(f'{name}={value!r} of LayerDecayConstructor must be a dict')
        if unknown := sorted(set(paramwise_cfg) - PARAMWISE_KEYS):
            raise ValueError(
                f'paramwise_cfg of LayerDecayConstructor holds {", ".join(unknown)}, which has no effect; it may hold '
                f'{", ".join(sorted(PARAMWISE_KEYS))}'
            )
        rate = paramwise_cfg.get('layer_decay_rate')
        if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate <= 1:
            raise ValueError(
                f'layer_decay_rate={rate!r} in the paramwise_cfg of LayerDecayConstructor must be a number above 0 and '
                'at most 1, such as 0.9'
            )
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        if self.base_lr is None:
            raise ValueError('LayerDecayConstructor needs a learning rate to decay; set optim_wrapper.optimizer.lr')
        self.rate = rate
        self.full_lr: float = self.base_lr

    def adapt(self, params: list[dict], model: nn.Module) -> None:
        """Scales the learning rates of groups of one parameter each, in place."""
        backbone = getattr(model, 'backbone', None)
        if not isinstance(backbone, nn.Module):
            raise ValueError(f'{type(model).__name__} has no backbone, of which layer decay could tell the layers')
        layer_of, num_layers = layer_rule(backbone)
        layers = {id(parameter): layer_of(name) for name, parameter in backbone.named_parameters()}
        for group in params:
            layer = layers.get(id(group['params'][0]), num_layers - 1)
            group['lr'] = group.get('lr', self.full_lr) * self.rate ** (num_layers - 1 - layer)

    def report(self, params: list[dict]) -> None:
        """Says the span of the rates, in one line instead of two for each layer."""
        rates = [group['lr'] for group in params]
        count = sum(parameter.numel() for group in params for parameter in group['params'])
        print_log(
            f'Optimiser: {count:,} values in {len(params)} groups, layer decay {self.rate}: lr {min(rates):.3g} at the '
            f'stem to {max(rates):.3g} in the head',
            logger='current',
        )
