"""A page of a run that can be read in a browser: what ``tools/report.py`` writes."""

from simmim_mm.report.page import write_report

__all__ = ['write_report']
