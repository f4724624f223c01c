"""Pages in a real browser, at a width and in colours of choice."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')

# The page stands in a frame, as windows are at least 500 pixels wide; what PROBE returns becomes the text of the outer
# page.
OUTER = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe width="{width}" height="2000" style="border:0" srcdoc="{page}"></iframe>
<script>
onload = () => {{
  const window = document.querySelector('iframe').contentWindow;
  const found = (({probe}))(window, window.document);
  document.body.innerHTML = '<pre id="found"></pre>';
  document.getElementById('found').textContent = JSON.stringify(found);
}};
</script>"""


def browser() -> str:
    """Path of Chromium; the test is skipped where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f'no browser: none of {", ".join(NAMES)} is installed (apt-get install chromium)')
    return path


def ask(page: str, probe: str, folder: Path, width: int = 1200, dark: bool = False) -> tuple[Any, str]:
    """Shows a page and asks it something.

    Args:
        page: HTML.
        probe: A function of JavaScript, of window and document of the page, that returns what JSON can hold.
        folder: For files.
        width: Of the page in pixels.
        dark: Whether the person prefers dark pages.

    Returns:
        What ``probe`` returned, and what the browser complained of.
    """
    outer = folder / f'outer-{width}-{dark}.html'
    outer.write_text(OUTER.format(width=width, page=html.escape(page), probe=probe), encoding='utf-8')
    flags = [
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        f'--user-data-dir={folder / "profile"}',
        '--window-size=1300,2100',
    ]
    flags += [f'--blink-settings=preferredColorScheme={0 if dark else 1}', '--enable-logging=stderr', '--dump-dom']
    result = subprocess.run(
        [browser(), *flags, outer.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', result.stdout, re.DOTALL)
    console = '\n'.join(line for line in result.stderr.splitlines() if 'CONSOLE' in line)
    assert found, f'{console}\n{result.stdout[-500:]}'
    return json.loads(html.unescape(found[1])), console
