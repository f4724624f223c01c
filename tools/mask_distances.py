#!/usr/bin/env python
"""Print AvgDist of all masking strategies, by simulation: the mean distance from a hidden pixel to a visible one."""

import argparse

from _bootstrap import whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'images',
        nargs='*',
        metavar='IMAGE',
        help='for the strategies that follow the content; without, they are left out',
    )
    parser.add_argument(
        '--size', type=whole_number(1), nargs='+', default=[192], help='side of the square crop, or height and width'
    )
    parser.add_argument(
        '--cells', type=whole_number(1), nargs='+', default=[4, 8, 16, 32, 64], help='sides of cells in pixels'
    )
    parser.add_argument(
        '--ratios', type=float, nargs='+', default=[number / 10 for number in range(1, 10)], help='mask ratios'
    )
    parser.add_argument('--draws', type=whole_number(1), default=50, help='masks for each mean (default: %(default)s)')
    parser.add_argument('--seed', type=whole_number(0), default=0, help='of the masks (default: %(default)s)')
    parser.add_argument('--plot', metavar='FILE', help='a picture to write as well')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.datasets.transforms.geometry import check_size
    from simmim_mm.overwriting import refuse_to_overwrite
    from simmim_mm.visualization import image_samples, load_contents, markdown_table, plot_distances, simulate

    with user_errors():
        size = check_size(args.size[0] if len(args.size) == 1 else args.size, '--size')
        paths = [sample['img_path'] for sample in image_samples(args.images)]
        if args.plot:
            refuse_to_overwrite(args.plot, '--plot', paths)
        contents = load_contents(paths, size)
        distances = simulate(size, args.cells, args.ratios, args.draws, contents, args.seed)
        print(markdown_table(distances))
        if args.plot:
            print(plot_distances(distances, args.plot))


if __name__ == '__main__':
    main()
