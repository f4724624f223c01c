#!/usr/bin/env python
"""Print what decoders cost behind the encoder of a config: parameters and operations."""

import argparse
from pathlib import Path

from _bootstrap import add_cfg_options, whole_number

CONFIG = Path(__file__).resolve().parent.parent / 'configs' / 'simmim_swin_base.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', nargs='?', default=str(CONFIG), help='config file (default: simmim_swin_base.py)')
    parser.add_argument(
        '--decoders',
        nargs='+',
        action='extend',
        default=[],
        metavar='NAME',
        help='of linear, mlp, deconv, swin-tiny, swin-base, transformer, cross-attention (default: all); linear and '
        "the config's own are always there",
    )
    parser.add_argument(
        '--mask-ratio', type=float, default=0.6, help='for the costs of hidden cells alone (default: %(default)s)'
    )
    parser.add_argument(
        '--mask-patch-size', type=whole_number(1), default=32, help="side of the mask's cells (default: %(default)s px)"
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmengine.registry import init_default_scope

    from simmim_mm.cli import user_errors
    from simmim_mm.engine.config import load_config
    from simmim_mm.models.costs import compare_decoders

    with user_errors():
        cfg = load_config(args.config, cfg_options=args.cfg_options)
        init_default_scope(cfg.get('default_scope', 'simmim_mm'))
        print(compare_decoders(cfg.get('model', {}), args.decoders, args.mask_ratio, args.mask_patch_size))


if __name__ == '__main__':
    main()
