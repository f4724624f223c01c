"""The pictures of a run, small enough to stand in a page."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

MOST = 8
WIDEST = 520  # pixels
TALLEST = 1100


def read_pictures(work_dir: str | Path) -> tuple[list[dict[str, Any]], int]:
    """Reads what :class:`~simmim_mm.engine.ReconstructionHook` drew.

    Args:
        work_dir: Of the run.

    Returns:
        At most ``MOST`` pictures in the order of iterations, the first and the last included, each with ``iteration``,
        ``width``, ``height`` and ``data``, a URI; and how many there are. One that cannot be read is left out.
    """
    found = {}
    for path in (Path(work_dir) / 'reconstructions').glob('iter_*.png'):
        match = re.fullmatch(r'iter_(\d+)', path.stem)
        if match:
            found[int(match[1])] = path
    iterations = sorted(found)
    chosen = [iterations[int(place)] for place in np.linspace(0, len(iterations) - 1, min(MOST, len(iterations)))]
    pictures = [{'iteration': iteration, **small} for iteration in chosen if (small := _small(found[iteration]))]
    return pictures, len(iterations)


def _small(path: Path) -> dict[str, Any] | None:
    try:
        with Image.open(path) as file:
            picture = file.convert('RGB')
    except (OSError, SyntaxError, ValueError):  # Pillow's word for a damaged PNG is SyntaxError
        return None
    # A panel of many rows is cut below; smaller, nothing could be seen.
    picture.thumbnail((WIDEST, picture.height), Image.Resampling.LANCZOS)
    picture = picture.crop((0, 0, picture.width, min(picture.height, TALLEST)))
    buffer = io.BytesIO()
    picture.save(buffer, 'JPEG', quality=80, optimize=True)
    uri = f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'
    return {'width': picture.width, 'height': picture.height, 'data': uri}
