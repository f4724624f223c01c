#!/usr/bin/env python
"""Draw what the masks of a config look like on images."""

import argparse

from _bootstrap import add_picture_arguments, whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--num-masks', type=whole_number(1), default=4, help='masks an image (default: %(default)s)')
    parser.add_argument(
        '--augment', action='store_true', help='with the random crops and flips of training, instead of central crops'
    )
    add_picture_arguments(parser, out='masks.png')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.engine.launch import load_config
    from simmim_mm.visualization import config_pipeline, draw_masks, image_samples, save_png

    with user_errors():
        cfg = load_config(args.config, cfg_options=args.cfg_options)
        transforms = config_pipeline(cfg, augment=args.augment)
        samples = image_samples(args.images)
        panel = draw_masks(samples.__getitem__, len(samples), transforms, args.max_images, args.num_masks, args.seed)
        print(save_png(args.out, panel))


if __name__ == '__main__':
    main()
