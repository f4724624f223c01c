"""One setting for channels and values reaches loader, model and pictures; contradictions name both lines."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from mmengine.config import Config
from PIL import Image

from simmim_mm.datasets import UnlabelledImages
from simmim_mm.engine import image_check
from simmim_mm.engine.channels import spread_channels
from simmim_mm.engine.checkpoints import check_keys
from simmim_mm.engine.config import load_config
from simmim_mm.models import MaskedImagePreprocessor
from simmim_mm.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
DEMO = str(CONFIGS / 'simmim_demo.py')
PREPROCESSOR = 'model.data_preprocessor'


def loaders(cfg: Config) -> list:
    return [cfg[name].dataset.pipeline[0] for name in ('train_dataloader', 'val_dataloader')]


@pytest.mark.parametrize('channels', [1, 2, 4, 13])
def test_two_options_reach_every_loader_and_the_model(channels):
    """The statistics of the config, which were of other images, are dropped; training and validation follow."""
    cfg = load_config(
        DEMO, cfg_options=[f'{PREPROCESSOR}.channels={channels}', f'{PREPROCESSOR}.value_range=[0,65535]']
    )
    assert [(loader.channels, loader.depth) for loader in loaders(cfg)] == [(channels, 'stored')] * 2
    model = MODELS.build(cfg.model)
    assert model.data_preprocessor.channels == channels
    assert model.data_preprocessor.mean.flatten().tolist() == [32767.5] * channels
    assert model.data_preprocessor.std.flatten().tolist() == [65535 / 4] * channels
    assert model.backbone.patch_embed.projection.in_channels == channels
    assert model.head.target.channels == channels
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    assert model.reconstruct(torch.zeros(1, channels, 128, 128), mask).images.shape == (1, channels, 128, 128)


def test_without_options_everything_is_rgb():
    cfg = load_config(DEMO)
    assert [(loader.channels, loader.depth, loader.grey) for loader in loaders(cfg)] == [(3, 'uint8', 'repeat')] * 2
    assert cfg.model.data_preprocessor.mean == [123.675, 116.28, 103.53]


def test_options_with_statistics_are_kept():
    options = [f'{PREPROCESSOR}.channels=2', f'{PREPROCESSOR}.mean=[100,90]', f'{PREPROCESSOR}.std=[50,40]']
    cfg = load_config(DEMO, cfg_options=options)
    assert cfg.model.data_preprocessor.mean == [100, 90]
    assert [loader.channels for loader in loaders(cfg)] == [2, 2]


def test_loaders_in_wrappers_and_nested_transforms_are_found():
    """Repeated and concatenated sets, and transforms inside transforms."""
    load = dict(type='simmim_mm.LoadImage')
    inner = dict(type='UnlabelledImages', pipeline=[dict(type='mmcv.Compose', transforms=[load])])
    cfg = Config(
        dict(
            model=dict(data_preprocessor=dict(type='simmim_mm.MaskedImagePreprocessor', mean=[1.5, 2, 3, 4, 5])),
            train_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=inner)),
            test_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=[dict(pipeline=[dict(load)])])),
        )
    )
    spread_channels(cfg)
    assert cfg.train_dataloader.dataset.dataset.pipeline[0].transforms[0].channels == 5
    assert cfg.test_dataloader.dataset.datasets[0].pipeline[0].channels == 5


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (
            [f'{PREPROCESSOR}.channels=13', 'train_dataloader.dataset.pipeline.0.channels=3'],
            ['train_dataloader.dataset.pipeline.0.channels=3', PREPROCESSOR, '13'],
        ),
        (
            [f'{PREPROCESSOR}.value_range=[0,65535]', 'val_dataloader.dataset.pipeline.0.depth=uint8'],
            ["val_dataloader.dataset.pipeline.0.depth='uint8'", 'value_range=[0, 65535]', "'stored'"],
        ),
        (
            [f'{PREPROCESSOR}.channels=13', f'{PREPROCESSOR}.mean=[1.5,2.5]'],
            [f'{PREPROCESSOR}.channels=13', '2 numbers', 'mean=None'],
        ),
    ],
    ids=['loader', 'depth', 'means'],
)
def test_contradictions_are_refused_with_both_lines(options, words):
    with pytest.raises(ValueError, match='contradicts') as error:
        load_config(DEMO, cfg_options=options)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize('channels', [1, 4, 13])
def test_every_encoder_gets_the_channels(encoder, build_model, channels):
    """Without ``in_channels`` in its config; all that comes after fits."""
    model = build_model(backbone=encoder, data_preprocessor=dict(type='MaskedImagePreprocessor', channels=channels))
    images = torch.randn(1, channels, 64, 64)
    mask = torch.tensor([[[True, False], [False, True]]])
    assert model.loss(images, mask)['loss'].isfinite()
    first = next(module for module in model.backbone.modules() if isinstance(module, torch.nn.Conv2d))
    assert first.in_channels == channels


def test_a_checkpoint_of_other_channels_is_named(build_model):
    """Both numbers and the first convolution's key."""
    grey = build_model(data_preprocessor=dict(type='MaskedImagePreprocessor', channels=1))
    with pytest.raises(ValueError, match=r'trained on images of 1 channels \(backbone.patch_embed.*has 3'):
        check_keys(build_model(), grey.state_dict(), 'a.pth')


