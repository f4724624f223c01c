"""Droppers: how hidden tokens are left out of the passes of encoders, by family."""

from simmim_mm.models.maskers.droppers.base import Dropper, Task
from simmim_mm.models.maskers.droppers.table import DROPPERS, build_dropper

__all__ = ['DROPPERS', 'Dropper', 'Task', 'build_dropper']
