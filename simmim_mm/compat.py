"""Every known mismatch of the host stack: what it is, why it is handled, and when the code can go."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Import name -> (lowest version that was seen working, first version that was not or None, what to install).
HOST_PACKAGES = {
    'torch': ('2.4.0', None, 'torch'),
    'mmengine': ('0.10.4', '1.0.0', 'onedl-mmengine'),
    'mmcv': ('2.0.0', '2.4.0', 'onedl-mmcv'),
    'mmpretrain': ('1.2.0', None, 'onedl-mmpretrain'),
}

# Objects that must live as long as the process.
_KEEP_ALIVE: list[object] = []


class HostPackageError(ImportError):
    """A host package is missing, too old, too new or broken; the message names the fix."""


def check_host_packages() -> None:
    """Checks that the host packages can be imported and have versions that work together.

    Versions are read from the modules, not from distribution names: ``mmengine`` may come from ``onedl-mmengine``
    or from the original ``mmengine``.

    Raises:
        HostPackageError: For the first package that is missing, out of range or broken, with the command that mends it.
    """
    for name, (lowest, too_new, distribution) in HOST_PACKAGES.items():
        if name == 'mmpretrain':
            _check_transformers()
            version = _mmpretrain_version()
        else:
            version = _import_host(name, distribution).__version__
        _check_version(name, version, lowest, too_new, distribution)


def _mmpretrain_version() -> str:
    """Version of mmpretrain without the two seconds that importing all of it takes.

    MMEngine imports mmpretrain itself once a config names one of its classes.
    """
    spec = importlib.util.find_spec('mmpretrain')
    if spec is None or not spec.submodule_search_locations:
        raise HostPackageError(_fix('mmpretrain is not installed', 'onedl-mmpretrain'))
    for distribution in ('onedl-mmpretrain', 'mmpretrain'):
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return _import_host('mmpretrain', 'onedl-mmpretrain').__version__


def _import_host(name: str, distribution: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise HostPackageError(_fix(f'{name} is not installed', distribution)) from error
        raise HostPackageError(_fix(f'{name} cannot be imported ({error})', distribution)) from error
    except Exception as error:
        raise HostPackageError(
            _fix(f'{name} is installed but broken ({type(error).__name__}: {error})', distribution)
        ) from error


def _check_version(name: str, version: str, lowest: str, too_new: str | None, distribution: str) -> None:
    if _release(version) < _release(lowest):
        raise HostPackageError(_fix(f'{name} {version} is too old, simmim_mm needs {lowest} or newer', distribution))
    if too_new is not None and _release(version) >= _release(too_new):
        raise HostPackageError(
            _fix(f'{name} {version} is too new, simmim_mm needs a version below {too_new}', distribution)
        )


def _release(version: str) -> tuple[int, ...]:
    """The first three numbers of a version: (2, 13, 0) of '2.13.0+cpu'."""
    return tuple(int(number) for number in re.findall(r'\d+', version)[:3])


def _check_transformers() -> None:
    """Transformers 5 breaks the import of mmpretrain 1.3 with a TypeError from its multimodal models.

    Can go when mmpretrain imports beside transformers 5.
    """
    try:
        version = importlib.metadata.version('transformers')
    except importlib.metadata.PackageNotFoundError:
        return
    if version.split('.')[0].isdigit() and int(version.split('.')[0]) >= 5:
        raise HostPackageError(
            f'transformers {version} breaks the import of mmpretrain. '
            "Install an older one, or none: pip install 'transformers<5'"
        )


def _fix(problem: str, distribution: str) -> str:
    lowest, too_new = next((low, new) for low, new, dist in HOST_PACKAGES.values() if dist == distribution)
    wanted = f'{distribution}>={lowest}' + (f',<{too_new}' if too_new else '')
    return f"{problem}. Install a version that works: pip install '{wanted}'"


def plain_drop_rates(model: Any) -> None:
    """Turns drop path rates that are NumPy numbers into Python's, where a model has any.

    mmpretrain's ViTs hand NumPy numbers to mmcv's ``DropPath``, and ``torch.compile`` breaks its graph at each. Can go
    when either of them converts the rate.

    Args:
        model: An ``nn.Module``, changed in place.
    """
    import numpy as np

    for module in model.modules():
        if isinstance(getattr(module, 'drop_prob', None), np.floating):
            module.drop_prob = float(module.drop_prob)


@contextmanager
def meta_device() -> Iterator[None]:
    """Builds models without memory for their weights, to see the shapes of those that fit no machine at hand.

    Under ``torch.device('meta')`` alone, the host's encoders cannot be built: they read drop path rates off a
    ``torch.linspace``, which holds no numbers there. In this context such sequences are on the CPU. Can go when
    mmpretrain computes the rates without tensors.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class SequencesHoldNumbers(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if func is torch.linspace:
                kwargs.setdefault('device', 'cpu')
            return func(*args, **kwargs)

    with torch.device('meta'), SequencesHoldNumbers():
        yield


def repair_torchvision() -> None:
    """Lets torchvision be imported beside a torch build that has no torchvision operators.

    A torchvision wheel for CUDA beside a CPU-only torch cannot load its C++ operators, and ``import torchvision`` then
    fails on the missing ``torchvision::nms``, and with it ``import mmpretrain.models``. Declaring the two names that
    are looked up at import time is enough: transforms work, ``nms``, ``roi_align`` and the image codecs of torchvision
    stay missing (this package uses none of them). Can go when mmpretrain no longer imports torchvision.
    """
    import torch

    spec = importlib.util.find_spec('torchvision')
    if spec is None:
        raise HostPackageError("torchvision is not installed, and mmpretrain imports it: pip install 'torchvision'")
    try:
        importlib.import_module('torchvision')
        return
    except RuntimeError as error:
        if 'torchvision::nms' not in str(error):
            raise HostPackageError(f'torchvision does not fit torch {torch.__version__}: {error}') from error
    except ImportError as error:
        raise HostPackageError(f'torchvision cannot be imported beside torch {torch.__version__}: {error}') from error
    library = torch.library.Library('torchvision', 'DEF')
    for name in ('nms', 'qnms'):
        library.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    _KEEP_ALIVE.append(library)
    importlib.import_module('torchvision')


def support_own_configs() -> None:
    """Lets MMEngine resolve ``_base_ = 'simmim_mm::simmim_swin_base.py'`` and ``get_config('simmim_mm::...')``.

    MMEngine knows the packages that may stand before ``::`` from a fixed table, and its pattern wants a subfolder after
    it. Can go when MMEngine takes any installed package with a ``.mim`` folder.
    """
    from mmengine.config import utils

    host = utils._get_package_and_cfg_path
    if getattr(host, 'knows_simmim_mm', False):
        return

    def get_package_and_cfg_path(cfg_path: str) -> tuple[str, str]:
        package, separator, name = cfg_path.partition('::')
        if package == 'simmim_mm' and separator:
            folder = Path(__file__).parent
            if not (folder / '.mim').exists():
                raise FileNotFoundError(
                    f'{cfg_path!r} names a config of the installed package, and {folder} is a checkout; install it '
                    f"with 'pip install -e .', or name the file: {folder.parent / 'configs' / name}"
                )
            return package, name
        return host(cfg_path)

    get_package_and_cfg_path.knows_simmim_mm = True  # type: ignore[attr-defined]
    for name in ('mmengine.config.utils', 'mmengine.config.config', 'mmengine.hub.hub'):
        setattr(importlib.import_module(name), '_get_package_and_cfg_path', get_package_and_cfg_path)  # noqa: B010
