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
from tiny import build_model, tiny_encoders, tiny_swin

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
