"""Encoders out of our checkpoints into another code base, with proof that every tensor arrived."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from simmim_mm.models.outputs import first_tensor
from simmim_mm.registry import MODELS
from simmim_mm.transfer.checks import check_weights, expected_weights
from simmim_mm.transfer.files import Source, check_out, read_weights
from simmim_mm.transfer.identify import describe_keys
from simmim_mm.transfer.positions import METHODS
from simmim_mm.transfer.quiet import quiet
from simmim_mm.transfer.report import Report
from simmim_mm.transfer.resize import BIASES, fit, retarget
from simmim_mm.transfer.stored_config import is_ours, stored_config
from simmim_mm.transfer.targets import TARGETS, OpenMMLabTarget, Target
from simmim_mm.transfer.targets.base import image_hw

# Largest difference between features, relative to the largest feature, that rounding in another order may make.
TOLERANCE = 1e-5


@quiet()
def export_backbone(
    checkpoint: str,
    out: str,
    to: str,
    window_size: Sequence[int] | None = None,
    img_size: Sequence[int] | None = None,
    file_format: str | None = None,
    method: str = 'geometric',
    biases: str = 'as-trained',
    config: str | None = None,
    allow_pickle: bool = False,
) -> Report:
    """Writes the encoder of a checkpoint for another code base, loads it there, and compares.

    Where nothing was resized, the features of a random image have to be equal; otherwise those of the stem, and every
    weight that the target's class has must have come from the file. Only then is the file put in its place.

    Args:
        checkpoint: A checkpoint of ours.
        out: The file to write; a folder, for ``to='hf'``.
        to: One of :data:`~simmim_mm.transfer.targets.TARGETS`.
        window_size: New window in cells, one for all stages or one for each; by default, the trained ones.
        img_size: New image size in pixels, one number or (H, W); by default, the trained one.
        file_format: ``'pth'`` or ``'safetensors'``; by default, what the target's users expect.
        method: How position biases are resized, see :func:`~simmim_mm.transfer.positions.resize_bias_table`.
        biases: ``'per-block'`` copies the position bias that all blocks of the authors' ViT share to each of them.
        config: Config of the model, for checkpoints that do not carry it.
        allow_pickle: See :func:`~simmim_mm.transfer.files.read_weights`.

    Returns:
        What became of every key; ``ok`` is False if the target lacks a weight or its features differ. Then nothing was
        written.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it is of something else, does not fit the target or the sizes, or would be overwritten.
        ImportError: If the target is not installed.
    """
    if to not in TARGETS:
        raise ValueError(f'--to {to!r} is unknown; use {", ".join(TARGETS)}')
    if method not in METHODS:
        raise ValueError(f'--resize {method!r} is unknown; use {", ".join(METHODS)}')
    check_out(out, checkpoint, config)
    read = read_weights(checkpoint, allow_pickle)
    backbone, source = _build_source(read, config)
    new_backbone = retarget(backbone, source, window_size, img_size, biases)
    module = _build(new_backbone)
    target = TARGETS[to](to, new_backbone, module, file_format or TARGETS[to].formats[0])

    weights, resized = fit(source, module, backbone, new_backbone, method)
    report = Report(title=f'{os.path.basename(checkpoint)} -> {type(source).__name__} of {to}')
    report.dropped = [key for key in read.weights if key.removeprefix('backbone.') not in weights]
    if biases == 'per-block':
        report.dropped = [key for key in report.dropped if not key.startswith('backbone.rel_pos_bias.rel')]
    written = target.keys(weights)
    names = {value.data_ptr(): name for name, value in written.items()}  # tables keep their memory under other keys
    report.resized = {names[weights[key].data_ptr()]: change for key, change in resized.items()}
    with tempfile.TemporaryDirectory() as folder:
        draft = os.path.join(folder, os.path.basename(os.path.normpath(out)) or 'out')
        target.write(written, draft)
        loaded = _load(target, draft)
        _compare_keys(report, target, loaded, written)
        if report.ok:
            same = not resized and _same_sizes(backbone, new_backbone)
            module.load_state_dict(weights, strict=False)
            _compare_features(report, target, loaded, source, None if same else module)
        if report.ok:
            target.write(written, out)
    report.hint = target.hint(out) if report.ok else 'Nothing was written.'
    return report


def _build_source(read: Source, config: str | None) -> tuple[dict[str, Any], nn.Module]:
    """The encoder of a checkpoint of ours, with its weights."""
    if not is_ours(read, config):
        raise ValueError(
            f'{read.path!r} is no checkpoint of this package; it seems to be {describe_keys(read.weights)}. '
            'If it is a pre-trained encoder, run convert_checkpoint.py first'
        )
    cfg = stored_config(read.meta, read.path, config)
    init_default_scope(cfg.get('default_scope', 'simmim_mm'))
    backbone = {key: value for key, value in cfg.model.backbone.to_dict().items() if key != 'init_cfg'}
    if 'img_size' not in backbone and 'img_size' in cfg.model and _takes_size(backbone):
        backbone['img_size'] = cfg.model.img_size
    try:
        module = _build(backbone)
    except Exception as error:
        raise ValueError(f'the backbone in the config of {read.path!r} cannot be built: {error}') from error
    weights = {key[9:]: value for key, value in read.weights.items() if key.startswith('backbone.')}
    check_weights(
        weights, module.state_dict(), read.path, f'the {type(module).__name__} of its config', describe_keys(weights)
    )
    module.load_state_dict(weights, strict=False)
    return backbone, module


def _load(target: Target, path: str) -> nn.Module:
    try:
        return target.load(path)
    except RuntimeError as error:
        text = ' '.join(str(error).split())[:300]
        raise ValueError(f'{target.name} cannot load what was written: {text}') from error


def _takes_size(backbone: Mapping[str, Any]) -> bool:
    return any(name in backbone['type'] for name in ('Swin', 'ViT', 'VisionTransformer'))


def _build(backbone: Mapping[str, Any]) -> nn.Module:
    module = MODELS.build(dict(backbone))
    module.eval()
    return module


def _same_sizes(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether both encoders compute the same; a shared bias and its copies do."""
    return {key: old[key] for key in old if key not in BIASES} == {key: new[key] for key in new if key not in BIASES}


