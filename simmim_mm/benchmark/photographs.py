"""JPEG files of a given size, out of the photographs that scikit-image ships."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from simmim_mm.demo.photographs import photograph_folder

SOURCES = ('chelsea.png', 'coffee.png', 'astronaut.png', 'rocket.jpg', 'ihc.png', 'retina.jpg')


def write_jpegs(folder: str, size: tuple[int, int], count: int, quality: int = 90) -> list[str]:
    """Writes photographs, each scaled to fill the size and cut, mirrored in every second round.

    Args:
        folder: Is made.
        size: (width, height) in pixels.
        count: How many.
        quality: JPEG's.

    Returns:
        The files.

    Raises:
        ImportError: If scikit-image is missing.
    """
    source = photograph_folder()
    Path(folder).mkdir(parents=True, exist_ok=True)
    files: list[str] = []
    for number in range(count):
        with Image.open(source / SOURCES[number % len(SOURCES)]) as image:
            photograph = image.convert('RGB')
        width, height = photograph.size
        # The largest box of the wanted shape in the middle.
        wide, high = min(width, height * size[0] // size[1]), min(height, width * size[1] // size[0])
        left, top = (width - wide) // 2, (height - high) // 2
        picture = photograph.resize(size, Image.Resampling.LANCZOS, box=(left, top, left + wide, top + high))
        if number // len(SOURCES) % 2:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        files.append(str(Path(folder) / f'{number:05d}.jpg'))
        picture.save(files[-1], quality=quality)
    return files
