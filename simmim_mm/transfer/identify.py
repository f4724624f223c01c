"""What a file seems to be that is not what was expected."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from simmim_mm.atomic import damage_of

# What is said of a file that cannot be read.
EXPECTED = 'expected is a whole file that torch.save wrote: name another checkpoint, or copy this one again'

# First bytes of files that are taken for checkpoints, and what they are.
_MAGIC = (
    (b'\x89PNG', 'is a PNG image'),
    (b'\xff\xd8\xff', 'is a JPEG image'),
    (b'\x1f\x8b', 'is compressed by gzip; unpack it first'),
    (b'BZh', 'is compressed by bzip2; unpack it first'),
    (b'\xfd7zXZ', 'is compressed by xz; unpack it first'),
    (b'\x28\xb5\x2f\xfd', 'is compressed by zstd; unpack it first'),
    (b'\x89HDF', "is an HDF5 file, such as Keras's weights; only weights of PyTorch can be read"),
    (b'\x93NUMPY', 'is an array of NumPy'),
    (b'GGUF', 'is a model in GGUF format; only weights of PyTorch can be read'),
    (b'%PDF', 'is a PDF document'),
    (b'version https://git-lfs', 'is a pointer of Git LFS, not the file that it stands for; run: git lfs pull'),
)

# Keys that give a code base away, the first one that fits; in words that follow "it seems to be".
_SIGNS = (
    (r'masker\.mask_token', 'a checkpoint of this package'),
    (r'encoder\.mask_token', "a checkpoint of the authors' SimMIM"),
    (r'backbone\.mask_token', "a checkpoint of mmpretrain's SimMIM"),
    (r'(swin|swinv2|vit|beit)\.embeddings\..*', "a model of Hugging Face's transformers"),
    (r'decoder_blocks\.0\..*', 'a masked autoencoder (MAE)'),
    (r'(visual|vision_model)\..*', 'a model of images and text (CLIP)'),
    (r'(student|teacher|momentum_encoder|encoder_q)\..*', 'a model of self-distillation or contrast (DINO, MoCo)'),
    (r'(rpn_head|roi_head|bbox_head|bbox_embed|transformer\.encoder)\..*', 'a detector'),
    (r'(decode_head|auxiliary_head)\..*', 'a segmentor'),
    (r'.*layer1\.0\.conv1\.weight', 'a ResNet'),
    (r'.*(downsample_layers\.0\.0|depthwise_conv|dwconv|conv_dw)\..*', 'a ConvNeXt'),
    (r'.*features\.0\.(0\.)?weight', 'a convolutional network of torchvision'),
    (r'.*w_msa\.logit_scale|.*layers\.0\.blocks\.0\.attn\.logit_scale', 'a Swin V2'),
    (r'.*w_msa\.qkv\..*|.*layers\.0\.blocks\.0\.attn\.qkv\..*', 'a Swin Transformer'),
    (r'.*blocks\.0\.attn\..*|.*layers\.0\.attn\..*', 'a ViT'),
    (r'.*(lm_head|embed_tokens|word_embeddings)\..*', 'a language model'),
)


def describe_bytes(path: str) -> tuple[str, str]:
    """Looks at the beginning of a file.

    Args:
        path: The file.

    Returns:
        Its kind (``'zip'``, ``'safetensors'`` or ``'pickle'``), and what is wrong with it, in words that follow its
        name; '' if it may well be a checkpoint.
    """
    size = os.path.getsize(path)
    with open(path, 'rb') as file:
        head = file.read(512)
    if not head:
        return '', 'is empty'
    for magic, words in _MAGIC:
        if head.startswith(magic):
            return '', words
    if head.startswith(b'PK'):
        return 'zip', _describe_zip(path)
    if head[257:262] == b'ustar':
        return '', 'is a tar archive; unpack it, and name the file in it'
    header = int.from_bytes(head[:8], 'little')
    if head[8:9] == b'{' and header > 1:
        if header + 8 > size:
            return 'safetensors', f'is a safetensors file that is cut off: it has {size} bytes'
        return 'safetensors', ''
    if text := _describe_text(head):
        return '', text
    if head[:1] != b'\x80':  # protocol 2 and later
        return '', f'is no checkpoint of PyTorch: it begins with the bytes {head[:8].hex(" ")}'
    return 'pickle', ''


def check_torch_file(path: str) -> str:
    """Refuses a file that is no whole one of PyTorch, without loading it.

    Args:
        path: The file.

    Returns:
        ``'zip'``, of which all checksums are right, or ``'pickle'``, PyTorch's format before 1.6, which has none.

    Raises:
        ValueError: If it is damaged, or something else, with what it seems to be.
    """
    kind, problem = describe_bytes(path)
    if kind == 'safetensors':
        problem = problem or 'is a safetensors file'
    if kind == 'zip' and not problem and (damage := damage_of(path)):
        problem = f'is damaged: {damage}'
    if problem:
        raise ValueError(f'{path!r} {problem}; {EXPECTED}')
    return kind


def _describe_zip(path: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return f'is a PyTorch file or zip archive that is cut off or damaged: it has {os.path.getsize(path)} bytes'
    if any(name.endswith('constants.pkl') for name in names):
        return 'is a TorchScript program, not a checkpoint; save the state_dict() of the model instead'
    if any(name.endswith('.npy') for name in names):
        return 'is an archive of NumPy arrays (npz); only weights of PyTorch can be read'
    if not any(name.endswith('data.pkl') for name in names):
        return f'is a zip archive without weights of PyTorch; it holds {", ".join(names[:3]) or "nothing"}'
    return ''


def _describe_text(head: bytes) -> str:
    try:
        text = head.decode('utf-8').lstrip()
    except UnicodeDecodeError:
        return ''
    if any(not (char.isprintable() or char in '\r\n\t') for char in text):
        return ''
    if text[:1] == '<':
        return 'is a web page, not the file that should have been downloaded'
    if text[:1] in '{[':
        return 'is a JSON text, without weights'
    return f'is a text, without weights; it begins with {text[:30]!r}'


def describe_object(loaded: Any) -> str:
    """What an object from a file seems to be that is no weights by name; follows "it seems to be"."""
    if isinstance(loaded, Mapping):
        names = [str(name) for name in loaded]
        if 'param_groups' in loaded:
            return 'the state of an optimiser'
        if not names:
            return 'an empty dictionary'
        return f'a dictionary of {", ".join(names[:4])}{" ..." if len(names) > 4 else ""}'
    if isinstance(loaded, Tensor):
        return f'one tensor of shape {tuple(loaded.shape)}'
    if isinstance(loaded, list | tuple):
        return f'a {type(loaded).__name__} of {len(loaded)} things'
    if hasattr(loaded, 'state_dict'):
        return f'a whole {type(loaded).__name__}; save its state_dict() instead'
    return f'an object of type {type(loaded).__name__}'


def describe_keys(keys: Iterable[str]) -> str:
    """What weights with these keys seem to be; follows "it seems to be"."""
    keys = list(keys)
    for sign, words in _SIGNS:
        if any(re.fullmatch(sign, key) for key in keys):
            return words
    return f'something with keys such as {", ".join(keys[:3])}'
