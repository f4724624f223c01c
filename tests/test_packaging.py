"""What people get from `pip install`, from the launch scripts and from the set-up of a checkout."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
BUILD_FLAGS = ('--no-deps', '--no-build-isolation', '--no-cache-dir')


def run(*command, **kwargs):
    """Run a command and return its output; show that output when it fails."""
    command = [str(part) for part in command]
    pipe = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'text': True}
    result = subprocess.run(command, **pipe, **kwargs)
    assert result.returncode == 0, result.stdout
    return result.stdout


def build_wheel(source, folder):
    run(sys.executable, '-m', 'pip', 'wheel', *BUILD_FLAGS, '--wheel-dir', folder, source)
    return next(folder.glob('*.whl'))


def files_below(folder):
    """Relative paths of the files that a person wrote."""
    paths = (path.relative_to(folder) for path in folder.rglob('*') if path.is_file())
    return {path.as_posix() for path in paths if not {'__pycache__', '.mim'} & set(path.parts)}


def build_leftovers():
    return {path.name for pattern in ('build', '*.egg-info') for path in ROOT.glob(pattern)}


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel of the checkout, built as `pip install .` does."""
    before = build_leftovers()
    wheel = build_wheel(ROOT, tmp_path_factory.mktemp('wheel'))
    assert build_leftovers() == before, 'building changed the checkout'
    return wheel


@pytest.fixture(scope='module')
def site(wheel, tmp_path_factory):
    """A folder with the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp('site')
    run(sys.executable, '-m', 'pip', 'install', '--no-deps', '--target', folder, wheel)
    return folder


@pytest.fixture(scope='module')
def requirements(wheel):
    """Requirements in the metadata of the wheel, those of the extras included."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        metadata = Parser().parsestr(archive.read(name).decode())
    return [Requirement(text) for text in metadata.get_all('Requires-Dist')]


@pytest.fixture(scope='module')
def constraints():
    lines = (ROOT / 'constraints.txt').read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith('#')]
    assert len({pin.name for pin in pins}) == len(pins)
    return {pin.name: pin for pin in pins}


