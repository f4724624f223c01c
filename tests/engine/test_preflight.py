"""What is seen, or mended, before a run starts; and runs that are made longer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from tiny import tiny_vit

from simmim_mm.compat import HostPackageError  # noqa: F401  (patches are in place)
from simmim_mm.engine import CosineWithWarmupLR, SampleProgressHook
from simmim_mm.engine.config import load_config
from simmim_mm.engine.launch import train
from simmim_mm.engine.places import check_places
from simmim_mm.engine.preflight import find_resumed
from simmim_mm.engine.schedulers import cosine_with_warmup
from simmim_mm.engine.sharding import check_wrapper
from simmim_mm.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture
def config(image_folder, tmp_path):
    """Four iterations of a tiny model, with hooks of one's own."""

    def make(name: str = 'run', **settings) -> Config:
        cfg = load_config(str(CONFIGS / 'simmim_swin_base.py'), work_dir=str(tmp_path / name))
        cfg.model.img_size, cfg.model.backbone = 64, tiny_vit()
        cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
        cfg.train_dataloader.dataset.data_root = image_folder(4)
        cfg.train_dataloader.dataset.pipeline[1].size = 64
        cfg.train_dataloader.dataset.pipeline[3].mask_patch_size = 16
        cfg.train_cfg.max_epochs = 4
        cfg.param_scheduler.warmup = 1
        cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1, max_keep_ckpts=1)
        cfg.custom_hooks = [dict(type='UnreadableImagesHook')]
        cfg.log_level = 'ERROR'
        cfg.experiment_name = f'{tmp_path.name}-{name}-{len(settings)}'
        cfg.merge_from_dict(settings)
        return cfg

    return make


def test_hooks_of_ones_own_need_not_name_the_progress(config):
    """A list in a config takes the place of the inherited one; schedules work all the same."""
    cfg = config()
    cfg.train_dataloader.dataset.pipeline[3].mask_ratio = dict(type='LinearRatio', start=0.25, end=0.75)
    runner = train(cfg)
    assert sum(isinstance(hook, SampleProgressHook) for hook in runner.hooks) == 1
    assert runner.message_hub.get_scalar('train/mask_ratio').current() == 0.75


def test_a_size_that_the_model_was_not_tried_at_is_said(config, caplog, monkeypatch):
    """The crop counts; the warning names both sizes."""
    messages = []
    monkeypatch.setattr('simmim_mm.engine.preflight.print_log', lambda text, **_: messages.append(text))
    train(config(name='same'))
    assert messages == []
    cfg = config(name='other')
    cfg.train_dataloader.dataset.pipeline[1].size = (64, 96)
    train(cfg)
    assert len(messages) == 1
    assert 'training images are 64x96, and model.img_size is 64x64' in messages[0]


