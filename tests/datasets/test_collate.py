"""From samples to a batch."""

import pytest
import torch

from simmim_mm.datasets import stack_samples


def _sample(number, size=4, cells=2):
    return dict(
        inputs=torch.full((3, size, size), number, dtype=torch.uint8),
        mask=torch.full((cells, cells), number % 2 == 1),
        img_path=f'{number}.jpg',
    )


def test_samples_are_stacked_in_order():
    """One uint8 tensor, one bool tensor, a list of paths."""
    batch = stack_samples([_sample(number) for number in (5, 2, 7)])
    assert (batch['inputs'].dtype, batch['inputs'].shape) == (torch.uint8, (3, 3, 4, 4))
    assert (batch['mask'].dtype, batch['mask'].shape) == (torch.bool, (3, 2, 2))
    assert batch['inputs'][:, 0, 0, 0].tolist() == [5, 2, 7]
    assert batch['mask'][:, 0, 0].tolist() == [True, False, True]
    assert batch['img_path'] == ['5.jpg', '2.jpg', '7.jpg']


def test_masks_are_optional():
    """Features of whole images need none."""
    samples = [{name: value for name, value in _sample(number).items() if name != 'mask'} for number in range(2)]
    assert set(stack_samples(samples)) == {'inputs', 'img_path'}


def test_the_mark_of_inherited_configs_is_ignored():
    """MMEngine's loader hands `_scope_` to the collate function."""
    assert torch.equal(
        stack_samples([_sample(1)], _scope_='simmim_mm')['inputs'], stack_samples([_sample(1)])['inputs']
    )


@pytest.mark.parametrize(
    ('other', 'words'),
    [
        (dict(size=6), ['inputs of one batch', '(3, 4, 4)', '(3, 6, 6)', 'RandomResizedCrop']),
        (dict(cells=1), ['mask of one batch', '(2, 2)', '(1, 1)']),
    ],
    ids=['images', 'masks'],
)
def test_samples_of_different_shapes_are_refused(other, words):
    """The message holds both shapes, both files, and what to put into the pipeline."""
    with pytest.raises(ValueError, match='differ in shape') as error:
        stack_samples([_sample(1), _sample(2, **other)])
    for word in [*words, '1.jpg', '2.jpg']:
        assert word in str(error.value)


def test_samples_of_different_types_or_channels_are_refused():
    """8 bits beside floats, and 3 channels beside 13: both files and what to change."""
    deep = {**_sample(2), 'inputs': torch.zeros(3, 4, 4)}
    with pytest.raises(ValueError, match=r"differ in type: torch.uint8 of '1.jpg' and torch.float32 of '2.jpg'"):
        stack_samples([_sample(1), deep])
    bands = {**_sample(2), 'inputs': torch.zeros(13, 4, 4, dtype=torch.uint8)}
    with pytest.raises(ValueError, match='set channels of LoadImage to one number'):
        stack_samples([_sample(1), bands])
