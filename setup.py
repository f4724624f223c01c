"""Packaging of simmim_mm.

Configs and tools travel inside the installed package as `simmim_mm/.mim`, where MMEngine looks for
the configs of other packages: `_base_ = 'simmim_mm::simmim_swin_base.py'`.
"""

import atexit
import re
import shutil
import sys
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_ENTRIES = ('configs', 'tools', 'model-index.yml')
IGNORED = shutil.ignore_patterns('__pycache__', '*.py[cod]')

# The onedl-* distributions are the maintained continuation of OpenMMLab and keep its import names.
# The code also works beside the originals (mmengine, mmcv-lite, mmpretrain): install those first,
# then this package with `pip install --no-deps`, or two distributions would own the same files.
REQUIREMENTS = [
    'torch>=2.4',
    'torchvision',
    'onedl-mmengine>=0.10.7',
    'onedl-mmcv>=2.2',
    'onedl-mmpretrain>=1.3',
    'numpy>=2',
    'pillow>=10',
    'tifffile',
    'rich',
    'scipy',
    'matplotlib',
    'imagehash>=4.3',
    'jinja2',
]
EXTRAS = {
    'demo': ['scikit-image'],
    'detection': ['onedl-mmdetection>=3.5', 'pycocotools'],
    'segmentation': ['onedl-mmsegmentation>=1.4'],
    'timm': ['timm>=1.0'],
    'hf': ['transformers>=4.40,<5'],  # 5 breaks the import of mmpretrain
    'jpeg': ['simplejpeg>=1.8'],
    'shards': ['webdataset>=1.0'],
    'fp8': ['torchao>=0.14'],
    'dev': ['ruff', 'mypy', 'codespell'],
}
EXTRAS['test'] = [
    'pytest',
    'pytest-xdist',
    'hypothesis',
    'tensorboard',
    'pyte',
    'scikit-learn',
    "triton>=3.0; platform_system == 'Linux'",  # its interpreter runs our kernels without a GPU
    'setuptools>=77',  # the tests build a wheel without build isolation
    *EXTRAS['demo'],
    *EXTRAS['detection'],
    *EXTRAS['segmentation'],
    *EXTRAS['timm'],
    *EXTRAS['hf'],
    *EXTRAS['jpeg'],
    *EXTRAS['shards'],
    *EXTRAS['fp8'],
]
EXTRAS['all'] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})


class BuildPyWithMim(build_py):
    """Adds `.mim` to the package: copies in a wheel, links in an editable install."""

    def run(self):
        super().run()
        package = ROOT / 'simmim_mm' if self.editable_mode else Path(self.build_lib) / 'simmim_mm'
        mim = package / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in MIM_ENTRIES:
            if self.editable_mode:
                (mim / name).symlink_to(Path('..', '..', name))
            elif (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, mim / name, ignore=IGNORED)
            else:
                shutil.copy2(ROOT / name, mim / name)


def read_version():
    text = (ROOT / 'simmim_mm' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '(.+)'$", text, re.MULTILINE).group(1)


def read_long_description():
    readme = ROOT / 'README.md'
    return readme.read_text(encoding='utf-8') if readme.exists() else ''


def out_of_tree_options():
    """Keep intermediate files out of the checkout: an old `build/lib` spoils later wheels."""
    if 'sdist' in sys.argv:  # takes its file list relative to the checkout
        return {}
    folder = tempfile.mkdtemp(prefix='simmim_mm-build-')
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {'build': {'build_base': folder}, 'egg_info': {'egg_base': folder}}


setup(
    name='simmim_mm',
    version=read_version(),
    description='SimMIM pre-training for the vision backbones of the OpenMMLab family',
    long_description=read_long_description(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.10',
    packages=find_packages(include=['simmim_mm', 'simmim_mm.*']),
    include_package_data=False,
    package_data={'simmim_mm.report': ['page.*']},
    install_requires=REQUIREMENTS,
    extras_require=EXTRAS,
    cmdclass={'build_py': BuildPyWithMim},
    options=out_of_tree_options(),
    zip_safe=False,
)
