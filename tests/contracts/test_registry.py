"""Promise: every registry location imports, and every public name builds from a dict."""

import importlib
import pkgutil
import tarfile
from pathlib import Path

import mmengine.registry
import mmpretrain.registry
import pytest
import torch
from mmengine.registry import Registry

import simmim_mm
from simmim_mm import registry as ours

REGISTRIES = {name: value for name, value in vars(ours).items() if isinstance(value, Registry)}
LOCATIONS = [(name, location) for name, registry in REGISTRIES.items() for location in registry._locations]

for _module in pkgutil.walk_packages(simmim_mm.__path__, 'simmim_mm.'):
    if not _module.name.endswith('__main__'):
        importlib.import_module(_module.name)

REGISTERED = [(name, key) for name, registry in REGISTRIES.items() for key in sorted(registry.module_dict)]

# Functions are looked up, not built, and runners are built by the key `runner_type`.
CLASSES = [(name, key) for name, key in REGISTERED if name not in ('FUNCTIONS', 'RUNNERS')]


def _optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=1.0)


@pytest.fixture
def shard_folder(tmp_path):
    """A shard with one image."""
    (tmp_path / 'shards').mkdir()
    with tarfile.open(tmp_path / 'shards' / '0.tar', 'w') as tar:
        tar.addfile(tarfile.TarInfo('0.jpg'))
    return str(tmp_path / 'shards')


