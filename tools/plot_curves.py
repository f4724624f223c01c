#!/usr/bin/env python
"""Draw curves of what runs logged, such as loss and errors on held-out images."""

import argparse

import _bootstrap  # noqa: F401


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('runs', nargs='+', metavar='WORK_DIR', help='work dirs of runs')
    parser.add_argument(
        '--keys',
        nargs='+',
        default=['loss'],
        metavar='NAME[,NAME]',
        help='a panel each: a name that was logged, or several with commas between them (default: loss)',
    )
    parser.add_argument('--out', default='curves.png', help='the picture to write (default: %(default)s)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.visualization.curves import plot_curves

    with user_errors():
        print(f'Curves are drawn in {plot_curves(args.runs, args.keys, args.out)}')


if __name__ == '__main__':
    main()
