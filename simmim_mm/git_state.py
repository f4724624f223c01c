"""The state of the git checkout that code lies in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

# A file system in a network may take long to say what changed; a run does not wait for it longer than this.
PATIENCE = 10


def git_state(folder: str | Path, tracked: str | None = None) -> dict[str, Any] | None:
    """Says which commit a folder is at.

    Args:
        folder: The folder.
        tracked: Name of a file in it that has to be under version control. An installed package may lie inside the
            checkout of something else, of which it is no part.

    Returns:
        ``root`` of the checkout, ``commit``, and ``dirty``: whether a tracked file was changed since, None if that took
        too long to find out. None where there is no git, no checkout or no commit.
    """
    root, commit = _git(folder, 'rev-parse', '--show-toplevel'), _git(folder, 'rev-parse', '--verify', 'HEAD')
    if not root or not commit or (tracked and not _git(folder, 'ls-files', '--', tracked)):
        return None
    changed = _git(folder, 'status', '--porcelain', '--untracked-files=no')
    return {'root': root, 'commit': commit, 'dirty': None if changed is None else bool(changed)}


def _git(folder: str | Path, *arguments: str) -> str | None:
    """What git answers; None if it fails, or is not there."""
    # Hooks of git set variables that would point it to another checkout; and reading is to lock nothing.
    environment = {name: value for name, value in os.environ.items() if not name.startswith('GIT_')}
    environment['GIT_OPTIONAL_LOCKS'] = '0'
    try:
        result = subprocess.run(
            ['git', '-C', str(folder), *arguments],
            capture_output=True,
            text=True,
            errors='replace',
            timeout=PATIENCE,
            env=environment,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()
