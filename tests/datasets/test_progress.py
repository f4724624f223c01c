"""What changes in the course of a run: mask ratios and sizes of batches."""

from __future__ import annotations

import contextlib
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from simmim_mm.datasets import Moment, SampleIndex, SeededSampler, UnlabelledImages
from simmim_mm.datasets.sampler import Pace
from simmim_mm.engine.config import load_config
from simmim_mm.engine.launch import build_runner, train
from simmim_mm.registry import TASK_UTILS

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.mark.parametrize(
    ('schedule', 'expected'),
    [
        (dict(type='ConstantRatio', value=0.4), [0.4] * 5),
        (dict(type='LinearRatio', start=0.2, end=0.6), [0.2, 0.3, 0.4, 0.5, 0.6]),
        (dict(type='LinearRatio', start=0.9, end=0.1, begin=0.25, until=0.75), [0.9, 0.9, 0.5, 0.1, 0.1]),
        (dict(type='CosineRatio', start=0.0, end=1.0), [0.0, (1 - math.sqrt(0.5)) / 2, 0.5, 0.5 + math.sqrt(0.125), 1]),
    ],
)
def test_schedules_are_their_formulas(schedule, expected):
    """At 0, 1/4, 1/2, 3/4 and all of the run, worked by hand; half a cosine is (1 - cos(pi x)) / 2."""
    built = TASK_UTILS.build(schedule)
    assert [built.ratio(step / 4) for step in range(5)] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(start=1.2, end=0.5), 'start=1.2'),
        (dict(start=0.2, end='0.5'), "end='0.5'"),
        (dict(start=0.2, end=float('nan')), 'end=nan'),
        (dict(start=0.2, end=0.5, begin=-1), 'begin=-1'),
        (dict(start=0.2, end=0.5, until=2), 'until=2'),
        (dict(start=0.2, end=0.5, begin=0.5, until=0.5), 'begin=0.5 .* must be below until=0.5'),
    ],
)
@pytest.mark.parametrize('name', ['LinearRatio', 'CosineRatio'])
def test_wrong_schedules_are_refused(name, arguments, message):
    """The message holds the value."""
    with pytest.raises(ValueError, match=message):
        TASK_UTILS.build(dict(type=name, **arguments))


def test_a_schedule_is_a_schedule(transform):
    """Something else from the registry is refused."""
    with pytest.raises(ValueError, match='is no schedule'):
        transform('RandomPatchMask', mask_ratio=dict(type=Hook))


def test_masks_follow_the_progress_of_their_sample(transform):
    """ceil(cells * ratio) cells, with the ratio of the moment; without one, an error that says what to add."""
    generator = transform('RandomPatchMask', mask_patch_size=8, mask_ratio=dict(type='LinearRatio', start=0.2, end=0.7))
    results = dict(img=np.zeros((80, 80, 3), np.uint8), rng=np.random.default_rng(0))
    for progress, hidden in ((0.0, 20), (0.5, 45), (0.505, 46), (1.0, 70)):
        assert generator({**results, 'progress': progress})['mask'].sum() == hidden
    with pytest.raises(ValueError, match='SampleProgressHook'):
        generator(results)


def test_the_moment_goes_through_the_hosts_wrappers():
    """RepeatDataset takes the remainder of an index, ConcatDataset subtracts; workers pickle it."""
    index = SampleIndex(11, seed=1, epoch=2, moment=Moment(7, 0.25))
    for derived in (index % 4, index - 3, pickle.loads(pickle.dumps(index))):
        assert (derived.moment, derived.drawn, derived.seed, derived.epoch) == (Moment(7, 0.25), 11, 1, 2)


def test_moments_count_batches():
    """10 samples in batches of 4 without the incomplete one: 2 batches an epoch, 3 epochs, so iterations 0 to 5."""
    sampler = SeededSampler(range(10), seed=0)
    sampler.pace = Pace(batch_size=4, iters_per_epoch=2, max_iters=6)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        moments = [index.moment for index in sampler][:8]
        assert [moment.iteration for moment in moments] == [2 * epoch] * 4 + [2 * epoch + 1] * 4
        assert [moment.progress for moment in moments] == [moment.iteration / 5 for moment in moments]


