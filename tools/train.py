#!/usr/bin/env python
"""Pre-train or fine-tune a model from a config file."""

import argparse
import os

import _bootstrap


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--data-root', help='folder of the data; for pre-training, of images, of any depth, unlabelled')
    parser.add_argument(
        '--pretrained', metavar='FILE', help="for fine-tuning: the backbone to start from; 'none' for random weights"
    )
    parser.add_argument('--work-dir', help='where logs, checkpoints and pictures go (default: work_dirs/CONFIG)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from the newest checkpoint in the work dir, or from the one that is named',
    )
    precision = parser.add_mutually_exclusive_group()
    precision.add_argument(
        '--amp', action='store_true', help='mixed precision: bf16 where the device has it, otherwise fp16'
    )
    precision.add_argument(
        '--precision',
        choices=['auto', 'bf16', 'fp16', 'fp32'],
        help="auto, the configs' default, is bf16 where the device has it, otherwise fp32",
    )
    parser.add_argument(
        '--seed', type=_bootstrap.whole_number(0), help="of everything that is drawn (default: the config's)"
    )
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate to the batch size')
    parser.add_argument(
        '--held-out',
        type=float,
        metavar='SHARE',
        help='for pre-training: validate on about this share of the training images, such as 0.02, and do not train on '
        'it; which images follows from their names',
    )
    parser.add_argument('--no-validate', action='store_true', help="leave out the config's validation")
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. train_cfg.max_epochs=10 optim_wrapper.optimizer.lr=1e-4; '
        'lists as key="[a,b]"',
    )
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
    from simmim_mm.engine.launch import train

    with user_errors():
        cfg = load_config(
            args.config,
            work_dir=args.work_dir,
            resume=args.resume,
            precision='amp' if args.amp else args.precision,
            auto_scale_lr=args.auto_scale_lr,
            validate=not args.no_validate,
            data_root=args.data_root,
            pretrained=args.pretrained,
            cfg_options=args.cfg_options,
            launcher=args.launcher,
            seed=args.seed,
            held_out=args.held_out,
        )
        train(cfg)


if __name__ == '__main__':
    main()
