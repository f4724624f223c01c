#!/usr/bin/env python
"""Kill runs of a config at random moments, resume them, and compare the weights at the end, bit by bit."""

import argparse
import json
from pathlib import Path

from _bootstrap import add_cfg_options, whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of a run that ends within minutes')
    parser.add_argument('--kills', type=whole_number(1), default=30, help='(default: %(default)s)')
    parser.add_argument('--processes', type=whole_number(1), default=1, help='of a run (default: %(default)s)')
    parser.add_argument('--seed', type=whole_number(0), default=0, help='of the moments (default: %(default)s)')
    parser.add_argument(
        '--folder', default='work_dirs/kill_test', help='for the runs; what is there is removed (default: %(default)s)'
    )
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.engine.kill_test import KillTest, run_kill_test

    options = ['--cfg-options', *args.cfg_options] if args.cfg_options else []
    train = Path(__file__).resolve().parent / 'train.py'
    with user_errors():
        result = run_kill_test(
            KillTest(train, args.config, Path(args.folder), args.processes, options), args.kills, args.seed
        )
    print(json.dumps(result))
    if result['differing']:
        raise SystemExit(1)


if __name__ == '__main__':
    main()
