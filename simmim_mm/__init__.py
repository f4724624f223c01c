"""SimMIM pre-training of any OpenMMLab vision backbone (arXiv 2111.09886).

Letters used for shapes throughout the package:

- ``B`` images in a batch, ``C`` channels, ``H x W`` pixels
- ``h x w`` cells of a grid (of stem tokens, of mask cells or of the feature map)
- ``D`` width of a token, ``N`` number of tokens or of selected cells
- ``s`` side of one selected cell, in positions of the target

A mask is a bool array or tensor in which **True means hidden**.
"""

from simmim_mm import compat
from simmim_mm.version import __version__

compat.check_host_packages()
compat.repair_torchvision()
compat.support_own_configs()

__all__ = ['__version__']
