"""Files that are damaged, foreign or of another encoder: each has its own clear error and exit code."""

import gzip
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from simmim_mm.registry import MODELS


class Payload:
    """What a malicious file would hold: unpickling it writes a file."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return (Path.touch, (Path(self.trace),))


def text(path, content):
    path.write_text(content)


def truncated(path):
    torch.save({'w': torch.randn(5000)}, path)
    path.write_bytes(path.read_bytes()[:9000])


def truncated_before_zip(path):
    torch.save({'w': torch.randn(5000)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:9000])


def flipped(path):
    torch.save({'w': torch.randn(5000)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


def truncated_safetensors(path):
    save_file({'w': torch.randn(5000)}, path)
    path.write_bytes(path.read_bytes()[:9000])


def cut_header(path):
    save_file({f'a_long_name_{number}': torch.randn(1) for number in range(99)}, path)
    path.write_bytes(path.read_bytes()[:200])


def archive(path, name, content=b'x'):
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr(name, content)


def tar(path):
    other = path.with_name('other.txt')
    other.write_text('x')
    with tarfile.open(path, 'w') as file:
        file.add(other, 'weights.pth')


def compressed(path):
    with gzip.open(path, 'wb') as file:
        file.write(b'x')


def folder(path):
    path.mkdir()
    (path / 'config.json').write_text('{}')


def pieces(path):
    path.mkdir()
    (path / 'model.safetensors.index.json').write_text('{}')


def whole_module(path):
    torch.save(nn.Linear(2, 2), path)


def script(path):
    torch.jit.save(torch.jit.script(nn.ReLU()), path)


# Kind of file -> how to make one, and what both tools say about it.
FILES = {
    'no such file': (lambda path: None, 'is no file'),
    'empty': (lambda path: path.touch(), 'is empty'),
    'folder of something else': (folder, r'is a folder.*neither of them'),
    'folder of pieces': (pieces, 'weights in several pieces'),
    'web page': (lambda path: text(path, '<!DOCTYPE html>\n<html>Sign in</html>'), 'is a web page'),
    'pointer of Git LFS': (lambda path: text(path, 'version https://git-lfs.github.com/spec/v1\n'), 'git lfs pull'),
    'JSON': (lambda path: text(path, json.dumps(dict(epoch=3))), 'is a JSON text'),
    'config': (lambda path: text(path, "model = dict(type='SimMIM')\n"), r'is a text.*begins with .model = dict'),
    'PNG image': (lambda path: Image.new('RGB', (4, 4)).save(path, 'PNG'), 'is a PNG image'),
    'JPEG image': (lambda path: Image.new('RGB', (4, 4)).save(path, 'JPEG'), 'is a JPEG image'),
    'gzip': (compressed, 'is compressed by gzip'),
    'tar': (tar, 'is a tar archive'),
    'HDF5 of Keras': (lambda path: path.write_bytes(b'\x89HDF\r\n\x1a\n' + bytes(99)), 'is an HDF5 file'),
    'NumPy archive': (lambda path: np.savez(path.open('wb'), a=np.zeros(3)), 'an archive of NumPy arrays'),
    'zip of something': (lambda path: archive(path, 'report.txt'), 'is a zip archive without weights.*report.txt'),
    'noise': (lambda path: path.write_bytes(bytes(range(255, 0, -1))), 'is no checkpoint of PyTorch.*ff fe fd'),
    'cut off': (truncated, 'is cut off or damaged: it has 9000 bytes'),
    'cut off, of old PyTorch': (truncated_before_zip, 'damaged or cut off'),
    'one bit flipped': (flipped, 'checksum of .* is wrong'),
    'safetensors cut off': (truncated_safetensors, 'safetensors file that is damaged or cut off'),
    'safetensors cut off in its header': (cut_header, 'is a safetensors file that is cut off: it has 200 bytes'),
    'TorchScript': (script, 'is a TorchScript program'),
    'whole module': (whole_module, r'torch.nn.modules.linear.Linear.*add --allow-pickle'),
    'plain pickle': (lambda path: path.write_bytes(pickle.dumps({'epoch': 3})), 'is no checkpoint of PyTorch|holds no'),
    'one tensor': (lambda path: torch.save(torch.zeros(3), path), r'seems to be one tensor of shape \(3,\)'),
    'list': (lambda path: torch.save([1, 2], path), 'seems to be a list of 2 things'),
    'optimiser': (lambda path: torch.save(dict(state={}, param_groups=[]), path), 'seems to be the state of an optim'),
    'log': (lambda path: torch.save(dict(epoch=3, loss=[0.5]), path), 'seems to be a dictionary of epoch, loss'),
    'not a number': (lambda path: torch.save({'w': torch.tensor([1.0, np.nan])}, path), 'not finite, in w'),
}

# Weights of something else -> a few of their keys, and what they seem to be.
FOREIGN = {
    'ResNet of torchvision': (['conv1.weight', 'layer1.0.conv1.weight', 'fc.weight'], 'a ResNet'),
    'ConvNeXt of mmpretrain': (['backbone.downsample_layers.0.0.weight'], 'a ConvNeXt'),
    'masked autoencoder': (['cls_token', 'patch_embed.proj.weight', 'decoder_blocks.0.attn.qkv.weight'], r'\(MAE\)'),
    'CLIP': (['visual.conv1.weight', 'token_embedding.weight'], r'\(CLIP\)'),
    'DINO': (['teacher.backbone.cls_token', 'student.backbone.cls_token'], 'DINO'),
    'detector': (['backbone.conv1.weight', 'rpn_head.rpn_conv.weight', 'roi_head.bbox_head.fc_cls.bias'], 'a detector'),
    'segmentor': (['backbone.conv1.weight', 'decode_head.conv_seg.weight'], 'a segmentor'),
    'language model': (['model.embed_tokens.weight'], 'a language model'),
    'anything': (['encoder_a.w', 'encoder_b.w'], 'something with keys such as encoder_a.w'),
}


@pytest.mark.parametrize('tool', ['convert_checkpoint', 'export_backbone'])
@pytest.mark.parametrize('kind', list(FILES))
def test_damaged_or_no_checkpoint(tmp_path, run_tool, kind, tool):
    """One message with the file's name and what it is, no traceback, exit code 2, and nothing written."""
    make, message = FILES[kind]
    make(tmp_path / 'file.pth')
    _refused(run_tool, tmp_path, tool, message)


