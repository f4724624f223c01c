"""What must happen before the package is imported; the tools import this first."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

# OpenMP's threads spin while they wait, which doubles the time of a step on CPUs that are busy otherwise, with the
# loader's workers for example. PyTorch reads this when it is imported.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


def show_error(kind: type, error: BaseException, trace: object) -> None:
    """Shows Ctrl-C, which may come while the packages are imported, as one line."""
    if issubclass(kind, KeyboardInterrupt):
        print('\ninterrupted', file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = show_error

# A checkout works without being installed.
CHECKOUT = Path(__file__).resolve().parent.parent
if (CHECKOUT / 'simmim_mm' / '__init__.py').is_file():
    sys.path.insert(0, str(CHECKOUT))


def whole_number(smallest: int) -> Callable[[str], int]:
    """A type for argparse: whole numbers from ``smallest`` on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < smallest:
            raise argparse.ArgumentTypeError(f'{text!r} is no whole number from {smallest}')
        return int(text)

    return read


def band_numbers(text: str) -> list[int]:
    """A type for argparse: whole numbers with commas between them."""
    return [whole_number(0)(number) for number in text.split(',')]


def add_picture_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """What the tools that draw pictures of images with a config have in common."""
    add_image_arguments(parser, out)
    parser.add_argument(
        '--bands',
        type=band_numbers,
        help='of images with more than three channels: which to show as red, green and blue, or which one as grey, '
        'counted from 0, such as 3,2,1 (default: the first three)',
    )
    add_cfg_options(parser)


def add_image_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """What the tools that draw pictures of images have in common."""
    parser.add_argument('images', nargs='+', metavar='IMAGE', help='image files, or folders of images')
    parser.add_argument('--out', default=out, help='the picture to write (default: %(default)s)')
    parser.add_argument(
        '--max-images', type=whole_number(1), default=16, help='spread over what is named (default: %(default)s)'
    )
    parser.add_argument('--seed', type=whole_number(0), default=0, help='of the masks (default: %(default)s)')


def add_cfg_options(parser: argparse.ArgumentParser, use: str = 'as in train.py') -> None:
    """The option that overrides settings of a config."""
    parser.add_argument('--cfg-options', nargs='+', action='extend', default=[], metavar='KEY=VALUE', help=use)
