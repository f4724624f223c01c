#!/usr/bin/env python
"""Turn a checkpoint of another code base into one of ours, to go on with pre-training or to export it; or ours back."""

import argparse

import _bootstrap  # noqa: F401

FORMATS = ['simmim', 'swin-transformer', 'mmpretrain', 'hf', 'timm']


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', metavar='SRC', help="checkpoint file, or a folder of Hugging Face's")
    parser.add_argument('out', metavar='OUT', help='file to write; with --to hf a folder')
    parser.add_argument(
        '--from', dest='source_format', choices=['auto', *FORMATS], default='auto', help='the code base that wrote SRC'
    )
    parser.add_argument(
        '--to', choices=['ours', *FORMATS], default='ours', help='what to write; anything but ours reads a file of ours'
    )
    parser.add_argument('--config', help='config of the model here, if the file does not tell what it is of')
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='create Python objects that the file holds, which runs code it names: only for files that you trust',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.transfer.convert import convert

    with user_errors():
        print(convert(args.source, args.out, args.source_format, args.to, args.config, args.allow_pickle))


if __name__ == '__main__':
    main()
