#!/usr/bin/env python
"""Measure what pre-training gains on painted shapes: paint, pre-train, export, fine-tune from both starts, compare."""

import argparse
from pathlib import Path

from _bootstrap import add_cfg_options, whole_number

TASKS = ('classification', 'segmentation', 'detection')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog='What is there already is not made again, so a comparison that was cut off goes on.'
    )
    parser.add_argument(
        '--pretrained',
        metavar='FILE',
        help='backbone to compare (default: one that is pre-trained with configs/demo/shapes.py)',
    )
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=TASKS, help='(default: all)')
    parser.add_argument('--seeds', nargs='+', type=whole_number(0), default=[0, 1, 2], help='(default: 0 1 2)')
    parser.add_argument(
        '--jobs',
        type=whole_number(1),
        default=2,
        help='fine-tunings at once, which share the cores (default: %(default)s)',
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/compare_transfer',
        help='gets logs, checkpoints and results.json (default: %(default)s)',
    )
    add_cfg_options(parser, 'for every fine-tuning')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.demo.comparison import comparison_table
    from simmim_mm.demo.comparison_runs import Workplace, compare

    place = Workplace(Path(__file__).resolve().parent, Path(args.work_dir), args.jobs)
    with user_errors():
        print(comparison_table(compare(place, args.tasks, args.seeds, args.pretrained, args.cfg_options)))


if __name__ == '__main__':
    main()