def test_nothing_to_resume_is_a_new_run(config, tmp_path, capsys):
    """Said plainly."""
    cfg = config(resume=True)
    find_resumed(cfg)
    assert cfg.resume is False
    assert 'Nothing to resume in' in capsys.readouterr().out
    (tmp_path / 'run').mkdir()
    torch.save({}, tmp_path / 'run' / 'epoch_1.pth')
    cfg = config(resume=True)
    find_resumed(cfg)
    assert cfg.resume is True
    assert cfg.load_from == str(tmp_path / 'run' / 'epoch_1.pth')


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'param_scheduler.warmup': 4}, r'warmup=4 of CosineWithWarmupLR .* begin=0 to end=4; set param_scheduler'),
        ({'param_scheduler.warmup': 3, 'param_scheduler.end': 2}, 'warmup=3 .* end=2'),
        ({'param_scheduler': [dict(type='simmim_mm.CosineWithWarmupLR', warmup=9)]}, 'warmup=9 .* end=4'),
        (
            {
                'param_scheduler': dict(type='CosineWithWarmupLR', by_epoch=False, warmup=30),
                'train_cfg': dict(_delete_=True, type='IterBasedTrainLoop', max_iters=30),
            },
            'warmup=30 .* end=30',
        ),
        ({'train_dataloader.dataset.data_root': 'nowhere'}, "data_root='nowhere' does not exist"),
        ({'train_dataloader.dataset.data_root': __file__}, 'is a file, not a folder'),
        ({'train_dataloader.dataset.list_file': 'list.txt'}, "list_file='list.txt' does not exist"),
        (
            {'train_dataloader.dataset.dataset': dict(type='mmpretrain.CustomDataset', data_root='nowhere'),
             'train_dataloader.dataset.type': 'HostImages'},
            "train_dataloader.dataset.dataset.data_root='nowhere' does not exist",
        ),
        (
            {'train_dataloader.dataset': dict(
                _delete_=True, type='RepeatDataset', times=2,
                dataset=dict(type='UnlabelledImages', data_root='nowhere'))},
            "data_root='nowhere' does not exist",
        ),
        (
            {'train_dataloader.dataset': dict(
                _delete_=True, type='mmpretrain.CustomDataset', data_root=str(CONFIGS), ann_file='train.txt')},
            r"train_dataloader.dataset.ann_file='train.txt' names '.*configs/train.txt', which does not exist",
        ),
        ({'val_dataloader': dict(dataset=dict(type='ShardedImages', data_root='gone'))},
         "val_dataloader.dataset.data_root='gone' does not exist"),
        ({'train_dataloader.timeout': -1}, 'timeout=-1 of train_dataloader must be a number of seconds'),
        ({'train_dataloader.timeout': 'abc'}, "timeout='abc' of train_dataloader"),
        ({'train_dataloader.num_workers': -1}, 'num_workers=-1 of train_dataloader must be a whole number from 0'),
        ({'train_dataloader.batch_size': 0}, 'batch_size=0 of train_dataloader must be a whole number from 1'),
        ({'train_dataloader.batch_size': 1.5}, 'batch_size=1.5 of train_dataloader'),
        ({'train_dataloader.prefetch_factor': 0}, 'prefetch_factor=0 of train_dataloader'),
        ({'train_dataloader.drop_last': 'no'}, "drop_last='no' of train_dataloader must be True or False"),
        ({'val_dataloader': dict(batch_size=-2)}, 'batch_size=-2 of val_dataloader'),
        ({'model_wrapper_cfg': dict(shard_size=1)},
         'shard_size=1 is an option of FullyShardedDataParallel, and no type is given; add model_wrapper_cfg.type='),
        ({'model_wrapper_cfg': dict(type='MMDistributedDataParallel', param_dtype='fp32')},
         "param_dtype='fp32' is an option of FullyShardedDataParallel, and the type is 'MMDistributedDataParallel'"),
        ({'model_wrapper_cfg': dict(type='FullyShardedDataParallel', shard_size=0)}, 'shard_size=0 of model_wrapper'),
        ({'model_wrapper_cfg': dict(type='FullyShardedDataParallel', shard_size='a')}, "shard_size='a' of model_wrap"),
        ({'model_wrapper_cfg': dict(type='FullyShardedDataParallel', shards=2)},
         'shards=2 is no option of FullyShardedDataParallel, which has reshard_after_forward, param_dtype, shard_size'),
        ({'model_wrapper_cfg': dict(type='FullyShardedDataParallel', param_dtype='fp8')}, "param_dtype='fp8' is unkn"),
        ({'model_wrapper_cfg': dict(type='FullyShardedDataParallel', reshard_after_forward=1)}, 'must be True or'),
        ({'model_wrapper_cfg': dict(type='FullyShardedDataParalel')}, "type='FullyShardedDataParalel' is unknown"),
        ({'model_wrapper_cfg': dict(static_grph=True)}, 'static_grph=True is no option of MMDistributedDataParallel'),
        ({'model_wrapper_cfg': 'ddp'}, "model_wrapper_cfg='ddp' must be a dict"),
        ({'val_evaluator': dict(type='mmdet.CocoMetric', ann_file='gone.json'), 'val_dataloader': {}},
         "val_evaluator.ann_file='gone.json'"),
    ],
    ids=lambda value: '',
)  # fmt: skip
def test_what_cannot_run_is_refused_before_anything_is_built(config, monkeypatch, settings, message):
    """No model, no work dir: a run that is started again with other settings finds nothing of the first try."""
    monkeypatch.setattr('simmim_mm.engine.launch.build_runner', lambda cfg: pytest.fail('something was built'))
    cfg = config(**settings)
    with pytest.raises((ValueError, FileNotFoundError, NotADirectoryError), match=message):
        train(cfg)
    assert not Path(cfg.work_dir).exists()


def test_options_of_pytorchs_own_wrapper_are_left_alone():
    """They are read off PyTorch's class; what a class of one's own takes is not known."""
    for options in (
        dict(static_graph=True, bucket_cap_mb=50),
        dict(type='MMDistributedDataParallel', find_unused_parameters=True),
        dict(type='FullyShardedDataParallel', shard_size=8),
    ):
        check_wrapper(Config(dict(model_wrapper_cfg=options)))


def test_a_factor_of_prefetching_needs_workers(config):
    """PyTorch refuses it without, and a run is looked at with none for a moment."""
    runner = train(config(**{'train_dataloader.prefetch_factor': 3}))
    assert runner.train_dataloader.prefetch_factor is None
    assert runner.iter == 4


