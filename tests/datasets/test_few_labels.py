"""A fixed part of a labelled data set."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from simmim_mm.datasets import UnlabelledImages
from simmim_mm.datasets.class_labels import class_labels
from simmim_mm.datasets.few_labels import few_of_each
from simmim_mm.registry import DATASETS


@pytest.fixture
def classes(tmp_path):
    """Three classes of 5, 10 and 20 images."""
    for name, count in (('a', 5), ('b', 10), ('c', 20)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(tmp_path / name / f'{number:02d}.png')
    return dict(type='mmpretrain.CustomDataset', data_root=str(tmp_path))


def names(dataset) -> list[str]:
    return [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]


@pytest.mark.parametrize(
    ('options', 'counts'),
    [(dict(share=0.2), [1, 2, 4]), (dict(share=0.01), [1, 1, 1]), (dict(share=1.0), [5, 10, 20]),
     (dict(per_class=7), [5, 7, 7])],
)  # fmt: skip
def test_each_class_keeps_its_share(classes, options, counts):
    few = DATASETS.build(dict(type='FewLabels', dataset=classes, **options))
    labels = [few.get_data_info(index)['gt_label'] for index in range(len(few))]
    assert np.bincount(labels).tolist() == counts
    assert few.metainfo['classes'] == ('a', 'b', 'c')
    assert few[0]['img_path'] == names(few)[0]


@pytest.fixture
def warnings(monkeypatch):
    """What is said of too few images."""
    said = []
    monkeypatch.setattr('simmim_mm.datasets.fewer.print_log', lambda text, **_: said.append(text))
    return said


@pytest.mark.parametrize(
    ('per_class', 'words'),
    [
        (5, None),
        (7, 'asks for 21 images, and 19 are used: 1 of 3 classes have fewer than 7, the smallest, class 0, has 5'),
        (30, 'asks for 90 images, and 35 are used: 3 of 3 classes'),
    ],
)
def test_classes_that_are_too_small_are_said(classes, warnings, per_class, words):
    few = DATASETS.build(dict(type='FewLabels', dataset=classes, per_class=per_class))
    assert len(warnings) == (words is not None)
    if words is not None:
        assert words in warnings[0]
        assert f'{len(few)} are used' in warnings[0]


@pytest.mark.parametrize(
    ('indices', 'said'), [(35, False), (36, True), (-40, True), (-3, False), ([0, 1], False), (None, False)]
)
def test_fewer_images_than_indices_are_said(classes, warnings, indices, said):
    """Of the data set below FewLabels, of labelled images of a monitor, and of unlabelled ones."""
    host = dict(classes, indices=indices)
    DATASETS.build(dict(type='FewLabels', dataset=host, share=1.0))
    if indices not in (-3, [0, 1]):  # which are of one class
        class_labels(host, 'labelled')
    UnlabelledImages(classes['data_root'], indices=indices)
    assert len(warnings) == 3 * said
    for text, owner in zip(
        warnings, ('CustomDataset', 'labelled=mmpretrain.CustomDataset', 'UnlabelledImages'), strict=False
    ):
        assert f'indices={indices} of {owner} asks for {abs(indices)} images, and there are 35' in text


def test_the_choice_follows_from_the_seed_alone(classes):
    """The same list whenever it is built; another seed, another list; a smaller share is part of a larger one."""
    first, again, other, larger = (
        names(DATASETS.build(dict(type='FewLabels', dataset=classes, share=share, seed=seed)))
        for share, seed in ((0.4, 0), (0.4, 0), (0.4, 1), (0.8, 0))
    )
    assert first == again
    assert first != other
    assert set(first) < set(larger)


def test_a_list_of_a_seed_never_changes():
    """Golden: published numbers on few labels are of this very choice."""
    assert few_of_each([0] * 10 + [1] * 10, 0.3, None, 0) == [2, 4, 6, 11, 13, 19]


def test_classes_are_drawn_independently():
    """A class keeps its images when another one gets more."""
    few = few_of_each([0] * 10 + [1] * 10, 0.3, None, 5)
    more = few_of_each([0] * 40 + [1] * 10, 0.3, None, 5)
    assert [index - 10 for index in few if index >= 10] == [index - 40 for index in more if index >= 40]


@pytest.mark.parametrize('options', [{}, dict(share=0.1, per_class=1)])
def test_exactly_one_of_share_and_number(classes, options):
    with pytest.raises(ValueError, match='FewLabels takes one of share='):
        DATASETS.build(dict(type='FewLabels', dataset=classes, **options))


def test_unlabelled_images_are_refused(image_folder):
    images = dict(type='UnlabelledImages', data_root=image_folder(2))
    with pytest.raises(ValueError, match='is UnlabelledImages, which is no classification data set'):
        DATASETS.build(dict(type='FewLabels', dataset=images, share=0.5))
