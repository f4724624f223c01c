"""Files of colour clusters."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from typing import Any, NamedTuple

import numpy as np


class ColourClusters(NamedTuple):
    """Colours that stand for all others.

    Attributes:
        centres: (k, C) float32, in the units of the images' pixels (0 to 255 for 8-bit ones), in the channel order of
            the model.
        value_range: (2, C) float32, lowest and highest value that a pixel can have, in the same units.
        distortion: Mean squared distance of a pixel to its centre, as a share of the range.
        settings: What they were made of: number of clusters, images and pixels, seed, data.
    """

    centres: np.ndarray
    value_range: np.ndarray
    distortion: float
    settings: dict[str, Any]


def save_clusters(path: str, clusters: ColourClusters) -> None:
    """Writes a file, whole or not at all, and the folders that it needs.

    Args:
        path: File name.
        clusters: What to write.
    """
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix='.npz')
    try:
        with os.fdopen(handle, 'wb') as file:
            np.savez(
                file,
                centres=clusters.centres.astype(np.float32),
                value_range=clusters.value_range.astype(np.float32),
                distortion=np.float64(clusters.distortion),
                settings=np.array(json.dumps(clusters.settings, sort_keys=True)),
            )
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load_clusters(path: str) -> ColourClusters:
    """Reads a file of colour clusters.

    Args:
        path: File name.

    Returns:
        The clusters.

    Raises:
        FileNotFoundError: If there is no such file, with the command that makes it.
        ValueError: If it is no file of colour clusters.
    """
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"clusters={path!r} of ColorClusterTarget must be a file name, such as 'data/clusters.npz'")
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'there is no file of colour clusters {os.fspath(path)!r} (seen from {os.getcwd()}); make it with: '
            f'python tools/cluster_colours.py CONFIG --data-root FOLDER --num-clusters 512 '
            f'--out {shlex.quote(os.fspath(path))}\n(CONFIG: the config file of this run; FOLDER: its training images)'
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            clusters = ColourClusters(
                file['centres'], file['value_range'], float(file['distortion']), json.loads(str(file['settings']))
            )
    except Exception as error:
        raise ValueError(
            f'{os.fspath(path)!r} is no file of colour clusters, or a damaged one ({type(error).__name__}: {error}); '
            'make it anew with tools/cluster_colours.py --force'
        ) from error
    centres, value_range = clusters.centres, clusters.value_range
    fits = centres.ndim == 2 and value_range.shape == (2, centres.shape[1]) and len(centres) >= 2
    if not fits or not np.isfinite(centres).all() or not (value_range[1] > value_range[0]).all():
        raise ValueError(
            f'{os.fspath(path)!r} holds no usable colour clusters: centres {centres.shape}, range {value_range.shape}; '
            'make it anew with tools/cluster_colours.py --force'
        )
    return clusters