def test_what_is_not_on_a_disk_or_will_be_fetched_is_left_alone():
    """CIFAR is downloaded where it is missing; annotations may lie in a store."""
    stored = dict(type='mmpretrain.CustomDataset', data_root='s3://bucket/data', ann_file='train.txt')
    remote = dict(stored, data_root='data', backend_args=dict(backend='petrel'))
    for dataset in (dict(type='mmpretrain.CIFAR10', data_root='nowhere'), stored, remote, dict(type='no.such.Dataset')):
        check_places(Config(dict(train_dataloader=dict(dataset=dataset))), ['train_dataloader'])
    closed = dict(type='mmpretrain.CIFAR10', data_root='nowhere', download=False)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        check_places(Config(dict(train_dataloader=dict(dataset=closed))), ['train_dataloader'])


class Rates(Hook):
    """Keeps the learning rate of each iteration."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])


def test_a_longer_resumed_run_follows_the_longer_schedule(config, monkeypatch):
    """4 iterations, then resumed to 8: the rates of iterations 4 to 7 are those of the formula over 8."""
    train(config())
    rates = Rates()
    register = Runner.register_custom_hooks
    monkeypatch.setattr(
        Runner, 'register_custom_hooks', lambda self, hooks: (register(self, hooks), self.register_hook(rates))
    )
    train(config(resume=True, **{'train_cfg.max_epochs': 8}))
    expected = [8e-4 * cosine_with_warmup(step, 8, 1, 0.005, 0.05) for step in range(4, 8)]
    assert rates.rates == pytest.approx(expected)


def test_where_a_schedule_stands_is_taken_over():
    """The step is the checkpoint's, the shape the config's."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    short, long = (CosineWithWarmupLR(optimizer, end=end, by_epoch=False) for end in (10, 20))
    for _ in range(5):
        short.step()
    long.load_state_dict(short.state_dict())
    assert (long.last_step, long.end) == (short.last_step, 20)


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('train_cfg.max_epochs.x=1', 'does not fit the config'),
        ('train_dataloader.dataset.pipeline.3.mask_ratio.type=LinearRatio', 'written in a config of your own'),
        ('train_dataloader.dataset.pipeline.9.size=1', 'does not fit the config'),
    ],
)
def test_options_that_fit_nowhere_are_refused(option, message):
    """One message with the option in it."""
    with pytest.raises(ValueError, match=message) as error:
        load_config(str(CONFIGS / 'simmim_swin_base.py'), cfg_options=[option])
    assert option in str(error.value)


def test_a_list_has_no_names():
    """The 800-epoch recipes have a list of schedules."""
    with pytest.raises(ValueError, match='param_scheduler.warmup=1 does not fit'):
        load_config(str(CONFIGS / 'simmim_swin_base_800e.py'), cfg_options=['param_scheduler.warmup=1'])


@pytest.mark.parametrize(
    ('part', 'message'),
    [
        (dict(neck=dict(type='MLPDecoder', depth=3)), 'model.neck cannot be built: TypeError.*depth'),
        (dict(backbone=tiny_vit(arch='enormous')), 'model.backbone cannot be built: AssertionError.*enormous'),
        (
            dict(backbone=dict(type='mmpretrain.TIMMBackbone', model_name='nope', features_only=True)),
            'model.backbone cannot be built: RuntimeError.*nope',
        ),
    ],
)
def test_what_a_class_says_of_its_arguments_is_one_message(part, message):
    """Names the slot, and what the class said."""
    with pytest.raises(ValueError, match=message):
        MODELS.build({'type': 'SimMIM', 'backbone': tiny_vit(), 'img_size': 64, **part})


def test_biases_of_one_grid_are_not_used_for_another(build_model, tiny_encoders):
    """mmpretrain's BEiT takes 2x8 tokens with the biases of 4x4."""
    model = build_model(backbone=tiny_encoders['BEiTViT'])
    with pytest.raises(ValueError, match='position biases for 4x4 tokens, and images of 32x128 make 2x8'):
        model.loss(torch.randn(1, 3, 32, 128), torch.ones(1, 2, 8, dtype=torch.bool))


def test_a_config_by_package_name_needs_an_installed_package(monkeypatch, tmp_path):
    """A checkout has no `.mim`: the message names the file to use instead."""
    import simmim_mm.compat

    monkeypatch.setattr(simmim_mm.compat, '__file__', str(tmp_path / 'simmim_mm' / 'compat.py'))
    with pytest.raises(FileNotFoundError, match='is a checkout; install it.*configs/simmim_demo.py'):
        load_config('simmim_mm::simmim_demo.py')
