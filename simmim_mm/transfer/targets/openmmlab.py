"""mmpretrain, mmdetection and mmsegmentation."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.config import ConfigDict
from torch import Tensor, nn

from simmim_mm.atomic import write_atomically
from simmim_mm.models.outputs import last_map
from simmim_mm.models.stems import find_stem
from simmim_mm.registry import MODELS
from simmim_mm.transfer.targets.base import Target, image_hw, mlp_ratio, one_window

_DISTRIBUTIONS = {'mmdet': 'onedl-mmdetection', 'mmseg': 'onedl-mmsegmentation'}
# Encoders of which mmdet and mmseg take the maps of all stages, each with a norm of its own.
_WITH_NORMS = ('SwinTransformer', 'SwinTransformerV2', 'ConvNeXt')
PREFIX = 'backbone.'


class OpenMMLabTarget(Target):
    """A package of OpenMMLab: a file for ``init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')``.

    mmdet and mmseg have a Swin and a ResNet of their own; any other encoder is mmpretrain's there too.
    """

    formats = ('pth',)  # MMEngine reads no other

    def __init__(self, name: str, backbone: Mapping[str, Any], module: nn.Module, file_format: str) -> None:
        super().__init__(name, backbone, module, file_format)
        if name in _DISTRIBUTIONS:
            try:
                importlib.import_module(f'{name}.models')
            except ImportError as error:
                raise ImportError(f'{name} cannot be imported ({error}): pip install {_DISTRIBUTIONS[name]}') from error
        self.config = self._own_config()

    def keys(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Target`."""
        return {PREFIX + key: value for key, value in weights.items()}

    def write(self, weights: Mapping[str, Tensor], path: str) -> None:
        """See :class:`Target`."""
        weights = {key: value.contiguous().clone() for key, value in weights.items()}
        write_atomically(path, lambda draft: torch.save(dict(state_dict=weights), draft))

    def load(self, path: str) -> nn.Module:
        """See :class:`Target`."""
        checkpoint = ConfigDict(type='Pretrained', checkpoint=path, prefix=PREFIX)
        model = MODELS.build(dict(self.config, init_cfg=checkpoint))
        model.init_weights()
        model.eval()
        return model

    def file_key(self, key: str) -> str:
        """See :class:`Target`."""
        return PREFIX + key

    def encode(self, module: nn.Module, images: Tensor) -> Tensor:
        """See :class:`Target`."""
        return last_map(module(images), module)

    def stem(self, module: nn.Module) -> nn.Module:
        """See :class:`Target`."""
        return find_stem(module)

    def starts_fresh(self, key: str) -> bool:
        """The norms of the outputs that pre-training does not have."""
        own = {f'norm{index}' for index in range(4)} - {name for name, _ in self.module.named_children()}
        return self.family in _WITH_NORMS and key.partition('.')[0] in own

    def hint(self, path: str) -> str:
        """See :class:`Target`."""
        shown = {'type': self.config['type'], **self.config}
        shown = {key: value for key, value in shown.items() if key not in ('init_cfg', 'drop_path_rate')}
        options = ',\n'.join(f'    {key}={value!r}' for key, value in shown.items())
        return (
            f'In a config of {self.name}:\n\nbackbone=dict(\n{options},\n'
            f"    init_cfg=dict(type='Pretrained', checkpoint={path!r}, prefix={PREFIX!r}),\n)"
        )

    def _own_config(self) -> dict[str, Any]:
        backbone = {key: value for key, value in self.backbone.items() if key != 'init_cfg'}
        if self.name == 'mmpretrain':
            return backbone
        module: Any = self.module
        if self.family == 'SwinTransformer' and not module.use_abs_pos_embed:  # mmdet's and mmseg's cannot load those
            return self._swin()
        if self.family == 'ResNet':
            known = inspect.signature(MODELS.get(f'{self.name}.ResNet')).parameters
            return {
                **{key: value for key, value in backbone.items() if key in known},
                'type': f'{self.name}.ResNet',
                'stem_channels': module.stem_channels,
                'out_indices': (0, 1, 2, 3),
            }
        if self.family in _WITH_NORMS:
            backbone['out_indices'] = tuple(range(4 if self.family == 'ConvNeXt' else len(module.depths)))
        if self.family.startswith('SwinTransformer'):
            backbone['pad_small_map'] = True  # images come in many sizes there
        return backbone

    def _swin(self) -> dict[str, Any]:
        module: Any = self.module
        patch = module.patch_embed.projection.weight
        stages = len(module.depths)
        config = dict(
            type=f'{self.name}.SwinTransformer',
            pretrain_img_size=image_hw(self.backbone),
            embed_dims=module.embed_dims,
            depths=list(module.depths),
            num_heads=list(module.num_heads),
            window_size=one_window(module, f'the Swin of {self.name}'),
            out_indices=tuple(range(stages)),
            drop_path_rate=self.backbone.get('drop_path_rate', 0.0),
        )
        ratio = mlp_ratio(module, 'stages.0.blocks.0', module.embed_dims)
        extra = dict(
            in_channels=(patch.shape[1], 3),
            patch_size=(patch.shape[-1], 4),
            strides=((patch.shape[-1], *[2] * (stages - 1)), (4, 2, 2, 2)),
            mlp_ratio=(ratio, 4),
        )
        return {**config, **{key: value for key, (value, usual) in extra.items() if value != usual}}
