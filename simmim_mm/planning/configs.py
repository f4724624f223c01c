"""Configs by the names of their encoders."""

from __future__ import annotations

from pathlib import Path


def find_config(folder: Path, name: str) -> str:
    """The pre-training config of an encoder.

    Args:
        folder: Of the configs.
        name: Such as ``'swin_base'``: the shortest recipe of it.

    Returns:
        The path.

    Raises:
        ValueError: If there is none, with the names that there are.
    """
    for file in (f'simmim_{name}.py', f'simmim_{name}_800e.py'):
        if (folder / file).is_file():
            return str(folder / file)
    names = sorted({path.stem.removeprefix('simmim_').removesuffix('_800e') for path in folder.glob('simmim_*.py')})
    raise ValueError(f'--model {name} is unknown; there are {", ".join(names)}; or name a config file')
