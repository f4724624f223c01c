"""Results as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simmim_mm.atomic import write_atomically


def write_json(path: str, results: Mapping[str, Any]) -> None:
    """Writes results; the file is whole or not there.

    Args:
        path: The file; its folder is made.
        results: What is written.

    Raises:
        ValueError: If it cannot be written there.
    """
    text = json.dumps(results, indent=1, allow_nan=True) + '\n'
    write_atomically(path, lambda draft: Path(draft).write_text(text, encoding='utf-8'))
