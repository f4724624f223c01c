"""timm (pytorch-image-models)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from simmim_mm.atomic import write_atomically
from simmim_mm.transfer.files import save_tensors
from simmim_mm.transfer.recognise import translate_back
from simmim_mm.transfer.targets.base import Target, check_windows_fit, image_hw, mlp_ratio, swin_windows

# Class of mmpretrain -> module and class of timm.
_CLASSES = {
    'SwinTransformer': ('timm.models.swin_transformer', 'SwinTransformer'),
    'SwinTransformerV2': ('timm.models.swin_transformer_v2', 'SwinTransformerV2'),
    'VisionTransformer': ('timm.models.vision_transformer', 'VisionTransformer'),
    'BEiTViT': ('timm.models.beit', 'Beit'),
}


class TimmTarget(Target):
    """timm: a flat file for ``timm.create_model(..., num_classes=0, checkpoint_path=...)``."""

    def __init__(self, name: str, backbone: Mapping[str, Any], module: nn.Module, file_format: str) -> None:
        super().__init__(name, backbone, module, file_format)
        try:
            import timm  # noqa: F401
        except ImportError as error:
            raise ImportError(f'timm cannot be imported ({error}): pip install timm') from error
        if self.family not in _CLASSES:
            raise ValueError(f'{self.family} has no counterpart in timm; only {", ".join(_CLASSES)} do')
        self.options = self._swin() if self.family.startswith('Swin') else self._vit()

    def keys(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Target`."""
        return translate_back(self.family, 'timm', weights, inside_simmim=False)[0]

    def write(self, weights: Mapping[str, Tensor], path: str) -> None:
        """See :class:`Target`."""
        # timm tells formats apart by the ending.
        ending = '.safetensors' if self.file_format == 'safetensors' else '.pth'
        if self.file_format == 'safetensors' and not path.endswith(ending):
            raise ValueError(f'timm knows safetensors by the name of the file; end {path!r} with {ending}')
        write_atomically(path, lambda draft: save_tensors(weights, draft, self.file_format), ending)

    def load(self, path: str) -> nn.Module:
        """See :class:`Target`."""
        from timm.models import load_checkpoint

        where, name = _CLASSES[self.family]
        model = getattr(__import__(where, fromlist=[name]), name)(**self.options)
        load_checkpoint(model, path, strict=False)
        return model.eval()

    def file_key(self, key: str) -> str:
        """See :class:`Target`."""
        return key

    def encode(self, module: nn.Module, images: Tensor) -> Tensor:
        """See :class:`Target`."""
        features: Tensor = module.forward_features(images)  # type: ignore[operator]
        if features.ndim == 4:
            return features.permute(0, 3, 1, 2)
        patch = self.module.get_parameter('patch_embed.projection.weight').shape[-1]
        grid = (images.shape[-2] // patch, images.shape[-1] // patch)
        return features[:, 1:].transpose(1, 2).unflatten(-1, grid)

    def stem(self, module: nn.Module) -> nn.Module:
        """See :class:`Target`."""
        return module.get_submodule('patch_embed')

    def hint(self, path: str) -> str:
        """See :class:`Target`."""
        where, name = _CLASSES[self.family]
        options = ', '.join(f'{key}={value!r}' for key, value in self.options.items())
        return (
            f'In Python:\n\nfrom timm.models import load_checkpoint\nfrom {where} import {name}\n'
            f'model = {name}({options})\nload_checkpoint(model, {path!r})'
        )

    def _swin(self) -> dict[str, Any]:
        module: Any = self.module
        check_windows_fit(module, self.backbone, 'timm')
        _check_windows_tile(module, self.backbone)
        patch = module.patch_embed.projection.weight
        options = dict(
            img_size=image_hw(self.backbone),
            patch_size=patch.shape[-1],
            in_chans=patch.shape[1],
            num_classes=0,
            embed_dim=module.embed_dims,
            depths=tuple(module.depths),
            num_heads=tuple(module.num_heads),
            window_size=_per_stage(swin_windows(module)),
            mlp_ratio=mlp_ratio(module, 'stages.0.blocks.0', module.embed_dims),
        )
        if self.family == 'SwinTransformerV2':
            options['pretrained_window_sizes'] = tuple(self.backbone.get('pretrained_window_sizes', (0, 0, 0, 0)))
        return options

    def _vit(self) -> dict[str, Any]:
        module: Any = self.module
        patch = module.patch_embed.projection.weight
        state = module.state_dict()
        options = dict(
            img_size=image_hw(self.backbone),
            patch_size=patch.shape[-1],
            in_chans=patch.shape[1],
            num_classes=0,
            global_pool='',
            embed_dim=module.embed_dims,
            depth=module.num_layers,
            num_heads=module.arch_settings['num_heads'],
            mlp_ratio=mlp_ratio(module, 'layers.0', module.embed_dims),
        )
        if not module.final_norm or 'cls_token' not in state:
            raise ValueError('a ViT without final norm or without class token has no counterpart in timm')
        if self.family == 'BEiTViT':
            options.update(
                use_abs_pos_emb='pos_embed' in state,
                use_rel_pos_bias='layers.0.attn.relative_position_bias_table' in state,
                use_shared_rel_pos_bias='rel_pos_bias.relative_position_bias_table' in state,
                init_values=0.1 if 'layers.0.gamma_1' in state else None,
            )
        return options


def _check_windows_tile(module: Any, backbone: Mapping[str, Any]) -> None:
    """Refuses windows that make another encoder of timm's class, which shifts maps and then pads them.

    The host pads first. Stages of one block do not shift. Where a map is one window, timm does not shift, and
    mmpretrain does if it pads.

    Raises:
        ValueError: If a stage has such windows, with what to change.
    """
    windows, patch = swin_windows(module), module.patch_embed.projection.weight.shape[-1]
    height, width = image_hw(backbone)
    scales = [patch * 2**stage for stage in range(len(windows))]
    maps = [(-(-height // scale), -(-width // scale)) for scale in scales]
    shifts = [depth > 1 for depth in module.depths]
    where = f'at {height}x{width} px windows {windows} lie on maps of {", ".join(f"{h}x{w}" for h, w in maps)} cells'
    step = math.lcm(*(window * scale for window, scale in zip(windows, scales, strict=True)))
    if any(shift and (h % window or w % window) for shift, window, (h, w) in zip(shifts, windows, maps, strict=True)):
        sides = [-(-side // step) * step for side in (height, width)]
        size = ' '.join(map(str, sides[:1] if sides[0] == sides[1] else sides))
        fitting = [_largest_divisor(math.gcd(h, w), window) for window, (h, w) in zip(windows, maps, strict=True)]
        other = f', or --window-size {" ".join(map(str, fitting))}' if min(fitting) > 1 else ''
        raise ValueError(
            'the Swin of timm is another encoder where windows do not tile a map, as it pads after it has shifted: '
            f'{where}; use --img-size {size}{other}, or another target'
        )
    padded = [bool(stage.blocks[0].attn.pad_small_map) for stage in module.stages]
    for stage, (shift, window, cells) in enumerate(zip(shifts, windows, maps, strict=True)):
        if shift and padded[stage] and min(cells) == window:
            raise ValueError(
                f'the Swin of timm does not shift windows where a map is one window wide, and this encoder does, with '
                f'pad_small_map=True: {where}; use --img-size {2 * step}, or another target'
            )


def _largest_divisor(number: int, most: int) -> int:
    return next(each for each in range(min(number, most), 0, -1) if number % each == 0)


def _per_stage(windows: list[int]) -> int | tuple[tuple[int, int], ...]:
    """Windows as timm takes them: one number, or (h, w) for each stage."""
    return windows[0] if len(set(windows)) == 1 else tuple((window, window) for window in windows)
