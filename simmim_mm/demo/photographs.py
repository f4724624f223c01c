"""A small set of photographs of many sizes and formats, out of those that scikit-image ships."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from simmim_mm.progress import track

# Folder -> photographs of scikit-image's ``skimage.data`` that come with the package itself (no downloads). The
# held-out # ones share no scene with the others.
TRAINING = {
    'sky': ('hubble_deep_field.jpg', 'moon.png'),
    'people_and_things': ('astronaut.png', 'motorcycle_left.png', 'coins.png', 'clock_motion.png'),
    'microscope': ('ihc.png', 'retina.jpg', 'cell.png'),
    'surfaces': ('brick.png', 'grass.png', 'gravel.png'),
}
HELD_OUT = ('chelsea.png', 'coffee.png', 'rocket.jpg', 'camera.png')

# Larger ones are scaled down, for the demo's decoding to be quick.
LONGEST_SIDE = 480
CROPS_PER_TRAINING_PHOTOGRAPH = 12
CROPS_PER_HELD_OUT_PHOTOGRAPH = 6


def make_photographs(folder: str, seed: int = 0) -> tuple[int, int]:
    """Writes training and held-out photographs.

    Each photograph is written whole, and as crops of random position, size and aspect (a third of its side and more),
    in turn as colour and grey JPEG, CMYK JPEG, JPEG turned by its EXIF tag, PNG, PNG with palette, with alpha and with
    16 bits, WebP, BMP, GIF and TIFF.

    Args:
        folder: Gets ``train/`` with subfolders, and ``held_out/``. Files there are overwritten.
        seed: Of the crops; the same seed gives the same files.

    Returns:
        Number of training and of held-out files.

    Raises:
        ImportError: If scikit-image is missing.
        NotADirectoryError: If the folder is a file.
    """
    source = photograph_folder()
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise NotADirectoryError(f'{folder!r} is a file; name a folder to write the photographs to')
    rng = np.random.default_rng(seed)
    training = [(Path('train') / sub, source / name) for sub, names in TRAINING.items() for name in names]
    held_out = [(Path('held_out'), source / name) for name in HELD_OUT]
    counts = {'train': 0, 'held_out': 0}
    for subfolder, path in track(training + held_out, 'Writing photographs'):
        part = subfolder.parts[0]
        num_crops = CROPS_PER_TRAINING_PHOTOGRAPH if part == 'train' else CROPS_PER_HELD_OUT_PHOTOGRAPH
        os.makedirs(Path(folder) / subfolder, exist_ok=True)
        with Image.open(path) as image:
            photograph = image.convert('RGB')
        photograph.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        for number in range(num_crops + 1):
            picture = photograph if number == 0 else _random_crop(photograph, rng)
            ending, save = WRITERS[counts[part] % len(WRITERS)]
            save(picture, str(Path(folder) / subfolder / f'{path.stem}_{number:02d}{ending}'))
            counts[part] += 1
    return counts['train'], counts['held_out']


def photograph_folder() -> Path:
    """Where scikit-image keeps its photographs.

    Raises:
        ImportError: If scikit-image is missing.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise ImportError(
            "the demo's photographs come with scikit-image: pip install 'simmim_mm[demo]', or 'scikit-image'"
        ) from error
    return Path(data.__file__).parent


def _random_crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = (max(96, round(side * rng.uniform(1 / 3, 1))) for side in image.size)
    width, height = min(width, image.width), min(height, image.height)
    left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def _save(mode: str, **options: Any) -> Callable[[Image.Image, str], None]:
    return lambda image, path: image.convert(mode).save(path, **options)


def _save_turned(image: Image.Image, path: str) -> None:
    """A camera held upright: pixels lie on their side, the EXIF tag says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(path, quality=92, exif=exif)


def _save_16_bit(image: Image.Image, path: str) -> None:
    Image.fromarray(np.asarray(image.convert('L')).astype(np.uint16) * 257).save(path)


WRITERS: tuple[tuple[str, Callable[[Image.Image, str], None]], ...] = (
    ('.jpg', _save('RGB', quality=92)),
    ('.png', _save('RGB')),
    ('_grey.jpg', _save('L', quality=92)),
    ('.webp', _save('RGB', quality=90)),
    ('_cmyk.jpg', _save('CMYK', quality=92)),
    ('_palette.png', _save('P')),
    ('_turned.jpg', _save_turned),
    ('.bmp', _save('RGB')),
    ('_alpha.png', _save('RGBA')),
    ('.tif', _save('RGB')),
    ('_16bit.png', _save_16_bit),
    ('.gif', _save('P')),
)
