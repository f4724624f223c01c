"""The page of a run: one HTML file that needs nothing else."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from simmim_mm.atomic import write_atomically
from simmim_mm.report.run import describe_run


def write_report(work_dir: str | Path, out: str | Path | None = None) -> str:
    """Writes the page of a run.

    Args:
        work_dir: Of a run: finished, going on, or broken.
        out: The file to write; by default ``report.html`` in the work dir.

    Returns:
        Its path.

    Raises:
        FileNotFoundError: If there is no such work dir.
        ValueError: If nothing in it is of a run, or the file cannot be written or is one of the run.
    """
    if out is not None and _is_of_the_run(Path(out), Path(work_dir)):
        raise ValueError(
            f'--out={str(out)!r} is a file of the run in {str(work_dir)!r} and would be overwritten; name another '
            'file, such as one that ends with .html'
        )
    page = render(work_dir)
    path = Path(out) if out is not None else Path(work_dir) / 'report.html'
    write_atomically(path, lambda draft: Path(draft).write_text(page, encoding='utf-8', errors='replace'))
    return str(path)


def _is_of_the_run(out: Path, work_dir: Path) -> bool:
    """Whether a page would overwrite a log, a checkpoint or the like."""
    real = out.resolve()
    return real.is_file() and real.suffix not in ('.html', '.htm') and work_dir.resolve() in real.parents


def render(work_dir: str | Path) -> str:
    """The page of a run as text. See :func:`write_report`."""
    html, style, script = (
        (files('simmim_mm.report') / name).read_text(encoding='utf-8') for name in ('page.html', 'page.css', 'page.js')
    )
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    run = describe_run(work_dir)
    for chart in run['charts']:
        chart['svg'] = Markup(chart['svg'])  # the names in it are escaped already
    return environment.from_string(html).render(run=run, style=Markup(style), script=Markup(script))
