"""Features taken in the course of a run: of any encoder, in any number of processes, without a trace in it."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine import dist
from PIL import Image
from processes import in_processes
from step_runs import tiny_run
from tiny import build_model, tiny_vit

from simmim_mm.datasets import UnlabelledImages
from simmim_mm.datasets.class_labels import bank_and_queries
from simmim_mm.engine import RepresentationHook
from simmim_mm.evaluation import rankme
from simmim_mm.evaluation.features import WholeImages, check_block, encode_images

PIPELINE = [
    dict(type='LoadImage'),
    dict(type='RandomResizedCrop', size=64),
    dict(type='RandomFlip'),
    dict(type='RandomPatchMask', mask_patch_size=32),
    dict(type='PackMaskedImage'),
]


@pytest.fixture
def class_folder(tmp_path, photographs):
    """A folder of class folders, of crops of one photograph each."""

    def make(per_class: int = 12, name: str = 'labelled') -> str:
        root = tmp_path / name
        for label in ('astronaut', 'coffee', 'chelsea'):
            (root / label).mkdir(parents=True, exist_ok=True)
            for number in range(per_class):
                left = 9 * number
                crop = Image.fromarray(photographs[label]).crop((left, 20, left + 200, 220))
                crop.resize((64, 64)).save(root / label / f'{number}.png')
        return str(root)

    return make


def whole_images(root: str, positions=None) -> WholeImages:
    dataset = UnlabelledImages(root, pipeline=PIPELINE)
    return WholeImages(dataset.get_data_info, positions or list(range(len(dataset))), dataset.pipeline.transforms)


def test_features_of_every_encoder(encoder, class_folder):
    """They are the means of the last map of whole images, and training modes are as before."""
    model = build_model(backbone=encoder)
    model.train()
    model.backbone.eval()  # as a model with frozen parts
    modes = [module.training for module in model.modules()]
    images = whole_images(class_folder(2))
    features, numbers = encode_images(model, images, batch_size=4)
    assert [module.training for module in model.modules()] == modes
    assert numbers.tolist() == list(range(6))
    model.eval()
    for number in range(6):
        with Image.open(images.sample_of(number)['img_path']) as picture:
            pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
        mean, std = model.data_preprocessor.mean, model.data_preprocessor.std
        with torch.no_grad():
            outputs = model.backbone((pixels - mean) / std)
        assert torch.allclose(features[number], outputs[-1].mean(dim=(2, 3))[0], atol=1e-4)


@pytest.mark.parametrize(('backbone', 'block'), [('VisionTransformer', 'layers.0'), ('SwinTransformer', 'stages.1')])
def test_features_of_a_block(tiny_encoders, class_folder, backbone, block):
    """The mean of its tokens without the class token; the hook that reads them is gone afterwards."""
    model = build_model(backbone=tiny_encoders[backbone])
    images = whole_images(class_folder(1))
    seen = []
    handle = model.backbone.get_submodule(block).register_forward_hook(lambda module, args, output: seen.append(output))
    features, _ = encode_images(model, images, block=block)
    handle.remove()
    tokens = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    extra = 1 if backbone == 'VisionTransformer' else 0
    assert torch.equal(features, tokens[:, extra:].mean(dim=1))
    assert not any(module._forward_hooks for name, module in model.backbone.named_modules() if name == block)


def test_blocks_that_there_are_not():
    model = build_model(backbone=tiny_vit())
    with pytest.raises(ValueError, match=r"block='layers.9' is no part of VisionTransformer; .*patch_embed.*layers\.0"):
        check_block(model, 'layers.9')
    check_block(model, 'layers.0.attn')


def test_unreadable_images_are_left_out(class_folder):
    root = class_folder(2)
    images = whole_images(root)
    model = build_model()
    expected, _ = encode_images(model, images, batch_size=2)
    for number in (2, 3):  # a whole batch
        Path(images.sample_of(number)['img_path']).write_bytes(b'no image')
    features, numbers = encode_images(model, images, batch_size=2)
    assert numbers.tolist() == [0, 1, 4, 5]
    assert torch.allclose(features, expected[numbers], atol=1e-5)


@pytest.mark.parametrize('num_workers', [0, 1])
def test_damaged_and_unfit_labelled_images_are_left_out_with_a_count(image_folder, class_folder, tmp_path, num_workers):
    """A monitor ends no run: one warning counts and names them, whatever is wrong; the others are measured."""
    labelled = class_folder()
    spoilt = sorted(Path(labelled, 'coffee').iterdir())[:2]
    spoilt[0].write_bytes(spoilt[0].read_bytes()[:2000])
    spoilt[1].write_text('no image')
    np.save(f'{labelled}/coffee/floats.npy', np.ones((9, 9, 3), np.float32))
    runner = with_hook(image_folder(8), tmp_path / 'run', labelled=labelled, num_workers=num_workers)
    said = []
    runner.logger.warning = lambda text, *args: said.append(text)
    runner.train()
    told = [text for text in said if 'left out of the features' in text]
    counts = [int(text.split()[0]) for text in told]
    assert sum(counts) == 3  # of both parts, once in three measurements
    for path in (*spoilt, Path(labelled, 'coffee', 'floats.npy')):
        assert sum(str(path) in text for text in told) == 1
    rows = rows_of(tmp_path / 'run')
    assert len(rows) == 3
    assert all(0 <= row['val/knn_top1'] <= 100 for row in rows)


def test_settings_that_fit_no_labelled_image_are_refused_at_once(image_folder, tmp_path):
    """Before the first iteration, as the data set of the training does."""
    for label in ('a', 'b'):
        (tmp_path / 'floats' / label).mkdir(parents=True)
        for number in range(9):
            np.save(tmp_path / 'floats' / label / f'{number}.npy', np.ones((9, 9, 3), np.float32))
    runner = with_hook(image_folder(8), tmp_path / 'run', labelled=str(tmp_path / 'floats'))
    with pytest.raises(ValueError, match='holds floating-point values, of which 8 bits are asked for'):
        runner.train()
    assert runner.iter == 0


def test_damaged_labelled_images_alone_are_refused_at_once(image_folder, class_folder, tmp_path):
    """Of learning or of testing; one sound image among them, wherever it is, is enough to begin."""
    labelled, sound = Path(class_folder()), class_folder(name='sound')
    for path in labelled.glob('*/*.png'):
        path.write_bytes(path.read_bytes()[:100])
    for number, folders in enumerate((dict(labelled=str(labelled)), dict(labelled=sound, queries=str(labelled)))):
        runner = with_hook(image_folder(8), tmp_path / str(number), **folders)
        with pytest.raises(ValueError, match='None is left to take features of; name a folder of sound') as refused:
            runner.train()
        assert runner.iter == 0
        assert str(refused.value).count(f'{labelled}/') == 5  # some are named, with the reason
        assert 'optimizer' not in str(refused.value)
    images = whole_images(str(labelled))
    for number in (0, 1, 17, 35):
        path = Path(images.sample_of(number)['img_path'])
        damaged = path.read_bytes()
        shutil.copy(Path(sound) / path.relative_to(labelled), path)
        images.check()
        path.write_bytes(damaged)
    with pytest.raises(ValueError, match='36 of 36 images are left out'):
        images.check()


@pytest.mark.parametrize('part', ['labelled', 'queries'])
def test_labelled_images_that_go_while_a_run_goes_on(image_folder, class_folder, tmp_path, part):
    """The model is not the reason, and nothing is logged that looks like it."""
    folders = {name: class_folder(4, name) for name in ('labelled', 'queries')}
    runner = with_hook(image_folder(8), tmp_path / 'run', **folders)
    said = []
    runner.logger.warning = lambda text, *args: said.append(text)
    (hook,) = (each for each in runner.hooks if isinstance(each, RepresentationHook))
    act = hook.act

    def act_and_remove(runner, num_iters):
        act(runner, num_iters)
        shutil.rmtree(folders[part], ignore_errors=True)

    hook.act = act_and_remove
    runner.train()
    assert [row['step'] for row in rows_of(tmp_path / 'run')] == [2]
    told = [text for text in said if 'not measured' in text]
    assert len(told) == 2
    assert f'none of the images of {part} can be used any more' in told[0]
    assert not any('optimizer.lr' in text or 'broken' in text for text in said)


def _encode(root, positions):
    torch.manual_seed(0)
    model = build_model()
    if dist.get_world_size() == 1 and 'RANK' in os.environ:
        torch.distributed.init_process_group('gloo')
    features, numbers = encode_images(model, whole_images(root, positions), batch_size=2)
    return features.tolist(), numbers.tolist()


def test_two_processes_take_each_image_once(class_folder):
    """Seven images: four and three, of which one process takes one twice, and nobody counts it."""
    root, positions = class_folder(3), list(range(7))
    ((expected, numbers),) = in_processes(1, _encode, root, positions)
    assert numbers == positions
    for features, found in in_processes(2, _encode, root, positions):
        assert found == positions
        assert np.allclose(features, expected, atol=1e-5)


def with_hook(folder, work_dir, **settings):
    def change(cfg):
        cfg.custom_hooks.append(dict(type='RepresentationHook', by_epoch=False, interval=2, **settings))
        cfg.model.backbone.drop_path_rate = 0.5
        # Without it, a draw from a global state would show in the steps that follow.
        cfg.default_hooks.pop('iteration_seed')

    return tiny_run(folder, work_dir, iters=5, change=change)


def rows_of(work_dir: Path) -> list[dict]:
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [row for row in map(json.loads, path.read_text().splitlines()) if 'val/rankme' in row]


def test_training_is_the_same_with_and_without(image_folder, class_folder, tmp_path):
    """To the last bit: weights, and the states of the global generators."""
    folder, labelled = image_folder(8), class_folder()

    def run(name, **settings):
        if settings:
            runner = with_hook(folder, tmp_path / name, **settings)
        else:
            runner = with_hook(folder, tmp_path / name)
            runner._hooks = [hook for hook in runner.hooks if not isinstance(hook, RepresentationHook)]
        torch.manual_seed(5)
        random.seed(5)
        np.random.seed(5)
        runner.train()
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
        return runner.model.state_dict(), states

    (weights, states), (others, theirs) = run('without'), run('with', labelled=labelled)
    assert all(torch.equal(value, others[key]) for key, value in weights.items())
    assert torch.equal(states[0], theirs[0])
    assert states[1:] == theirs[1:]
    rows = rows_of(tmp_path / 'with')
    assert [row['step'] for row in rows] == [2, 4, 5]
    for row in rows:
        assert 1 <= row['val/rankme'] <= 36
        assert 0 < row['val/feature_std'] < 2
        assert 0 <= row['val/knn_top1'] <= 100
    # Three photographs are told apart by their colours alone.
    assert rows[-1]['val/probe_top1'] > 50


def test_without_labels_the_training_images_are_measured(image_folder, tmp_path):
    folder = image_folder(8)
    runner = with_hook(folder, tmp_path / 'run', num_images=5, block='stages.2', prefix='third')
    runner.train()
    (path,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    row = json.loads(path.read_text().splitlines()[-1])
    features, numbers = encode_images(runner.model, whole_images(folder, [0, 2, 4, 5, 7]), block='stages.2')
    assert len(numbers) == 5
    assert row['third/rankme'] == pytest.approx(rankme(features), rel=1e-4)
    assert 'third/knn_top1' not in row


class Log:
    """What a hook says."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)


