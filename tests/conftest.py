"""Fixtures of the whole suite: tiny models, photographs, folders of images."""

from __future__ import annotations

import gc
import logging
import random
import warnings

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import HealthCheck, settings
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from PIL import Image

import simmim_mm  # noqa: F401  (checks the host packages before anything else is imported)

torch.set_num_threads(1)  # tiny models: threads only get in their own way
settings.register_profile(
    'suite',
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile('suite')


def pytest_configure(config):
    """Warnings of host packages at import time, which no one here can act on."""
    for text in ('`torch.jit.', 'Fail to import ``MultiScaleDeformableAttention``'):
        config.addinivalue_line('filterwarnings', f'ignore:{text}')


def pytest_collection_finish(session):
    """MMEngine's data sets collect garbage when they are built: 0.3 s, unless what is imported by now is left out."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _scope_and_seeds():
    """Each test starts in our scope, from the same seeds."""
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        init_default_scope('simmim_mm')
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def tiny_swin(window_size: int = 2, **kwargs) -> dict:
    """A Swin with 16 to 128 channels and stride 32, which takes 64 px images."""
    return dict(
        type='mmpretrain.SwinTransformer',
        arch=dict(embed_dims=16, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8]),
        img_size=64,
        drop_path_rate=0.0,
        stage_cfgs=dict(block_cfgs=dict(window_size=window_size)),
        **kwargs,
    )


def tiny_encoders() -> dict[str, dict]:
    """A tiny config for each row of the table of stems and its variants; all take 64 px images."""
    four_stages = dict(embed_dims=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8])
    vit = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
    convnext = dict(arch=dict(depths=[1, 1, 1, 1], channels=[16, 32, 64, 128]), gap_before_final_norm=False)
    pyramid = dict(patch_sizes=[4, 2, 2, 2], strides=[4, 2, 2, 2], mlp_ratios=[2, 2, 2, 2], sr_ratios=[8, 4, 2, 1])
    return {
        'SwinTransformer': tiny_swin(),
        'SwinTransformerV2': dict(
            type='mmpretrain.SwinTransformerV2',
            arch=dict(extra_norm_every_n_blocks=0, **four_stages),
            img_size=64,
            window_size=[4, 4, 4, 2],
            drop_path_rate=0.0,
        ),
        'VisionTransformer': dict(
            type='mmpretrain.VisionTransformer', arch=vit, img_size=64, patch_size=16, out_type='featmap'
        ),
        'BEiTViT': dict(
            type='mmpretrain.BEiTViT',
            arch=vit,
            img_size=64,
            patch_size=16,
            out_type='featmap',
            use_abs_pos_emb=False,
            use_rel_pos_bias=False,
            use_shared_rel_pos_bias=True,
            layer_scale_init_value=0.1,
        ),
        'PCPVT': dict(
            type='mmpretrain.PCPVT',
            arch=dict(embed_dims=[16, 32, 64, 128], depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8], **pyramid),
            drop_path_rate=0.0,
        ),
        'HiViT': dict(
            type='mmpretrain.HiViT',
            # Eight blocks at the end: mmpretrain confuses the index of the last one with those of the six before.
            arch=dict(embed_dims=32, depths=[1, 1, 8], num_heads=2),
            img_size=64,
            out_indices=[7],  # mmpretrain's default is one list for all models, which each changes
        ),
        'ConvNeXt': dict(type='mmpretrain.ConvNeXt', **convnext),
        'ConvNeXt V2': dict(type='mmpretrain.ConvNeXt', use_grn=True, layer_scale_init_value=0.0, **convnext),
        'TIMMBackbone': dict(
            type='mmpretrain.TIMMBackbone',
            model_name='pvt_v2_b0',
            features_only=True,
            pretrained=False,
            depths=(1, 1, 1, 1),
            embed_dims=(8, 16, 32, 64),
            num_heads=(1, 2, 4, 8),
        ),
        'ResNet': dict(type='mmpretrain.ResNet', depth=18, base_channels=8),
    }


def build_model(**kwargs):
    """A tiny SimMIM with drawn weights, mask token included."""
    from simmim_mm.registry import MODELS

    model = MODELS.build({'type': 'SimMIM', 'backbone': tiny_swin(), 'img_size': 64, **kwargs})
    model.init_weights()
    return model


@pytest.fixture(name='tiny_swin')
def _tiny_swin():
    return tiny_swin


@pytest.fixture(params=sorted(tiny_encoders()))
def encoder(request) -> dict:
    """Each encoder of the table of stems, tiny."""
    return tiny_encoders()[request.param]


@pytest.fixture(name='tiny_encoders')
def _tiny_encoders():
    return tiny_encoders()


@pytest.fixture(name='build_model')
def _build_model():
    return build_model


@pytest.fixture
def tiny_model():
    return build_model()


@pytest.fixture(scope='session')
def photographs() -> dict[str, np.ndarray]:
    """RGB photographs that come with scikit-image; `camera` is grey."""
    return {name: getattr(skimage.data, name)() for name in ('astronaut', 'coffee', 'chelsea', 'rocket', 'camera')}


@pytest.fixture
def image_folder(tmp_path, photographs):
    """Makes a folder of small photographs, all different, and returns its path."""

    def make(num_images: int = 6, name: str = 'images', size: tuple[int, int] = (60, 50), ending: str = '.png') -> str:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        names = ('astronaut', 'coffee', 'chelsea', 'rocket')
        for number in range(num_images):
            image = Image.fromarray(photographs[names[number % 4]])
            left = 5 * number
            image.crop((left, 10, left + 250, 260)).resize(size).save(folder / f'{number:03d}{ending}')
        return str(folder)

    return make


@pytest.fixture
def transform():
    """Builds a transform of the package from its arguments."""
    from simmim_mm.registry import TRANSFORMS

    return lambda name, **kwargs: TRANSFORMS.build(dict(type=name, **kwargs))
