"""Models from checkpoints."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from simmim_mm.engine.checkpoints import load_model, read_checkpoint
from simmim_mm.engine.resumed_head import check_head


def test_every_encoder_is_loaded(encoder, build_model, tmp_path):
    """Every weight of the file is in the model; Swin V2's class drops its buffers when it loads, which is no error."""
    model = build_model(backbone=encoder)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'a.pth')
    loaded = load_model(Config(dict(model=dict(type='SimMIM', backbone=encoder, img_size=64))), str(tmp_path / 'a.pth'))
    state = {key: value.cpu() for key, value in loaded.state_dict().items()}
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


class Code:
    """Runs code when it is unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize('where', ['meta', 'message_hub', 'state_dict'])
def test_code_in_a_checkpoint_is_not_run(tmp_path, where):
    """Wherever it stands; MMEngine falls back to running it."""
    torch.save({'state_dict': {}, where: {'a': Code(tmp_path / 'run')}}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='or one with Python objects beside tensors and plain data'):
        read_checkpoint(str(tmp_path / 'a.pth'))
    assert not (tmp_path / 'run').exists()


HEAD = dict(type='ReconstructionHead', target=dict(type='PixelTarget'), loss=dict(type='L1Loss'))


def compare(theirs, ours):
    """Compares two heads, the first as MMEngine stores a config in a checkpoint."""
    text = Config(dict(model=dict(type='SimMIM', backbone=dict(type='ResNet'), head=theirs))).pretty_text
    check_head(Config(dict(model=dict(head=ours))).model, dict(cfg=text), 'epoch_1.pth')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(target=dict(type='PixelTarget', norm='window', norm_size=47)), "target=.*norm='window'.*norm_size=47"),
        (dict(loss=dict(type='L2Loss')), r'loss=dict\(type=.L1Loss.\) there and dict\(type=.L2Loss.\) here'),
        (dict(loss=dict(type='SmoothL1Loss', beta=0.5)), 'beta=0.5'),
        (dict(area='all'), "area='hidden' there and 'all' here"),
        (dict(area='all', visible_weight=0.5), 'visible_weight=None there and 0.5 here'),
        (dict(channel_weights=[1, 0, 2]), r'channel_weights=None there and \[1, 0, 2\] here'),
    ],
)
def test_another_objective_is_not_resumed(change, words):
    """Keys and shapes are the same: both heads are named, and how to go on, in either direction."""
    with pytest.raises(ValueError, match=rf"'epoch_1.pth' was trained with another model.head.*{words}.*load_from="):
        compare(HEAD, {**HEAD, **change})
    with pytest.raises(ValueError, match='was trained with another model.head'):
        compare({**HEAD, **change}, HEAD)


@pytest.mark.parametrize(
    ('theirs', 'ours'),
    [
        (HEAD, None),
        (HEAD, dict(type='simmim_mm.ReconstructionHead', area='hidden')),
        (HEAD, {**HEAD, 'target': dict(type='simmim_mm.PixelTarget', stride=1, norm=None)}),
        (
            {**HEAD, 'target': dict(type='ColorClusterTarget', clusters='a.npz')},
            {**HEAD, 'target': dict(type='ColorClusterTarget', clusters='moved/a.npz')},
        ),
        ({**HEAD, 'channel_weights': (1, 0, 2)}, {**HEAD, 'channel_weights': [1, 0, 2]}),
    ],
)
def test_the_same_objective_in_other_words_is_resumed(theirs, ours):
    """Defaults written out or not, lists for tuples, files that have moved."""
    for first, second in ((theirs, ours), (ours, theirs)):
        refusal = None
        try:
            compare(first, second)
        except ValueError as error:
            refusal = str(error)
        assert refusal is None


@pytest.mark.parametrize(
    ('theirs', 'ours', 'words'),
    [
        (None, dict(type='VisibleMasker'), "type='TokenMasker'.*type='VisibleMasker'"),
        (dict(type='VisibleMasker'), dict(type='simmim_mm.TokenMasker'), "type='VisibleMasker'.*type='TokenMasker'"),
        (dict(type='PixelMasker', fill='zero'), dict(type='PixelMasker'), "fill='zero'.*fill='mean'"),
        (None, dict(type='simmim_mm.TokenMasker', stem=None), None),
        (dict(type='PixelMasker'), dict(type='PixelMasker', fill='mean'), None),
    ],
)
def test_another_way_of_hiding_is_not_resumed(theirs, ours, words):
    """The tokens of two maskers have one key, and for ViT one shape; those of pixels may have none."""
    text = Config(dict(model=dict(type='SimMIM', backbone=dict(type='ResNet'), masker=theirs))).pretty_text
    arguments = (dict(masker=ours), dict(cfg=text), 'epoch_1.pth')
    if words is None:
        check_head(*arguments)
        return
    with pytest.raises(ValueError, match=rf"'epoch_1.pth' was trained with model.masker=.*{words}.*load_from="):
        check_head(*arguments)


@pytest.mark.parametrize('meta', [{}, dict(cfg=None), dict(cfg='model = build()'), dict(cfg='(')])
def test_a_checkpoint_that_does_not_tell_its_objective_is_resumed(meta):
    check_head(dict(head=HEAD), meta, 'epoch_1.pth')
