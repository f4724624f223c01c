#!/usr/bin/env python
"""Write the encoder of a checkpoint for another code base, load it there, and compare; exits with 1 if that fails."""

import argparse

from _bootstrap import whole_number


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='a checkpoint of ours')
    parser.add_argument('out', metavar='OUT', help='file to write; with --to hf a folder')
    parser.add_argument('--to', required=True, choices=['mmpretrain', 'mmdet', 'mmseg', 'timm', 'hf'])
    parser.add_argument(
        '--window-size',
        nargs='+',
        type=whole_number(2),
        metavar='N',
        help="Swin's window in cells, one for all stages or one for each (default: as trained)",
    )
    parser.add_argument(
        '--img-size',
        nargs='+',
        type=whole_number(1),
        metavar='PX',
        help='image size, one number or height and width (default: as trained)',
    )
    parser.add_argument('--format', choices=['pth', 'safetensors'], help='default: safetensors for hf, otherwise pth')
    parser.add_argument(
        '--resize',
        choices=['geometric', 'bicubic'],
        default='geometric',
        help='how position biases are brought to another window: as published, or evenly (default: %(default)s)',
    )
    parser.add_argument(
        '--rel-pos-bias',
        choices=['as-trained', 'per-block'],
        default='as-trained',
        help="copy the position bias that all blocks of the authors' ViT share to each, as its fine-tuning does",
    )
    parser.add_argument('--config', help='config of the model, for a checkpoint that does not carry it')
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='create Python objects that the file holds, which runs code it names: only for files that you trust',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from simmim_mm.cli import user_errors
    from simmim_mm.transfer.export import export_backbone

    with user_errors():
        report = export_backbone(
            args.checkpoint,
            args.out,
            args.to,
            window_size=args.window_size,
            img_size=args.img_size,
            file_format=args.format,
            method=args.resize,
            biases=args.rel_pos_bias,
            config=args.config,
            allow_pickle=args.allow_pickle,
        )
        print(report)
    raise SystemExit(0 if report.ok else 1)


if __name__ == '__main__':
    main()