class Recorder(Hook):
    """Keeps what each iteration got; may stop the run like a lost machine, without a last checkpoint."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.seen: list[tuple] = []
        self.stop_after = stop_after

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        if self.stop_after is not None and len(self.seen) == self.stop_after:
            raise InterruptedError
        logged = runner.message_hub.get_scalar('train/mask_ratio').current()
        self.seen.append((runner.iter, data_batch['mask'].sum().item(), tuple(data_batch['inputs'].shape[2:]), logged))


SCHEDULE = dict(type='LinearRatio', start=0.0, end=1.0)


@pytest.fixture
def run(image_folder, tmp_path, monkeypatch):
    """Trains 6 iterations of a tiny model on 8 images in batches of 4 with two persistent workers."""
    data_root = image_folder(8)

    def start(by_epoch: bool, stop_after: int | None = None, resume: bool = False) -> list[tuple]:
        cfg = load_config(str(CONFIGS / 'simmim_swin_base.py'), work_dir=str(tmp_path / f'{by_epoch}'))
        cfg.model.img_size = 64
        cfg.model.backbone = dict(
            type='mmpretrain.VisionTransformer',
            arch=dict(embed_dims=16, num_layers=1, num_heads=1, feedforward_channels=16),
            img_size=64,
            patch_size=16,
            out_type='featmap',
        )
        cfg.train_dataloader.update(batch_size=4, num_workers=2, persistent_workers=True)
        cfg.train_dataloader.sampler = dict(type='SeededSampler' if by_epoch else 'InfiniteSeededSampler')
        cfg.train_dataloader.dataset.data_root = data_root
        cfg.train_dataloader.dataset.pipeline[1] = dict(
            type='RandomResizedCrop', size=64, sizes=[32, 64, (96, 32)], begins=None if by_epoch else [0.0, 0.3, 0.8]
        )
        cfg.train_dataloader.dataset.pipeline[3].update(mask_patch_size=16, mask_ratio=SCHEDULE)
        if by_epoch:
            cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=3)
            cfg.default_hooks.checkpoint.interval = 1
        else:
            cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=6)
            cfg.default_hooks.checkpoint.update(interval=2, by_epoch=False)
            cfg.log_processor.by_epoch = False
        cfg.param_scheduler = None
        cfg.custom_hooks = [dict(type='SampleProgressHook')]
        cfg.resume = resume
        cfg.log_level = 'ERROR'
        cfg.experiment_name = f'{tmp_path.name}-{by_epoch}-{stop_after}-{resume}'
        recorder = Recorder(stop_after)
        monkeypatch.setattr(Runner, 'register_custom_hooks', _with(Runner.register_custom_hooks, recorder))
        with contextlib.suppress(InterruptedError):
            train(cfg)
        monkeypatch.undo()
        return recorder.seen

    return start


def _with(method, hook):
    def register(self, hooks):
        method(self, hooks)
        self.register_hook(hook, priority='LOW')

    return register


@pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
def test_schedules_reach_persistent_workers_and_survive_a_resume(run, by_epoch):
    """The ratio of iteration i is i / 5 in every batch and in the log; sizes are one a batch, of the list.

    They are drawn at random, or follow each other from 0, 0.3 and 0.8 of the run, which are iterations 0, 2 and 4.
    An interrupted run, resumed from the checkpoint after its last whole epoch, gets the same batches.
    """
    whole = run(by_epoch)
    assert [iteration for iteration, *_ in whole] == list(range(6))
    for iteration, hidden, (height, width), logged in whole:
        assert (height, width) in [(32, 32), (64, 64), (96, 32)]
        assert hidden == 4 * math.ceil(round(height * width // 256 * iteration / 5, 9))
        assert logged == pytest.approx(iteration / 5)
    assert len({size for *_, size, _ in whole}) > 1
    if not by_epoch:
        assert [size for *_, size, _ in whole] == [(32, 32)] * 2 + [(64, 64)] * 2 + [(96, 32)] * 2
    begun = run(by_epoch, stop_after=5)
    resumed = run(by_epoch, resume=True)
    assert begun == whole[:5]
    assert resumed == whole[4:]


@pytest.mark.parametrize(
    'begins', ['x', [], [0.0], [0.1, 0.5], [0.0, 1.0], [0.0, 0.0], [0.0, float('nan')], [0, True], [0.5, 0.0], 0.5]
)
def test_wrong_beginnings_of_sizes_are_refused(transform, begins):
    """One for each size, ascending from 0; and none without sizes."""
    with pytest.raises(ValueError, match='begins'):
        transform('RandomResizedCrop', size=64, sizes=[32, 64], begins=begins)
    with pytest.raises(ValueError, match='give sizes too'):
        transform('RandomResizedCrop', size=64, begins=[0.0])


def test_the_size_in_the_log_is_that_of_the_batch(transform):
    """At its beginning, a size is in force; the hook logs what `size_at` says."""
    crop = transform('RandomResizedCrop', size=64, sizes=[32, 64, (96, 48)], begins=[0, 0.25, 0.5])
    moments = (0.0, 0.2499, 0.25, 0.4999, 0.5, 1.0)
    assert [crop.size_at(each)[0] for each in moments] == [32, 32, 64, 64, 96, 96]
    results = dict(img=np.zeros((80, 80, 3), np.uint8), batch=(0, 0))
    for progress in moments:
        drawn = crop({**results, 'progress': progress, 'rng': np.random.default_rng(0)})
        assert drawn['img'].shape[:2] == crop.size_at(progress)


def test_sizes_that_do_not_fit_the_cells_are_refused_when_built(image_folder):
    """A cell that divides one size and not the other, when the data set is built."""
    pipeline = [
        dict(type='LoadImage'),
        dict(type='RandomResizedCrop', size=64, sizes=[64, 80]),
        dict(type='RandomPatchMask', mask_patch_size=32),
    ]
    with pytest.raises(ValueError, match='mask_patch_size=32 does not divide the image side 80'):
        UnlabelledImages(image_folder(1, name='one'), pipeline=pipeline)


@pytest.mark.parametrize('sizes', [[], 'x', 192, [0], [[64]], [float('nan')]])
def test_wrong_lists_of_sizes_are_refused(transform, sizes):
    """The message names the option."""
    with pytest.raises(ValueError, match='sizes'):
        transform('RandomResizedCrop', size=64, sizes=sizes)


def test_several_sizes_need_to_know_the_batch(transform):
    """Without it, images of one batch would differ: an error that says what to add."""
    crop = transform('RandomResizedCrop', size=64, sizes=[32, 64])
    with pytest.raises(ValueError, match='SampleProgressHook'):
        crop(dict(img=np.zeros((80, 80, 3), np.uint8), rng=np.random.default_rng(0)))


@pytest.mark.parametrize(
    ('target', 'message'),
    [
        (dict(type='PixelTarget', norm='patch', norm_size=64), 'norm_size=64 of PixelTarget does not divide'),
        (dict(type='PixelTarget', norm='window', norm_size=7), None),
    ],
)
def test_sizes_that_the_target_does_not_take_are_refused_before_training(image_folder, tmp_path, target, message):
    """The encoder takes all of them; the message names target and size. A target that takes them trains."""
    cfg = load_config(str(CONFIGS / 'simmim_demo.py'), work_dir=str(tmp_path / 'run'), data_root=image_folder(4))
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    pipeline = cfg.train_dataloader.dataset.pipeline
    number = next(n for n, step in enumerate(pipeline) if step['type'].endswith('RandomResizedCrop'))
    pipeline[number] = dict(type='RandomResizedCrop', size=64, sizes=[64, (64, 96)])
    cfg.model.img_size = 64
    cfg.model.backbone = dict(type='mmpretrain.ResNet', depth=18, out_indices=(3,))
    cfg.model.head = dict(type='ReconstructionHead', target=target)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.custom_hooks = [dict(type='SampleProgressHook')]
    cfg.default_hooks.pop('checkpoint', None)
    cfg.log_level = 'ERROR'
    runner = build_runner(cfg)
    hook = next(hook for hook in runner.hooks if type(hook).__name__ == 'SampleProgressHook')
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    if message is None:
        hook.before_train(runner)
        return
    with pytest.raises(ValueError, match=f'PixelTarget does not take images of 64x96.*{message}'):
        hook.before_train(runner)


def test_a_foreign_sampler_is_refused(image_folder, tmp_path):
    """MMEngine's hands out plain numbers: said before the first batch."""
    cfg = load_config(str(CONFIGS / 'simmim_demo.py'), work_dir=str(tmp_path / 'run'), data_root=image_folder(8))
    cfg.train_dataloader.update(
        batch_size=4, num_workers=0, persistent_workers=False, sampler=dict(type='mmengine.InfiniteSampler')
    )
    cfg.train_dataloader.dataset.pipeline[3].mask_ratio = SCHEDULE
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.custom_hooks = [dict(type='SampleProgressHook')]
    cfg.log_level = 'ERROR'
    with pytest.raises(ValueError, match='which InfiniteSampler does not hand on'):
        train(cfg)