@pytest.mark.parametrize('tool', ['convert_checkpoint', 'export_backbone'])
@pytest.mark.parametrize('kind', list(FOREIGN))
def test_of_something_else(tmp_path, run_tool, kind, tool):
    """Weights that are readable, but of another model: what they seem to be is said."""
    keys, message = FOREIGN[kind]
    torch.save({'state_dict': {key: torch.zeros(2, 2) for key in keys}}, tmp_path / 'file.pth')
    _refused(run_tool, tmp_path, tool, f'seems to be .*{message}')


def _refused(run_tool, tmp_path, tool, message):
    arguments = [tmp_path / 'file.pth', tmp_path / 'out', *(['--to', 'mmdet'] if tool == 'export_backbone' else [])]
    code, written = run_tool(tool, *arguments)
    assert code == 2
    assert 'Traceback' not in written
    assert 'file.pth' in written
    with pytest.raises(ValueError, match=f'(?s){message}'):
        raise ValueError(written)
    assert not (tmp_path / 'out').exists()


def test_code_in_a_file_is_not_run(tmp_path, run_tool):
    """A pickle that would touch a file when read does not, unless it is allowed to."""
    torch.save({'model': {'w': torch.zeros(2)}, 'config': Payload(tmp_path / 'trace')}, tmp_path / 'file.pth')
    _refused(run_tool, tmp_path, 'convert_checkpoint', r'pathlib.Path.*runs code.*--allow-pickle')
    assert not (tmp_path / 'trace').exists()
    code, written = run_tool('convert_checkpoint', tmp_path / 'file.pth', tmp_path / 'out', '--allow-pickle')
    assert code == 2  # read now, and of nothing that is known
    assert 'something with keys such as w' in written
    assert (tmp_path / 'trace').exists()


class Getter:
    """Would reach for anything through the one function that MMEngine's curves need."""

    def __reduce__(self):
        return (getattr, (torch.Tensor, '__init__'))


