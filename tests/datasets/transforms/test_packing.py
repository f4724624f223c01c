"""What of a sample travels to the model."""

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate


@pytest.fixture
def pack(transform):
    return transform('PackMaskedImage')


def test_image_and_mask_become_tensors(pack):
    """Channels first, values as they were; uint8 and bool; nothing but image, mask and path."""
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    mask = np.array([[True, False]])
    packed = pack(dict(img=image, mask=mask, img_path='a.jpg', rng=np.random.default_rng(0), flip=True))
    assert set(packed) == {'inputs', 'mask', 'img_path'}
    assert packed['inputs'].dtype == torch.uint8
    assert packed['mask'].dtype == torch.bool
    assert packed['mask'].tolist() == [[True, False]]
    for channel in range(3):
        assert packed['inputs'][channel].tolist() == image[..., channel].tolist()


def test_mirrored_images_are_packed(pack):
    """PyTorch takes no negative strides."""
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert pack(dict(img=image[:, ::-1]))['inputs'][0].tolist() == [[3, 0], [9, 6]]


def test_mask_and_path_are_optional(pack):
    """kNN and linear probes have no masks, arrays in memory have no path."""
    packed = pack(dict(img=np.zeros((2, 2, 1), np.uint8)))
    assert set(packed) == {'inputs', 'img_path'}
    assert packed['img_path'] == ''


def test_a_batch_is_one_tensor_each(pack):
    """`default_collate` needs nothing else."""
    samples = [pack(dict(img=np.full((2, 2, 3), n, np.uint8), mask=np.eye(2) > 0, img_path=str(n))) for n in range(3)]
    batch = default_collate(samples)
    assert batch['inputs'].shape == (3, 3, 2, 2)
    assert batch['mask'].shape == (3, 2, 2)
    assert batch['img_path'] == ['0', '1', '2']


@pytest.mark.parametrize(
    'image',
    [np.zeros((4, 4, 3)), np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4), np.uint8)],
    ids=['float64', 'uint16', 'flat'],
)
def test_what_the_model_does_not_take_is_refused(pack, image):
    """Neither uint8 nor float32: the message says how to load, and where to normalise."""
    with pytest.raises(ValueError, match='data_preprocessor') as error:
        pack(dict(img=image))
    assert str(image.shape) in str(error.value)
    assert str(image.dtype) in str(error.value)


def test_float_images_are_packed_as_they_are(pack):
    """Values beyond 8 bits keep their type."""
    image = np.random.default_rng(0).normal(1e4, 1e3, (3, 5, 13)).astype(np.float32)
    packed = pack(dict(img=image))
    assert packed['inputs'].dtype == torch.float32
    assert np.array_equal(packed['inputs'].numpy(), image.transpose(2, 0, 1))
