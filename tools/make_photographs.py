#!/usr/bin/env python
"""Write the demo's photographs, unlabelled and of many sizes and formats: train/ and held_out/ in a folder."""

import argparse

from _bootstrap import whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'out', nargs='?', default='data/simmim_demo', help="folder to write to; the demo's: %(default)s"
    )
    parser.add_argument('--seed', type=whole_number(0), default=0, help='of the crops (default: %(default)s)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.demo.photographs import make_photographs

    with user_errors():
        num_training, num_held_out = make_photographs(args.out, args.seed)
        print(f'{args.out}: {num_training} images in train, {num_held_out} in held_out')


if __name__ == '__main__':
    main()