def _compare_keys(report: Report, target: Target, loaded: nn.Module, written: Mapping[str, Tensor]) -> None:
    """Every weight of the target's class has to be in the file, and what is in the file has to be in the class."""
    unused = set(written)
    for key, value in expected_weights(loaded.state_dict()).items():
        name = target.file_key(key)
        if name not in written:
            (report.new if target.starts_fresh(key) else report.missing).append(name)
            continue
        unused.discard(name)
        there = written[name]
        if value.shape == there.shape and torch.equal(value, there.to(value.dtype)):
            if name not in report.resized:
                report.matched.append(name)
        else:
            report.missing.append(f'{name} (other values arrived)')
    report.missing += [f'{name} (not taken by the target)' for name in sorted(unused)]
    report.ok = not report.missing


def _compare_features(
    report: Report, target: Target, loaded: nn.Module, source: nn.Module, resized: nn.Module | None
) -> None:
    """Encodes one random image there and here.

    Args:
        report: Gets the outcome.
        target: The target.
        loaded: Its encoder.
        source: The encoder as it was trained.
        resized: The encoder here at the new sizes, with the new weights; None where nothing was resized.
    """
    channels = source.get_parameter(next(name for name, value in source.named_parameters() if value.ndim == 4)).shape[1]
    images = torch.randn(1, channels, *image_hw(target.backbone, 192), generator=torch.Generator().manual_seed(0))
    ours = OpenMMLabTarget('mmpretrain', target.backbone, source, 'pth')
    here = source if resized is None else resized
    _pad_as(target, here)
    with torch.inference_mode():
        lines = [_difference('features', ours.encode(here, images), target.encode(loaded, images))]
        if resized is not None:
            stems = (
                _stem_tokens(ours.stem(source), lambda: ours.stem(source)(images)),
                _stem_tokens(target.stem(loaded), lambda: target.encode(loaded, images)),
            )
            lines = [
                _difference('tokens of the stem, here as trained and there,', *stems),
                _difference('features, here with the resized positions and there,', *lines[0].tensors),
            ]
    report.ok = all(line.agree for line in lines)
    report.features = 'Of a random image:\n' + '\n'.join(f'  {line.text}' for line in lines)


class _Compared(NamedTuple):
    tensors: tuple[Tensor, Tensor]
    agree: bool
    text: str


def _difference(what: str, first: Tensor, second: Tensor) -> _Compared:
    same = first.shape == second.shape
    difference = (first - second).abs().max().item() if same else float('inf')
    largest = first.abs().max().item()
    agree = same and difference <= TOLERANCE * max(largest, 1e-12)
    verdict = '' if agree else f'; more than {TOLERANCE:g} of it: NOT THE SAME ENCODER'
    text = f'{what} differ by {difference:.1e} at most, of values up to {largest:.2g}{verdict}'
    return _Compared((first, second), agree, text)


def _pad_as(target: Target, source: nn.Module) -> None:
    """Mmdet and mmseg pad small maps to whole windows; mmpretrain does it if it is told to."""
    if target.name in ('mmdet', 'mmseg'):
        for part in source.modules():
            if hasattr(part, 'pad_small_map'):
                setattr(part, 'pad_small_map', True)  # noqa: B010 (a plain attribute of a module)


def _stem_tokens(stem: nn.Module, run: Any) -> Tensor:
    """(B, N, D) that a stem returns while an encoder runs."""
    seen: list[Tensor] = []
    handle = stem.register_forward_hook(lambda module, args, output: seen.append(first_tensor(output)))
    try:
        run()
    finally:
        handle.remove()
    tokens = seen[0]
    if tokens.ndim == 3:
        return tokens
    return tokens.flatten(1, 2) if tokens.shape[1] < tokens.shape[-1] else tokens.flatten(2).transpose(1, 2)
