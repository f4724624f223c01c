#!/usr/bin/env python
"""Make a small set of photographs, pre-train a small Swin on it, and show what it learnt."""

import argparse
import subprocess
import sys
from pathlib import Path

import _bootstrap  # noqa: F401

TOOLS = Path(__file__).resolve().parent
CONFIG = TOOLS.parent / 'configs' / 'simmim_demo.py'
DATA = 'data/simmim_demo'  # as in the config
# By a signal that a cluster sends before it ends a job (a checkpoint is written), and by Ctrl-C.
INTERRUPTED = (75, 130)


def parse_args() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, epilog='Further options go to tools/train.py.')
    parser.add_argument('--config', default=str(CONFIG), help='such as configs/demo/vit.py (default: simmim_demo.py)')
    parser.add_argument('--work-dir', help='where the run goes (default: work_dirs/NAME_OF_THE_CONFIG)')
    args, train_args = parser.parse_known_args()
    args.work_dir = args.work_dir or f'work_dirs/{Path(args.config).stem}'
    return args, train_args


def main() -> None:
    args, train_args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.demo.photographs import make_photographs
    from simmim_mm.demo.report import held_out_report
    from simmim_mm.report import write_report

    with user_errors():
        num_training, num_held_out = make_photographs(DATA)
        print(f'{num_training} photographs for training and {num_held_out} held out are in {DATA}', flush=True)
        command = [sys.executable, str(TOOLS / 'train.py'), args.config, '--work-dir', args.work_dir, *train_args]
        status = subprocess.run(command, check=False).returncode
        if status in INTERRUPTED:
            again = f'python tools/train.py {args.config} --work-dir {args.work_dir} --resume'
            print(f'Go on with: {again}', file=sys.stderr)
        if status:
            raise SystemExit(status)
        print(held_out_report(args.work_dir))
        print(f'Report: {write_report(args.work_dir)}')


if __name__ == '__main__':
    main()