@pytest.fixture
def minimal_arguments(tiny_swin, image_folder, colour_file, teacher, shard_folder):
    """The least that each registered class is built from. A new class needs a row."""
    return {
        # DATASETS, DATA_SAMPLERS
        'HostImages': lambda: dict(dataset=dict(type='simmim_mm.UnlabelledImages', data_root=image_folder(1))),
        'ShardedImages': lambda: dict(data_root=shard_folder),
        'UnlabelledImages': lambda: dict(data_root=image_folder(1)),
        'FewLabels': lambda: dict(
            dataset=dict(type='mmpretrain.CustomDataset', data_root=str(Path(image_folder(2, 'a/b')).parent)), share=0.5
        ),
        'InfiniteSeededSampler': lambda: dict(dataset=range(3), seed=0),
        'SeededSampler': lambda: dict(dataset=range(3), seed=0),
        # TRANSFORMS
        'CenterCrop': lambda: dict(size=8),
        'LoadImage': dict,
        'PackMaskedImage': dict,
        'RandomFlip': dict,
        'BlockwiseMask': dict,
        'IrregularMask': dict,
        'LoadMap': dict,
        'PixelMask': dict,
        'RectangleMask': dict,
        'SaliencyMask': dict,
        'SemanticMask': dict,
        'SquareMask': dict,
        'RandomPatchMask': dict,
        'RandomResizedCrop': lambda: dict(size=8),
        # MODELS
        'CrossAttentionDecoder': lambda: dict(in_channels=4, out_channels=3, upscale=2),
        'DeconvDecoder': lambda: dict(in_channels=4, out_channels=3, upscale=2),
        'SwinDecoder': lambda: dict(in_channels=4, out_channels=3, upscale=2),
        'TransformerDecoder': lambda: dict(in_channels=4, out_channels=3, upscale=2),
        'MLPDecoder': lambda: dict(in_channels=4, out_channels=3, upscale=2),
        'ContrastiveCompanion': lambda: dict(in_channels=4),
        'ColorBinTarget': lambda: dict(image_channels=3, pixel_range=[[0.0] * 3, [1.0] * 3]),
        'ColorClusterTarget': lambda: dict(
            image_channels=3, pixel_range=[[0.0] * 3, [1.0] * 3], clusters=colour_file([[0, 0, 0], [255, 255, 255]])
        ),
        'CrossEntropyLoss': lambda: dict(num_classes=2),
        'FeatureTarget': lambda: dict(image_channels=3, image_hw=(64, 64), **teacher()),
        'TokenTarget': lambda: dict(
            image_channels=3,
            pixel_range=([0.0] * 3, [1.0] * 3),
            image_hw=(64, 64),
            **{{'teacher': 'tokenizer'}.get(name, name): value for name, value in teacher().items()},
        ),
        'GaussianNLLLoss': dict,
        'HOGTarget': lambda: dict(image_channels=3),
        'MixtureNLLLoss': dict,
        'L1Loss': dict,
        'DepthScaledInit': dict,
        'ResPostNormInit': dict,
        'SmoothL1Loss': dict,
        'L2Loss': dict,
        'LinearDecoder': lambda: dict(in_channels=4, out_channels=3, upscale=2),
        'MaskedImagePreprocessor': dict,
        'PixelMasker': lambda: dict(image_channels=3),
        'PixelTarget': lambda: dict(image_channels=3),
        'ReconstructionHead': lambda: dict(image_channels=3),
        'SimplePyramid': lambda: dict(in_channels=8),
        'SimMIM': lambda: dict(backbone=tiny_swin(), img_size=64),
        'TokenMasker': lambda: dict(embed_dims=4),
        'VisibleMasker': lambda: dict(feature_dims=4),
        # engine and evaluation
        'AccelerationHook': dict,
        'DeferredRuntimeInfoHook': dict,
        'FiniteGuardHook': dict,
        'LossWatchHook': dict,
        'CosineWithWarmupLR': lambda: dict(optimizer=_optimizer(), end=10, warmup=2),
        'CheckedPretrained': lambda: dict(checkpoint=None),
        'IterationSeedHook': dict,
        'PreemptionHook': dict,
        'ResumableEpochLoop': lambda: dict(runner=None, dataloader=torch.utils.data.DataLoader(range(2)), max_epochs=1),
        'SafeCheckpointHook': dict,
        'FullyShardedDataParallel': lambda: dict(module=torch.nn.Linear(1, 1)),
        'LayerDecayConstructor': lambda: dict(
            optim_wrapper_cfg=dict(optimizer=dict(type='SGD', lr=1.0)), paramwise_cfg=dict(layer_decay_rate=0.9)
        ),
        'MaskedReconstructionMetric': dict,
        'MergedGroupsConstructor': lambda: dict(optim_wrapper_cfg=dict(optimizer=dict(type='SGD', lr=1.0))),
        'PrecisionOptimWrapper': lambda: dict(optimizer=_optimizer(), precision='fp32'),
        'ProgressHook': dict,
        'ReconstructionHook': dict,
        'RepresentationHook': dict,
        'RunRecordHook': dict,
        'SampleProgressHook': dict,
        'ThroughputHook': dict,
        'DataWaitHook': dict,
        'UnreadableImagesHook': dict,
        'MLflowVisBackend': lambda: dict(save_dir=image_folder(1)),
        # schedules of the mask ratio
        'ConstantRatio': dict,
        'CosineRatio': lambda: dict(start=0.3, end=0.7),
        'LinearRatio': lambda: dict(start=0.3, end=0.7),
    }


@pytest.mark.parametrize(
    'module', ['mmengine.runner.runner', 'mmengine.optim.optimizer.builder', 'mmengine.visualization.visualizer']
)
def test_the_registries_that_a_run_asks_for_exist(module):
    """MMEngine looks these up in the default scope, and warns for each one that the scope does not have."""
    asked = {value.name for value in vars(importlib.import_module(module)).values() if isinstance(value, Registry)}
    assert asked
    assert asked <= {registry.name for registry in REGISTRIES.values()}


@pytest.mark.parametrize('name', sorted(REGISTRIES))
def test_registries_are_children_of_the_hosts(name):
    """Scope `simmim_mm`, below MMEngine's registry of the same name."""
    assert REGISTRIES[name].scope == 'simmim_mm'
    assert REGISTRIES[name].parent is getattr(mmengine.registry, name)


