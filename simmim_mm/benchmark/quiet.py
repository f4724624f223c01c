"""Logs of models being built have no place between tables."""

from __future__ import annotations

import logging
import os
import warnings

from mmengine.logging import MMLogger


def quieten() -> None:
    """Shows errors alone."""
    os.environ.setdefault('KINETO_LOG_LEVEL', '5')
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    warnings.simplefilter('ignore')