@pytest.fixture(scope='module')
def setup_env():
    """The script dev/setup_env.py as a module."""
    sys.path.insert(0, str(ROOT / 'dev'))
    try:
        spec = importlib.util.spec_from_file_location('setup_env', ROOT / 'dev' / 'setup_env.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / 'dev'))
    return module


class TestWheel:
    def test_holds_every_module_and_every_file_of_configs_and_tools(self, wheel):
        expected = {f'simmim_mm/{name}' for name in files_below(ROOT / 'simmim_mm')}
        for folder in ('configs', 'tools'):
            expected |= {f'simmim_mm/.mim/{folder}/{name}' for name in files_below(ROOT / folder)}
        expected.add('simmim_mm/.mim/model-index.yml')
        with zipfile.ZipFile(wheel) as archive:
            names = {name for name in archive.namelist() if '.dist-info/' not in name}
        assert names == expected

    def test_is_the_same_by_way_of_an_sdist(self, wheel, tmp_path):
        ignored = shutil.ignore_patterns('.*', 'work_dirs', 'data', '__pycache__')
        shutil.copytree(ROOT, tmp_path / 'copy', ignore=ignored)
        code = 'from setuptools.build_meta import build_sdist; build_sdist("..")'
        run(sys.executable, '-c', code, cwd=tmp_path / 'copy')
        with tarfile.open(next(tmp_path.glob('*.tar.gz'))) as archive:
            archive.extractall(tmp_path / 'sdist', filter='data')
        source = next((tmp_path / 'sdist').iterdir())
        other = build_wheel(source, tmp_path)
        with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(other) as second:
            assert set(first.namelist()) == set(second.namelist())

    def test_configs_are_inherited_by_package_name(self, site, tmp_path):
        """By MMEngine's own `Config`, in a folder and a process that know of no checkout."""
        (tmp_path / 'mine.py').write_text("_base_ = 'simmim_mm::simmim_swin_base.py'\nwork_dir = 'elsewhere'\n")
        code = (
            'import simmim_mm\n'
            'from mmengine.config import Config\n'
            "cfg = Config.fromfile('mine.py')\n"
            "print(simmim_mm.__file__, cfg.work_dir, cfg.model.type, sep='\\n')\n"
        )
        env = {**os.environ, 'PYTHONPATH': str(site)}
        lines = run(sys.executable, '-W', 'ignore', '-c', code, cwd=tmp_path, env=env).splitlines()
        assert lines[-3:-1] == [str(site / 'simmim_mm' / '__init__.py'), 'elsewhere']
        assert lines[-1].endswith('SimMIM')

    def test_an_inherited_config_takes_a_training_step(self, site, tmp_path, image_folder):
        """With the tools of the installed package, on images of one's own."""
        (tmp_path / 'mine.py').write_text(
            "_base_ = 'simmim_mm::simmim_swin_tiny.py'\n"
            'train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False)\n'
            'train_cfg = dict(max_epochs=1)\n'
            'param_scheduler = dict(end=1, warmup=0)\n'
        )
        train = site / 'simmim_mm' / '.mim' / 'tools' / 'train.py'
        env = {**os.environ, 'PYTHONPATH': str(site)}
        run(sys.executable, train, 'mine.py', '--data-root', image_folder(2), cwd=tmp_path, env=env)
        assert (tmp_path / 'work_dirs' / 'mine' / 'epoch_1.pth').is_file()


class TestMetadata:
    def test_metafiles_list_configs_that_exist(self):
        for metafile in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']:
            content = yaml.safe_load((ROOT / metafile).read_text())
            collections = {collection['Name'] for collection in content['Collections']}
            for model in content['Models']:
                assert (ROOT / model['Config']).is_file(), model['Config']
                assert model['Config'] == f'configs/{model["Name"]}.py'
                assert model['In Collection'] in collections

    def test_constraints_satisfy_the_requirements(self, requirements, constraints):
        for requirement in requirements:
            pin = constraints[requirement.name]
            version = next(iter(pin.specifier)).version
            assert requirement.specifier.contains(version), f'{requirement} excludes {version}'


class TestLaunchScripts:
    """With stand-ins for the interpreter and for `srun`, which print what they were given."""

    @pytest.fixture
    def env(self, tmp_path):
        for name in ('python', 'srun'):
            path = tmp_path / 'bin' / name
            path.parent.mkdir(exist_ok=True)
            path.write_text('#!/bin/sh\necho "threads=$OMP_NUM_THREADS"\nprintf "%s\\n" "$@"\n')
            path.chmod(0o755)
        kept = {key: os.environ[key] for key in ('HOME', 'LANG') if key in os.environ}
        return {**kept, 'PATH': f'{tmp_path / "bin"}{os.pathsep}{os.environ["PATH"]}'}

    @pytest.mark.parametrize('installed', [False, True])
    def test_dist_train(self, env, site, tmp_path, installed):
        tools = (site / 'simmim_mm' / '.mim' if installed else ROOT) / 'tools'
        env |= {'NNODES': '2', 'NODE_RANK': '1', 'MASTER_ADDR': '10.0.0.1', 'PORT': '29501'}
        options = ('--cfg-options', 'a="x y"')
        script = ('bash', tools / 'dist_train.sh', 'my config.py', 3, *options)
        threads, *arguments = run(*script, cwd=tmp_path, env=env).splitlines()
        assert threads == f'threads={max(1, len(os.sched_getaffinity(0)) // 3)}'
        assert arguments == [
            '-m', 'torch.distributed.run', '--nnodes=2', '--node_rank=1', '--master_addr=10.0.0.1',
            '--master_port=29501', '--nproc_per_node=3', str(tools / 'train.py'), 'my config.py',
            '--launcher', 'pytorch', *options,
        ]  # fmt: skip

    def test_dist_test(self, env, tmp_path):
        script = ('bash', ROOT / 'tools' / 'dist_test.sh', 'my config.py', 'last one.pth', 2, '--data-root', 'my data')
        _, *arguments = run(*script, cwd=tmp_path, env=env).splitlines()
        assert arguments == [
            '-m', 'torch.distributed.run', '--nnodes=1', '--node_rank=0', '--master_addr=127.0.0.1',
            '--master_port=29500', '--nproc_per_node=2', str(ROOT / 'tools' / 'test.py'), 'my config.py',
            'last one.pth', '--launcher', 'pytorch', '--data-root', 'my data',
        ]  # fmt: skip

    def test_threads_that_are_set_stay(self, env):
        script = ('bash', ROOT / 'tools' / 'dist_train.sh', 'config.py', 2)
        assert run(*script, env=env | {'OMP_NUM_THREADS': '7'}).startswith('threads=7\n')

    def test_slurm_train(self, env, tmp_path):
        env |= {'GPUS': '4', 'CPUS_PER_TASK': '6', 'SRUN_ARGS': '--qos=high --time=1:00'}
        script = ROOT / 'tools' / 'slurm_train.sh'
        positional = ('gpu', 'job', 'config.py', 'out dir', '--resume')
        threads, *arguments = run('bash', script, *positional, cwd=tmp_path, env=env).splitlines()
        assert threads == 'threads=6'
        assert arguments == [
            '--partition=gpu', '--job-name=job', '--gres=gpu:4', '--ntasks=4',
            '--ntasks-per-node=4', '--cpus-per-task=6', '--kill-on-bad-exit=1', '--qos=high',
            '--time=1:00', 'python', '-u', str(ROOT / 'tools' / 'train.py'), 'config.py',
            '--work-dir', 'out dir', '--launcher', 'slurm', '--resume',
        ]  # fmt: skip

    @pytest.mark.parametrize('name', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh'])
    def test_missing_arguments_get_the_usage(self, name):
        command = ['bash', ROOT / 'tools' / name, 'config.py']
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 2
        assert result.stderr.startswith('Usage:')


class TestSetupEnv:
    FACTS = {  # noqa: RUF012
        'python': 'cp311',
        'platform': 'linux-x86_64',
        'torch': '2.13.0+cpu',
        'device': 'cpu',
    }

    @pytest.mark.parametrize('changed', [{'python': 'cp312'}, {'torch': '2.12.0+cpu'}, {'torch': '2.13.0+cu130'}])
    def test_wheels_that_do_not_fit_have_other_keys(self, setup_env, changed):
        key = setup_env.cache_key(self.FACTS, '2.3.6')
        assert key == 'cp311-linux-x86_64-torch2.13.0+cpu-mmcv2.3.6'
        assert setup_env.cache_key(self.FACTS | changed, '2.3.6') != key
        assert setup_env.cache_key(self.FACTS, '2.3.7') != key

    def test_stamp_covers_smaller_profiles_until_a_file_changes(self, setup_env, tmp_path, monkeypatch):
        setup_env.venv_python(tmp_path).parent.mkdir()
        setup_env.venv_python(tmp_path).touch()
        assert not setup_env.is_ready(tmp_path, 'test')
        setup_env.stamp_path(tmp_path, 'test').write_text(setup_env.fingerprint('test'))
        assert setup_env.is_ready(tmp_path, 'test')
        assert setup_env.is_ready(tmp_path, 'demo')
        assert not setup_env.is_ready(tmp_path, 'check')
        monkeypatch.setattr(setup_env, 'SETUP_FILES', setup_env.SETUP_FILES[:-1])
        assert not setup_env.is_ready(tmp_path, 'test')

    def test_a_torch_that_is_there_replaces_the_pinned_one(self, setup_env, constraints):
        lines = setup_env.constraints_with('2.6.0+cu124').splitlines()
        pins = [Requirement(line) for line in lines if line and not line.startswith('#')]
        assert {pin.name for pin in pins} == set(constraints) - {'torchvision', 'triton'}
        assert 'torch==2.6.0+cu124' in map(str, pins)

    def test_failures_name_the_command_and_its_output(self, setup_env, tmp_path):
        with pytest.raises(setup_env.StepError, match=r'(?s)went wrong.*failed: sh -c.*run\.log'):
            setup_env.run(
                'sh', '-c', 'echo it went wrong; exit 3',
                log=tmp_path / 'run.log', path_first=tmp_path,
            )  # fmt: skip
