"""All that is looked at in a pre-trained model, as pictures and one JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log

from simmim_mm.analysis.attention import encoder_attention
from simmim_mm.analysis.attention_distance import attention_distance, distances_of_layers
from simmim_mm.analysis.attention_pictures import draw_heads, draw_received, plot_distances, spread
from simmim_mm.analysis.image_losses import ImageLoss, NamedImage, image_losses, load_named
from simmim_mm.analysis.mask_variants import of_all_kinds, own_generator, variants_batch, with_ratios
from simmim_mm.atomic import write_atomically
from simmim_mm.datasets.collate import stack_samples
from simmim_mm.datasets.transforms.masks import MaskGenerator
from simmim_mm.models import SimMIM
from simmim_mm.overwriting import refuse_to_overwrite
from simmim_mm.progress import track
from simmim_mm.visualization.panels import HEADING, label_rows, save_png, stretch, to_rgb
from simmim_mm.visualization.samples import draw_reconstructions

# Images that attention is drawn for, and that stand at each end of the ranking's picture.
NUM_SHOWN = 4
# Images at once: the weights of a ViT-L for one image of 224 px take 59 MB.
BATCH = 8
# What is written beside the JSON file.
PICTURES = (
    *('attention.png', 'attention_heads.png', 'attention_distance.png'),
    *('hardest_and_easiest.png', 'mask_ratios.png', 'mask_kinds.png'),
)
NO_ATTENTION = 'no attention of a kind that is known (windows of Swin and Swin V2, ViT, BEiT, HiViT)'
NO_DECODER = 'the model has no decoder, as companion.alone=True, and reconstructs nothing'


def inspect_model(
    model: SimMIM,
    images: Sequence[NamedImage],
    transforms: Sequence[Callable],
    out: str,
    ratios: Sequence[float],
    num_masks: int = 4,
    seed: int = 0,
    bands: Sequence[int] | None = None,
    about: dict[str, Any] | None = None,
) -> list[str]:
    """Looks at a model and writes what there is to see.

    Args:
        model: A SimMIM model, as it is built.
        images: What to look at it with.
        transforms: Built transforms, from loading to packing, without random crops.
        out: Folder to write to.
        ratios: Mask ratios of the reconstructions of one image.
        num_masks: Masks for the loss of each image.
        seed: Of the masks.
        bands: Which to show, see :func:`~simmim_mm.visualization.panels.check_bands`.
        about: What else is to stand in the JSON file.

    Returns:
        Paths of what was written; the JSON file is the last.

    Raises:
        ValueError: If a ratio is none, no image can be read, or one would be overwritten.
    """
    variants = with_ratios(transforms, ratios), of_all_kinds(transforms, _usual_ratio(transforms))
    for name in PICTURES:
        refuse_to_overwrite(os.path.join(out, name), 'the picture in --out', [image.path for image in images])
    samples = [load_named(image, transforms, seed) for image in track(images, 'Reading images')]
    read = [image for image, sample in zip(images, samples, strict=True) if sample is not None]
    if not read:
        raise ValueError(f'none of the {len(images)} images can be read; the reasons stand above')
    found: dict[str, Any] = {
        **(about or {}),
        'seed': seed,
        'num_images': len(read),
        'unreadable': [image.path for image, sample in zip(images, samples, strict=True) if sample is None],
    }
    pictures: list[str] = []
    found['attention'], drawn = _attention(model, [sample for sample in samples if sample is not None], out, bands)
    pictures += drawn
    if model.head is None:
        print_log(f'losses and reconstructions are left out: {NO_DECODER}', logger='current')
        found['losses'] = {'none': NO_DECODER}
    else:
        losses = image_losses(model, read, transforms, num_masks, seed)
        found['losses'] = {
            'num_masks': num_masks,
            'ranking': [
                {'path': scored.image.path, 'loss': scored.loss, 'of_masks': scored.of_masks} for scored in losses
            ],
        }
        pictures.append(_draw_ranking(model, losses, transforms, out, seed, bands))
        for name, generators in zip(('mask_ratios', 'mask_kinds'), variants, strict=True):
            pictures.append(_draw_variants(model, read[0], transforms, generators, f'{out}/{name}.png', seed, bands))
    found['pictures'] = [os.path.basename(path) for path in pictures]
    path = os.path.join(out, 'model.json')
    text = json.dumps(found, indent=1)
    write_atomically(path, lambda draft: Path(draft).write_text(text, encoding='utf-8'))
    return [*pictures, path]


def _usual_ratio(transforms: Sequence[Callable]) -> float:
    return own_generator(transforms).ratio_of({'progress': 1.0})


def _attention(
    model: SimMIM, samples: list[dict], out: str, bands: Sequence[int] | None
) -> tuple[dict[str, Any], list[str]]:
    """What stands in the JSON file, and the paths of the pictures."""
    encoder = type(model.backbone).__name__
    shown = _inputs(model, [samples[number] for number in spread(len(samples), NUM_SHOWN)])
    layers = encoder_attention(model.backbone, shown)
    if not layers:
        print_log(f'{encoder} has {NO_ATTENTION}; its attention is left out', logger='current')
        return {'encoder': encoder, 'none': NO_ATTENTION}, []
    originals = _pictures(model, shown, bands)
    pictures = [
        save_png(os.path.join(out, 'attention.png'), draw_received(originals, layers)),
        save_png(os.path.join(out, 'attention_heads.png'), draw_heads(originals[0], layers)),
    ]
    batches: list[list[torch.Tensor]] = []
    for start in track(range(0, len(samples), BATCH), 'Attention'):
        inputs = _inputs(model, samples[start : start + BATCH])
        batches.append([attention_distance(layer) for layer in encoder_attention(model.backbone, inputs)])
    distances = distances_of_layers(layers, batches)
    pictures.append(plot_distances(distances, os.path.join(out, 'attention_distance.png'), shown.shape[-2:]))
    return {'encoder': encoder, 'unit': 'pixels', 'layers': [layer._asdict() for layer in distances]}, pictures


def _inputs(model: SimMIM, samples: list[dict]) -> torch.Tensor:
    """Normalised images on the model's device, (B, C, H, W)."""
    return model.data_preprocessor(stack_samples(samples))['inputs']


