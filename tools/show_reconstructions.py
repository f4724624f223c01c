#!/usr/bin/env python
"""Draw what a pre-trained model makes of masked images: original, masked, reconstruction, pasted.

Of a target that is no image (HOG, features), the last two are the target and its prediction.
"""

import argparse

from _bootstrap import add_picture_arguments


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the config that the checkpoint was trained with')
    parser.add_argument('checkpoint', help='a checkpoint of the run')
    add_picture_arguments(parser, out='reconstructions.png')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.engine.checkpoints import load_model
    from simmim_mm.engine.config import load_config
    from simmim_mm.overwriting import refuse_to_overwrite
    from simmim_mm.visualization import (
        config_pipeline,
        draw_reconstructions,
        fixed_batch,
        image_samples,
        png_name,
        save_png,
    )

    with user_errors():
        cfg = load_config(args.config, cfg_options=args.cfg_options)
        samples = image_samples(args.images)
        refuse_to_overwrite(png_name(args.out), '--out', [sample['img_path'] for sample in samples])
        batch = fixed_batch(samples.__getitem__, len(samples), config_pipeline(cfg), args.max_images, args.seed)
        model = load_model(cfg, args.checkpoint)
        print(save_png(args.out, draw_reconstructions(model, batch, args.bands)))


if __name__ == '__main__':
    main()
