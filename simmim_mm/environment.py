"""Where and with what something was computed."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import sys
from typing import Any

import torch

# Import name -> distributions that it may come from.
PACKAGES = {
    'torch': ('torch',),
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv', 'mmcv-lite'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
    'numpy': ('numpy',),
    'transformers': ('transformers',),
    'timm': ('timm',),
    'simplejpeg': ('simplejpeg',),
    'opencv': ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python'),
    'pillow': ('pillow',),
    'triton': ('triton',),
}


def num_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def describe_environment(device: str = 'cpu') -> dict[str, Any]:
    """Says on what machine, with which versions, when and by which command something is computed.

    Args:
        device: Type of the device that computes.

    Returns:
        Strings and numbers, to be written as JSON.
    """
    from simmim_mm.version import __version__

    facts: dict[str, Any] = {
        'command': ' '.join(['python', *sys.argv]),
        'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        'cpu': _cpu_name(),
        'cores': num_cores(),
        'threads': torch.get_num_threads(),
        'instructions': torch.backends.cpu.get_cpu_capability(),
        'load_average': [round(value, 2) for value in os.getloadavg()] if hasattr(os, 'getloadavg') else None,
        'system': platform.platform(terse=True),
        'python': platform.python_version(),
        'simmim_mm': __version__,
        'versions': _versions(),
    }
    if device == 'cuda':
        properties = torch.cuda.get_device_properties(0)
        facts['gpu'] = properties.name
        facts['gpu_memory_gib'] = round(properties.total_memory / 2**30, 1)
        facts['cuda'] = torch.version.cuda
    return facts


def describe_in_a_line(facts: dict[str, Any]) -> str:
    """The machine, for the heading of a table."""
    device = facts.get('gpu') or f'{facts["cpu"]}, {facts["threads"]} of {facts["cores"]} cores'
    versions = ', '.join(f'{name} {version}' for name, version in list(facts['versions'].items())[:4])
    return f'{device}, {facts["instructions"]}; {versions}; {facts["date"][:10]}; load {facts["load_average"]}'


def _versions() -> dict[str, str]:
    found = {}
    for name, distributions in PACKAGES.items():
        for distribution in distributions:
            try:
                found[name] = importlib.metadata.version(distribution)
                break
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def _cpu_name() -> str:
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as lines:
            for line in lines:
                if line.startswith('model name'):
                    return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