@torch.no_grad()
def _pictures(model: SimMIM, inputs: torch.Tensor, bands: Sequence[int] | None) -> np.ndarray:
    pixels = model.data_preprocessor.denormalise(inputs).cpu().numpy()
    return to_rgb(stretch(pixels, pixels, bands), bands)


def _draw_ranking(
    model: SimMIM,
    losses: list[ImageLoss],
    transforms: Sequence[Callable],
    out: str,
    seed: int,
    bands: Sequence[int] | None,
) -> str:
    """The hardest and the easiest images, with the first of their masks."""
    hardest = losses[:NUM_SHOWN]
    easiest = losses[max(NUM_SHOWN, len(losses) - NUM_SHOWN) :]
    samples, labels = [], []
    for scored in [*hardest, *easiest]:
        sample = load_named(scored.image, transforms, seed)
        if sample is not None:
            samples.append(sample)
            labels.append(f'loss {scored.loss:.3f}')
    panel = draw_reconstructions(model, stack_samples(samples), bands)
    return save_png(os.path.join(out, 'hardest_and_easiest.png'), label_rows(panel, labels, HEADING))


def _draw_variants(
    model: SimMIM,
    image: NamedImage,
    transforms: Sequence[Callable],
    generators: dict[str, MaskGenerator],
    path: str,
    seed: int,
    bands: Sequence[int] | None,
) -> str:
    batch = variants_batch(image, transforms, generators.values(), seed)
    return save_png(path, label_rows(draw_reconstructions(model, batch, bands), list(generators), HEADING))