def test_the_log_of_a_run_is_read_and_nothing_like_it(tmp_path, make_checkpoint, tiny_swin, run_tool):
    """Checkpoints of runs hold curves whose pickles call getattr: read for those, refused for anything else."""
    _, path = make_checkpoint(tiny_swin())
    hub = MessageHub('a run')
    hub.update_scalar('train/loss', 0.5)
    hub.update_info('iter', 3)
    saved = dict(torch.load(path, weights_only=True), message_hub=hub.state_dict(), optimizer=dict(param_groups=[]))
    torch.save(saved, tmp_path / 'run.pth')
    code, _ = run_tool('export_backbone', tmp_path / 'run.pth', tmp_path / 'out.pth', '--to', 'mmseg')
    assert code == 0
    torch.save(dict(saved, message_hub=Getter()), tmp_path / 'file.pth')
    _refused(run_tool, tmp_path, 'export_backbone', 'holds more than tensors.*--allow-pickle')


def test_code_in_a_stored_config_is_not_run(tmp_path, make_checkpoint, tiny_swin, run_tool):
    """The config in a checkpoint is a text that MMEngine would run; here, it is plain data or refused."""
    _, path = make_checkpoint(tiny_swin())
    saved = torch.load(path, weights_only=True)
    saved['meta']['cfg'] = f"model = open({str(tmp_path / 'trace')!r}, 'w')\n"
    torch.save(saved, tmp_path / 'file.pth')
    _refused(run_tool, tmp_path, 'export_backbone', 'cannot be read as plain data')
    assert not (tmp_path / 'trace').exists()


def damage(change):
    """A test of a checkpoint of ours in which something was changed."""

    def run(make_checkpoint, tiny_swin, tmp_path):
        _, path = make_checkpoint(tiny_swin())
        saved = torch.load(path, weights_only=True)
        change(saved, saved['state_dict'])
        torch.save(saved, tmp_path / 'file.pth')

    return run


QKV = 'backbone.stages.1.blocks.0.attn.w_msa.qkv.weight'


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda saved, state: state.pop(QKV), f'1 missing keys .such as {QKV[9:]}'),
        (lambda saved, state: state.update({QKV: torch.zeros(3, 3)}), r'1 wrong shapes .*\(3, 3\) instead of'),
        (
            lambda saved, state: state.update({'backbone.stages.9.w': torch.zeros(3)}),
            '1 unknown keys .such as stages.9',
        ),
        (lambda saved, state: saved.pop('meta'), 'does not say which config it is of; name it with --config'),
        (lambda saved, state: saved.update(meta=dict(cfg='lr = 3')), 'has no model with a backbone'),
        (
            lambda saved, state: saved.update(meta=dict(cfg="model = dict(backbone=dict(type='mmpretrain.Swine'))")),
            'backbone in the config of .* cannot be built.*Swine',
        ),
        (
            lambda saved, state: saved['meta'].update(
                cfg=saved['meta']['cfg'] + "custom_imports = dict(imports=['no_such_module'])\n"
            ),
            'needs modules that cannot be imported.*no_such_module',
        ),
    ],
    ids=[
        'missing key',
        'wrong shape',
        'unknown key',
        'no config',
        'no model',
        'no such class',
        'no module',
    ],
)
def test_ours_but_damaged(make_checkpoint, tiny_swin, tmp_path, run_tool, change, message):
    """A checkpoint of ours with a key too many or too few, another shape, or without its config."""
    damage(change)(make_checkpoint, tiny_swin, tmp_path)
    _refused(run_tool, tmp_path, 'export_backbone', message)


def test_the_config_of_another_encoder(make_checkpoint, tiny_swin, tiny_encoders, tmp_path, run_tool):
    """--config names the config of a ViT, and the checkpoint is of a Swin: it says so."""
    _, path = make_checkpoint(tiny_swin(), name='file.pth')
    config = tmp_path / 'vit.py'
    config.write_text(f"model = dict(type='SimMIM', backbone={tiny_encoders['VisionTransformer']!r}, img_size=64)\n")
    code, written = run_tool('export_backbone', path, tmp_path / 'out', '--to', 'mmdet', '--config', config)
    assert code == 2
    assert 'does not fit the VisionTransformer of its config' in written
    assert 'it seems to be a Swin Transformer' in written