@pytest.fixture
def warnings_of(monkeypatch, tmp_path):
    """What is logged of a folder of images."""

    def look(images: list[np.ndarray], **preprocessor) -> list[str]:
        for number, image in enumerate(images):
            tifffile.imwrite(tmp_path / f'{number}.tif', image, photometric='minisblack' if image.ndim == 2 else 'rgb')
        texts = []
        monkeypatch.setattr(image_check, 'print_log', lambda text, level, **kwargs: texts.append((level, text)))
        load = dict(type='LoadImage', grey='repeat', channels=preprocessor.get('channels', 3))
        load['depth'] = 'stored' if 'value_range' in preprocessor else 'uint8'
        dataset = UnlabelledImages(str(tmp_path), pipeline=[load])
        image_check.warn_of_unlikely_images(dataset, MaskedImagePreprocessor(**preprocessor))
        assert all(level == logging.WARNING for level, _ in texts)
        return [text for _, text in texts]

    return look


def test_a_folder_of_grey_images_is_noticed(warnings_of, photographs):
    """One line; a single colour image among them is enough for none."""
    grey, colour = photographs['camera'], photographs['astronaut']
    assert warnings_of([grey, colour, grey]) == []
    (text,) = warnings_of([grey, grey, grey])
    assert 'model.data_preprocessor.channels=1' in text


@pytest.mark.parametrize(
    ('high', 'value_range', 'words'),
    [
        (4000, (0, 65535), 'a small part of the range of 0 to 65535'),
        (4000, (0, 4095), None),
        (4000, (0, 1000), '75 % of them outside the range of 0 to 1000'),
        (16000, (0, 65535), 'a small part of the range of 0 to 65535'),
        (17000, (0, 65535), None),
        (4000, None, '16-bit values, of which 16 of 255 is the highest'),
        (16000, None, 'tools/dataset_statistics.py CONFIG --as-stored, and give value_range'),
        (17000, None, None),
        (65535, None, None),
    ],
)
def test_values_that_do_not_fit_the_range_are_noticed(warnings_of, high, value_range, words):
    """12 bits in 16: a range that is too wide, right, too narrow, and 8 bits of them."""
    image = np.linspace(0, high, 10000).round().astype(np.uint16).reshape(100, 100)
    texts = warnings_of([image], channels=1, **({} if value_range is None else dict(value_range=value_range)))
    assert len(texts) == (words is not None)
    assert words is None or words in texts[0]


def test_another_number_of_channels_stops_before_training(warnings_of):
    with pytest.raises(ValueError, match=r'0.tif is grey, but|0.tif holds'):
        warnings_of([np.zeros((8, 8), np.uint8)], channels=4)


def test_files_that_cannot_be_read_do_not_stop_the_look(tmp_path):
    (tmp_path / 'a.png').write_bytes(b'no image')
    Image.new('RGB', (8, 8), (0, 128, 255)).save(tmp_path / 'b.png')
    dataset = UnlabelledImages(str(tmp_path), pipeline=[dict(type='LoadImage')])
    image_check.warn_of_unlikely_images(dataset, MaskedImagePreprocessor())
