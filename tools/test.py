#!/usr/bin/env python
"""Test a checkpoint: accuracy, AP, mIoU, or the error on hidden pixels, as its config says."""

import argparse
import os

from _bootstrap import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint of a run of it')
    parser.add_argument('--data-root', help='folder of the data to test on')
    parser.add_argument('--work-dir', help='where the log goes (default: work_dirs/CONFIG)')
    add_cfg_options(parser)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
    # Imported late, so that --help answers at once.
    from simmim_mm.cli import user_errors
    from simmim_mm.engine.config import load_config
    from simmim_mm.engine.config_edits import set_data_root
    from simmim_mm.engine.testing import test

    with user_errors():
        cfg = load_config(args.config, work_dir=args.work_dir, cfg_options=args.cfg_options, launcher=args.launcher)
        if args.data_root is not None:
            loader = 'test_dataloader' if cfg.get('test_dataloader') is not None else 'val_dataloader'
            set_data_root(cfg, args.data_root, args.config, loader)
        test(cfg, args.checkpoint)


if __name__ == '__main__':
    main()
