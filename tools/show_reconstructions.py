#!/usr/bin/env python
"""Draw what a pre-trained model makes of masked images: original, masked, reconstruction, pasted."""

import argparse

from _bootstrap import whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='a checkpoint of the run')
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='image files, or folders of images')
    parser.add_argument('--out', default='reconstructions.png', help='the picture to write (default: %(default)s)')
    parser.add_argument(
        '--max-images', type=whole_number(1), default=16, help='spread over what is named (default: %(default)s)'
    )
    parser.add_argument('--seed', type=whole_number(0), default=0, help='of the masks (default: %(default)s)')
    parser.add_argument(
        '--cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE', help='as in train.py'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.engine.checkpoints import load_model
    from simmim_mm.engine.launch import load_config
    from simmim_mm.visualization import config_pipeline, draw_reconstructions, fixed_batch, image_samples, save_png

    with user_errors():
        cfg = load_config(args.config, cfg_options=args.cfg_options)
        samples = image_samples(args.images)
        batch = fixed_batch(samples.__getitem__, len(samples), config_pipeline(cfg), args.max_images, args.seed)
        model = load_model(cfg, args.checkpoint)
        print(save_png(args.out, draw_reconstructions(model, batch)))


if __name__ == '__main__':
    main()
