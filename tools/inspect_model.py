#!/usr/bin/env python
"""Look at what a pre-trained model has learnt, and write it as pictures and one JSON file.

Where its attention looks and how far; what it makes of one image at several mask ratios and under several kinds of
masks; which images it finds hard.
"""

import argparse

from _bootstrap import add_cfg_options, band_numbers, whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='a checkpoint of the run')
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='image files, or folders of images')
    parser.add_argument('--out', default='model_inspection', help='folder to write to (default: %(default)s)')
    parser.add_argument(
        '--max-images', type=whole_number(1), default=128, help='spread over what is named (default: %(default)s)'
    )
    parser.add_argument(
        '--ratios', type=float, nargs='+', default=[0.2, 0.4, 0.6, 0.8, 0.95], help='mask ratios (default: %(default)s)'
    )
    parser.add_argument(
        '--num-masks', type=whole_number(1), default=4, help='for the loss of each image (default: %(default)s)'
    )
    parser.add_argument('--seed', type=whole_number(0), default=0, help='of the masks (default: %(default)s)')
    parser.add_argument('--bands', type=band_numbers, help='to show as red, green and blue, such as 3,2,1')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.analysis import inspect_model, named_images, spread
    from simmim_mm.cli import user_errors
    from simmim_mm.engine.checkpoints import load_model
    from simmim_mm.engine.config import load_config
    from simmim_mm.output_folder import make_output_folder
    from simmim_mm.visualization import config_pipeline

    with user_errors():
        cfg = load_config(args.config, cfg_options=args.cfg_options)
        found = named_images(args.images)
        images = [found[number] for number in spread(len(found), args.max_images)]
        transforms = config_pipeline(cfg)
        about = {'config': args.config, 'checkpoint': args.checkpoint}
        model = load_model(cfg, args.checkpoint)
        make_output_folder(args.out)
        fixed = (args.out, args.ratios, args.num_masks, args.seed, args.bands, about)
        print('\n'.join(inspect_model(model, images, transforms, *fixed)))


if __name__ == '__main__':
    main()
