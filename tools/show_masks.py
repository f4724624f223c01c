#!/usr/bin/env python
"""Draw what the masks of a config look like on images; with --gallery, masks of all strategies, without a config."""

import argparse
import sys
from pathlib import Path

from _bootstrap import add_image_arguments, add_picture_arguments, whole_number


def config_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog='show_masks.py --gallery --help shows the options of the gallery.'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('--num-masks', type=whole_number(1), default=4, help='masks an image (default: %(default)s)')
    parser.add_argument(
        '--augment', action='store_true', help='with the random crops and flips of training, instead of central crops'
    )
    add_picture_arguments(parser, out='masks.png')
    return parser


def gallery_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Draw a mask of each strategy on images: a row an image.')
    parser.add_argument('--gallery', action='store_true', required=True, help='draw the gallery')
    parser.add_argument(
        '--size', type=whole_number(1), nargs='+', default=[192], help='side of the square crop, or height and width'
    )
    parser.add_argument(
        '--cell', type=whole_number(1), default=16, help='side of a cell in pixels (default: %(default)s)'
    )
    parser.add_argument('--ratio', type=float, default=0.6, help='share to hide (default: %(default)s)')
    parser.add_argument(
        '--labels', metavar='FOLDER', help='label maps for SemanticMask; without, regions of similar colour'
    )
    parser.add_argument(
        '--labels-suffix', default='.png', metavar='TEXT', help="in place of the images' endings (default: %(default)s)"
    )
    add_image_arguments(parser, out='gallery.png')
    return parser


def show_gallery(args: argparse.Namespace) -> None:
    from simmim_mm.datasets.transforms.geometry import check_size
    from simmim_mm.overwriting import refuse_to_overwrite
    from simmim_mm.visualization import draw_gallery, image_samples, load_contents, png_name, save_png

    size = check_size(args.size[0] if len(args.size) == 1 else args.size, '--size')
    paths = [sample['img_path'] for sample in image_samples(args.images)[: args.max_images]]
    maps = [] if args.labels is None else Path(args.labels).rglob(f'*{args.labels_suffix}')
    refuse_to_overwrite(png_name(args.out), '--out', [*paths, *maps])
    samples = load_contents(paths, size, args.labels, args.labels_suffix)
    print(save_png(args.out, draw_gallery(samples, args.cell, args.ratio, args.seed)))


def show_config(args: argparse.Namespace) -> None:
    from simmim_mm.engine.config import load_config
    from simmim_mm.overwriting import refuse_to_overwrite
    from simmim_mm.visualization import config_pipeline, draw_masks, image_samples, png_name, save_png

    cfg = load_config(args.config, cfg_options=args.cfg_options)
    transforms = config_pipeline(cfg, augment=args.augment)
    samples = image_samples(args.images)
    refuse_to_overwrite(png_name(args.out), '--out', [sample['img_path'] for sample in samples])
    fixed = (args.max_images, args.num_masks, args.seed, args.bands)
    panel = draw_masks(samples.__getitem__, len(samples), transforms, *fixed)
    print(save_png(args.out, panel))


def main() -> None:
    gallery = '--gallery' in sys.argv[1:]
    args = (gallery_parser() if gallery else config_parser()).parse_args()
    from simmim_mm.cli import user_errors

    with user_errors():
        (show_gallery if gallery else show_config)(args)


if __name__ == '__main__':
    main()
