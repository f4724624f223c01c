#!/usr/bin/env python
"""Measure training steps, memory and loaders, beside those of other code bases. See docs/performance.md."""

import argparse

from _bootstrap import whole_number

KINDS = {
    'step': 'time of a training step',
    'memory': 'peak memory of a training step',
    'levers': 'each lever of the acceleration, alone and on top of those before it',
    'loader': 'from JPEG files to a batch',
    'decode': 'whole decoding against decoding as large as the crop needs, and against none in workers',
    'scaling': 'step time and memory against image area, batch and model size',
    'guards': 'iterations of a run with and without the hooks that watch it',
    'gpu': 'all tables of a CUDA device in one call',
}


def parse_args() -> argparse.Namespace:
    kinds = '\n'.join(f'  {name:8} {text}' for name, text in KINDS.items())
    parser = argparse.ArgumentParser(
        description=f'{__doc__}\n\n{kinds}', formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('what', choices=KINDS, help='what is measured')
    parser.add_argument(
        '--against',
        nargs='+',
        action='extend',
        default=[],
        choices=['mmpretrain', 'simmim', 'hf', 'plain'],
        help="whose step: mmpretrain's own SimMIM, the authors' code (with --peer-dir), transformers, or the same "
        'network without anything of ours to make it fast',
    )
    parser.add_argument(
        '--model', default='swin_tiny', help='a config: its name without simmim_, or a file (default: %(default)s)'
    )
    parser.add_argument('--batch-size', type=whole_number(1), default=8, help='images a step (default: %(default)s)')
    parser.add_argument('--img-size', type=whole_number(1), help="side of the images in pixels (default: the config's)")
    parser.add_argument(
        '--precision', choices=['fp32', 'bf16', 'fp16'], help="for all (default: each candidate's own default)"
    )
    parser.add_argument(
        '--acceleration',
        nargs='+',
        default=[],
        metavar='PRESET|LEVER=VALUE',
        help="ours, such as: exact mlp=False (default: the config's)",
    )
    parser.add_argument('--no-drop-path', action='store_true', help='drop path is 0 in all (default: as each has it)')
    parser.add_argument('--peer-dir', metavar='FOLDER', help="a checkout of the authors' code, for --against simmim")
    parser.add_argument('--rounds', type=whole_number(1), default=5, help='turns of each that count (default: 5)')
    parser.add_argument(
        '--repeats',
        type=whole_number(1),
        help='steps a turn (default: 1 on CPUs, 10 on CUDA, where steps overlap, and for guards)',
    )
    parser.add_argument(
        '--isolate', action='store_true', help='each candidate in a process of its own; they still take turns'
    )
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument('--threads', type=whole_number(1), help="of PyTorch (default: PyTorch's choice)")
    parser.add_argument('--seed', type=whole_number(0), default=0, help='of weights, images and masks (default: 0)')
    parser.add_argument(
        '--levers', nargs='+', default=[], metavar='NAME', help='for levers: which (default: of presets)'
    )
    parser.add_argument('--img-sizes', nargs='*', type=whole_number(1), default=[192, 384, 576], help='for scaling')
    parser.add_argument(
        '--batch-sizes', nargs='*', type=whole_number(1), help='for scaling (1 2 4 8) and gpu (128 256 512)'
    )
    parser.add_argument('--archs', nargs='*', default=['tiny', 'small', 'base'], help="for scaling: the encoder's arch")
    parser.add_argument('--plot', metavar='FILE', help='for scaling: a picture to draw')
    parser.add_argument('--json', metavar='FILE', help='write everything that was measured, with machine and versions')
    args = parser.parse_args()
    if args.batch_sizes is None:
        args.batch_sizes = [128, 256, 512] if args.what == 'gpu' else [1, 2, 4, 8]
    return args


def main() -> None:
    args = parse_args()
    from simmim_mm.benchmark.command import run
    from simmim_mm.cli import user_errors

    with user_errors():
        print(run(args))


if __name__ == '__main__':
    main()
