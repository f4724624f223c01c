#!/usr/bin/env python
"""Estimate memory, step time and communication of a pre-training run on GPUs that are not at hand."""

import argparse

from _bootstrap import add_cfg_options, whole_number


def share(text: str) -> float:
    """A type for argparse: numbers above 0, up to 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no share; give a number above 0, up to 1')
    return value


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    model = parser.add_mutually_exclusive_group()
    model.add_argument('config', nargs='?', help='config file (default: simmim_swin_base.py)')
    model.add_argument('--model', help='in place of a config: swin_base, swin_large, swinv2_giant, vit_large, ...')
    parser.add_argument('--gpus', nargs='+', type=whole_number(1), default=[8, 64, 512], metavar='N', help='how many')
    parser.add_argument('--gpu', default='h100', help='a100-40gb, a100, h100 or h200 (default: %(default)s)')
    parser.add_argument(
        '--batch-per-gpu', type=whole_number(1), help="images (default: the recipe's batch over all GPUs)"
    )
    parser.add_argument('--images', type=whole_number(1), default=1_281_167, help='of the data (default: %(default)s)')
    parser.add_argument('--epochs', type=whole_number(1), help="of the run (default: the config's, or its iterations)")
    parser.add_argument('--mfu', type=share, default=0.3, help='share of the peak, measured on your GPU (default: 0.3)')
    parser.add_argument('--link-share', type=share, default=0.7, help='of the published bandwidths (default: 0.7)')
    parser.add_argument('--memory-share', type=share, default=0.9, help='of the memory for tensors (default: 0.9)')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.engine.config import find_config, load_config
    from simmim_mm.planning.estimate import Assumptions
    from simmim_mm.planning.report import plan_run

    with user_errors():
        path = args.config or find_config(args.model or 'swin_base')
        cfg = load_config(path, cfg_options=args.cfg_options)
        assumptions = Assumptions(args.mfu, args.link_share, args.memory_share)
        print(plan_run(cfg, args.gpus, args.gpu, args.batch_per_gpu, args.images, args.epochs, assumptions))


if __name__ == '__main__':
    main()
