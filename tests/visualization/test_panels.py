"""Pictures show the right pixels in the right place."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from mmengine.config import Config
from PIL import Image

from simmim_mm.datasets.transforms import UnreadableImageError
from simmim_mm.visualization import (
    config_pipeline,
    draw_masks,
    draw_reconstructions,
    fixed_batch,
    image_samples,
    reconstruction_panel,
    save_png,
)
from simmim_mm.visualization.panels import GAP, HIDDEN_GREY

HEADER = 18


def cell(panel: np.ndarray, row: int, column: int, hw: tuple[int, int]) -> np.ndarray:
    top, left = HEADER + row * (hw[0] + GAP), column * (hw[1] + GAP)
    return panel[top : top + hw[0], left : left + hw[1]]


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_the_columns_of_a_panel(channels):
    rng = np.random.default_rng(0)
    originals, predicted = (rng.integers(0, 256, (2, channels, 8, 12), dtype=np.uint8) for _ in range(2))
    hidden = rng.random((2, 8, 12)) < 0.5
    panel = reconstruction_panel(originals, predicted, hidden)
    assert panel.shape == (HEADER + 2 * 8 + GAP, 4 * 12 + 3 * GAP, 3)
    for row in range(2):
        for y in range(8):
            for x in range(12):
                source, guess = (
                    [images[row, band % channels, y, x] for band in range(3)] for images in (originals, predicted)
                )
                where = hidden[row, y, x]
                shown = [cell(panel, row, column, (8, 12))[y, x].tolist() for column in range(4)]
                assert shown == [source, [HIDDEN_GREY] * 3 if where else source, guess, guess if where else source]


def test_drawn_reconstructions_undo_the_normalisation(build_model, image_folder, transform):
    """Visible pixels of the pasted column are the file's own, to the last grey level."""
    model = build_model().train()
    folder = image_folder(3, size=(64, 64))
    transforms = [
        transform('LoadImage'),
        transform('RandomPatchMask', mask_patch_size=16),
        transform('PackMaskedImage'),
    ]
    samples = image_samples([folder])
    batch = fixed_batch(samples.__getitem__, len(samples), transforms, num=3, seed=1)
    panel = draw_reconstructions(model, batch)
    assert model.training
    assert model.backbone.training
    for row, sample in enumerate(samples):
        pixels = np.asarray(Image.open(sample['img_path']))
        hidden = np.kron(batch['mask'][row].numpy(), np.ones((16, 16), dtype=bool))
        assert np.array_equal(cell(panel, row, 0, (64, 64)), pixels)
        assert np.array_equal(cell(panel, row, 3, (64, 64))[~hidden], pixels[~hidden])
        with torch.no_grad():
            model.eval()
            data = model.data_preprocessor({key: value[row : row + 1] for key, value in batch.items()})
            raw = model.reconstruct(data['inputs'], data['mask']).images[0].permute(1, 2, 0).numpy()
            model.train()
        guess = np.clip(raw * [58.395, 57.12, 57.375] + [123.675, 116.28, 103.53], 0, 255)
        assert np.abs(cell(panel, row, 2, (64, 64)) - guess).max() <= 0.51


def test_the_fixed_batch_is_fixed_and_skips_what_cannot_be_read(image_folder, transform, tmp_path):
    folder = image_folder(6, size=(64, 64))
    transforms = [
        transform('LoadImage'),
        transform('RandomPatchMask', mask_patch_size=16),
        transform('PackMaskedImage'),
    ]
    samples = image_samples([folder])
    first, second = (fixed_batch(samples.__getitem__, len(samples), transforms, num=3, seed=4) for _ in range(2))
    assert torch.equal(first['inputs'], second['inputs'])
    assert torch.equal(first['mask'], second['mask'])
    assert not torch.equal(
        first['mask'], fixed_batch(samples.__getitem__, len(samples), transforms, num=3, seed=5)['mask']
    )
    assert first['img_path'] == [samples[index]['img_path'] for index in (0, 2, 4)]
    broken = tmp_path / 'broken.png'
    broken.write_bytes(b'no image')
    samples[2] = {'img_path': str(broken)}
    assert fixed_batch(samples.__getitem__, len(samples), transforms, num=3)['img_path'][1] == samples[3]['img_path']
    with pytest.raises(UnreadableImageError, match=r'broken.png'):
        fixed_batch([samples[2]].__getitem__, 1, transforms, num=3)