@pytest.mark.parametrize(('name', 'location'), LOCATIONS)
def test_every_location_imports(name, location):
    """A location that does not import would make every lookup in its registry fail."""
    assert importlib.import_module(location).__name__ == location


@pytest.mark.parametrize(('registry', 'name'), REGISTERED)
def test_registered_names_are_exported(registry, name):
    """What a config can name, Python can import from the registry's location, and it stands in `__all__` there."""
    cls = REGISTRIES[registry].module_dict[name]
    packages = [importlib.import_module(location) for location in REGISTRIES[registry]._locations]
    exported = [getattr(package, name) for package in packages if name in package.__all__]
    assert exported == [cls]


@pytest.mark.parametrize('package', sorted({location for _, location in LOCATIONS}))
def test_all_is_sorted_and_complete(package):
    """`__all__` holds existing names, each once, in order."""
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(set(module.__all__))
    for name in module.__all__:
        getattr(module, name)


@pytest.mark.parametrize(('registry', 'name'), CLASSES)
@pytest.mark.parametrize('prefix', ['', 'simmim_mm.'])
def test_registered_names_build_from_a_dict(minimal_arguments, registry, name, prefix):
    """By the bare name in our scope, and by the full name from the host's registry in any scope."""
    assert name in minimal_arguments, f'{name} has no row in minimal_arguments'
    cls = REGISTRIES[registry].module_dict[name]
    if prefix:
        mmengine.registry.init_default_scope('mmpretrain')
    root = REGISTRIES[registry].parent if prefix else REGISTRIES[registry]
    built = root.build(dict(type=prefix + name, **minimal_arguments[name]()))
    assert type(built) is cls
    assert repr(built)


@pytest.mark.parametrize('name', sorted(ours.RUNNERS.module_dict))
def test_runners_build_from_a_config(tmp_path, tiny_swin, name):
    """As a config's `runner_type` names them, in any scope."""
    mmengine.registry.init_default_scope('mmpretrain')
    model = dict(type='simmim_mm.SimMIM', backbone=tiny_swin(), img_size=64)
    cfg = dict(runner_type=f'simmim_mm.{name}', model=model, work_dir=str(tmp_path), experiment_name=name)
    assert type(mmengine.registry.RUNNERS.build(cfg)) is ours.RUNNERS.module_dict[name]


def test_every_row_is_registered(minimal_arguments):
    """No row for a class that is gone."""
    assert set(minimal_arguments) == {name for _, name in CLASSES}


@pytest.mark.parametrize('name', sorted(ours.FUNCTIONS.module_dict))
@pytest.mark.parametrize('scope', ['simmim_mm', 'mmpretrain'])
def test_functions_are_found_by_their_full_name(name, scope):
    """As MMEngine's Runner looks up `collate_fn`, in any scope."""
    mmengine.registry.init_default_scope(scope)
    assert mmengine.registry.FUNCTIONS.get(f'simmim_mm.{name}') is ours.FUNCTIONS.module_dict[name]


@pytest.mark.parametrize('host', [mmengine.registry, mmpretrain.registry], ids=lambda host: host.__name__)
def test_our_names_never_land_in_a_host_registry(host):
    """mmpretrain has a SimMIM of its own: overwriting it would break its users."""
    registries = [value for value in vars(host).values() if isinstance(value, Registry)]
    assert registries
    for registry in registries:
        foreign = [name for name, cls in registry.module_dict.items() if cls.__module__.split('.')[0] == 'simmim_mm']
        assert foreign == []


def test_both_simmims_can_be_had():
    """The two classes of one name live in two scopes."""
    import mmpretrain.models

    models = mmengine.registry.MODELS
    assert models.get('simmim_mm.SimMIM') is simmim_mm.models.SimMIM
    assert models.get('mmpretrain.SimMIM') is mmpretrain.models.SimMIM
