#!/usr/bin/env python
"""Take the step of a batch again whose loss or gradients were not finite, and say where that begins.

The file is one of WORK_DIR/failed_batches. See docs/guards.md.
"""

import argparse

import _bootstrap  # noqa: F401


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', help='WORK_DIR/failed_batches/iter_N.pth')
    parser.add_argument('--config', help='a config file to take in place of the one that the file holds')
    parser.add_argument(
        '--plain', action='store_true', help='without acceleration, which computes some modules in one go'
    )
    parser.add_argument('--precision', choices=['fp32', 'bf16', 'fp16'], help="(default: the run's)")
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='(default: the GPU if there is one)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    # Imported late, so that --help answers at once.
    from simmim_mm.cli import user_errors
    from simmim_mm.engine.guards.replay import replay

    with user_errors():
        print(replay(args.file, args.config, args.plain, args.precision, args.device).text)


if __name__ == '__main__':
    main()
