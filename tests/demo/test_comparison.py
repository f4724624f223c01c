"""The table of a comparison, by hand, from logs as runs write them."""

from __future__ import annotations

import json

import pytest

from simmim_mm.demo.comparison import comparison_table, fine_tune


def test_the_table_has_means_deviations_and_paired_differences():
    """Means 50 and 40; differences of 8, 10 and 12."""
    results = {'segmentation': {'pre-trained': [48.0, 50.0, 52.0], 'random': [40.0, 40.0, 40.0]}}
    row = comparison_table(results).splitlines()[-1]
    assert row == '| segmentation | mIoU | 50.0 ± 2.0 | 40.0 ± 0.0 | +10.0 ± 2.0 |'


def test_one_seed_has_no_deviation():
    results = {'classification': {'pre-trained': [30.0], 'random': [35.0]}}
    assert comparison_table(results).splitlines()[-1].endswith('| -5.0 ± nan |')


def test_a_run_that_is_there_is_read_and_not_repeated(tmp_path):
    """The last validation counts, in per cent."""
    log = tmp_path / '20260101' / 'vis_data'
    log.mkdir(parents=True)
    rows = [{'loss': 1.0}, {'coco/bbox_mAP': 0.1}, {'coco/bbox_mAP': 0.25}]
    (log / 'scalars.json').write_text('\n'.join(json.dumps(row) for row in rows))
    assert fine_tune(tmp_path, 'detection', 'none', 0, tmp_path) == pytest.approx(25.0)


def test_a_run_that_fails_shows_the_end_of_its_log(tmp_path):
    with pytest.raises(RuntimeError, match=r"can't open file .*train.py"):
        fine_tune(tmp_path / 'tools', 'detection', 'none', 0, tmp_path)
