"""Set up the virtual environment of this checkout (Linux and macOS, standard library only).

    python3 dev/setup_env.py demo     what `make demo` needs
    python3 dev/setup_env.py check    the linters
    python3 dev/setup_env.py test     all for the tests; compiles mmcv's operators, once per torch

Profiles add up in one environment. A second call returns at once, unless one of SETUP_FILES
changed. An environment that exists is used as it is, with the torch that it has.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from steps import StepError, locked, phase, run

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / 'constraints.txt'
SETUP_FILES = ('setup.py', 'constraints.txt', 'pyproject.toml', 'dev/setup_env.py', 'dev/steps.py')
EXTRAS = {'demo': 'demo', 'check': 'dev', 'test': 'test'}
COVERED_BY = {'demo': ('demo', 'test'), 'check': ('check',), 'test': ('test',)}
BUILD_TOOLS = ('setuptools', 'wheel', 'ninja', 'psutil', 'packaging')
PROBE = """
import importlib.metadata as metadata, json, sys, sysconfig
facts = dict(python='cp%d%d' % sys.version_info[:2], platform=sysconfig.get_platform())
try:
    import torch
    facts.update(torch=torch.__version__, torch_pin=metadata.version('torch'))
    facts.update(device='cuda' if torch.cuda.is_available() else 'cpu')
    import cv2, mmcv._ext
    facts.update(has_ops=True)
except Exception as error:
    facts.update(error=f'{type(error).__name__}: {error}')
print(json.dumps(facts))
"""


def fingerprint(profile: str) -> str:
    """Digest of all that decides what a set-up of `profile` installs."""
    digest = hashlib.sha256(f'{ROOT} {profile}'.encode())
    for name in SETUP_FILES:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def stamp_path(venv: Path, profile: str) -> Path:
    return venv / f'simmim_mm-{profile}.stamp'


def is_ready(venv: Path, profile: str) -> bool:
    """Whether a finished set-up in `venv` covers `profile` and nothing changed since."""
    stamps = {name: stamp_path(venv, name) for name in COVERED_BY[profile]}
    return venv_python(venv).exists() and any(
        path.exists() and path.read_text() == fingerprint(name) for name, path in stamps.items()
    )


def venv_python(venv: Path) -> Path:
    return venv / 'bin' / 'python'


def run_in(venv: Path, *command, on_line=None) -> None:
    run(*command, log=venv / 'simmim_mm-setup.log', path_first=venv / 'bin', on_line=on_line)


def pip(venv: Path, *arguments, on_line=None) -> None:
    command = [venv_python(venv), '-m', 'pip', '--disable-pip-version-check', *arguments]
    run_in(venv, *command, on_line=on_line)


def create_venv(venv: Path) -> None:
    try:
        run_in(venv, sys.executable, '-m', 'venv', venv)
    except BaseException:
        venv_python(venv).unlink(missing_ok=True)  # or the next call would take it for a whole one
        raise


def probe(venv: Path) -> dict:
    """Facts about the environment: `torch` only if it imports, `has_ops` only if mmcv's do."""
    command = [venv_python(venv), '-W', 'ignore', '-c', PROBE]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise StepError(f'{result.stderr}\n{venv_python(venv)} does not work.')
    return json.loads(result.stdout.splitlines()[-1])


def pinned(name: str) -> str:
    """The version of `name` in constraints.txt."""
    return re.search(rf'^{name}==([^\s;]+)', CONSTRAINTS.read_text(), re.MULTILINE).group(1)


def is_recent(torch_version: str | None) -> bool:
    return torch_version is not None and tuple(map(int, torch_version.split('.')[:2])) >= (2, 4)


def constraints_with(torch_version: str) -> str:
    """The text of constraints.txt, but with another torch, and a torchvision and a Triton to match."""
    text = re.sub(r'^(torch|torchvision|triton)==.*\n', '', CONSTRAINTS.read_text(), flags=re.MULTILINE)
    return f'{text}torch=={torch_version}\n'


def wheel_cache() -> Path:
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'simmim_mm' / 'wheels'


def cache_key(facts: dict, mmcv_version: str) -> str:
    """Folder of a wheel that fits one Python, platform, build of torch, device and mmcv only."""
    device = '' if facts['torch'].endswith('+cpu') else f'-{facts["device"]}'
    return f'{facts["python"]}-{facts["platform"]}-torch{facts["torch"]}{device}-mmcv{mmcv_version}'


def build_progress(every: float = 30.0):
    """A reader of ninja's output that shows how far it is; seldom where there is no terminal."""
    start = shown = time.monotonic()

    def on_line(line: str) -> None:
        nonlocal shown
        now = time.monotonic()
        step = re.match(r'\s*\[(\d+)/(\d+)\]', line)
        if step and (sys.stdout.isatty() or now - shown > every):
            shown = now
            text = f'[setup]   file {step[1]} of {step[2]}, {now - start:.0f} s'
            print(f'\r{text}' if sys.stdout.isatty() else f'\n{text}', end='', flush=True)

    return on_line


