"""Runs the tools of an installed package: ``python -m simmim_mm train CONFIG ...``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def tools_folder() -> Path:
    """Where the tools are: inside the installed package, or beside it in a checkout."""
    installed = PACKAGE / '.mim' / 'tools'
    return installed if installed.is_dir() else PACKAGE.parent / 'tools'


def main() -> None:
    """Replaces this process by the tool's."""
    folder = tools_folder()
    tools = {
        path.stem: path for path in sorted(folder.iterdir()) if path.suffix in ('.py', '.sh') and path.stem[0] != '_'
    }
    if len(sys.argv) < 2 or sys.argv[1] not in tools:
        names = ' | '.join(tools)
        print(f'usage: python -m simmim_mm {{{names}}} ...\n(the tools in {folder})', file=sys.stderr)
        raise SystemExit(2)
    tool = tools[sys.argv[1]]
    interpreter = sys.executable if tool.suffix == '.py' else '/bin/bash'
    os.environ.setdefault('PYTHON', sys.executable)
    os.execv(interpreter, [interpreter, str(tool), *sys.argv[2:]])


if __name__ == '__main__':
    main()
