#!/usr/bin/env python
"""Find the colours of a config's training images that stand for all others, for ColorClusterTarget."""

import argparse

from _bootstrap import add_cfg_options, whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the config to pre-train with')
    parser.add_argument('--num-clusters', type=whole_number(2), default=512, help='colours (default: %(default)s)')
    parser.add_argument('--out', default='clusters.npz', help='the file to write (default: %(default)s)')
    parser.add_argument(
        '--num-pixels', type=whole_number(2), default=200_000, help='pixels to cluster (default: %(default)s)'
    )
    parser.add_argument(
        '--num-images', type=whole_number(1), default=2000, help='to draw them from (default: %(default)s)'
    )
    parser.add_argument('--seed', type=whole_number(0), default=0, help='of pixels and first centres (default: 0)')
    parser.add_argument('--data-root', help='folder of training images, as in train.py')
    parser.add_argument('--force', action='store_true', help='make the file anew, whatever is there')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.engine.colour_clusters import cluster_colours
    from simmim_mm.engine.config import load_config

    with user_errors():
        cfg = load_config(args.config, data_root=args.data_root, cfg_options=args.cfg_options)
        clusters, reused = cluster_colours(
            cfg, args.num_clusters, args.out, args.num_pixels, args.num_images, args.seed, args.force
        )
        error = clusters.distortion**0.5 * float((clusters.value_range[1] - clusters.value_range[0]).mean())
        if reused:
            print('made before with the same settings, and used again (--force makes it anew):')
        print(f'{args.out}: {len(clusters.centres)} colours; a pixel is {error:.1f} grey levels from its own')


if __name__ == '__main__':
    main()
