"""Models from checkpoints."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from simmim_mm.engine.checkpoints import load_model, read_checkpoint
from simmim_mm.engine.guards.failed_batch import read_failed_batch
from simmim_mm.engine.launch import train
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
    with pytest.raises(ValueError, match=r'holds more than tensors and plain data \(.*Path.*\).*run any code'):
        read_checkpoint(str(tmp_path / 'a.pth'))
    assert not (tmp_path / 'run').exists()


def cut(path):
    path.write_bytes(path.read_bytes()[:9000])


def bend(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def cut_of_old_pytorch(path):
    torch.save({'state_dict': {'w': torch.randn(5000)}}, path, _use_new_zipfile_serialization=False)
    cut(path)


# How a file is spoilt -> what is said of it.
DAMAGE = {
    'cut off': (cut, 'is a PyTorch file or zip archive that is cut off or damaged: it has 9000 bytes'),
    'one wrong bit': (bend, 'is damaged: the checksum of .* is wrong'),
    'cut off, of old PyTorch': (cut_of_old_pytorch, 'is no PyTorch checkpoint, or a damaged one'),
    'empty': (lambda path: path.write_bytes(b''), 'is empty'),
    'web page': (lambda path: path.write_text('<html>Sign in</html>'), 'is a web page, not the file that .*'),
    'safetensors': (lambda path: path.write_bytes(b'\x02' + bytes(7) + b'{}'), 'is a safetensors file'),
}
# Of PyTorch's and Python's own messages.
INTERNAL = ('PytorchStreamReader', 'magic number', 'pickle', 'EOF', 'Ran out', 'weights_only', 'Error')


@pytest.mark.parametrize('kind', list(DAMAGE))
@pytest.mark.parametrize('read', [read_checkpoint, read_failed_batch])
def test_a_damaged_file_is_said_to_be_one(tmp_path, kind, read):
    """What it is, what was expected and what to do, in one sentence, without the reason of PyTorch."""
    spoil, words = DAMAGE[kind]
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': {'w': torch.randn(5000)}}, path)
    spoil(path)
    with pytest.raises(ValueError, match=rf"a\.pth' {words}; expected is .*torch\.save.*another checkpoint") as raised:
        read(str(path))
    assert not [word for word in INTERNAL if word in str(raised.value)]


@pytest.mark.parametrize('resume', [True, False])
@pytest.mark.parametrize('kind', ['cut off', 'one wrong bit', 'missing'])
def test_a_run_does_not_begin_with_a_damaged_file(tmp_path, kind, resume):
    """Neither --resume FILE nor load_from; nothing of the rest of the config is looked at, and no folder is made."""
    path = tmp_path / 'a.pth'
    if kind != 'missing':
        torch.save({'state_dict': {'w': torch.randn(5000)}}, path)
        DAMAGE[kind][0](path)
    cfg = Config(dict(load_from=str(path), resume=resume, work_dir=str(tmp_path / 'run'), model=dict(type='None')))
    words = {'missing': 'is no file', 'cut off': DAMAGE['cut off'][1], 'one wrong bit': DAMAGE['one wrong bit'][1]}
    with pytest.raises((ValueError, FileNotFoundError), match=words[kind]) as raised:
        train(cfg)
    assert ('--resume without a file' in str(raised.value)) == (resume and kind != 'missing')
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
