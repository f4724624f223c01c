"""Where weights are exported to: each target builds its own class, loads the file as its users do, and is compared."""

from simmim_mm.transfer.targets.base import Target
from simmim_mm.transfer.targets.hf import HuggingFaceTarget
from simmim_mm.transfer.targets.openmmlab import OpenMMLabTarget
from simmim_mm.transfer.targets.timm import TimmTarget

# What --to says -> the class and, for OpenMMLab's packages, the package.
TARGETS: dict[str, type[Target]] = {
    'mmpretrain': OpenMMLabTarget,
    'mmdet': OpenMMLabTarget,
    'mmseg': OpenMMLabTarget,
    'timm': TimmTarget,
    'hf': HuggingFaceTarget,
}

__all__ = ['TARGETS', 'HuggingFaceTarget', 'OpenMMLabTarget', 'Target', 'TimmTarget']