def test_a_collapse_is_said_once():
    hook, runner = RepresentationHook(), SimpleNamespace(logger=Log())
    same = torch.ones(50, 1) @ torch.randn(1, 8) + 1e-6 * torch.randn(50, 8)
    for features in (torch.randn(50, 8), same, same):
        hook._measure(runner, [features], [])
    hook._measure(runner, [same[:7]], [])
    assert len(runner.logger.warnings) == 1
    assert 'features have collapsed' in runner.logger.warnings[0]
    values = hook._measure(runner, [same * torch.nan], [])
    assert np.isnan(values['rankme'])
    assert 'NaN' in runner.logger.warnings[1]


def test_an_untrained_encoder_is_no_collapse(encoder, class_folder):
    """Whose features are alike, but not the same."""
    hook, runner = RepresentationHook(), SimpleNamespace(logger=Log())
    features, _ = encode_images(build_model(backbone=encoder), whole_images(class_folder(4)))
    hook._measure(runner, [features], [])
    assert runner.logger.warnings == []


def test_one_image_is_not_enough(image_folder, tmp_path):
    with pytest.raises(ValueError, match='compares the features of several images, and there is one'):
        tiny_run(
            image_folder(1),
            tmp_path,
            change=lambda cfg: cfg.merge_from_dict(
                {'train_dataloader.batch_size': 1, 'custom_hooks': [dict(type='RepresentationHook', by_epoch=False)]}
            ),
        ).train()


