"""The authors' code, from a checkout that the user has: microsoft/SimMIM, or microsoft/Swin-Transformer for Swin V2."""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from simmim_mm.benchmark.candidates import Setup
from simmim_mm.benchmark.peers.plain_pixels import check_plain_pixels
from simmim_mm.benchmark.peers.translated import TranslatedCandidate

PACKAGE = 'simmim_of_the_authors'


class AuthorsCandidate(TranslatedCandidate):
    """``build_simmim`` of the authors' ``models/simmim.py`` with the sizes of our config.

    fp16 with a scaler by default on CUDA, which stands for their Apex O1, and fp32 on CPUs. Drop path as in their
    recipes: 0 for Swin, 0.1 for ViT and Swin V2.

    Raises:
        ValueError: If ``--peer-dir`` is missing or holds no such code, or the code has no such encoder.
    """

    name, format_name = 'simmim', 'simmim'

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        check_plain_pixels(setup, "the authors' code", window_norm=True)
        simmim = import_authors(setup.plan.peer_dir)
        config = authors_config(setup)
        self.patch = setup.reference.backbone.patch_embed.projection.weight.shape[-1]
        try:
            model = simmim.build_simmim(config)
        except NotImplementedError as error:
            raise ValueError(
                f'{setup.plan.peer_dir} has no SimMIM around {setup.family} ({error}): Swin V2 is in '
                'microsoft/Swin-Transformer, ViT in microsoft/SimMIM'
            ) from error
        self.prepare(model, 'fp16' if setup.plan.device == 'cuda' else 'fp32')
        self.about = f'{self.precision}, {Path(str(setup.plan.peer_dir)).name}, drop path {config.MODEL.DROP_PATH_RATE}'

    def loss(self) -> Tensor:
        """See the base class."""
        return self.model(*self.on_device())


def import_authors(folder: str | None) -> Any:
    """Imports ``models/simmim.py`` of a checkout under a name of its own, without running ``models/__init__.py``.

    Raises:
        ValueError: If there is no such file, or it cannot be imported.
    """
    advice = 'clone https://github.com/microsoft/SimMIM (for Swin V2 microsoft/Swin-Transformer) and name its folder'
    if folder is None:
        raise ValueError(f"--against simmim needs --peer-dir, a checkout of the authors' code: {advice}")
    models = Path(folder).resolve() / 'models'
    if not (models / 'simmim.py').is_file():
        raise ValueError(f'--peer-dir {folder!r} has no models/simmim.py; {advice}')
    package = types.ModuleType(PACKAGE)
    package.__path__ = [str(models)]
    for name in [name for name in sys.modules if name.partition('.')[0] == PACKAGE]:
        del sys.modules[name]  # of another checkout
    sys.modules[PACKAGE] = package
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # timm's, of old import paths
            return importlib.import_module(f'{PACKAGE}.simmim')
    except ImportError as error:
        raise ValueError(f"--peer-dir {folder!r}: {error}; the authors' code needs timm: pip install timm") from error


def authors_config(setup: Setup) -> Any:
    """The part of the authors' config that their models read."""
    encoder, target = setup.reference.backbone, setup.reference.head.target
    height, width = setup.reference.image_hw
    if height != width:
        raise ValueError(f"the authors' code takes square images, and these are {height}x{width}")
    kinds = {'SwinTransformer': 'swin', 'SwinTransformerV2': 'swinv2', 'BEiTViT': 'vit'}
    if setup.family not in kinds:
        raise ValueError(f"the authors' code has no {setup.family}; use --against plain")
    channels = setup.reference.data_preprocessor.channels
    patch = encoder.patch_embed.projection.weight.shape[-1]
    common = dict(PATCH_SIZE=patch, IN_CHANS=channels, MLP_RATIO=4.0, QKV_BIAS=True, QK_SCALE=None, APE=False)
    kind, sizes = kinds[setup.family], {}
    if kind == 'vit':
        arch = encoder.arch_settings
        sizes['VIT'] = SimpleNamespace(
            **common,
            EMBED_DIM=encoder.embed_dims,
            DEPTH=encoder.num_layers,
            NUM_HEADS=arch['num_heads'],
            INIT_VALUES=0.1,
            USE_APE=False,
            USE_RPB=False,
            USE_SHARED_RPB=True,
            USE_MEAN_POOLING=False,
        )
    else:
        sizes[kind.upper()] = SimpleNamespace(
            **common,
            EMBED_DIM=encoder.embed_dims,
            DEPTHS=list(encoder.depths),
            NUM_HEADS=list(encoder.num_heads),
            WINDOW_SIZE=int(encoder.stages[0].blocks[0].attn.window_size),
            PATCH_NORM=True,
        )
    norm = getattr(target, 'norm', None)
    sizes['SIMMIM'] = SimpleNamespace(
        NORM_TARGET=SimpleNamespace(ENABLE=norm == 'window', PATCH_SIZE=getattr(target, 'norm_size', 47))
    )
    rate = 0.0 if kind == 'swin' or not setup.plan.drop_path else 0.1
    return SimpleNamespace(
        DATA=SimpleNamespace(IMG_SIZE=height),
        MODEL=SimpleNamespace(TYPE=kind, DROP_RATE=0.0, DROP_PATH_RATE=rate, **sizes),
        TRAIN=SimpleNamespace(USE_CHECKPOINT=False),
    )
