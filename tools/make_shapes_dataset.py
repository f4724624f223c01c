#!/usr/bin/env python
"""Paint a small labelled data set: classes, boxes, masks and label maps, and unlabelled images for pre-training."""

import argparse

from _bootstrap import whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out', help="folder to write to; the configs' is data/shapes")
    parser.add_argument('--seed', type=whole_number(0), default=0, help='of all that is drawn (default: %(default)s)')
    parser.add_argument('--unlabelled', type=whole_number(0), help='images for pre-training')
    parser.add_argument('--train-objects', type=whole_number(0), help='images of one object, a class')
    parser.add_argument('--val-objects', type=whole_number(0), help='the same for validation')
    parser.add_argument('--train-scenes', type=whole_number(0), help='images of several objects')
    parser.add_argument('--val-scenes', type=whole_number(0), help='the same for validation')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.demo.shapes_dataset import Counts, make_shapes_dataset

    given = {name: getattr(args, name) for name in Counts._fields if getattr(args, name) is not None}
    with user_errors():
        written = make_shapes_dataset(args.out, args.seed, Counts(**given))
        print(f'{args.out}: ' + ', '.join(f'{count} images in {part}' for part, count in written.items()))


if __name__ == '__main__':
    main()
