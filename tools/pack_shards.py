#!/usr/bin/env python
"""Pack a folder of images into tar shards (WebDataset's), for file systems that are slow with many small files."""

import argparse

from _bootstrap import whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='images at any depth')
    parser.add_argument('out', help='folder to make; nothing is overwritten')
    parser.add_argument(
        '--max-images', type=whole_number(1), default=10_000, help='of one shard (default: %(default)s)'
    )
    parser.add_argument(
        '--max-megabytes', type=whole_number(1), default=1000, help='after which a shard is full (default: %(default)s)'
    )
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument('--list-file', help='text file with one path a line, relative to the folder')
    selection.add_argument('--pattern', help="glob relative to the folder, such as '**/*_rgb.tif'")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.datasets.image_files import folder_given_as
    from simmim_mm.datasets.pack_shards import pack_shards

    advice = 'give a folder that holds images at any depth as FOLDER'
    with user_errors(), folder_given_as(args.folder, 'FOLDER', '', advice):
        packed = pack_shards(args.folder, args.out, args.max_images, args.max_megabytes, args.list_file, args.pattern)
    print(
        f'{args.out}: {packed.num_images} images, {packed.num_bytes / 1e6:.1f} MB, in {packed.num_shards} shards, read '
        'again and compared'
    )
    extensions = f', extensions={packed.unusual}' if packed.unusual else ''
    print(f"dataset=dict(type='ShardedImages', data_root={args.out!r}{extensions}, pipeline=[...])")


if __name__ == '__main__':
    main()
