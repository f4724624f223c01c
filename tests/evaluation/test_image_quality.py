"""PSNR, SSIM and errors of a batch, against scikit-image and NumPy, image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from simmim_mm.evaluation.image_quality import HIGHEST_PSNR, hidden_errors, psnr, ssim
from simmim_mm.evaluation.masked_reconstruction import score_batch
from simmim_mm.models.preprocessor import MaskedImagePreprocessor


@pytest.fixture
def pairs(photographs):
    """Photographs, dark and bright ones, beside disturbed ones: (B, 3, 64, 96) float64 from 0 to 255."""
    rng = np.random.default_rng(0)
    images = np.stack([photographs[name][40:104, 60:156] for name in ('astronaut', 'coffee', 'chelsea', 'rocket')])
    images = images.transpose(0, 3, 1, 2).astype(np.float64)
    images[1], images[2] = images[1] / 20, 255 - images[2] / 20
    others = images + rng.normal(size=images.shape) * np.array([1, 5, 20, 60]).reshape(4, 1, 1, 1)
    return images, others.clip(0, 255)


@pytest.mark.parametrize('channels', [1, 2, 3, 7])
def test_both_equal_scikit_image(pairs, channels):
    images, others = (np.concatenate([each] * 3, axis=1)[:, :channels] for each in pairs)
    tensors = [torch.from_numpy(each).float() for each in (images, others)]
    ratios = [peak_signal_noise_ratio(*pair, data_range=255) for pair in zip(images, others, strict=True)]
    likeness = [
        structural_similarity(*pair, data_range=255, channel_axis=0) for pair in zip(images, others, strict=True)
    ]
    assert psnr(*tensors).tolist() == pytest.approx(ratios, rel=1e-5)
    assert ssim(*tensors).tolist() == pytest.approx(likeness, abs=2e-5)
    assert ssim(tensors[0], tensors[0]).tolist() == pytest.approx([1.0] * 4)


def test_perfect_images_have_the_highest_ratio_and_not_an_infinite_one():
    images = torch.full((2, 1, 8, 8), 7.0)
    assert psnr(images, images).tolist() == [HIGHEST_PSNR] * 2
    assert torch.isnan(psnr(images, images * torch.nan)).all()  # a broken model is not a perfect one


def test_errors_on_hidden_pixels_alone():
    rng = np.random.default_rng(1)
    images, others = rng.normal(size=(2, 3, 5, 9, 8))
    hidden = rng.random((3, 9, 8)) < 0.5
    expected = [
        (np.abs(difference).mean(), (difference**2).mean())
        for difference in (others[number][:, hidden[number]] - images[number][:, hidden[number]] for number in range(3))
    ]
    l1, l2 = hidden_errors(*(torch.from_numpy(each) for each in (images, others, hidden)))
    assert list(zip(l1.tolist(), l2.tolist(), strict=True)) == [pytest.approx(each) for each in expected]


def test_small_images_are_refused():
    with pytest.raises(ValueError, match='squares of 7x7 pixels, the images are 6x9'):
        ssim(torch.zeros(1, 1, 6, 9), torch.zeros(1, 1, 6, 9))


@pytest.mark.parametrize(
    'settings',
    [{}, dict(channels=5, value_range=(0, 10000), mean=[900.0] * 5, std=[700.0] * 5)],
    ids=['8 bits', '16 bits, 5 bands'],
)
def test_composites_are_compared_in_units_of_0_to_255(settings):
    """The whole way from normalised predictions, against scikit-image on pictures put together here."""
    preprocessor = MaskedImagePreprocessor(**settings)
    low, high = preprocessor.value_range
    rng = np.random.default_rng(2)
    images = rng.uniform(low, high, size=(2, preprocessor.channels, 32, 40))
    predicted = images + rng.normal(size=images.shape) * (high - low) / 3  # beyond the range too
    hidden = rng.random((2, 32, 40)) < 0.6
    mean, std = (each.double() for each in (preprocessor.mean, preprocessor.std))
    units = torch.stack(preprocessor.display_units())
    samples = [
        {
            'image': ((torch.from_numpy(images[number]) - mean[0]) / std[0]).float(),
            'reconstruction': ((torch.from_numpy(predicted[number]) - mean[0]) / std[0]).float(),
            'hidden': torch.from_numpy(hidden[number]),
            'display_units': units,
        }
        for number in range(2)
    ]
    for number, scores in enumerate(score_batch(samples)):
        shown, other = (255 * (each[number] - low) / (high - low) for each in (images, predicted))
        composite = np.where(hidden[number], other.clip(0, 255), shown)
        assert scores['psnr'] == pytest.approx(peak_signal_noise_ratio(shown, composite, data_range=255), rel=1e-5)
        expected = structural_similarity(shown, composite, data_range=255, channel_axis=0)
        assert scores['ssim'] == pytest.approx(expected, abs=2e-5)
        filled = np.where(hidden[number], shown[:, ~hidden[number]].mean(axis=1)[:, None, None], shown)
        assert scores['mean_colour_psnr'] == pytest.approx(
            peak_signal_noise_ratio(shown, filled, data_range=255), rel=1e-5
        )