def ops_wheel(venv: Path, facts: dict, constraints: Path) -> Path:
    """The cached wheel of mmcv with operators, built first where there is none."""
    version = pinned('onedl-mmcv')
    folder = wheel_cache() / cache_key(facts, version)
    with locked(folder.with_name(f'{folder.name}.lock')):
        if not list(folder.glob('*.whl')):
            if shutil.which(os.environ.get('CXX', 'c++').split()[0]) is None:
                raise StepError('mmcv needs a C++ compiler. On Debian: apt install g++')
            with phase('tools to compile the operators of mmcv'):
                pip(venv, 'install', '-c', constraints, *BUILD_TOOLS)
            print('[setup] compiling the operators of mmcv takes about 8 minutes on 2 cores, once')
            with phase(f'onedl-mmcv {version}'):
                build_ops_wheel(venv, version, folder)
    return next(folder.glob('*.whl'))


def build_ops_wheel(venv: Path, version: str, folder: Path) -> None:
    """Compile mmcv and move its wheel into `folder`.

    With build isolation torch would be absent, and mmcv come without operators. pip's own cache
    has one name for both kinds of wheel and would mix them up.
    """
    flags = ['-v', '--no-build-isolation', '--no-deps', '--no-cache-dir', '--no-binary=onedl-mmcv']
    with tempfile.TemporaryDirectory(dir=folder.parent) as build:
        target = ['--wheel-dir', build, f'onedl-mmcv=={version}']
        pip(venv, 'wheel', *flags, *target, on_line=build_progress())
        folder.mkdir(exist_ok=True)
        wheel = next(Path(build).glob('*.whl'))
        wheel.replace(folder / wheel.name)


def install(venv: Path, profile: str) -> None:
    """Bring `venv` to `profile`: torch, mmcv with operators for the tests, this checkout."""
    facts, constraints = probe(venv), CONSTRAINTS
    if not is_recent(facts.get('torch')):
        with phase(f'torch {pinned("torch")}'):
            pip(venv, 'install', '-c', CONSTRAINTS, 'torch')
        facts = probe(venv)
    elif facts['torch_pin'].partition('+')[0] != pinned('torch'):
        print(f'[setup] keeping the torch {facts["torch"]} of this environment')
        constraints = venv / 'simmim_mm-constraints.txt'
        constraints.write_text(constraints_with(facts['torch_pin']))
    if profile == 'test' and 'has_ops' not in facts:
        wheel = ops_wheel(venv, facts, constraints)
        with phase(f'mmcv with operators, from {wheel.parent}'):
            pip(venv, 'install', '--no-deps', '--force-reinstall', wheel)
    with phase(f'simmim_mm[{EXTRAS[profile]}] and what it needs'):
        pip(venv, 'install', '-c', constraints, '-e', f'{ROOT}[{EXTRAS[profile]}]')
    if profile == 'test':
        verify_ops(venv)


def verify_ops(venv: Path) -> None:
    """Raise StepError unless mmcv's operators import; put up with a machine without libGL."""
    error = probe(venv).get('error')
    if error and 'libGL' in error:  # OpenCV 4 for desktops; the version without windows needs none
        with phase('OpenCV without windows, for want of libGL'):
            pip(venv, 'install', '--no-deps', '--force-reinstall', 'opencv-python-headless<4.13')
        error = probe(venv).get('error')
    if error:
        raise StepError(f'mmcv has no usable operators: {error}\nDelete {wheel_cache()}, try again.')


def main() -> None:
    parser = argparse.ArgumentParser(description='Set up the environment of this checkout.')
    parser.add_argument('profile', choices=sorted(EXTRAS))
    parser.add_argument('--venv', type=Path, default=ROOT / '.venv', help='its folder')
    arguments = parser.parse_args()
    venv, profile = arguments.venv.expanduser().absolute(), arguments.profile
    if sys.version_info < (3, 10):  # noqa: UP036, for the person with an old one
        sys.exit(f'This is Python {platform.python_version()}; 3.10 or later is needed: make PYTHON3=...')
    if is_ready(venv, profile):
        return
    try:
        with locked(venv / 'simmim_mm-setup.lock'):
            if is_ready(venv, profile):  # by now, by the set-up that held the lock
                return
            if not venv_python(venv).exists():
                with phase(f'virtual environment {venv}'):
                    create_venv(venv)
            install(venv, profile)
            stamp_path(venv, profile).write_text(fingerprint(profile))
    except StepError as error:
        sys.exit(f'\n{error}\nThe set-up failed; the lines above say why.')
    except KeyboardInterrupt:
        sys.exit('\nStopped. The next call goes on from here.')


if __name__ == '__main__':
    main()
