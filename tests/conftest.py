"""Fixtures of the whole suite: tiny models, photographs, folders of images."""

from __future__ import annotations

import gc
import hashlib
import logging
import pickle
import random
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
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


@pytest.fixture
def run_tool(monkeypatch, capsys):
    """Runs a tool as `python tools/NAME` does, but in this process; what it wrote."""
    tools = Path(__file__).resolve().parents[1] / 'tools'
    monkeypatch.syspath_prepend(str(tools))

    def call(name, *arguments, status=0):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(tools / name), run_name='__main__')
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        assert code == status, captured
        return captured.out + captured.err

    return call


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


@pytest.fixture(scope='session')
def cifar_images(photographs) -> np.ndarray:
    """(12, 3, 32, 32) uint8: ten images to train on, two to test."""
    names = ('astronaut', 'coffee', 'chelsea', 'rocket')
    crops = [Image.fromarray(photographs[names[n % 4]]).crop((9 * n, 5, 9 * n + 250, 255)) for n in range(12)]
    return np.stack([np.asarray(crop.resize((32, 32))).transpose(2, 0, 1) for crop in crops])


@pytest.fixture
def cifar_folder(tmp_path, monkeypatch, cifar_images):
    """Writes a CIFAR-10 of twelve images in the official format, and has mmpretrain expect its checksums."""
    from mmpretrain.datasets import CIFAR10

    def make(rewrite: bool = True) -> str:
        folder = tmp_path / 'cifar10' / 'cifar-10-batches-py'
        folder.mkdir(parents=True, exist_ok=True)
        batches = {f'data_batch_{n + 1}': cifar_images[2 * n : 2 * n + 2] for n in range(5)}
        checksums = {}
        for name, images in {**batches, 'test_batch': cifar_images[10:]}.items() if rewrite else ():
            entry = {'data': images.reshape(len(images), -1), 'labels': [3] * len(images), 'batch_label': name}
            data = pickle.dumps(entry, protocol=2)
            (folder / name).write_bytes(data)
            checksums[name] = hashlib.md5(data).hexdigest()
        if rewrite:
            for lists in ('train_list', 'test_list'):
                expected = [[name, checksums[name]] for name, _ in getattr(CIFAR10, lists)]
                monkeypatch.setattr(CIFAR10, lists, expected)
        return str(folder.parent)

    return make


@pytest.fixture
def band_folder(tmp_path, photographs):
    """Makes a folder of TIFF files of many 16-bit bands, red, green and blue of photographs in bands 3, 2 and 1."""

    def make(num_images: int = 4, name: str = 'bands', channels: int = 13, size: tuple[int, int] = (96, 160)) -> str:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(num_images):
            photograph = Image.fromarray(photographs[('astronaut', 'coffee', 'chelsea', 'rocket')[number % 4]])
            rgb = np.asarray(photograph.resize(size[::-1])).astype(np.uint16)
            bands = np.stack([rgb.mean(axis=-1) * 10 + 300 * band for band in range(channels)]).astype(np.uint16)
            bands[1:4] = rgb[..., ::-1].transpose(2, 0, 1) * 30
            tifffile.imwrite(folder / f'{number}.tif', bands, photometric='minisblack')
        return str(folder)

    return make


@pytest.fixture
def colour_file(tmp_path):
    """Writes a file of colour clusters, in units of 0 to 255, and returns its path."""
    from simmim_mm.models.targets.cluster_file import ColourClusters, save_clusters

    def make(centres, name: str = 'clusters.npz', value_range: tuple[float, float] = (0.0, 255.0)) -> str:
        centres = np.asarray(centres, dtype=np.float32)
        limits = np.tile(np.float32(value_range).reshape(2, 1), (1, centres.shape[1]))
        save_clusters(str(tmp_path / name), ColourClusters(centres, limits, 0.0, {}))
        return str(tmp_path / name)

    return make


@pytest.fixture
def teacher(tmp_path):
    """Makes a tiny ViT of 16-pixel patches with random weights: its config and its checkpoint."""

    def make(prefix: str = 'backbone.', name: str = 'teacher.pth', cfg: dict | None = None) -> dict:
        from simmim_mm.registry import MODELS

        cfg = cfg or tiny_encoders()['VisionTransformer']
        network = MODELS.build(cfg)
        network.init_weights()
        for buffer in network.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)  # running statistics that are not those of a batch
        state = {f'{prefix}{key}': value for key, value in network.state_dict().items()}
        torch.save(dict(state_dict=state, meta={}), tmp_path / name)
        return dict(teacher=cfg, checkpoint=str(tmp_path / name))

    return make


@pytest.fixture
def transform():
    """Builds a transform of the package from its arguments."""
    from simmim_mm.registry import TRANSFORMS

    return lambda name, **kwargs: TRANSFORMS.build(dict(type=name, **kwargs))
