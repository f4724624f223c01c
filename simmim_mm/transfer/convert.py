"""Checkpoints of other code bases into ours, to go on with pre-training or to be exported; and back."""

from __future__ import annotations

import os
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from simmim_mm.atomic import write_atomically
from simmim_mm.registry import MODELS
from simmim_mm.transfer.checks import check_weights, expected_weights
from simmim_mm.transfer.files import Source, check_out, read_weights, save_tensors
from simmim_mm.transfer.identify import describe_keys
from simmim_mm.transfer.infer import infer_backbone
from simmim_mm.transfer.keys import FORMAT_NAMES
from simmim_mm.transfer.quiet import quiet
from simmim_mm.transfer.recognise import DERIVED, Translated, translate, translate_back
from simmim_mm.transfer.report import Report
from simmim_mm.transfer.stored_config import is_ours, stored_config
from simmim_mm.version import __version__

_TOKEN, _DECODER = 'masker.mask_token', 'neck.decoder.0'


@quiet()
def convert(
    source: str,
    out: str,
    source_format: str = 'auto',
    out_format: str = 'ours',
    config: str | None = None,
    allow_pickle: bool = False,
) -> Report:
    """Converts a checkpoint of another code base into one of ours, or one of ours into another's.

    Args:
        source: The file, or a folder of Hugging Face's.
        out: The file to write; a folder, for ``out_format='hf'``.
        source_format: The code base that it is of, one of :data:`~simmim_mm.transfer.keys.FORMAT_NAMES`, or ``'auto'``.
        out_format: ``'ours'``, or the code base to write for; the source then has to be ours.
        config: Config of the model here, where weights do not tell it.
        allow_pickle: See :func:`~simmim_mm.transfer.files.read_weights`.

    Returns:
        What became of every key.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, is of something else or incomplete, with what it seems to be; or if it would
            be overwritten.
    """
    check_out(out, source, config)
    read = read_weights(source, allow_pickle)
    if out_format != 'ours':
        if out_format not in FORMAT_NAMES:
            raise ValueError(f'--to {out_format!r} is unknown; use ours, {", ".join(FORMAT_NAMES)}')
        return _write_theirs(read, out, out_format, config)
    if _TOKEN in read.weights or 'simmim_mm' in str(read.meta.get('cfg')):
        raise ValueError(f'{source!r} is a checkpoint of this package already; name what to make of it with --to')
    found = translate(read.weights, source, source_format)
    if config is None:
        cfg = simmim_config(infer_backbone(found, read.meta, source), found)
    else:
        cfg = stored_config({}, source, config)
    model = build(cfg)
    report = load_translated(model, found, source)
    meta = dict(cfg=cfg.pretty_text, simmim_mm_version=__version__, converted_from=found.format_name)
    state = {key: value.cpu() for key, value in model.state_dict().items()}
    write_atomically(out, lambda path: torch.save(dict(meta=meta, state_dict=state), path))
    report.hint = (
        f'Next: tools/export_backbone.py {out} FILE --to mmdet, for example; or go on with pre-training, in a config '
        f'with the same model: tools/train.py CONFIG --cfg-options load_from={out}'
    )
    return report


def build(cfg: Config) -> nn.Module:
    """Builds the model of a config, with drawn weights."""
    init_default_scope(cfg.get('default_scope', 'simmim_mm'))
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.eval()
    return model


def simmim_config(backbone: dict[str, Any], found: Translated) -> Config:
    """The published SimMIM around an encoder: linear decoder, L1 on pixels (on normalised ones for Swin V2)."""
    target: dict[str, Any] = dict(type='PixelTarget')
    # Hugging Face's models are scored on plain pixels, all of them.
    if found.family == 'SwinTransformerV2' and found.format_name != 'hf':
        target.update(norm='window', norm_size=47)
    model: dict[str, Any] = dict(
        type='SimMIM',
        img_size=backbone['img_size'],
        backbone=backbone,
        masker=dict(type='TokenMasker'),
        neck=dict(type='LinearDecoder'),
        head=dict(type='ReconstructionHead', target=target, loss=dict(type='L1Loss')),
    )
    channels = backbone.get('in_channels', 3)
    if channels != 3:  # means and deviations of other channels stand in no file
        model['data_preprocessor'] = dict(
            type='MaskedImagePreprocessor', mean=[127.5] * channels, std=[127.5] * channels
        )
    return Config(dict(default_scope='simmim_mm', model=model))


