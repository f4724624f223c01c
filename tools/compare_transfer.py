#!/usr/bin/env python
"""Fine-tune on painted shapes from pre-trained and from random weights, with several seeds, and print a table."""

import argparse
from pathlib import Path

from _bootstrap import whole_number

TASKS = ('classification', 'segmentation', 'detection')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog='The data is made by make_shapes_dataset.py.')
    parser.add_argument('pretrained', help='file of the backbone: a run of configs/demo/shapes.py, exported')
    parser.add_argument('--tasks', nargs='+', choices=TASKS, default=TASKS, help='(default: all)')
    parser.add_argument('--seeds', nargs='+', type=whole_number(0), default=[0, 1, 2], help='(default: 0 1 2)')
    parser.add_argument(
        '--work-dir',
        default='work_dirs/compare_transfer',
        help='runs that are there are not repeated (default: %(default)s)',
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE', help='for every run'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.demo.comparison import STARTS, comparison_table, fine_tune

    tools = Path(__file__).resolve().parent
    results: dict = {}
    with user_errors():
        for task in args.tasks:
            results[task] = {start: [] for start in STARTS}
            for seed in args.seeds:
                for start, weights in zip(STARTS, (args.pretrained, 'none'), strict=True):
                    folder = Path(args.work_dir) / task / f'{start}_{seed}'
                    value = fine_tune(tools, task, weights, seed, folder, args.cfg_options)
                    results[task][start].append(value)
                    print(f'{task}, seed {seed}, {start}: {value:.1f}', flush=True)
        print(comparison_table(results))


if __name__ == '__main__':
    main()
