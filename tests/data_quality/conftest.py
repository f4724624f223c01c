"""Photographs that are equal, near, damaged and spoilt, each under a name that says what it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter


@pytest.fixture(scope='session')
def odd_folder(tmp_path_factory, photographs) -> Path:
    """A folder with the subfolders `good`, of which nothing is to be said, and `odd`."""
    root = tmp_path_factory.mktemp('odd')
    good, odd = root / 'good', root / 'odd'
    good.mkdir()
    odd.mkdir()
    for name, pixels in photographs.items():
        Image.fromarray(pixels).save(good / f'{name}.png')
    astronaut = Image.fromarray(photographs['astronaut'])
    shutil.copy(good / 'coffee.png', odd / 'coffee_again.png')
    astronaut.save(odd / 'astronaut_compressed.jpg', quality=40)
    astronaut.resize((300, 300)).save(odd / 'astronaut_reduced.webp')
    Image.new('RGB', (200, 220), (9, 90, 9)).save(odd / 'blank.png')
    rocket = Image.fromarray(photographs['rocket'])
    Image.fromarray((photographs['coffee'][:, ::-1] * 0.1).astype(np.uint8)).save(odd / 'dark.png')
    bright = np.minimum(photographs['coffee'][::-1].astype(int) * 6, 255).astype(np.uint8)
    Image.fromarray(bright).save(odd / 'over_exposed.png')
    rocket.rotate(90, expand=True).filter(ImageFilter.GaussianBlur(25)).save(odd / 'blurred.png')
    rocket.transpose(Image.Transpose.ROTATE_270).resize((100, 150)).save(odd / 'small.png')
    (odd / 'cut_off.jpg').write_bytes((odd / 'astronaut_compressed.jpg').read_bytes()[:5000])
    (odd / 'empty.png').write_bytes(b'')
    (odd / 'web_page.jpg').write_text('<html>not found</html>')
    np.save(odd / 'floats.npy', photographs['coffee'] / 255)
    (odd / 'notes.txt').write_text('no image')
    return root


# What is to be found, by the name of the file; nothing of all others.
EXPECTED = {
    'coffee_again.png': {'exact'},
    'astronaut_compressed.jpg': {'near'},
    'astronaut_reduced.webp': {'near'},
    'blank.png': {'blank'},
    'dark.png': {'dark'},
    'over_exposed.png': {'over-exposed'},
    'blurred.png': {'low-detail'},
    'small.png': {'small'},
    'cut_off.jpg': {'unreadable'},
    'empty.png': {'unreadable'},
    'web_page.jpg': {'unreadable'},
    'floats.npy': {'unfit'},
}


@pytest.fixture(scope='session')
def expected_findings() -> dict[str, set[str]]:
    return EXPECTED
