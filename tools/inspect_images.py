#!/usr/bin/env python
"""Look at all images of a folder before training on them, and write a list without those that are of no use.

Writes clean.txt (which UnlabelledImages reads as list_file), findings.json and report.html, and with --held-out or
--balance also train.txt and held_out.txt; those of an earlier inspection are replaced. Files are read as a config's
training reads them. Exits with 1 if no image is clean, and then writes no list.
"""

import argparse
import sys

from _bootstrap import add_cfg_options, whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='images at any depth')
    parser.add_argument('--out', default='inspection', help='folder to write to (default: %(default)s)')
    parser.add_argument('--workers', type=whole_number(0), help='processes that read (default: one for each core)')
    parser.add_argument('--max-pictures', type=whole_number(2), default=40, help='of a finding (default: %(default)s)')
    reading = parser.add_argument_group('reading')
    reading.add_argument(
        '--config',
        default='swin_base',
        help='whose training reads the files: a config file or its name (default: %(default)s)',
    )
    reading.add_argument(
        '--as-stored', action='store_true', help='read the channels and values that files hold, instead'
    )
    add_cfg_options(reading)
    finding = parser.add_argument_group('findings', 'shares are of the range of values, from 0 to 1')
    finding.add_argument(
        '--leave-out',
        nargs='*',
        default=['exact', 'blank'],
        metavar='FINDING',
        help='findings that keep a file out of the lists, of: exact near blank dark over-exposed low-detail small '
        '(default: exact blank); what training cannot use and no list can hold is always left out',
    )
    finding.add_argument(
        '--distance', type=whole_number(0), default=4, help='bits of 64 between near duplicates (default: %(default)s)'
    )
    for name, default, meaning in (
        ('blank', 0.005, 'largest standard deviation of a channel that counts as blank'),
        ('dark', 0.1, 'dark, if 95 %% of the pixels are below'),
        ('over-exposed', 0.5, 'over-exposed, if this share of the pixels is white'),
        ('low-detail', 0.01, 'low in detail, if the Laplacian deviates less'),
    ):
        finding.add_argument(f'--{name}', type=float, default=default, help=f'{meaning} (default: %(default)s)')
    finding.add_argument(
        '--min-side', type=whole_number(0), help="small, if a side is below (default: training's crop)"
    )
    parts = parser.add_argument_group('train.txt and held_out.txt')
    parts.add_argument('--held-out', type=float, default=0.0, metavar='SHARE', help='such as 0.05')
    parts.add_argument('--stratify', action='store_true', help='hold out the same share of each FOLDER/CLASS/...')
    parts.add_argument(
        '--balance',
        choices=['over', 'under'],
        help='make classes equal in train.txt: repeat files of small ones, or drop files of large ones',
    )
    parts.add_argument('--seed', type=whole_number(0), default=0, help='of the split (default: %(default)s)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.data_quality import (
        SplitRule,
        Thresholds,
        inspect_images,
        make_folder,
        source_of,
        split_clean,
        summary,
        write_results,
    )
    from simmim_mm.datasets.image_files import folder_given_as
    from simmim_mm.engine.config import find_config, load_config
    from simmim_mm.environment import num_cores

    advice = 'give a folder that holds images at any depth as FOLDER'
    with user_errors(), folder_given_as(args.folder, 'FOLDER', '', advice):
        cfg = load_config(find_config(args.config), data_root=args.folder, cfg_options=args.cfg_options)
        thresholds = Thresholds(
            distance=args.distance,
            blank=args.blank,
            dark=args.dark,
            over_exposed=args.over_exposed,
            low_detail=args.low_detail,
            crop=None if args.min_side is None else (args.min_side, args.min_side),
        )
        rule = None
        if args.held_out or args.stratify or args.balance:
            rule = SplitRule(args.held_out, args.stratify, args.balance, args.seed)
        workers = num_cores() if args.workers is None else args.workers
        try:
            source = source_of(cfg, args.as_stored)
            make_folder(args.out, source.list_file)
            if rule is not None:
                rule.check(source.paths)
            inspection = inspect_images(source, thresholds, args.leave_out, workers)
            parts = split_clean(inspection, rule)
            written = write_results(inspection, args.out, parts, rule, args.max_pictures, workers, args.config)
        except KeyboardInterrupt:
            print('\ninterrupted: nothing was written', file=sys.stderr)
            raise SystemExit(130) from None
    print(summary(inspection, parts, rule) + '\n\n' + '\n'.join(written))
    if not inspection.clean:
        raise SystemExit(1)
    place = f'data_root={args.folder!r}, list_file={written[0]!r}'
    print(f"dataset=dict(type='UnlabelledImages', {place}, pipeline=[...])")


if __name__ == '__main__':
    main()
