#!/usr/bin/env python
"""Print mean, std and range of the training images of a config, as lines to paste into it."""

import argparse

from _bootstrap import add_cfg_options, whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--data-root', help='folder of training images, as in train.py')
    parser.add_argument(
        '--num-images', type=whole_number(1), default=1000, help='spread over the data set (default: %(default)s)'
    )
    parser.add_argument(
        '--as-stored',
        action='store_true',
        help="read the channels and values that the files hold, instead of what the config's model takes",
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.datasets.statistics import config_lines, image_statistics, report, training_samples
    from simmim_mm.engine.config import load_config

    with user_errors():
        cfg = load_config(args.config, data_root=args.data_root, cfg_options=args.cfg_options)
        found = image_statistics(training_samples(cfg, args.as_stored), args.num_images)
        print(f'{report(found)}\n\n{config_lines(found)}')


if __name__ == '__main__':
    main()
