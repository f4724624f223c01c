"""Hugging Face's transformers."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simmim_mm.atomic import write_atomically
from simmim_mm.transfer.files import save_tensors
from simmim_mm.transfer.recognise import translate_back
from simmim_mm.transfer.targets.base import (
    Target,
    check_windows_fit,
    image_hw,
    mlp_ratio,
    one_window,
    swin_windows,
)

# Class of mmpretrain -> names of transformers: what classes begin with, the path of the stem, and the class of SimMIM.
_CLASSES = {
    'SwinTransformer': ('Swin', 'embeddings.norm', 'SwinForMaskedImageModeling'),
    'SwinTransformerV2': ('Swinv2', 'embeddings.norm', 'Swinv2ForMaskedImageModeling'),
    'VisionTransformer': ('ViT', 'embeddings.patch_embeddings', 'ViTForMaskedImageModeling'),
    'BEiTViT': ('Beit', 'embeddings.patch_embeddings', None),
}
_WEIGHTS = {'safetensors': 'model.safetensors', 'pth': 'pytorch_model.bin'}


class HuggingFaceTarget(Target):
    """transformers: a folder for ``from_pretrained``, of the encoder without a head."""

    formats = ('safetensors', 'pth')

    def __init__(self, name: str, backbone: Mapping[str, Any], module: nn.Module, file_format: str) -> None:
        super().__init__(name, backbone, module, file_format)
        if self.family not in _CLASSES:
            raise ValueError(f'{self.family} has no counterpart in transformers; only {", ".join(_CLASSES)} do')
        self.config = config_of(module, backbone)

    def keys(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Target`."""
        return translate_back(self.family, 'hf', weights, inside_simmim=False)[0]

    def write(self, weights: Mapping[str, Tensor], path: str) -> None:
        """See :class:`Target`."""
        _write_folder(weights, self.config, f'{_CLASSES[self.family][0]}Model', path, self.file_format)

    def load(self, path: str) -> nn.Module:
        """See :class:`Target`."""
        transformers = _transformers()
        verbosity = transformers.logging.get_verbosity()
        transformers.logging.set_verbosity_error()  # it reports buffers that it computes as missing weights
        try:
            cls = getattr(transformers, f'{_CLASSES[self.family][0]}Model')
            return cls.from_pretrained(path, add_pooling_layer=False, local_files_only=True).eval()
        finally:
            transformers.logging.set_verbosity(verbosity)

    def file_key(self, key: str) -> str:
        """See :class:`Target`."""
        return key

    def encode(self, module: nn.Module, images: Tensor) -> Tensor:
        """See :class:`Target`."""
        tokens: Tensor = module(pixel_values=images).last_hidden_state
        patch = self.module.get_parameter('patch_embed.projection.weight').shape[-1]
        if self.family.startswith('Swin'):
            stride = patch * 2 ** (len(self.config.depths) - 1)
        else:
            tokens, stride = tokens[:, 1:], patch
        grid = (images.shape[-2] // stride, images.shape[-1] // stride)
        return tokens.transpose(1, 2).unflatten(-1, grid)

    def stem(self, module: nn.Module) -> nn.Module:
        """See :class:`Target`."""
        return module.get_submodule(_CLASSES[self.family][1])

    def hint(self, path: str) -> str:
        """See :class:`Target`."""
        return (
            f'In Python:\n\nfrom transformers import {_CLASSES[self.family][0]}Model\n'
            f'model = {_CLASSES[self.family][0]}Model.from_pretrained({path!r}, add_pooling_layer=False)'
        )


def config_of(module: Any, backbone: Mapping[str, Any]) -> Any:
    """The config of transformers that stands for an encoder of mmpretrain.

    Raises:
        ValueError: If it has no place for how the encoder is built.
        ImportError: If transformers is not installed.
    """
    family = type(module).__name__
    patch = module.patch_embed.projection.weight
    state = module.state_dict()
    height, width = image_hw(backbone)
    options: dict[str, Any] = dict(
        image_size=height if height == width else (height, width),
        patch_size=patch.shape[-1],
        num_channels=patch.shape[1],
    )
    if family.startswith('Swin'):
        check_windows_fit(module, backbone, 'transformers')
        options.update(
            embed_dim=module.embed_dims,
            depths=list(module.depths),
            num_heads=list(module.num_heads),
            window_size=_window(module, options['image_size'], patch.shape[-1]),
            mlp_ratio=mlp_ratio(module, 'stages.0.blocks.0', module.embed_dims),
            use_absolute_embeddings='absolute_pos_embed' in state,
            drop_path_rate=0.0,
            encoder_stride=patch.shape[-1] * 2 ** (len(module.depths) - 1),
        )
        if family == 'SwinTransformerV2':
            options['pretrained_window_sizes'] = list(backbone.get('pretrained_window_sizes', (0, 0, 0, 0)))
    else:
        if not module.final_norm or 'cls_token' not in state:
            raise ValueError('a ViT without final norm or without class token has no counterpart in transformers')
        options.update(
            hidden_size=module.embed_dims,
            num_hidden_layers=module.num_layers,
            num_attention_heads=module.arch_settings['num_heads'],
            intermediate_size=module.arch_settings['feedforward_channels'],
            layer_norm_eps=module.ln1.eps,
        )
    if family == 'VisionTransformer':
        options['encoder_stride'] = patch.shape[-1]
    if family == 'BEiTViT':
        options.update(
            use_absolute_position_embeddings='pos_embed' in state,
            use_relative_position_bias='layers.0.attn.relative_position_bias_table' in state,
            use_shared_relative_position_bias='rel_pos_bias.relative_position_bias_table' in state,
            layer_scale_init_value=0.1 if 'layers.0.gamma_1' in state else 0.0,
            use_mean_pooling=False,
            drop_path_rate=0.0,
        )
    return getattr(_transformers(), f'{_CLASSES[family][0]}Config')(**options)


def simmim_class(module: nn.Module, backbone: Mapping[str, Any]) -> tuple[Any, Any]:
    """The class of transformers that has SimMIM around an encoder, and its config.

    Args:
        module: The encoder here.
        backbone: Its config.

    Raises:
        ValueError: If there is none.
        ImportError: If transformers is not installed.
    """
    name = _CLASSES.get(type(module).__name__, (None, None, None))[2]
    if name is None:
        raise ValueError(
            f'transformers has no SimMIM around {type(module).__name__}; export the encoder with export_backbone.py'
        )
    return getattr(_transformers(), name), config_of(module, backbone)


def save_simmim(module: nn.Module, backbone: Mapping[str, Any], weights: Mapping[str, Tensor], path: str) -> list[str]:
    """Writes a whole SimMIM model as a folder for ``...ForMaskedImageModeling.from_pretrained``.

    Args:
        module: The encoder here.
        backbone: Its config.
        weights: All weights, by the keys of transformers.
        path: The folder.

    Returns:
        Keys of that class which the weights lack.
    """
    kind, config = simmim_class(module, backbone)
    with torch.device('meta'):
        expected = kind(config).state_dict()
    wrong = [key for key, value in weights.items() if key not in expected or expected[key].shape != value.shape]
    if wrong:
        raise ValueError(f'{kind.__name__} has no place for {len(wrong)} weights as they are, such as {wrong[0]}')
    _write_folder(weights, config, kind.__name__, path, 'safetensors')
    return [key for key in expected if key not in weights and not key.endswith('relative_position_index')]


def _window(module: Any, image: Any, patch: int) -> int:
    """The window of all stages; transformers' Swin V2 shrinks it by itself to a smaller feature map."""
    windows = swin_windows(module)
    if type(module).__name__ == 'SwinTransformerV2' and isinstance(image, int):
        grids = [image // patch // 2**stage for stage in range(len(windows))]
        if windows == [min(windows[0], grid) for grid in grids]:
            return windows[0]
    return one_window(module, 'the Swin of transformers')


def _transformers() -> Any:
    try:
        return importlib.import_module('transformers')
    except ImportError as error:
        raise ImportError(f"transformers cannot be imported ({error}): pip install 'transformers<5'") from error


def _indices(weights: Mapping[str, Tensor], config: Any) -> dict[str, Tensor]:
    """Swin's indices into its bias tables, which files of transformers hold beside each table."""
    if config.model_type != 'swin':
        return {}
    attention = _transformers().models.swin.modeling_swin.SwinAttention(config, 1, 1, config.window_size)
    index = attention.self.relative_position_index
    ending = 'relative_position_bias_table'
    return {key.replace(ending, 'relative_position_index'): index for key in weights if key.endswith(ending)}


def _write_folder(weights: Mapping[str, Tensor], config: Any, name: str, path: str, file_format: str) -> None:
    """Writes weights and config; each file is whole or not there."""
    if os.path.isfile(path):
        raise ValueError(f'{path!r} is a file; a model of transformers is a folder, so name another one')
    config.architectures = [name]
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        text = (Path(folder) / 'config.json').read_text(encoding='utf-8')
    place, weights = Path(path), dict(weights) | _indices(weights, config)
    write_atomically(place / _WEIGHTS[file_format], lambda draft: save_tensors(weights, draft, file_format))
    for other in set(_WEIGHTS.values()) - {_WEIGHTS[file_format]}:
        (place / other).unlink(missing_ok=True)  # of an earlier export, which would be read instead
    write_atomically(place / 'config.json', lambda draft: _write_text(draft, text))


def _write_text(path: str, text: str) -> None:
    Path(path).write_text(text, encoding='utf-8')