def test_bank_and_queries_of_one_folder(class_folder, tmp_path):
    """Disjoint, complete, with the classes of their folders; a new file moves no other one."""
    root = class_folder(20)
    bank, queries = bank_and_queries(root, None, max_images=1000)
    assert sorted([*bank.positions, *queries.positions]) == list(range(60))
    for part in (bank, queries):
        for position, label in zip(part.positions, part.labels, strict=True):
            folder = Path(part.sample_of(position)['img_path']).parent.name
            assert ['astronaut', 'chelsea', 'coffee'][label] == folder
    before = {part.sample_of(position)['img_path'] for part in (queries,) for position in part.positions}
    shutil.copy(f'{root}/coffee/0.png', f'{root}/astronaut/new.png')
    _, again = bank_and_queries(root, None, max_images=1000)
    assert before <= {again.sample_of(position)['img_path'] for position in again.positions}
    few, _ = bank_and_queries(root, None, max_images=6)
    assert np.bincount(few.labels).tolist() == [2, 2, 2]


def test_hosts_sets_are_labelled_too(class_folder, cifar_folder):
    """mmpretrain's class folders, and a part of them; its CIFAR holds no files."""
    root = class_folder(5)
    host = dict(type='mmpretrain.CustomDataset', data_root=root)
    few = dict(type='FewLabels', per_class=2, dataset=dict(host, pipeline=[]))
    bank, queries = bank_and_queries(few, host, max_images=100)
    assert np.bincount(bank.labels).tolist() == [2, 2, 2]
    assert np.bincount(queries.labels).tolist() == [5, 5, 5]
    cifar = dict(type='mmpretrain.CIFAR10', data_root=cifar_folder(), split='train')
    with pytest.raises(ValueError, match='has 1 class'):  # the fixture has one
        bank_and_queries(cifar, None, max_images=100)