def test_masks_of_a_config_are_drawn(image_folder):
    cfg = Config.fromfile('configs/simmim_demo.py')
    transforms = config_pipeline(cfg)
    picture = draw_masks(image_samples([image_folder(2)]).__getitem__, 2, transforms, num=2, num_masks=3)
    assert picture.shape == (HEADER + 2 * 128 + GAP, 4 * 128 + 3 * GAP, 3)
    share = (cell(picture, 0, 1, (128, 128)) == HIDDEN_GREY).all(axis=-1).mean()
    assert share == pytest.approx(39 / 64, abs=0.01)  # ceil(64 * 0.6) = 39 cells
    cfg.train_dataloader.dataset.pipeline = [dict(type='LoadImage')]
    with pytest.raises(ValueError, match='draws no masks'):
        config_pipeline(cfg)


def test_pictures_are_written_with_their_folders(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    path = save_png(str(tmp_path / 'a' / 'b.png'), picture)
    assert np.array_equal(np.asarray(Image.open(path)), picture)
    with pytest.raises(FileNotFoundError, match="image 'nowhere.png' does not exist"):
        image_samples(['nowhere.png'])


@pytest.mark.parametrize('bands', [(3, 2, 1), (12, 0, 5), (7,), [0]])
def test_chosen_bands_are_shown(bands):
    """8-bit bands as they are, in the order that was asked for; one band as grey."""
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (1, 13, 8, 12), dtype=np.uint8)
    panel = reconstruction_panel(originals, originals, np.zeros((1, 8, 12), bool), bands)
    shown = [bands[n % len(bands)] for n in range(3)]
    assert np.array_equal(cell(panel, 0, 0, (8, 12)), originals[0, shown].transpose(1, 2, 0))


def test_values_beyond_8_bits_are_stretched_as_the_original_is():
    """Each band of each image: its 2nd and 98th percentile become 0 and 255, for the reconstruction too; by hand."""
    rng = np.random.default_rng(0)
    originals = rng.normal(5000, 900, (2, 4, 20, 30)).astype(np.float32)
    originals[1] *= 3
    predicted = originals + 500
    panel = reconstruction_panel(originals, predicted, np.ones((2, 20, 30), bool), (3, 0, 2))
    for row in range(2):
        for color, band in enumerate((3, 0, 2)):
            low, high = (np.sort(originals[row, band].flatten())[round(q * 599)] for q in (0.02, 0.98))
            for column, images in ((0, originals), (2, predicted), (3, predicted)):
                expected = np.clip((images[row, band] - low) / (high - low) * 255, 0, 255)
                shown = cell(panel, row, column, (20, 30))[..., color].astype(float)
                assert np.abs(shown - expected).max() < 4
    assert (cell(panel, 0, 0, (20, 30)) == 0).any()
    assert (cell(panel, 0, 0, (20, 30)) == 255).any()


def test_a_flat_band_is_no_error():
    flat = np.full((1, 1, 4, 4), 7.0, np.float32)
    with np.errstate(all='raise'):
        panel = reconstruction_panel(flat, flat + 1, np.zeros((1, 4, 4), bool))
    assert (cell(panel, 0, 0, (4, 4)) == 0).all()
    assert (cell(panel, 0, 2, (4, 4)) == 255).all()


@pytest.mark.parametrize('bands', [(1, 2), (0, 1, 13), '3,2,1', (0.0, 1, 2), (-1, 0, 1), (True, 0, 1), 3, ()], ids=str)
def test_bands_that_cannot_be_shown_are_refused(bands):
    images = np.zeros((1, 13, 4, 4), np.float32)
    with pytest.raises(ValueError, match='bands='):
        reconstruction_panel(images, images, np.zeros((1, 4, 4), bool), bands)


def test_masks_over_bands_are_drawn(band_folder, transform):
    """Non-square, 16-bit, with the colours of the photograph: bands 3, 2 and 1 hold red, green and blue."""
    transforms = [
        transform('LoadImage', channels=13, depth='stored'),
        transform('RandomPatchMask', mask_patch_size=16),
        transform('PackMaskedImage'),
    ]
    samples = image_samples([band_folder(1)])
    panel = draw_masks(samples.__getitem__, 1, transforms, num=1, num_masks=1, bands=(3, 2, 1))
    shown = cell(panel, 0, 0, (96, 160)).astype(float)
    photograph = np.asarray(Image.fromarray(skimage.data.astronaut()).resize((160, 96))).astype(float)
    for color in range(3):
        correlations = [np.corrcoef(shown[..., color].flat, photograph[..., other].flat)[0, 1] for other in range(3)]
        assert np.argmax(correlations) == color
        assert correlations[color] > 0.98
    assert (cell(panel, 0, 1, (96, 160)) == HIDDEN_GREY).all(axis=-1).mean() == pytest.approx(36 / 60, abs=0.01)