@pytest.mark.parametrize(
    ('lost', 'message'),
    [
        ('layers.1.blocks.0.attn.qkv.weight', 'missing keys .such as backbone.stages.1.blocks.0.attn.w_msa.qkv.weight'),
        ('patch_embed.proj.weight', 'seems to be a SwinTransformer, but lacks patch_embed.projection.weight'),
        ('layers.2.', r'SwinTransformer.*lacks stages.2.blocks.0|missing keys'),
    ],
)
def test_theirs_but_incomplete(tiny_swin, tmp_path, run_tool, lost, message):
    """Weights of a known encoder of which some are lost."""
    from simmim_mm.transfer.recognise import translate_back

    weights, _ = translate_back('SwinTransformer', 'simmim', MODELS.build(tiny_swin()).state_dict(), True)
    kept = {key: value for key, value in weights.items() if not key.startswith(f'encoder.{lost}')}
    torch.save(dict(model=kept), tmp_path / 'file.pth')
    _refused(run_tool, tmp_path, 'convert_checkpoint', message)


def test_a_place_that_cannot_be_written(make_checkpoint, tiny_swin, tmp_path, run_tool):
    """OUT lies below a file, or is a file where a folder has to be."""
    _, path = make_checkpoint(tiny_swin())
    code, written = run_tool('export_backbone', path, Path(path) / 'out.pth', '--to', 'mmdet')
    assert code == 2
    assert 'cannot be written' in written
    code, written = run_tool('export_backbone', path, tmp_path, '--to', 'mmdet')
    assert code == 2
    assert 'is a folder; name the file to write' in written
    (tmp_path / 'file').write_text('')
    code, written = run_tool('convert_checkpoint', path, tmp_path / 'file', '--to', 'hf')
    assert code == 2
    assert 'is a file; a model of transformers is a folder' in written or 'transformers cannot be imported' in written


@pytest.mark.parametrize('tool', ['export_backbone', 'convert_checkpoint'])
@pytest.mark.parametrize('link', ['same', 'other path', 'symbolic', 'hard'])
def test_the_input_is_not_overwritten(make_checkpoint, tiny_swin, tmp_path, run_tool, tool, link):
    """Under whatever name it is given as OUT."""
    _, path = make_checkpoint(tiny_swin())
    content = Path(path).read_bytes()
    out = tmp_path / 'link.pth'
    if link == 'symbolic':
        out.symlink_to(path)
    elif link == 'hard':
        out.hardlink_to(path)
    else:
        (tmp_path / 'sub').mkdir()
        out = path if link == 'same' else tmp_path / 'sub' / '..' / Path(path).name
    code, written = run_tool(tool, path, out, '--to', 'mmpretrain')
    assert code == 2
    assert f"error: OUT '{out}' is '{path}', which is read and would be overwritten; name another" in written
    assert Path(path).read_bytes() == content
    assert out == path or link == 'other path' or out.samefile(path)


def test_files_of_folders_and_configs_are_not_overwritten(tmp_path, run_tool):
    """Hugging Face's folders: what stands in them under fixed names counts, read or written; so does --config."""
    folder = tmp_path / 'folder'
    folder.mkdir()
    for name in ('model.safetensors', 'pytorch_model.bin', 'config.json', 'other.pth', 'config.py'):
        (folder / name).write_text(name)
    for source, out, options in (
        (folder, folder / 'model.safetensors', []),
        (folder / 'pytorch_model.bin', folder, ['--to', 'hf']),
        (folder, folder, ['--to', 'hf']),
        (folder / 'other.pth', folder / 'config.py', ['--config', folder / 'config.py']),
    ):
        code, written = run_tool('convert_checkpoint', source, out, *options)
        assert (code, 'would be overwritten' in written) == (2, True), written
    _, written = run_tool('convert_checkpoint', folder / 'other.pth', folder, '--to', 'hf')
    assert 'overwritten' not in written  # it is no checkpoint, but not in the way
    for name in ('model.safetensors', 'pytorch_model.bin', 'config.json', 'other.pth', 'config.py'):
        assert (folder / name).read_text() == name