def test_labels_that_do_not_fit_are_named(class_folder, image_folder, tmp_path):
    root = class_folder(3)
    with pytest.raises(ValueError, match=r"6 images without class, the first being '000.png'"):
        bank_and_queries(image_folder(6), None, 10)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'file').write_text('')
    for name, kind, what in (
        ('none', FileNotFoundError, 'does not exist'),
        ('empty', ValueError, 'holds no images: it is empty'),
        ('file', NotADirectoryError, 'is a file, not a folder'),
    ):
        for option, folders in (('labelled', (f'{tmp_path}/{name}', None)), ('queries', (root, f'{tmp_path}/{name}'))):
            with pytest.raises(kind) as refused:
                bank_and_queries(*folders, 10)
            said = str(refused.value)
            assert said.startswith(f"{option}='{tmp_path}/{name}' of RepresentationHook {what}")
            assert said.endswith(f'a folder with a folder of images for each class with {option} of RepresentationHook')
            assert 'data_root' not in said
    shutil.copytree(f'{root}/coffee', f'{tmp_path}/other/tea')
    shutil.copytree(f'{root}/coffee', f'{tmp_path}/other/coffee')
    with pytest.raises(ValueError, match=r'queries=.* has classes that labelled=.* does not have: tea'):
        bank_and_queries(root, str(tmp_path / 'other'), 10)
    with pytest.raises(ValueError, match="queries='x' of RepresentationHook .* labelled has no images"):
        RepresentationHook(queries='x')


@pytest.mark.parametrize(('hook', 'option'), [('RepresentationHook', 'labelled'), ('ReconstructionHook', 'images')])
def test_folders_of_hooks_are_called_what_they_were_given_as(image_folder, tmp_path, hook, option):
    """When the run starts: not the ``data_root`` of the training data, which is another folder."""
    (tmp_path / 'empty').mkdir()
    settings = dict(type=hook, by_epoch=False, **{option: str(tmp_path / 'empty')})
    runner = tiny_run(image_folder(4), tmp_path / 'run', change=lambda cfg: cfg.custom_hooks.append(settings))
    with pytest.raises(ValueError, match=f"{option}='{tmp_path}/empty' of {hook} holds no images") as refused:
        runner.train()
    assert f'with {option} of {hook}' in str(refused.value)
    assert 'data_root' not in str(refused.value)
