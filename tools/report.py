#!/usr/bin/env python
"""Write one HTML page of a run: curves, pictures, data, warnings, checkpoints and settings."""

import argparse

import _bootstrap  # noqa: F401


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', help='of a run: finished, going on, or broken')
    parser.add_argument('--out', metavar='FILE', help='the page to write (default: WORK_DIR/report.html)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.report import write_report

    with user_errors():
        print(f'The report is in {write_report(args.work_dir, args.out)}')


if __name__ == '__main__':
    main()