def load_translated(model: nn.Module, found: Translated, path: str) -> Report:
    """Loads translated weights into a SimMIM model; what they lack beside the encoder stays as drawn.

    Args:
        model: A SimMIM model.
        found: The weights.
        path: Where they come from, for messages.

    Returns:
        What became of every key.

    Raises:
        ValueError: If they do not fit the model.
    """
    weights = {f'backbone.{key}': value for key, value in found.encoder.items()}
    if found.mask_token is not None:
        weights[_TOKEN] = found.mask_token
    weights |= {f'{_DECODER}.{key}': value for key, value in found.decoder.items()}
    expected = expected_weights(model.state_dict())
    new = [key for key in expected if not key.startswith('backbone.') and key not in weights]
    seems = f'{found.family} of {found.format_name}'
    check_weights(weights, {key: expected[key] for key in expected if key not in new}, path, 'its model here', seems)
    model.load_state_dict(weights, strict=False)
    loaded = model.state_dict()
    wrong = [key for key, value in weights.items() if not torch.equal(loaded[key], value.to(loaded[key].dtype))]
    if wrong:
        raise RuntimeError(f'{len(wrong)} weights did not arrive, such as {wrong[0]}')
    return Report(title=f'{seems} -> simmim_mm', matched=list(weights), dropped=found.dropped, new=new)


def _write_theirs(read: Source, out: str, name: str, config: str | None) -> Report:
    if not is_ours(read, config):
        raise ValueError(
            f'{read.path!r} is no checkpoint of this package; it seems to be {describe_keys(read.weights)}. '
            'Convert it to ours first'
        )
    cfg = stored_config(read.meta, read.path, config)
    family = cfg.model.backbone.type.rpartition('.')[2]
    encoder = {key[9:]: value for key, value in read.weights.items() if key.startswith('backbone.')}
    weights, table = translate_back(family, name, encoder, inside_simmim=True)
    whole = dict(weights)
    if table.mask_token and _TOKEN in read.weights:
        whole[table.mask_token] = read.weights[_TOKEN]
    # Other decoders than the linear one stay here: no other code base has them.
    linear = {key for key in read.weights if key.startswith('neck.')} == {f'{_DECODER}.weight', f'{_DECODER}.bias'}
    decoder = table.decoder if linear else None
    if decoder:
        whole |= {f'{decoder}.{part}': read.weights[f'{_DECODER}.{part}'] for part in ('weight', 'bias')}
    new: list[str] = []
    dropped = [key for key in read.weights if not _kept(key, table.mask_token, decoder)]
    if name == 'hf':
        from simmim_mm.transfer.targets.hf import save_simmim

        model = build(cfg)
        new = save_simmim(model.get_submodule('backbone'), cfg.model.backbone, whole, out)
    elif name == 'timm':
        write_atomically(out, lambda path: save_tensors(whole, path, 'pth'))
    else:
        container = 'state_dict' if name == 'mmpretrain' else 'model'
        write_atomically(out, lambda path: torch.save({container: whole}, path))
    kept = [key for key in read.weights if key not in dropped]
    return Report(title=f'{os.path.basename(read.path)} -> {family} of {name}', matched=kept, dropped=dropped, new=new)


def _kept(key: str, mask_token: str | None, decoder: str | None) -> bool:
    if key == _TOKEN:
        return mask_token is not None
    if key.startswith(f'{_DECODER}.'):
        return decoder is not None
    return key.startswith('backbone.') and not key.endswith(DERIVED)
